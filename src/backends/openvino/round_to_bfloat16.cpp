// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/round_to_bfloat16.h"

#include <bit>
#include <cstddef>
#include <cstdint>

#include <openvino/op/convert.hpp>
#include <openvino/op/result.hpp>

namespace torchtrt::openvino {

void RoundToBfloat16::validate_and_infer_types() { set_output_type(0, ov::element::f32, get_input_partial_shape(0)); }

std::shared_ptr<ov::Node> RoundToBfloat16::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  return std::make_shared<RoundToBfloat16>(inputs.at(0));
}

bool RoundToBfloat16::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  OPENVINO_ASSERT(inputs[0].get_element_type() == ov::element::f32, "RoundToBfloat16 of ",
                  inputs[0].get_element_type());
  outputs[0].set_shape(inputs[0].get_shape());
  const auto* x = inputs[0].data<const float>();
  auto* result = outputs[0].data<float>();
  const std::size_t count = inputs[0].get_size();
  for (std::size_t i = 0; i < count; ++i) {  // without branches, so that it vectorizes
    const auto bits = std::bit_cast<std::uint32_t>(x[i]);
    const std::uint32_t rounded = bits + 0x7FFF + (bits >> 16 & 1);
    const std::uint32_t nan = bits | 0x00400000;
    result[i] = std::bit_cast<float>((x[i] == x[i] ? rounded : nan) & 0xFFFF0000);
  }
  return true;
}

ov::Output<ov::Node> to_bfloat16(const ov::Output<ov::Node>& x) {
  ov::Output<ov::Node> wide = x;
  if (x.get_element_type() != ov::element::f32) wide = std::make_shared<ov::op::v0::Convert>(x, ov::element::f32);
  return std::make_shared<ov::op::v0::Convert>(std::make_shared<RoundToBfloat16>(wide), ov::element::bf16);
}

void round_results(ov::Model& model) {
  for (const std::shared_ptr<ov::op::v0::Result>& result : model.get_results()) {
    const ov::Output<ov::Node> value = result->input_value(0);
    if (value.get_element_type() == ov::element::bf16) result->input(0).replace_source_output(to_bfloat16(value));
  }
}

}  // namespace torchtrt::openvino
