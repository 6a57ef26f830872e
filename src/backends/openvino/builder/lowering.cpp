// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/builder/lowering.h"

#include <algorithm>
#include <numeric>
#include <set>

#include <openvino/op/constant.hpp>
#include <openvino/op/parameter.hpp>
#include <openvino/op/reshape.hpp>
#include <openvino/op/result.hpp>
#include <openvino/op/roll.hpp>
#include <openvino/op/squeeze.hpp>
#include <openvino/op/unsqueeze.hpp>

#include <torchtrt/backend/layer_error.h>
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

std::shared_ptr<ov::Node> copied(const ov::Output<ov::Node>& x) {
  const bool is_number = x.get_partial_shape() == ov::PartialShape{};  // which cannot be rolled
  const ov::Output<ov::Node> rows = is_number ? std::make_shared<ov::op::v0::Unsqueeze>(x, int_constant({0})) : x;
  const auto copy = std::make_shared<ov::op::v7::Roll>(rows, int_constant({0}), int_constant({0}));
  if (!is_number) return copy;
  return std::make_shared<ov::op::v0::Squeeze>(copy, int_constant({0}));
}

ov::Output<ov::Node> Lowering::operand(const Layer& layer, std::size_t index) const {
  return values_.at(layer.inputs.at(index).index);
}

const network::Value& Lowering::value_of(const Layer& layer, std::size_t index) const {
  return net_.value(layer.inputs.at(index));
}

namespace {

// Whether a tensor of the largest sizes could exist. The plugin multiplies upper bounds, and those of dimensions that
// nothing bounds (torch.export gives them some 2^31) overflow.
bool has_useful_bounds(const network::Network& net, const Dims& dims) {
  double elements = 1;
  for (const Expr& dim : dims) elements *= static_cast<double>(net.bounds(dim).max);
  return elements < 0x1p40;
}

}  // namespace

void Lowering::add_parameters() {
  for (const network::Input& input : net_.inputs()) {
    const network::Value& value = net_.value(input.value);
    ov::PartialShape shape;
    const bool bounded = has_useful_bounds(net_, value.dims);
    for (const Expr& dim : value.dims) {
      if (dim.is_constant()) {
        shape.push_back(ov::Dimension(dim.value()));
        continue;
      }
      const Interval bounds = net_.bounds(dim);
      shape.push_back(ov::Dimension(bounds.min, bounded && bounds.max != Interval::kUnbounded ? bounds.max : -1));
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
    throw backend::LayerError(layer.name, detail::concat("OpenVINO refuses the ", network::kind_name(layer.op),
                                                         " layer \"", layer.name, "\": ", error.what()));
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

// Whether the permutation moves dimensions of size 1 only.
bool keeps_order(const Dims& dims, const std::vector<std::int64_t>& permutation) {
  std::int64_t last = -1;
  for (const std::int64_t axis : permutation) {
    if (dims[static_cast<std::size_t>(axis)] == Expr(1)) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

// Whether the layer's result is its operand under another shape.
bool is_view(const network::Network& net, const Layer& layer) {
  if (std::holds_alternative<network::Identity>(layer.op)) return true;
  const auto* shuffle = std::get_if<network::Shuffle>(&layer.op);
  if (shuffle == nullptr || !keeps_order(net.value(layer.inputs[0]).dims, shuffle->first_transpose)) return false;
  if (shuffle->second_transpose.empty()) return true;
  // Undo the second transpose to see what it moved.
  const Dims& dims = net.value(layer.outputs[0]).dims;
  Dims before(dims.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    before[static_cast<std::size_t>(shuffle->second_transpose[i])] = dims[i];
  }
  return keeps_order(before, shuffle->second_transpose);
}

}  // namespace

// Where an output is h.reshape(..), and h is also transposed on its way into a convolution, the plugin (2026.4.1) turns
// that transpose into another description of h's memory; then it makes the caller's tensor h's memory, and the convolution
// goes on reading the old place.
bool Lowering::needs_copy(network::ValueId output) const {
  network::ValueId source = output;
  for (const Layer* layer = net_.producer(source); layer != nullptr && is_view(net_, *layer);
       layer = net_.producer(source)) {
    source = layer->inputs[0];
  }
  if (source == output || net_.value(output).dims.empty() || !is_static(net_.value(source).dims)) return false;
  std::set<network::ValueId> views{source};
  for (const Layer& layer : net_.layers()) {
    if (layer.inputs.empty() || !views.contains(layer.inputs[0])) continue;
    if (is_view(net_, layer)) {
      views.insert(layer.outputs[0]);
    } else if (std::holds_alternative<network::Shuffle>(layer.op)) {
      return true;
    }
  }
  return false;
}

namespace {

// Where a result in bfloat16 is written from a convolution's or a pooling's blocked layout, on a processor without bfloat16
// the plugin (2026.4.1) ends the process while it compiles: over as many positions as a block has channels, 8 or 16, whose
// number is known. A copy takes the layout apart from the dtype.
ov::Output<ov::Node> leaving_blocks(const ov::Output<ov::Node>& value) {
  const ov::PartialShape& shape = value.get_partial_shape();
  if (value.get_element_type() != ov::element::bf16 || shape.is_dynamic() || shape.size() < 3) return value;
  const ov::Shape sizes = shape.to_shape();
  const std::size_t positions = std::accumulate(sizes.begin() + 2, sizes.end(), std::size_t{1}, std::multiplies<>());
  return positions == 8 || positions == 16 ? ov::Output<ov::Node>(copied(value)) : value;
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
    } else {
      value = needs_copy(output.value) ? ov::Output<ov::Node>(copied(value)) : leaving_blocks(value);
    }
    results.push_back(std::make_shared<ov::op::v0::Result>(value));
    results.back()->set_friendly_name(output.name);
  }
  for (const network::ValueId guard : net_.guards()) {
    results.push_back(std::make_shared<ov::op::v0::Result>(values_.at(guard.index)));
  }
  return std::make_shared<ov::Model>(results, parameters_, net_.name());
}

std::shared_ptr<ov::Model> Lowering::prefix(std::size_t layers) const {
  std::set<network::ValueId> read;
  for (std::size_t i = 0; i < layers; ++i) {
    read.insert(net_.layers()[i].inputs.begin(), net_.layers()[i].inputs.end());
  }
  ov::ResultVector results;
  for (std::size_t i = 0; i < layers; ++i) {
    for (const network::ValueId output : net_.layers()[i].outputs) {
      if (read.contains(output)) continue;
      results.push_back(std::make_shared<ov::op::v0::Result>(leaving_blocks(values_.at(output.index))));
    }
  }
  return std::make_shared<ov::Model>(results, parameters_, net_.name());
}

}  // namespace torchtrt::openvino
