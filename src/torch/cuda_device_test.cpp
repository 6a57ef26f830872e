// SPDX-License-Identifier: Apache-2.0
// Engines on a real NVIDIA GPU: the runtime's modes over CUDA's streams, events and graphs (testing/gpu_executor.cpp says
// what the engines do). gpu_engine_test.cpp has the same rules in more detail over a fake device. Skipped without a GPU.
#include <dlfcn.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gtest/gtest.h>

#include <torchtrt/runtime.h>

#include "runtime/testing/fixtures.h"
#include "runtime/testing/log_lines.h"
#include "torch/cuda_device.h"
#include "torch/engine_call.h"
#include "torch/engine_holder.h"

namespace torchtrt::torch_adapter {
namespace {

using runtime::CudaGraphsMode;
using runtime::testing::fake_engine;
using runtime::testing::FakeEngineSpec;
using runtime::testing::LogLines;
using Pointer = c10::intrusive_ptr<EngineHolder>;

constexpr const char* kRuns = "the test backend runs";

const at::Device kGpu(at::kCUDA, 0);

at::Tensor on_gpu(at::IntArrayRef sizes, float first = 0) {
  const at::Tensor values = at::arange(c10::multiply_integers(sizes), at::kFloat).reshape(sizes) + first;
  return values.to(kGpu);
}

Pointer make(FakeEngineSpec spec = {}, int delay_us = 0) {
  spec.device = "cuda";
  spec.backend = "gpu_test";
  spec.properties.emplace("delay_us", std::to_string(delay_us));
  const auto state = fake_engine(spec);
  at::Tensor payload = at::empty({static_cast<std::int64_t>(state.payload.size())}, at::kByte);
  std::memcpy(payload.mutable_data_ptr(), state.payload.data(), state.payload.size());
  return c10::make_intrusive<EngineHolder>(state.text(), payload);
}

at::Tensor run(const Pointer& engine, const at::Tensor& x) { return run_engine(*engine, {x}).at(0); }

/// Whether the engine's answer for rows x 3 elements is right, waiting for it.
bool runs_right(const Pointer& engine, std::int64_t rows, float first = 0) {
  const at::Tensor x = on_gpu({rows, 3}, first);
  return at::equal(run(engine, x), x + 1.5);
}

class CudaEngine : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1);
    load_runtime();
    // The program links PyTorch's CPU libraries only; CUDA tensors need the others.
    if (void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL); driver != nullptr) {
      dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL);
    }
  }
  void SetUp() override {
    runtime::DeviceApi* api = cuda_device();
    if (api == nullptr || api->count() == 0) {
      GTEST_SKIP() << "no GPU: this needs an NVIDIA GPU, its driver, and a PyTorch with CUDA";
    }
#ifndef TORCHTRT_HAS_GPU_TEST_BACKEND
    GTEST_SKIP() << "built without cuda.h: the backend for this test does not exist";
#endif
  }
  void TearDown() override {
    runtime::set_cudagraphs_mode(CudaGraphsMode::kStandard);
    runtime::set_multi_device_safe_mode(false);
  }

  static c10::Stream new_stream() { return impl().getStreamFromGlobalPool(kGpu); }
  static c10::impl::VirtualGuardImpl impl() { return c10::impl::VirtualGuardImpl(at::kCUDA); }
};

TEST_F(CudaEngine, DevicesAreThoseOfPyTorch) {
  runtime::DeviceApi& api = *cuda_device();
  EXPECT_EQ(api.count(), impl().deviceCount());
  EXPECT_GE(api.info(0).major, 5);
  EXPECT_FALSE(api.info(0).name.empty());
  EXPECT_EQ(api.current(), impl().getDevice().index());
  std::printf("on %d x %s\n", api.count(), api.info(0).describe().c_str());
}

