// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/stable_top_k.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <openvino/core/attribute_visitor.hpp>
#include <openvino/op/constant.hpp>

namespace torchtrt::openvino {
namespace {

constexpr std::uint32_t kSign = 0x80000000;

// Unsigned numbers in the order of the elements. Both zeros are one; every NaN is `nan`. By their bits, since the thread may
// take subnormal numbers for zeros.
std::uint32_t rank_of(float value, std::uint32_t nan) {
  constexpr std::uint32_t kInfinity = 0x7F800000;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & ~kSign;
  const std::uint32_t number = magnitude == 0 ? kSign : (bits & kSign) != 0 ? ~bits : bits | kSign;
  return magnitude <= kInfinity ? number : nan;
}
std::uint32_t rank_of(std::int32_t value, std::uint32_t) { return static_cast<std::uint32_t>(value) ^ kSign; }

// The elements of x along one axis: `count` of them for each of outer * inner lines.
struct Lines {
  std::size_t outer = 1, count = 0, inner = 1;
};

Lines lines_of(const ov::Shape& shape, std::size_t axis) {
  Lines lines;
  for (std::size_t i = 0; i < axis; ++i) lines.outer *= shape[i];
  lines.count = shape[axis];
  for (std::size_t i = axis + 1; i < shape.size(); ++i) lines.inner *= shape[i];
  return lines;
}

// What comes first is what is asked for.
struct Ranks {
  std::uint32_t nan = UINT32_MAX;
  std::uint32_t flip = 0;  // all bits, of the largest

  template <typename T>
  [[nodiscard]] std::uint32_t operator()(T value) const {
    return rank_of(value, nan) ^ flip;
  }
};

// The first of the line's foremost elements. Lines beside each other at once, as they lie in memory.
template <typename T>
void write_first(const T* x, const Lines& lines, const Ranks& ranks, std::int32_t* indices) {
  std::vector<std::uint32_t> best(lines.inner);
  for (std::size_t outer = 0; outer < lines.outer; ++outer, x += lines.count * lines.inner, indices += lines.inner) {
    for (std::size_t j = 0; j < lines.inner; ++j) {
      best[j] = ranks(x[j]);
      indices[j] = 0;
    }
    for (std::size_t i = 1; i < lines.count; ++i) {
      const T* row = x + i * lines.inner;
      for (std::size_t j = 0; j < lines.inner; ++j) {
        const std::uint32_t rank = ranks(row[j]);
        const bool is_better = rank < best[j];
        best[j] = is_better ? rank : best[j];
        indices[j] = is_better ? static_cast<std::int32_t>(i) : indices[j];
      }
    }
  }
}

struct Element {
  std::uint32_t index, rank;  // as one number of 64 bits in the order of by_rank_and_index
};

// Brings the first k of the elements, which are in the order of their indices, to the front. Where equal elements end up is
// what the algorithms of the standard library make of it: PyTorch's kernels call these.
void order(std::vector<Element>& elements, std::size_t k, StableTopK::Ties ties) {
  using enum StableTopK::Ties;
  const auto by_rank = [](const Element& a, const Element& b) { return a.rank < b.rank; };
  const auto by_rank_and_index = [](const Element& a, const Element& b) {
    return (static_cast<std::uint64_t>(a.rank) << 32 | a.index) < (static_cast<std::uint64_t>(b.rank) << 32 | b.index);
  };
  const auto begin = elements.begin(), end = elements.end();
  const auto behind = begin + static_cast<std::ptrdiff_t>(k);
  if (k == 0) return;
  if (ties == kLowerIndex) {
    if (behind != end) std::nth_element(begin, behind, end, by_rank_and_index);
    std::sort(begin, behind, by_rank_and_index);
  } else if (ties == kSort) {
    std::sort(begin, end, by_rank);
  } else if (k * 64 <= elements.size()) {
    std::partial_sort(begin, behind, end, by_rank);
  } else {
    std::nth_element(begin, behind - 1, end, by_rank);
    if (ties == kTopK) std::sort(begin, behind - 1, by_rank);
  }
}

template <typename T>
void write_indices(const T* x, const Lines& lines, std::size_t k, const Ranks& ranks, StableTopK::Ties ties,
                   std::int32_t* indices) {
  if (k == 1 && ties == StableTopK::Ties::kLowerIndex) return write_first(x, lines, ranks, indices);
  std::vector<Element> elements(lines.count);
  for (std::size_t outer = 0; outer < lines.outer; ++outer) {
    for (std::size_t inner = 0; inner < lines.inner; ++inner) {
      const T* line = x + outer * lines.count * lines.inner + inner;
      for (std::size_t i = 0; i < lines.count; ++i) {
        elements[i] = {static_cast<std::uint32_t>(i), ranks(line[i * lines.inner])};
      }
      order(elements, k, ties);
      std::int32_t* result = indices + outer * k * lines.inner + inner;
      for (std::size_t i = 0; i < k; ++i) result[i * lines.inner] = static_cast<std::int32_t>(elements[i].index);
    }
  }
}

// PyTorch sorts long vectors of integers upwards by their digits, which is stable.
bool is_sorted_by_digits(const ov::Tensor& x, bool largest) {
  return x.get_element_type() == ov::element::i32 && x.get_shape().size() == 1 && !largest && x.get_size() >= 32768;
}

std::int64_t read_integer(const ov::Tensor& tensor) {
  return tensor.get_element_type() == ov::element::i32 ? *tensor.data<const std::int32_t>()
                                                       : *tensor.data<const std::int64_t>();
}

}  // namespace

StableTopK::StableTopK(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& k, Order order)
    : Op({x, k}), order_(order) {
  constructor_validate_and_infer_types();
}

void StableTopK::validate_and_infer_types() {
  ov::PartialShape shape = get_input_partial_shape(0);
  OPENVINO_ASSERT(shape.rank().is_static() && order_.axis >= 0 && order_.axis < shape.rank().get_length(),
                  "StableTopK along axis ", order_.axis, " of ", shape);
  const auto k = ov::as_type_ptr<ov::op::v0::Constant>(get_input_node_shared_ptr(1));
  auto& dim = shape[static_cast<std::ptrdiff_t>(order_.axis)];
  dim = k != nullptr ? ov::Dimension(k->cast_vector<std::int64_t>().at(0)) : ov::Dimension();
  set_output_type(0, ov::element::i32, shape);
}

std::shared_ptr<ov::Node> StableTopK::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  return std::make_shared<StableTopK>(inputs.at(0), inputs.at(1), order_);
}

