// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/stable_top_k.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include <openvino/core/attribute_visitor.hpp>
#include <openvino/op/constant.hpp>

namespace torchtrt::openvino {
namespace {

constexpr std::uint32_t kSign = 0x80000000;

// Unsigned numbers in the order of the elements. Both zeros are one; every NaN is the largest.
std::uint32_t rank_of(float value) {
  if (std::isnan(value)) return UINT32_MAX;
  const auto bits = std::bit_cast<std::uint32_t>(value == 0 ? 0.0F : value);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}
std::uint32_t rank_of(std::int32_t value) { return static_cast<std::uint32_t>(value) ^ kSign; }

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

// Rank and index as one number: their order is the elements', with the index among equal ones.
template <typename T>
void write_indices(const T* x, const Lines& lines, std::size_t k, bool largest, std::int32_t* indices) {
  std::vector<std::uint64_t> keys(lines.count);
  for (std::size_t outer = 0; outer < lines.outer; ++outer) {
    for (std::size_t inner = 0; inner < lines.inner; ++inner) {
      const T* line = x + outer * lines.count * lines.inner + inner;
      for (std::size_t i = 0; i < lines.count; ++i) {
        const std::uint32_t rank = rank_of(line[i * lines.inner]);
        keys[i] = static_cast<std::uint64_t>(largest ? ~rank : rank) << 32 | i;
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

StableTopK::StableTopK(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& k, std::int64_t axis, bool largest)
    : Op({x, k}), axis_(axis), largest_(largest) {
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
  return std::make_shared<StableTopK>(inputs.at(0), inputs.at(1), axis_, largest_);
}

bool StableTopK::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("axis", axis_);
  visitor.on_attribute("largest", largest_);
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
  if (x.get_element_type() == ov::element::f32) {
    write_indices(x.data<const float>(), lines, static_cast<std::size_t>(k), largest_, indices);
  } else {
    OPENVINO_ASSERT(x.get_element_type() == ov::element::i32, "StableTopK of ", x.get_element_type());
    write_indices(x.data<const std::int32_t>(), lines, static_cast<std::size_t>(k), largest_, indices);
  }
  return true;
}

}  // namespace torchtrt::openvino
