// SPDX-License-Identifier: Apache-2.0
// What one call of a small engine costs: the executor's Context::run on a toy (8 x 10, add and relu) against OpenVINO
// used directly, set_tensor and infer with its default properties, on the same network. Both take turns in one process;
// the minimum and the median of each are printed in microseconds, and their ratio.
//
//     openvino_call [seconds]
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include <torchtrt/backend/builder.h>
#include <torchtrt/backend/executor.h>
#include <torchtrt/network/network.h>
#include <openvino/op/add.hpp>
#include <openvino/op/constant.hpp>
#include <openvino/op/parameter.hpp>
#include <openvino/op/relu.hpp>
#include <openvino/op/result.hpp>
#include <openvino/runtime/core.hpp>

extern "C" torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version);
extern "C" torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version);

namespace {

using namespace torchtrt;
using Clock = std::chrono::steady_clock;
constexpr std::int64_t kRows = 8;
constexpr std::int64_t kColumns = 10;

class Ours {
 public:
  Ours() {
    network::Network net("toy");
    const auto x = net.add_input("x", DataType::kFloat32, {kRows, kColumns});
    const auto sum =
        net.add_elementwise(x, net.add_scalar(DataType::kFloat32, 0.5, 2), network::ElementWiseOperation::kSum);
    net.mark_output(net.add_activation(sum, network::ActivationType::kRelu), "y");
    built_ = torchtrt_builder(backend::kBuilderInterfaceVersion)->build(net, {});
    backend::LoadRequest request;
    request.engine_name = "toy";
    request.inputs = {{"x", DataType::kFloat32, {kRows, kColumns}}};
    request.outputs = {{"y", DataType::kFloat32, {kRows, kColumns}}};
    request.properties = built_.properties;
    for (const backend::Section& section : built_.sections) {
      request.payloads.push_back({section.name, {static_cast<const std::byte*>(section.data), section.size}});
    }
    engine_ = torchtrt_executor(backend::kExecutorInterfaceVersion)->load(request);
    context_ = engine_->create_context();
  }
  void run(float* x, float* y) {
    struct Sink final : backend::OutputSink {
      explicit Sink(void* to) : memory(to) {}
      void* allocate(std::size_t, std::span<const std::int64_t>) override { return memory; }
      void adopt(std::size_t, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override { std::abort(); }
      void* memory;
    } sink(y);
    std::array<std::int64_t, 2> shape{kRows, kColumns};
    DLTensor tensor{};
    tensor.data = x;
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 2;
    tensor.dtype = {kDLFloat, 32, 1};
    tensor.shape = shape.data();
    context_->run({{&tensor, 1}, {}, &sink, nullptr});
  }

 private:
  backend::BuiltEngine built_;
  std::unique_ptr<backend::ExecutableEngine> engine_;
  std::unique_ptr<backend::Context> context_;
};

class Direct {
 public:
  Direct() {
    namespace op = ov::op;
    const auto x = std::make_shared<op::v0::Parameter>(ov::element::f32, ov::PartialShape{kRows, kColumns});
    const auto half = op::v0::Constant::create(ov::element::f32, {1, 1}, {0.5F});
    const auto relu = std::make_shared<op::v0::Relu>(std::make_shared<op::v1::Add>(x, half));
    const auto model = std::make_shared<ov::Model>(ov::OutputVector{relu}, ov::ParameterVector{x});
    request_ = core().compile_model(model, "CPU").create_infer_request();
  }
  void run(float* x, float* y) {
    const ov::Shape shape{static_cast<std::size_t>(kRows), static_cast<std::size_t>(kColumns)};
    request_.set_input_tensor(ov::Tensor(ov::element::f32, shape, x));
    request_.set_output_tensor(ov::Tensor(ov::element::f32, shape, y));
    request_.infer();
  }

 private:
  static ov::Core& core() {
    static auto* const instance = new ov::Core;
    return *instance;
  }
  ov::InferRequest request_;
};

struct Times {
  double min, median;
};
Times summarize(std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2.0;
  Ours ours;
  Direct direct;
  // A few buffers in turn: a caller's tensors do not lie at one place for ever.
  std::vector<std::vector<float>> inputs(8, std::vector<float>(kRows * kColumns, -1.0F));
  std::vector<std::vector<float>> outputs(8, std::vector<float>(kRows * kColumns));
  std::vector<double> our_times;
  std::vector<double> direct_times;
  const auto measure = [&](auto& contender, std::vector<double>& times) {
    for (std::size_t i = 0; i < 1000; ++i) {
      const auto begin = Clock::now();
      contender.run(inputs[i % 8].data(), outputs[i * 3 % 8].data());
      times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
  };
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    measure(ours, our_times);
    measure(direct, direct_times);
  }
  const Times a = summarize(our_times);
  const Times b = summarize(direct_times);
  std::printf("Context::run            min %6.2f us  median %6.2f us\n", a.min, a.median);
  std::printf("set_tensor and infer    min %6.2f us  median %6.2f us\n", b.min, b.median);
  std::printf("ratio                   min %6.2f     median %6.2f\n", a.min / b.min, a.median / b.median);
  return 0;
}