bool StableTopK::visit_attributes(ov::AttributeVisitor& visitor) {
  auto ties = static_cast<std::int64_t>(order_.ties);
  visitor.on_attribute("axis", order_.axis);
  visitor.on_attribute("largest", order_.largest);
  visitor.on_attribute("nan_is_largest", order_.nan_is_largest);
  visitor.on_attribute("ties", ties);  // stays 0 where a file has none
  OPENVINO_ASSERT(ties >= 0 && ties <= static_cast<std::int64_t>(Ties::kTopKUnsorted), "StableTopK with ties ", ties);
  order_.ties = static_cast<Ties>(ties);
  return true;
}

bool StableTopK::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const ov::Tensor& x = inputs[0];
  ov::Shape shape = x.get_shape();
  const Lines lines = lines_of(shape, static_cast<std::size_t>(order_.axis));
  const std::int64_t k = read_integer(inputs[1]);
  OPENVINO_ASSERT(k >= 0 && static_cast<std::size_t>(k) <= lines.count, "the first ", k, " of ", lines.count,
                  " elements were asked for");
  shape[static_cast<std::size_t>(order_.axis)] = static_cast<std::size_t>(k);
  outputs[0].set_shape(shape);
  auto* indices = outputs[0].data<std::int32_t>();
  const Ranks ranks{order_.nan_is_largest ? UINT32_MAX : 0, order_.largest ? UINT32_MAX : 0};
  const bool by_digits = order_.ties == Ties::kSort && is_sorted_by_digits(x, order_.largest);
  const Ties ties = by_digits ? Ties::kLowerIndex : order_.ties;
  if (x.get_element_type() == ov::element::f32) {
    write_indices(x.data<const float>(), lines, static_cast<std::size_t>(k), ranks, ties, indices);
  } else {
    OPENVINO_ASSERT(x.get_element_type() == ov::element::i32, "StableTopK of ", x.get_element_type());
    write_indices(x.data<const std::int32_t>(), lines, static_cast<std::size_t>(k), ranks, ties, indices);
  }
  return true;
}

}  // namespace torchtrt::openvino
