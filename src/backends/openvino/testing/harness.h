// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torchtrt/backend/builder.h>
#include <torchtrt/backend/executor.h>
#include <torchtrt/network/network.h>

/// For the tests of the OpenVINO backend: builds a network and runs it, without compiler and runtime between.
namespace torchtrt::openvino::testing {

using network::Network;
using network::ValueId;
using Shape = std::vector<std::int64_t>;

template <typename T>
constexpr DataType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DataType::kFloat32;
  if constexpr (std::is_same_v<T, std::int64_t>) return DataType::kInt64;
  if constexpr (std::is_same_v<T, std::int32_t>) return DataType::kInt32;
  if constexpr (std::is_same_v<T, std::int16_t>) return DataType::kInt16;
  if constexpr (std::is_same_v<T, std::int8_t>) return DataType::kInt8;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DataType::kUInt8;
  if constexpr (std::is_same_v<T, bool>) return DataType::kBool;
}

inline std::size_t volume_of(const Shape& shape) {
  std::size_t count = 1;
  for (const std::int64_t dim : shape) count *= static_cast<std::size_t>(dim);
  return count;
}

struct Tensor {
  DataType dtype = DataType::kFloat32;
  Shape shape;
  std::vector<std::byte> bytes;

  template <typename T>
  static Tensor of(Shape shape, const std::vector<T>& values) {
    Tensor tensor{dtype_of<T>(), std::move(shape), std::vector<std::byte>(values.size() * size_of(dtype_of<T>()))};
    if (volume_of(tensor.shape) != values.size())
      throw std::logic_error("a test tensor with the wrong number of values");
    for (std::size_t i = 0; i < values.size(); ++i) {
      const T value = values[i];
      std::memcpy(tensor.bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
    return tensor;
  }
  /// The elements as T, which must be the dtype's type.
  template <typename T>
  [[nodiscard]] std::vector<T> as() const {
    if (dtype != dtype_of<T>())
      throw std::logic_error("a test reads another dtype than it got: " + std::string(to_string(dtype)));
    std::vector<T> values(bytes.size() / sizeof(T));
    for (std::size_t i = 0; i < values.size(); ++i) {
      T value;
      std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
      values[i] = value;
    }
    return values;
  }
  /// float16 and bfloat16 elements, exactly.
  [[nodiscard]] std::vector<float> as_float() const;
};

/// Deterministic numbers in [-2, 2) that have no pattern a wrong layout could hide in.
std::vector<float> noise(std::size_t count, std::uint32_t seed = 1);

/// Adds a float32 (or other) constant.
template <typename T>
ValueId constant(Network& net, const Shape& shape, const std::vector<T>& values) {
  auto tensor = std::make_shared<Tensor>(Tensor::of<T>(shape, values));
  return net.add_constant(Dims(shape.begin(), shape.end()), tensor->dtype,
                          {std::shared_ptr<const void>(tensor, tensor->bytes.data()), tensor->bytes.size()});
}

/// Receives outputs; remembers how each came.
class Sink final : public backend::OutputSink {
 public:
  struct Output {
    Shape shape;
    void* data = nullptr;
    std::shared_ptr<void> owner;
    bool adopted = false;
  };
  explicit Sink(std::size_t count) : outputs(count) {}
  void* allocate(std::size_t index, std::span<const std::int64_t> shape) override;
  void adopt(std::size_t index, std::span<const std::int64_t> shape, void* data, std::shared_ptr<void> owner) override;

  std::vector<Output> outputs;
  std::vector<std::size_t> element_sizes;
};

/// Builder and executor of the modules under test.
backend::Builder& builder();
backend::Executor& executor();

class Engine {
 public:
  explicit Engine(const Network& net, const backend::ExecutorSettings& settings = {},
                  const backend::BuildSettings& build = {});

  /// One run on a context of its own.
  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs);
  /// Through the given context, into the given sink.
  void run(backend::Context& context, const std::vector<Tensor>& inputs, Sink& sink,
           backend::LayerTimes* times = nullptr) const;
  void begin_profiling() const { executable_->begin_profiling(); }
  [[nodiscard]] std::string inspect() const { return executable_->inspect(); }
  [[nodiscard]] std::vector<Tensor> read(const Sink& sink) const;
  [[nodiscard]] Sink sink() const;
  std::unique_ptr<backend::Context> create_context() { return executable_->create_context(); }
  [[nodiscard]] const backend::BuiltEngine& built() const { return *built_; }

 private:
  std::shared_ptr<backend::BuiltEngine> built_;
  std::vector<DataType> output_types_;
  std::unique_ptr<backend::ExecutableEngine> executable_;
};

/// The request to load `built`, with bindings as the compiler describes the network's.
backend::LoadRequest load_request(const Network& net, const std::shared_ptr<backend::BuiltEngine>& built);

/// Verifies the network, asks check() about every layer, and runs it.
std::vector<Tensor> evaluate(const Network& net, const std::vector<Tensor>& inputs);

/// What check() says of the network's layers: the first refusal.
std::optional<backend::Refusal> first_refusal(const Network& net);

/// EXPECT that every element is within `tolerance` of the expected (absolute, and relative to it), NaN where NaN is
/// expected and infinities where those are.
void expect_close(const std::vector<float>& actual, const std::vector<double>& expected, double tolerance);
inline void expect_same(const std::vector<float>& actual, const std::vector<float>& expected) {
  expect_close(actual, std::vector<double>(expected.begin(), expected.end()), 0);
}

}  // namespace torchtrt::openvino::testing
