// SPDX-License-Identifier: Apache-2.0
// Measuring layers, inspection and NVTX ranges, over the fake backend on the CPU. What is special about GPUs is in
// gpu_engine_test.cpp.
#include "runtime/profile.h"
#include "base/testing/expect_error.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/runtime.h>

#include "runtime/engine.h"
#include "runtime/testing/fixtures.h"

namespace torchtrt::runtime {
namespace {

class Sink final : public backend::OutputSink {
 public:
  void* allocate(std::size_t, std::span<const std::int64_t> shape) override {
    memory_.resize(static_cast<std::size_t>(shape[0] * shape[1]));
    return memory_.data();
  }
  void adopt(std::size_t, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override { FAIL(); }

 private:
  std::vector<float> memory_;
};

class Profiles : public ::testing::Test {
 protected:
  Profiles() { setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1); }

  static EngineHandle make(const std::string& name, const std::string& operation = "add") {
    const auto state = testing::fake_engine({.name = name, .properties = {{"operation", operation}}});
    const testing::AlignedBytes bytes(state.payload);
    return EngineHandle(std::make_shared<Engine>(state.text(), bytes.span(), bytes.owner()));
  }
  static void call(const EngineHandle& engine, std::int64_t batch) {
    std::vector<float> input(static_cast<std::size_t>(batch * 3));
    std::int64_t shape[]{batch, 3};
    DLTensor tensor{};
    tensor.data = input.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 2;
    tensor.dtype = to_dlpack(DataType::kFloat32);
    tensor.shape = shape;
    Sink sink;
    engine.engine().run({&tensor, 1}, sink);
  }
};

TEST_F(Profiles, AreSumsOfCalls) {
  const std::vector<EngineHandle> engines{make("first"), make("second"), make("idle")};
  call(engines[0], 8);  // before: not measured
  Profiler profiler(engines);
  for (const std::int64_t batch : {1, 2, 4}) call(engines[0], batch);
  call(engines[1], 3);
  profiler.stop();
  call(engines[0], 16);  // after
  const std::vector<EngineProfile> result = profiler.result();
  ASSERT_EQ(result.size(), 3u);
  EXPECT_EQ(result[0].engine, "first");
  ASSERT_EQ(result[0].layers.size(), 2u);
  const LayerProfile& add = result[0].layers[0];
  EXPECT_EQ(add.name, "add");
  EXPECT_EQ(add.calls, 3);
  EXPECT_DOUBLE_EQ(add.total_ms, 0.75);
  EXPECT_DOUBLE_EQ(add.last_ms, 0.25);
  const LayerProfile& tail = result[0].layers[1];
  EXPECT_EQ(tail.name, "tail");
  EXPECT_DOUBLE_EQ(tail.total_ms, 7);
  EXPECT_DOUBLE_EQ(tail.last_ms, 4);
  EXPECT_EQ(result[1].layers[1].calls, 1);
  EXPECT_TRUE(result[2].layers.empty());
}

TEST_F(Profiles, OverlapAndEndByThemselves) {
  const std::vector<EngineHandle> engines{make("overlap")};
  auto outer = std::make_unique<Profiler>(engines);
  call(engines[0], 1);
  auto inner = std::make_unique<Profiler>(engines);
  call(engines[0], 2);
  outer->stop();
  outer->stop();  // again: nothing
  call(engines[0], 3);
  EXPECT_EQ(outer->result()[0].layers[0].calls, 2);
  EXPECT_EQ(inner->result()[0].layers[0].calls, 2);
  EXPECT_TRUE(engines[0].engine().call_modes().profiling);
  inner.reset();
  EXPECT_FALSE(engines[0].engine().call_modes().profiling);
  EXPECT_EQ(outer->result()[0].layers[0].calls, 2) << "the result stays";
}

TEST_F(Profiles, CallsThatFailDoNotCount) {
  const std::vector<EngineHandle> engines{make("failing", "fail")};
  const Profiler profiler(engines);
  torchtrt::testing::expect_error(ErrorCode::kInternal, "as it was told to", [&] { call(engines[0], 1); });
  EXPECT_TRUE(profiler.result()[0].layers.empty());
}

TEST_F(Profiles, OfCallsInManyThreads) {
  const std::vector<EngineHandle> engines{make("threads")};
  const Profiler profiler(engines);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat) {
        const Profiler mine(engines);
        call(engines[0], 2);
        ASSERT_GE(mine.result()[0].layers.at(0).calls, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(profiler.result()[0].layers[1].calls, 200);
  EXPECT_DOUBLE_EQ(profiler.result()[0].layers[1].total_ms, 400);
}

TEST_F(Profiles, InspectionLoadsTheEngine) {
  const EngineHandle engine = make("inspected");
  EXPECT_EQ(inspect(engine), R"({"backend":"fake","layers":[{"name":"add"},{"name":"tail"}]})");
}

TEST_F(Profiles, BackendsWithoutInspectionSaySo) {
  class Plain final : public backend::ExecutableEngine {
    std::unique_ptr<backend::Context> create_context() override { return nullptr; }
  } plain;
  EXPECT_EQ(plain.inspect(), R"({"layers":null,"reason":"this backend cannot look into its engines"})");
  EXPECT_FALSE(plain.configure({}));
}

// The ranges themselves: tests/py/test_inspection.py, with a tool in a process of its own.
TEST_F(Profiles, NvtxIsASwitch) {
  EXPECT_FALSE(nvtx());
  try {
    set_nvtx(true);
    EXPECT_TRUE(nvtx());
    call(make("ranged"), 1);  // without a tool a range is nothing
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
    EXPECT_FALSE(nvtx());
  }
  set_nvtx(false);
  EXPECT_FALSE(nvtx());
}

}  // namespace
}  // namespace torchtrt::runtime
