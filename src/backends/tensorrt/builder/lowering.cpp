// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/lowering.h"

#include <algorithm>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/builder/lowering_inl.h"
#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {

nvinfer1::Dims to_dims(const Dims& dims) {
  std::vector<std::int64_t> values;
  for (const Expr& dim : dims) values.push_back(dim.is_constant() ? dim.value() : -1);
  return to_dims(values);
}

std::uint32_t axes_mask(const std::vector<std::int64_t>& axes) {
  std::uint32_t mask = 0;
  for (const std::int64_t axis : axes) mask |= 1U << axis;
  return mask;
}

void Lowering::add_inputs() {
  for (const network::Input& input : net_.inputs()) {
    const network::Value& value = net_.value(input.value);
    Tensor tensor = trt_.addInput(value.name.c_str(), data_type(value.dtype), to_dims(value.dims));
    TORCHTRT_CHECK(tensor != nullptr, kUnsupported, compat::kProductName, " refuses input ", value.name, ": ",
                   Logger::take_errors());
    values_[input.value.index] = tensor;
  }
}

void Lowering::lower(const Layer& layer) {
  current_ = &layer;
  const std::vector<Tensor> outputs = std::visit([&](const auto& op) { return lower(layer, op); }, layer.op);
  TORCHTRT_CHECK(outputs.size() == layer.outputs.size(), kInternal, "the lowering of ", network::kind_name(layer.op),
                 " gives ", outputs.size(), " outputs");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const network::Value& value = net_.value(layer.outputs[i]);
    TORCHTRT_CHECK(outputs[i]->getType() == data_type(value.dtype), kUnsupported, "layer \"", layer.name, "\" gives ",
                   to_string(value.dtype), ", ", compat::kProductName, " gives type number ",
                   static_cast<int>(outputs[i]->getType()), ": ", Logger::take_errors());
    values_[layer.outputs[i].index] = outputs[i];
  }
}

void Lowering::mark_outputs() {
  std::vector<Tensor> marked;
  for (const network::Network::Output& output : net_.outputs()) {
    Tensor tensor = value(output.value);
    // An input, or a value that is an output already, needs a tensor of its own.
    if (tensor->isNetworkInput() || std::find(marked.begin(), marked.end(), tensor) != marked.end()) {
      tensor = this->output(trt_.addIdentity(*tensor));
    }
    tensor->setName(output.name.c_str());
    trt_.markOutput(*tensor);
    marked.push_back(tensor);
  }
}

void Lowering::run() {
  trt_.setName(net_.name().c_str());  // the default is a counter, which would make plans differ
  add_inputs();
  for (const Layer& layer : net_.layers()) {
    // Where refitting needs them, all constants are layers, in their order. In another order TensorRT 10.6 failed on a
    // network of convolutions ("Assertion start <= stop").
    if (refittable_ || !std::holds_alternative<network::Constant>(layer.op)) lower(layer);
  }
  mark_outputs();
}

// --- building blocks ------------------------------------------------------------------------------------------------------

Lowering::Tensor Lowering::elementwise(Tensor a, Tensor b, nvinfer1::ElementWiseOperation operation) {
  return output(trt_.addElementWise(*a, *b, operation));
}

Lowering::Tensor Lowering::cast(Tensor x, nvinfer1::DataType type) {
  return x->getType() == type ? x : output(trt_.addCast(*x, type));
}

Lowering::Tensor Lowering::is_nan(Tensor x) {
  // Of bfloat16 the library finds none.
  Tensor wide = x->getType() == nvinfer1::DataType::kBF16 ? cast(x, nvinfer1::DataType::kFLOAT) : x;
  return output(trt_.addUnary(*wide, nvinfer1::UnaryOperation::kISNAN));
}

Lowering::Tensor Lowering::value(network::ValueId id) {
  const auto found = values_.find(id.index);
  if (found != values_.end()) return found->second;
  return values_[id.index] = output(trt_.addConstant(to_dims(net_.value(id).dims), weights_of(id)));
}

nvinfer1::Weights Lowering::weights_of(network::ValueId constant) {
  const network::Weights* found = net_.constant(constant);
  const DataType dtype = net_.value(constant).dtype;
  TORCHTRT_CHECK(found != nullptr, kInternal, "value ", net_.value(constant).name, " is used before it is made");
  const nvinfer1::Weights weights{data_type(dtype), found->data.get(),
                                  static_cast<std::int64_t>(found->bytes / size_of(dtype))};
  name(weights, constant);
  return weights;
}

std::optional<nvinfer1::Weights> Lowering::own_weights(const Layer& layer, std::size_t index) {
  if (refittable_ || index >= layer.inputs.size() || net_.constant(layer.inputs[index]) == nullptr) return std::nullopt;
  return weights_of(layer.inputs[index]);
}

void Lowering::name(const nvinfer1::Weights& weights, std::optional<network::ValueId> of) {
  const bool is_known = std::any_of(weights_.begin(), weights_.end(), [&](const NamedWeights& known) {
    return known.weights.values == weights.values;  // one storage, one name
  });
  if (!is_known) weights_.push_back({"w" + std::to_string(weights_.size()), weights, of});
}

Lowering::Tensor Lowering::constant(const nvinfer1::Dims& dims, const nvinfer1::Weights& weights) {
  name(weights, std::nullopt);
  return output(trt_.addConstant(dims, weights));
}

Lowering::Tensor Lowering::integers(const std::vector<std::int64_t>& values) {
  auto storage = std::make_shared<std::vector<std::int64_t>>(values);
  storage_.push_back(storage);
  const nvinfer1::Weights weights{nvinfer1::DataType::kINT64, storage->data(),
                                  static_cast<std::int64_t>(values.size())};
  return constant(to_dims(std::vector{static_cast<std::int64_t>(values.size())}), weights);
}

Lowering::Tensor Lowering::number(DataType dtype, double value, std::size_t rank) {
  const nvinfer1::Dims ones = to_dims(std::vector<std::int64_t>(rank, 1));
  if (is_integral(dtype)) {
    auto storage = std::make_shared<std::int64_t>(static_cast<std::int64_t>(value));
    storage_.push_back(storage);
    return cast(constant(ones, {nvinfer1::DataType::kINT64, storage.get(), 1}), data_type(dtype));
  }
  auto storage = std::make_shared<float>(static_cast<float>(value));
  storage_.push_back(storage);
  return cast(constant(ones, {nvinfer1::DataType::kFLOAT, storage.get(), 1}), data_type(dtype));
}

}  // namespace torchtrt::tensorrt