TEST_F(CudaEngine, RunsOnTheCallersStream) {
  const Pointer engine = make({}, 20'000);
  const at::Tensor x = on_gpu({4, 3});
  EXPECT_TRUE(at::equal(run(engine, x), x + 1.5)) << "on the default stream";
  const c10::Stream stream = new_stream();
  at::Tensor y;
  {
    const c10::StreamGuard guard(stream);
    y = run(engine, x);
    EXPECT_FALSE(stream.query()) << "the call returns before its work is done";
    EXPECT_TRUE(impl().getDefaultStream(kGpu).query()) << "nothing of it is on another stream";
  }
  stream.synchronize();
  EXPECT_TRUE(at::equal(y, x + 1.5));
}

TEST_F(CudaEngine, CallsOnOneStreamRunInOrder) {
  const Pointer engine = make({}, 200);
  const c10::StreamGuard guard(new_stream());
  at::Tensor y = on_gpu({32, 3});
  const at::Tensor expected = y + 20 * 1.5 + 10;
  for (int i = 0; i < 20; ++i) {
    y = run(engine, y);
    if (i % 2 == 0) y = y + 1;
  }
  EXPECT_TRUE(at::equal(y, expected));
}

TEST_F(CudaEngine, NonContiguousInputsAndEmptyOnes) {
  const Pointer engine = make();
  const at::Tensor x = on_gpu({3, 8}).t();
  EXPECT_TRUE(at::equal(run(engine, x), x + 1.5));
  const at::Tensor slice = on_gpu({16, 6}).slice(1, 1, 6, 2).slice(0, 1, 9);
  EXPECT_TRUE(at::equal(run(engine, slice), slice + 1.5));
}

TEST_F(CudaEngine, StreamsInFlightDoNotShareScratchMemory) {
  const Pointer engine = make({}, 500);
  std::vector<c10::Stream> streams;
  for (int i = 0; i < 12; ++i) streams.push_back(new_stream());
  std::vector<at::Tensor> xs, ys;
  for (int i = 0; i < 120; ++i) xs.push_back(on_gpu({1 + i % 32, 3}, static_cast<float>(i)));
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const c10::StreamGuard guard(streams[i % streams.size()]);
    ys.push_back(run(engine, xs[i]));
  }
  for (const c10::Stream& stream : streams) stream.synchronize();
  for (std::size_t i = 0; i < xs.size(); ++i) EXPECT_TRUE(at::equal(ys[i], xs[i] + 1.5)) << i;
  EXPECT_GE(engine->engine().contexts_created(), 2u);
  EXPECT_LE(engine->engine().contexts_created(), 8u);
}

