// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/round_to_half.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <openvino/op/convert.hpp>
#include <openvino/op/result.hpp>

namespace torchtrt::openvino {
namespace {

// The functions have no branches, so that they vectorize.

float nearest_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t rounded = bits + 0x7FFF + (bits >> 16 & 1);
  const std::uint32_t nan = bits | 0x00400000;
  return std::bit_cast<float>((x == x ? rounded : nan) & 0xFFFF0000);
}

float nearest_float16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t magnitude_bits = bits & 0x7FFFFFFF;
  const auto magnitude = std::bit_cast<float>(magnitude_bits);
  const auto usual = std::bit_cast<float>((magnitude_bits + 0xFFF + (magnitude_bits >> 13 & 1)) & 0xFFFFE000);
  const float subnormal = (magnitude + 0.5F) - 0.5F;  // a multiple of 2^-24, which is 0.5's last bit
  const float within = magnitude < 0x1p-14F ? subnormal : usual;
  const float result = magnitude < 65520.0F ? within : INFINITY;  // rounds beyond the largest, 65504
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x == x ? result : x) | (bits & 0x80000000));
}

template <float (*nearest)(float)>
bool round_all(ov::TensorVector& outputs, const ov::TensorVector& inputs) {
  OPENVINO_ASSERT(inputs[0].get_element_type() == ov::element::f32, "rounding to half precision of ",
                  inputs[0].get_element_type());
  outputs[0].set_shape(inputs[0].get_shape());
  const auto* x = inputs[0].data<const float>();
  auto* result = outputs[0].data<float>();
  const std::size_t count = inputs[0].get_size();
  for (std::size_t i = 0; i < count; ++i) result[i] = nearest(x[i]);
  return true;
}

template <typename Round>
ov::Output<ov::Node> rounded(const ov::Output<ov::Node>& x, const ov::element::Type& type) {
  ov::Output<ov::Node> wide = x;
  if (x.get_element_type() != ov::element::f32) wide = std::make_shared<ov::op::v0::Convert>(x, ov::element::f32);
  return std::make_shared<ov::op::v0::Convert>(std::make_shared<Round>(wide), type);
}

}  // namespace

void RoundToHalf::validate_and_infer_types() { set_output_type(0, ov::element::f32, get_input_partial_shape(0)); }

std::shared_ptr<ov::Node> RoundToBfloat16::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  return std::make_shared<RoundToBfloat16>(inputs.at(0));
}

bool RoundToBfloat16::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  return round_all<nearest_bfloat16>(outputs, inputs);
}

std::shared_ptr<ov::Node> RoundToFloat16::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  return std::make_shared<RoundToFloat16>(inputs.at(0));
}

bool RoundToFloat16::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  return round_all<nearest_float16>(outputs, inputs);
}

ov::Output<ov::Node> to_bfloat16(const ov::Output<ov::Node>& x) {
  return rounded<RoundToBfloat16>(x, ov::element::bf16);
}

ov::Output<ov::Node> to_float16(const ov::Output<ov::Node>& x) { return rounded<RoundToFloat16>(x, ov::element::f16); }

void round_results(ov::Model& model) {
  for (const std::shared_ptr<ov::op::v0::Result>& result : model.get_results()) {
    const ov::Output<ov::Node> value = result->input_value(0);
    if (value.get_element_type() == ov::element::bf16) result->input(0).replace_source_output(to_bfloat16(value));
  }
}

}  // namespace torchtrt::openvino
