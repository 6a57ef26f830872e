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

// Unsigned numbers in the order of the elements. Both zeros are one; every NaN is `nan`.
std::uint32_t rank_of(float value, std::uint32_t nan) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t number = value == 0 ? kSign : (bits & kSign) != 0 ? ~bits : bits | kSign;
  return value == value ? number : nan;
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
struct Order {
  std::uint32_t nan = UINT32_MAX;
  std::uint32_t flip = 0;  // all bits, of the largest

  template <typename T>
  [[nodiscard]] std::uint32_t operator()(T value) const {
    return rank_of(value, nan) ^ flip;
  }
};

// The first of the line's foremost elements. Lines beside each other at once, as they lie in memory.
template <typename T>
void write_first(const T* x, const Lines& lines, const Order& order, std::int32_t* indices) {
  std::vector<std::uint32_t> best(lines.inner);
  for (std::size_t outer = 0; outer < lines.outer; ++outer, x += lines.count * lines.inner, indices += lines.inner) {
    for (std::size_t j = 0; j < lines.inner; ++j) {
      best[j] = order(x[j]);
      indices[j] = 0;
    }
    for (std::size_t i = 1; i < lines.count; ++i) {
      const T* row = x + i * lines.inner;
      for (std::size_t j = 0; j < lines.inner; ++j) {
        const std::uint32_t rank = order(row[j]);
        const bool is_better = rank < best[j];
        best[j] = is_better ? rank : best[j];
        indices[j] = is_better ? static_cast<std::int32_t>(i) : indices[j];
      }
    }
  }
}

// Rank and index as one number: their order is the elements', with the index among equal ones.
template <typename T>
void write_indices(const T* x, const Lines& lines, std::size_t k, const Order& order, std::int32_t* indices) {
  if (k == 1) return write_first(x, lines, order, indices);
  std::vector<std::uint64_t> keys(lines.count);
  for (std::size_t outer = 0; outer < lines.outer; ++outer) {
    for (std::size_t inner = 0; inner < lines.inner; ++inner) {
      const T* line = x + outer * lines.count * lines.inner + inner;
      for (std::size_t i = 0; i < lines.count; ++i) {
        keys[i] = static_cast<std::uint64_t>(order(line[i * lines.inner])) << 32 | i;
      }
      const auto end = keys.begin() + static_cast<std::ptrdiff_t>(k);
      if (end != keys.end()) std::nth_element(keys.begin(), end, keys.end());
      std::sort(keys.begin(), end);
      std::int32_t* result = indices + outer * k * lines.inner + inner;
      for (std::size_t i = 0; i < k; ++i) result[i * lines.inner] = static_cast<std::int32_t>(keys[i] & UINT32_MAX);
    }
  }
}

std::int64_t read_integer(const ov::Tensor& tensor) {
  return tensor.get_element_type() == ov::element::i32 ? *tensor.data<const std::int32_t>()
                                                       : *tensor.data<const std::int64_t>();
}

}  // namespace

StableTopK::StableTopK(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& k, std::int64_t axis, bool largest,
                       bool nan_is_largest)
    : Op({x, k}), axis_(axis), largest_(largest), nan_is_largest_(nan_is_largest) {
  constructor_validate_and_infer_types();
}

void StableTopK::validate_and_infer_types() {
  ov::PartialShape shape = get_input_partial_shape(0);
  OPENVINO_ASSERT(shape.rank().is_static() && axis_ >= 0 && axis_ < shape.rank().get_length(), "StableTopK along axis ",
                  axis_, " of ", shape);
  const auto k = ov::as_type_ptr<ov::op::v0::Constant>(get_input_node_shared_ptr(1));
  auto& dim = shape[static_cast<std::ptrdiff_t>(axis_)];
  dim = k != nullptr ? ov::Dimension(k->cast_vector<std::int64_t>().at(0)) : ov::Dimension();
  set_output_type(0, ov::element::i32, shape);
}

std::shared_ptr<ov::Node> StableTopK::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  return std::make_shared<StableTopK>(inputs.at(0), inputs.at(1), axis_, largest_, nan_is_largest_);
}

bool StableTopK::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("axis", axis_);
  visitor.on_attribute("largest", largest_);
  visitor.on_attribute("nan_is_largest", nan_is_largest_);
  return true;
}

bool StableTopK::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const ov::Tensor& x = inputs[0];
  ov::Shape shape = x.get_shape();
  const Lines lines = lines_of(shape, static_cast<std::size_t>(axis_));
  const std::int64_t k = read_integer(inputs[1]);
  OPENVINO_ASSERT(k >= 0 && static_cast<std::size_t>(k) <= lines.count, "the first ", k, " of ", lines.count,
                  " elements were asked for");
  shape[static_cast<std::size_t>(axis_)] = static_cast<std::size_t>(k);
  outputs[0].set_shape(shape);
  auto* indices = outputs[0].data<std::int32_t>();
  const Order order{nan_is_largest_ ? UINT32_MAX : 0, largest_ ? UINT32_MAX : 0};
  if (x.get_element_type() == ov::element::f32) {
    write_indices(x.data<const float>(), lines, static_cast<std::size_t>(k), order, indices);
  } else {
    OPENVINO_ASSERT(x.get_element_type() == ov::element::i32, "StableTopK of ", x.get_element_type());
    write_indices(x.data<const std::int32_t>(), lines, static_cast<std::size_t>(k), order, indices);
  }
  return true;
}

}  // namespace torchtrt::openvino