TEST_F(CudaEngine, ThreadsOnTheirStreams) {
  const Pointer engine = make({}, 50);
  for (const CudaGraphsMode mode : {CudaGraphsMode::kStandard, CudaGraphsMode::kSubgraph}) {
    runtime::set_cudagraphs_mode(mode);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        const c10::StreamGuard guard(new_stream());
        for (int i = 0; i < 100; ++i) {
          const at::Tensor x = at::full({1 + (i + t) % 12, 3}, static_cast<float>(100 * t + i), kGpu);
          wrong += at::equal(run(engine, x), x + 1.5) ? 0 : 1;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST_F(CudaEngine, AThreadThatNeverTouchedCuda) {
  const at::Tensor x = on_gpu({4, 3});
  for (const CudaGraphsMode mode : {CudaGraphsMode::kStandard, CudaGraphsMode::kSubgraph}) {
    runtime::set_cudagraphs_mode(mode);
    const Pointer engine = make({.name = mode == CudaGraphsMode::kStandard ? "plain" : "recorded"});
    run(engine, x);
    at::Tensor y;
    std::string error;
    std::thread([&] {
      try {
        y = run(engine, x);
      } catch (const std::exception& e) {
        error = e.what();
      }
    }).join();
    ASSERT_EQ(error, "");
    impl().synchronizeDevice(0);
    EXPECT_TRUE(at::equal(y, x + 1.5));
  }
}

TEST_F(CudaEngine, GraphsRecordNewShapesAndReplayKnownOnes) {
  LogLines log;
  const Pointer engine = make({.name = "graphs"});
  runtime::set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  for (int round = 0; round < 3; ++round) {
    for (std::int64_t rows = 1; rows <= 4; ++rows) {
      EXPECT_TRUE(runs_right(engine, rows, static_cast<float>(100 * round)));
    }
  }
  EXPECT_EQ(log.count(LogLevel::kInfo, kRuns), 8) << "for each shape a plain run and the recorded one; then replays";
  for (std::int64_t rows = 5; rows <= 8; ++rows) EXPECT_TRUE(runs_right(engine, rows));
  EXPECT_TRUE(runs_right(engine, 1)) << "shape 2 is the least recently used now";
  EXPECT_TRUE(runs_right(engine, 9));
  EXPECT_EQ(log.count(LogLevel::kInfo, kRuns), 18);
  EXPECT_TRUE(runs_right(engine, 1));
  EXPECT_EQ(log.count(LogLevel::kInfo, kRuns), 18);
  EXPECT_TRUE(runs_right(engine, 2));
  EXPECT_EQ(log.count(LogLevel::kInfo, kRuns), 20) << "made room for shape 9";
  engine->engine().invalidate_graphs();
  EXPECT_TRUE(runs_right(engine, 2));
  EXPECT_EQ(log.count(LogLevel::kInfo, kRuns), 22);
  runtime::set_cudagraphs_mode(CudaGraphsMode::kStandard);
  EXPECT_TRUE(runs_right(engine, 2));
  EXPECT_EQ(log.count(LogLevel::kInfo, kRuns), 23);
  EXPECT_EQ(log.count(LogLevel::kWarning, ""), 0);
}

TEST_F(CudaEngine, ReplaysReadEachCallsOwnInputs) {
  const Pointer engine = make({}, 300);
  runtime::set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  const c10::Stream first = new_stream(), second = new_stream();
  std::vector<at::Tensor> xs, ys;
  for (int i = 0; i < 40; ++i) xs.push_back(on_gpu({4 + i % 2, 3}, static_cast<float>(10 * i)));
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const c10::StreamGuard guard(i / 3 % 2 == 0 ? first : second);
    ys.push_back(run(engine, xs[i]));
  }
  first.synchronize();
  second.synchronize();
  for (std::size_t i = 0; i < xs.size(); ++i) EXPECT_TRUE(at::equal(ys[i], xs[i] + 1.5)) << i;
}

TEST_F(CudaEngine, EvictedGraphsMayStillRun) {
  const Pointer engine = make({}, 2000);
  runtime::set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  const c10::StreamGuard guard(new_stream());
  std::vector<at::Tensor> xs, ys;
  for (int i = 0; i < 60; ++i) xs.push_back(on_gpu({1 + (i / 2) % 12, 3}, static_cast<float>(i)));
  for (const at::Tensor& x : xs) ys.push_back(run(engine, x));
  for (std::size_t i = 0; i < xs.size(); ++i) EXPECT_TRUE(at::equal(ys[i], xs[i] + 1.5)) << i;
}

TEST_F(CudaEngine, AFailedRecordingFallsBackOnceWithAWarning) {
  LogLines log;
  const Pointer engine = make({.name = "syncs", .properties = {{"operation", "host_sync"}}});
  runtime::set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  for (std::int64_t rows = 1; rows <= 5; ++rows) EXPECT_TRUE(runs_right(engine, rows)) << rows;
  EXPECT_EQ(log.count(LogLevel::kWarning, "\"syncs\" cannot be recorded into a CUDA graph"), 1);
  EXPECT_TRUE(runs_right(make({.name = "another"}), 3)) << "the failure leaves nothing behind";
}

TEST_F(CudaEngine, AFailedRunLeavesNothingBehind) {
  const Pointer failing = make({.properties = {{"operation", "fail"}}}, 1000), engine = make();
  for (const CudaGraphsMode mode : {CudaGraphsMode::kStandard, CudaGraphsMode::kSubgraph}) {
    runtime::set_cudagraphs_mode(mode);
    for (int i = 0; i < 3; ++i) {
      EXPECT_THROW(run(failing, on_gpu({2, 3})), Error);
      EXPECT_TRUE(runs_right(engine, 2));
    }
  }
}

TEST_F(CudaEngine, PreAllocatedOutputs) {
  const Pointer engine = make({}, 200);
  const auto scope = runtime::enable_pre_allocated_outputs(std::vector{engine->handle()});
  std::vector<at::Tensor> xs, ys;
  for (int i = 0; i < 20; ++i) {
    xs.push_back(on_gpu({2 + i / 5 % 2, 3}, static_cast<float>(i)));
    ys.push_back(run(engine, xs.back()));
  }
  for (std::size_t i = 0; i < xs.size(); ++i) EXPECT_TRUE(at::equal(ys[i], xs[i] + 1.5)) << i;
  const c10::Stream stream = new_stream();
  const c10::StreamGuard guard(stream);
  EXPECT_TRUE(runs_right(engine, 2));
}

TEST_F(CudaEngine, InputsOnTheCpuNeedSafeMode) {
  LogLines log;
  const Pointer engine = make({.name = "placed"});
  const at::Tensor x = at::randn({4, 3});
  try {
    run(engine, x);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cpu"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("cuda"), std::string::npos) << error.what();
  }
  runtime::set_multi_device_safe_mode(true);
  for (int i = 0; i < 3; ++i) {
    const at::Tensor y = run(engine, x);
    EXPECT_TRUE(y.is_cuda());
    EXPECT_TRUE(at::equal(y.cpu(), x + 1.5));
  }
  EXPECT_EQ(log.count(LogLevel::kWarning, "engine \"placed\" runs on cuda:0, but input 0 is on cpu"), 1);
}

TEST_F(CudaEngine, SecondGpu) {
  if (cuda_device()->count() < 2) GTEST_SKIP() << "this needs two GPUs";
  const Pointer engine = make({.name = "two"}, 100);
  const at::Device second(at::kCUDA, 1);
  const at::Tensor x = at::randn({4, 3}), there = x.to(second);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::equal(run(engine, x.to(kGpu)).cpu(), x + 1.5));
    const at::Tensor y = run(engine, there);
    EXPECT_EQ(y.device(), second);
    EXPECT_TRUE(at::equal(y.cpu(), x + 1.5));
    EXPECT_EQ(impl().getDevice().index(), 0) << "the thread's device is as before";
  }
  runtime::set_multi_device_safe_mode(true);
  const at::Tensor moved = run(engine, there);
  EXPECT_EQ(moved.device(), kGpu) << "where the engine was loaded first";
  EXPECT_TRUE(at::equal(moved.cpu(), x + 1.5));
}

}  // namespace
}  // namespace torchtrt::torch_adapter
