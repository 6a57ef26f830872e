// SPDX-License-Identifier: Apache-2.0
// The harness itself; its name makes it part of the test program.
#include "backends/openvino/testing/harness.h"

#include <gtest/gtest.h>

#include <torchtrt/base/error.h>

extern "C" torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version);
extern "C" torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version);

namespace torchtrt::openvino::testing {

std::vector<float> Tensor::as_float() const {
  std::vector<float> values(bytes.size() / 2);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    if (dtype == DataType::kBFloat16) {
      const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
      std::memcpy(&values[i], &wide, 4);
      continue;
    }
    const int exponent = (bits >> 10) & 31;
    const int fraction = bits & 1023;
    float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                    : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    if (exponent == 31) magnitude = fraction == 0 ? INFINITY : NAN;
    values[i] = (bits & 0x8000) != 0 ? -magnitude : magnitude;
  }
  return values;
}

std::vector<float> noise(std::size_t count, std::uint32_t seed) {
  std::vector<float> values(count);
  std::uint32_t state = seed * 2654435761U + 12345U;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) / 4194304.0F - 2.0F;
  }
  return values;
}

void* Sink::allocate(std::size_t index, std::span<const std::int64_t> shape) {
  Output& output = outputs.at(index);
  output.shape.assign(shape.begin(), shape.end());
  const std::size_t bytes = volume_of(output.shape) * element_sizes.at(index);
  std::shared_ptr<std::byte[]> memory(new std::byte[bytes + 1]);
  output.data = memory.get();
  output.owner = std::shared_ptr<void>(memory, memory.get());
  output.adopted = false;
  return bytes == 0 ? nullptr : output.data;
}

void Sink::adopt(std::size_t index, std::span<const std::int64_t> shape, void* data, std::shared_ptr<void> owner) {
  outputs.at(index) = {Shape(shape.begin(), shape.end()), data, std::move(owner), true};
}

backend::Builder& builder() { return *torchtrt_builder(backend::kBuilderInterfaceVersion); }
backend::Executor& executor() { return *torchtrt_executor(backend::kExecutorInterfaceVersion); }

backend::LoadRequest load_request(const Network& net, const std::shared_ptr<backend::BuiltEngine>& built) {
  backend::LoadRequest request;
  request.engine_name = net.name();
  const auto binding = [&](const std::string& name, ValueId id) {
    const network::Value& value = net.value(id);
    backend::Binding result{name, value.dtype, {}};
    for (const Expr& dim : value.dims) result.shape.push_back(dim.is_constant() ? dim.value() : -1);
    return result;
  };
  for (const network::Input& input : net.inputs())
    request.inputs.push_back(binding(net.value(input.value).name, input.value));
  for (const Network::Output& output : net.outputs()) request.outputs.push_back(binding(output.name, output.value));
  request.properties = built->properties;
  for (const backend::Section& section : built->sections) {
    request.payloads.push_back({section.name, {static_cast<const std::byte*>(section.data), section.size}});
  }
  request.owner = built;
  return request;
}

Engine::Engine(const Network& net, const backend::ExecutorSettings& settings, const backend::BuildSettings& build)
    : built_(std::make_shared<backend::BuiltEngine>(builder().build(net, build))) {
  for (const Network::Output& output : net.outputs()) output_types_.push_back(net.value(output.value).dtype);
  backend::LoadRequest request = load_request(net, built_);
  request.settings = settings;
  executable_ = executor().load(request);
}

Sink Engine::sink() const {
  Sink result(output_types_.size());
  for (const DataType dtype : output_types_) result.element_sizes.push_back(size_of(dtype));
  return result;
}

void Engine::run(backend::Context& context, const std::vector<Tensor>& inputs, Sink& sink,
                 backend::LayerTimes* times) const {
  std::vector<DLTensor> tensors;
  for (const Tensor& input : inputs) {
    DLTensor tensor{};
    tensor.data = const_cast<std::byte*>(input.bytes.data());
    tensor.device = {kDLCPU, 0};
    tensor.ndim = static_cast<std::int32_t>(input.shape.size());
    tensor.shape = const_cast<std::int64_t*>(input.shape.data());
    tensors.push_back(tensor);
  }
  backend::RunRequest request{tensors, {}, &sink};
  request.layer_times = times;
  context.run(request);
}

std::vector<Tensor> Engine::read(const Sink& sink) const {
  std::vector<Tensor> results;
  for (std::size_t i = 0; i < sink.outputs.size(); ++i) {
    const Sink::Output& output = sink.outputs[i];
    const auto* data = static_cast<const std::byte*>(output.data);
    const std::size_t bytes = volume_of(output.shape) * size_of(output_types_[i]);
    results.push_back({output_types_[i], output.shape, std::vector<std::byte>(data, data + bytes)});
  }
  return results;
}

std::vector<Tensor> Engine::operator()(const std::vector<Tensor>& inputs) {
  Sink outputs = sink();
  run(*create_context(), inputs, outputs);
  return read(outputs);
}

std::optional<backend::Refusal> first_refusal(const Network& net) {
  for (const network::Layer& layer : net.layers()) {
    if (std::optional<backend::Refusal> refusal = builder().check(net, layer)) return refusal;
  }
  return std::nullopt;
}

std::vector<Tensor> evaluate(const Network& net, const std::vector<Tensor>& inputs) {
  net.verify();
  if (const std::optional<backend::Refusal> refusal = first_refusal(net))
    throw std::logic_error("refused: " + refusal->message);
  return Engine(net)(inputs);
}

void expect_close(const std::vector<float>& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double want = expected[i];
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(actual[i])) << "element " << i << " is " << actual[i] << ", expected NaN";
    } else if (std::isinf(want)) {
      EXPECT_EQ(actual[i], want) << "element " << i;
    } else {
      EXPECT_LE(std::fabs(static_cast<double>(actual[i]) - want), tolerance * std::max(1.0, std::fabs(want)))
          << "element " << i << " is " << actual[i] << ", expected " << want;
    }
  }
}

TEST(Harness, DecodesHalfPrecision) {
  const Tensor half{DataType::kFloat16,
                    {4},
                    {std::byte{0x00}, std::byte{0x3c}, std::byte{0x01}, std::byte{0x00}, std::byte{0x00},
                     std::byte{0xfc}, std::byte{0xff}, std::byte{0x7b}}};
  EXPECT_EQ(half.as_float(), (std::vector<float>{1.0F, std::ldexp(1.0F, -24), -INFINITY, 65504.0F}));
}

}  // namespace torchtrt::openvino::testing
