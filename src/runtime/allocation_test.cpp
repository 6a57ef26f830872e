// SPDX-License-Identifier: Apache-2.0
// What a call with known shapes allocates in the runtime: nothing. Counted, not timed. The engine, the device and the sink
// of these calls allocate nothing themselves, so every allocation is one of the runtime's.
#include <array>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/runtime.h>

#include "runtime/engine.h"
#include "runtime/testing/allocation_counter.h"
#include "runtime/testing/fixtures.h"
#include "runtime/testing/idle_device.h"

namespace torchtrt::runtime {
namespace {

using testing::AllocationCounter;

class FixedSink final : public backend::OutputSink {
 public:
  void* allocate(std::size_t, std::span<const std::int64_t>) override { return memory_.data(); }
  void adopt(std::size_t, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override { FAIL(); }

 private:
  std::array<float, 32 * 3> memory_{};
};

class Allocations : public ::testing::Test {
 protected:
  Allocations() {
    setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1);
    set_device_api([]() -> DeviceApi* { return &device(); });
  }
  ~Allocations() override {
    set_device_api(nullptr);
    set_cudagraphs_mode(CudaGraphsMode::kStandard);
    set_multi_device_safe_mode(false);
    device().set_current(0);
  }
  static testing::IdleDevice& device() {
    static testing::IdleDevice instance;
    return instance;
  }

  static std::shared_ptr<Engine> make(DLDeviceType type, bool requires_output_allocator = false) {
    const testing::FakeEngineState state =
        testing::fake_engine({.properties = {{"operation", "nothing"}},
                              .device = type == kDLCPU ? "cpu" : "cuda",
                              .requires_output_allocator = requires_output_allocator});
    const testing::AlignedBytes bytes(state.payload);
    return std::make_shared<Engine>(state.text(), bytes.span(), bytes.owner());
  }

  /// As the torch adapter calls an engine: placement first in safe mode, then the run.
  void call(Engine& engine, std::int64_t batch, DLDeviceType type, void* stream) {
    std::array<std::int64_t, 2> shape{batch, 3};
    DLTensor tensor{};
    tensor.data = input_.data();
    tensor.device = {type, 0};
    tensor.ndim = 2;
    tensor.dtype = to_dlpack(DataType::kFloat32);
    tensor.shape = shape.data();
    if (multi_device_safe_mode()) {
      const std::optional<Placement> placement = engine.place({&tensor.device, 1});
      ASSERT_EQ(placement.has_value(), type == kDLCUDA);
    }
    engine.run({&tensor, 1}, sink_, stream);
  }

  /// Allocations of calls that alternate between five shapes and two streams, once both have met every shape.
  std::size_t allocations(Engine& engine, DLDeviceType type = kDLCUDA) {
    const auto round = [&] {
      for (int i = 0; i < 30; ++i) call(engine, 1 + i % 5, type, type == kDLCPU || i % 2 == 0 ? nullptr : this);
    };
    round();
    const AllocationCounter counter;
    round();
    return counter.count();
  }

 private:
  std::array<float, 32 * 3> input_{};
  FixedSink sink_;
};

TEST_F(Allocations, AreCounted) {
  const AllocationCounter counter;
  // Called by name: compilers may leave out a `new` whose memory nobody uses.
  ::operator delete(::operator new(1));
  ::operator delete(::operator new(64, std::align_val_t(64)), std::align_val_t(64));
  EXPECT_EQ(counter.count(), 2u);
  // Also those within the runtime's library: a new shape is resolved and kept.
  const auto engine = make(kDLCPU);
  call(*engine, 1, kDLCPU, nullptr);
  const AllocationCounter of_library;
  call(*engine, 2, kDLCPU, nullptr);
  EXPECT_GT(of_library.count(), 0u);
}

TEST_F(Allocations, OnTheCpu) { EXPECT_EQ(allocations(*make(kDLCPU), kDLCPU), 0u); }

TEST_F(Allocations, OnTheCpuInEveryMode) {
  const auto engine = make(kDLCPU);
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  const ModeScope safe = scoped_multi_device_safe_mode(true);
  EXPECT_EQ(allocations(*engine, kDLCPU), 0u);
  {
    const ModeScope graphs = enable_cudagraphs(handles), ahead = enable_pre_allocated_outputs(handles);
    EXPECT_EQ(allocations(*engine, kDLCPU), 0u);
  }
  const ModeScope allocator = enable_output_allocator(handles);
  EXPECT_EQ(allocations(*engine, kDLCPU), 0u);
}

TEST_F(Allocations, AfterAProfileAndWithNvtx) {
  const auto engine = make(kDLCPU);
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  {
    const Profiler profiler(handles);
  }
  EXPECT_EQ(allocations(*engine, kDLCPU), 0u);
  try {
    set_nvtx(true);
    EXPECT_EQ(allocations(*engine, kDLCPU), 0u);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();  // built without
  }
  set_nvtx(false);
}

TEST_F(Allocations, OnAGpu) { EXPECT_EQ(allocations(*make(kDLCUDA)), 0u); }

TEST_F(Allocations, OfReplays) {
  const auto engine = make(kDLCUDA);
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_EQ(allocations(*engine), 0u);
}

TEST_F(Allocations, InMultiDeviceSafeMode) {
  const auto engine = make(kDLCUDA);
  const ModeScope safe = scoped_multi_device_safe_mode(true);
  EXPECT_EQ(allocations(*engine), 0u);
  device().set_current(1);
  EXPECT_EQ(allocations(*engine), 0u) << "the thread's device is switched for each call; the warning was given before";
}

TEST_F(Allocations, WithTheOutputAllocator) {
  EXPECT_EQ(allocations(*make(kDLCUDA, /*requires_output_allocator=*/true)), 0u);
}

}  // namespace
}  // namespace torchtrt::runtime
