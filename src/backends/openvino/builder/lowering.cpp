// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/builder/lowering.h"

#include <algorithm>

#include <openvino/op/constant.hpp>
#include <openvino/op/parameter.hpp>
#include <openvino/op/reshape.hpp>
#include <openvino/op/result.hpp>

#include <torchtrt/base/error.h>

namespace torchtrt::openvino {

using network::Layer;

std::shared_ptr<ov::Node> int_constant(const std::vector<std::int64_t>& values) {
  return std::make_shared<ov::op::v0::Constant>(ov::element::i64, ov::Shape{values.size()}, values);
}

std::shared_ptr<ov::Node> number(const ov::Output<ov::Node>& like, double value) {
  // Vectors of the very type: OpenVINO's conversion from double refuses infinities.
  const ov::element::Type type = like.get_element_type();
  if (type == ov::element::f32)
    return ov::op::v0::Constant::create(type, {}, std::vector<float>{static_cast<float>(value)});
  if (type == ov::element::f16)
    return ov::op::v0::Constant::create(type, {}, std::vector<ov::float16>{static_cast<float>(value)});
  if (type == ov::element::bf16)
    return ov::op::v0::Constant::create(type, {}, std::vector<ov::bfloat16>{static_cast<float>(value)});
  return ov::op::v0::Constant::create(type, {}, {static_cast<std::int64_t>(value)});
}

ov::Output<ov::Node> Lowering::operand(const Layer& layer, std::size_t index) const {
  return values_.at(layer.inputs.at(index).index);
}

const network::Value& Lowering::value_of(const Layer& layer, std::size_t index) const {
  return net_.value(layer.inputs.at(index));
}

void Lowering::add_parameters() {
  for (const network::Input& input : net_.inputs()) {
    const network::Value& value = net_.value(input.value);
    ov::PartialShape shape;
    for (const Expr& dim : value.dims) {
      if (dim.is_constant()) {
        shape.push_back(ov::Dimension(dim.value()));
        continue;
      }
      const Interval bounds = net_.bounds(dim);
      shape.push_back(ov::Dimension(bounds.min, bounds.max == Interval::kUnbounded ? -1 : bounds.max));
    }
    if (value.dims.empty()) shape = ov::PartialShape(ov::Shape{});
    auto parameter = std::make_shared<ov::op::v0::Parameter>(element_type(value.dtype), shape);
    parameter->set_friendly_name(value.name);
    values_[input.value.index] = parameter->output(0);
    parameters_.push_back(std::move(parameter));
  }
}

void Lowering::lower(const Layer& layer) {
  std::vector<Output> outputs;
  try {
    outputs = std::visit([&](const auto& op) { return lower(layer, op); }, layer.op);
  } catch (const ov::Exception& error) {
    fail(ErrorCode::kUnsupported, "OpenVINO refuses the ", network::kind_name(layer.op), " layer \"", layer.name,
         "\": ", error.what());
  }
  TORCHTRT_CHECK(outputs.size() == layer.outputs.size(), kInternal, "the lowering of ", network::kind_name(layer.op),
                 " gives ", outputs.size(), " outputs");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const network::Value& value = net_.value(layer.outputs[i]);
    TORCHTRT_CHECK(outputs[i].get_element_type() == element_type(value.dtype), kInternal, "layer \"", layer.name,
                   "\" gives ", to_string(value.dtype), ", OpenVINO made it ",
                   outputs[i].get_element_type().to_string());
    const bool passed_on = std::any_of(layer.inputs.begin(), layer.inputs.end(), [&](const network::ValueId operand) {
      return values_.at(operand.index) == outputs[i];
    });
    if (!passed_on) outputs[i].get_node()->set_friendly_name(value.name);
    values_[layer.outputs[i].index] = outputs[i];
  }
}

namespace {

// Whether nothing but conversions, which the plugin may drop, lies between the value and a network input. Such an
// output would share its tensor with the input: binding the one binds the other, and with dynamic shapes the plugin
// (2026.4.1) goes on writing to where an earlier call's input was. A reshape to the same shape keeps them apart; it
// stays a copy.
bool is_input(const network::Network& net, network::ValueId value) {
  for (const Layer* layer = net.producer(value); layer != nullptr; layer = net.producer(value)) {
    if (!std::holds_alternative<network::Cast>(layer->op) && !std::holds_alternative<network::Identity>(layer->op) &&
        !std::holds_alternative<network::Slice>(layer->op)) {
      return false;
    }
    value = layer->inputs[0];
  }
  return true;
}

}  // namespace

std::shared_ptr<ov::Model> Lowering::run() {
  add_parameters();
  for (const Layer& layer : net_.layers()) lower(layer);
  ov::ResultVector results;
  for (const network::Network::Output& output : net_.outputs()) {
    Output value = values_.at(output.value.index);
    if (is_input(net_, output.value)) {
      const std::vector<std::int64_t> same(net_.value(output.value).dims.size(), 0);
      value = std::make_shared<ov::op::v1::Reshape>(value, int_constant(same), /*special_zero=*/true);
    }
    results.push_back(std::make_shared<ov::op::v0::Result>(value));
    results.back()->set_friendly_name(output.name);
  }
  return std::make_shared<ov::Model>(results, parameters_, net_.name());
}

}  // namespace torchtrt::openvino
