// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <torchtrt/runtime.h>

#include "runtime/engine.h"
#include "runtime/testing/fake_device.h"
#include "runtime/testing/fixtures.h"

/// Calls of the fake backend's engines over the fake device.
namespace torchtrt::runtime::testing {

/// A call in flight: owns the tensors that the device reads and writes until it is drained.
struct Call {
  std::vector<float> input, output;
  std::vector<std::int64_t> shape;
  [[nodiscard]] bool right(float bias = 1.5F) const {
    if (output.size() != input.size()) return false;
    for (std::size_t i = 0; i < input.size(); ++i) {
      if (output[i] != input[i] + bias) return false;
    }
    return true;
  }
};

class CallSink final : public backend::OutputSink {
 public:
  explicit CallSink(Call& call) : call_(call) {}
  void* allocate(std::size_t, std::span<const std::int64_t> shape) override {
    call_.output.assign(static_cast<std::size_t>(shape[0] * shape[1]), -1.0F);
    return call_.output.data();
  }
  void adopt(std::size_t, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override { FAIL(); }

 private:
  Call& call_;
};

inline std::shared_ptr<Engine> make_on_gpu(FakeEngineSpec spec = {}) {
  spec.device = "cuda";
  const FakeEngineState state = fake_engine(spec);
  const AlignedBytes bytes(state.payload);
  return std::make_shared<Engine>(state.text(), bytes.span(), bytes.owner());
}

class GpuEngineTest : public ::testing::Test {
 protected:
  GpuEngineTest() { setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1); }
  ~GpuEngineTest() override {
    set_cudagraphs_mode(CudaGraphsMode::kStandard);
    set_multi_device_safe_mode(false);
    gpu->drain();
  }

  /// Enqueues a call on batch x 3 elements, `first`, `first` + 1, ...
  std::unique_ptr<Call> start(Engine& engine, std::int64_t batch, float first, void* stream = nullptr, int device = 0) {
    auto call = std::make_unique<Call>();
    for (std::int64_t i = 0; i < batch * 3; ++i) call->input.push_back(first + static_cast<float>(i));
    call->shape = {batch, 3};
    DLTensor tensor{};
    tensor.data = call->input.data();
    tensor.device = {kDLCUDA, device};
    tensor.ndim = 2;
    tensor.dtype = to_dlpack(DataType::kFloat32);
    tensor.shape = call->shape.data();
    CallSink sink(*call);
    FakeDevice::thread_stream() = stream;
    engine.run({&tensor, 1}, sink, stream);
    return call;
  }
  bool runs_right(Engine& engine, std::int64_t batch, float first, void* stream = nullptr) {
    const auto call = start(engine, batch, first, stream);
    gpu->drain();
    return call->right();
  }

  bool start_and_check(Engine& engine, float bias, void* stream) {
    const auto call = start(engine, 2, 1, stream);
    gpu->drain();
    return call->right(bias);
  }

  FakeDeviceScope gpu{std::vector<DeviceInfo>{{"Fake GPU", 9, 0}, {"Fake GPU", 9, 0}, {"Old GPU", 7, 5}}};
};

}  // namespace torchtrt::runtime::testing
