// SPDX-License-Identifier: Apache-2.0
// Weight streaming budgets over the fake backend: its contexts add the budget that they were made under to their bias, and
// it refuses a budget while a context exists. So a call that ran with a context or a graph of another budget shows.
#include "runtime/weight_streaming.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <future>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/testing/expect_error.h"
#include "runtime/context_pool.h"
#include "runtime/testing/gpu_calls.h"
#include "runtime/testing/log_lines.h"

namespace torchtrt::runtime {
namespace {

using namespace std::chrono_literals;
using testing::AlignedBytes;
using testing::Call;
using testing::LogLines;
using torchtrt::testing::expect_error;
using Handles = std::vector<EngineHandle>;

// --- splitting ---------------------------------------------------------------------------------------------------------

TEST(WeightStreaming, BudgetsAreSplitInProportion) {
  using Parts = std::vector<std::int64_t>;
  EXPECT_EQ(split_budget(Parts{1000, 3000}, 400), (Parts{100, 300}));
  EXPECT_EQ(split_budget(Parts{1000, 0, 3000}, 4000), (Parts{1000, 0, 3000}));
  EXPECT_EQ(split_budget(Parts{1, 1, 1}, 0), (Parts{0, 0, 0}));
  EXPECT_EQ(split_budget(Parts{7}, 5), (Parts{5}));
  std::minstd_rand dice(1);
  for (int round = 0; round < 2000; ++round) {
    Parts streamable;
    for (std::size_t i = 0; i < 1 + dice() % 6; ++i) {
      streamable.push_back(static_cast<std::int64_t>(dice()) << dice() % 24 >> dice() % 50);
    }
    const std::int64_t all = std::accumulate(streamable.begin(), streamable.end(), std::int64_t{0});
    const std::int64_t bytes = all - (all >> dice() % 60);
    const Parts parts = split_budget(streamable, bytes);
    EXPECT_EQ(std::accumulate(parts.begin(), parts.end(), std::int64_t{0}), bytes);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      EXPECT_GE(parts[i], 0);
      EXPECT_LE(parts[i], streamable[i]);
      const double share = all == 0 ? 0 : static_cast<double>(streamable[i]) / static_cast<double>(all);
      const double exact = static_cast<double>(bytes) * share;
      EXPECT_NEAR(static_cast<double>(parts[i]), exact, 8 + exact * 1e-9);
    }
  }
}

// --- on the CPU --------------------------------------------------------------------------------------------------------

std::shared_ptr<Engine> make_on_cpu(std::map<std::string, std::string> properties) {
  setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1);
  const auto state = testing::fake_engine({.properties = std::move(properties)});
  const AlignedBytes bytes(state.payload);
  return std::make_shared<Engine>(state.text(), bytes.span(), bytes.owner());
}

TEST(WeightStreaming, WhereNothingCanBeStreamed) {
  const Handles handles{EngineHandle(make_on_cpu({{"operation", "add"}}))};
  EXPECT_EQ(weight_streaming(handles), WeightStreaming{});
  expect_error(ErrorCode::kUnsupported, "no engine here has weights that can be streamed",
               [&] { set_weight_streaming_budget(handles, 1); });
  expect_error(ErrorCode::kUnsupported, "no engine here has weights that can be streamed",
               [] { set_weight_streaming_budget(Handles{}, 0); });
}

TEST(WeightStreaming, BudgetsThatThereAreNot) {
  LogLines lines;
  const EngineHandle engine(make_on_cpu({{"operation", "add"}, {"streamable", "1000"}}));
  expect_error(ErrorCode::kInvalidArgument, "is a number of bytes from 0 on, not -1",
               [&] { set_weight_streaming_budget(engine, -1); });
  EXPECT_EQ(weight_streaming(engine), (WeightStreaming{1000, 250, 250}));
  set_weight_streaming_budget(engine, 1001);
  EXPECT_EQ(weight_streaming(engine).budget, 1000);
  EXPECT_EQ(lines.count(LogLevel::kWarning, "budget of 1001 bytes is more than the 1000 bytes that can be streamed"),
            1);
}

TEST(WeightStreaming, CopiesOfAnEngineCountOnce) {
  const auto engine = make_on_cpu({{"operation", "add"}, {"streamable", "1000"}});
  const Handles handles{EngineHandle(engine), EngineHandle(engine)};
  EXPECT_EQ(weight_streaming(handles).streamable, 1000);
  set_weight_streaming_budget(handles, 900);
  EXPECT_EQ(weight_streaming(handles).budget, 900);
}

// --- on a GPU ----------------------------------------------------------------------------------------------------------

class GpuWeightStreaming : public testing::GpuEngineTest {
 protected:
  static std::shared_ptr<Engine> make(const std::string& streamable = "1000", const std::string& refused = "-1",
                                      const std::string& operation = "add") {
    return testing::make_on_gpu(
        {.name = "net" + streamable,
         .properties = {{"operation", operation}, {"streamable", streamable}, {"refused", refused}}});
  }
  bool runs_with(Engine& engine, std::int64_t budget, void* stream = nullptr) {
    return start_and_check(engine, 1.5F + static_cast<float>(budget), stream);
  }
};

TEST_F(GpuWeightStreaming, ABudgetHoldsForTheNextCalls) {
  const auto engine = make();
  const Handles handles{EngineHandle(engine)};
  EXPECT_TRUE(runs_with(*engine, 250)) << "the library's own";
  set_weight_streaming_budget(handles, 600);
  EXPECT_EQ(weight_streaming(handles), (WeightStreaming{1000, 600, 250}));
  EXPECT_TRUE(runs_with(*engine, 600));
  EXPECT_EQ(engine->contexts_created(), 2U);
  set_weight_streaming_budget(handles, 600);
  EXPECT_TRUE(runs_with(*engine, 600));
  EXPECT_EQ(engine->contexts_created(), 2U) << "that was the budget already";
}

TEST_F(GpuWeightStreaming, BeforeTheFirstCall) {
  const auto engine = make();
  gpu->set_current(1);
  set_weight_streaming_budget(EngineHandle(engine), 0);
  gpu->set_current(0);
  const auto call = start(*engine, 2, 1, nullptr, 1);
  gpu->drain();
  EXPECT_TRUE(call->right(1.5F)) << "it was loaded on the thread's device";
}

TEST_F(GpuWeightStreaming, RecordedGraphsGoWithTheirContexts) {
  const auto engine = make();
  const Handles handles{EngineHandle(engine)};
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  void* const stream = gpu->new_stream();
  for (const std::int64_t budget : {250, 1000, 0, 250}) {
    const ModeScope scope = scoped_weight_streaming_budget(handles, budget);
    for (int call = 0; call < 3; ++call) EXPECT_TRUE(runs_with(*engine, budget, stream));
  }
  EXPECT_EQ(gpu->captures, 4) << "the first of each three calls, though budgets come back";
  EXPECT_EQ(gpu->launches, 8);
  EXPECT_EQ(gpu->live_allocations(), 2U) << "of one graph";
}

TEST_F(GpuWeightStreaming, ScopesPutTheFormerBudgetsBack) {
  const auto small = make("1000"), large = make("3000");
  const auto plain = testing::make_on_gpu();
  const Handles handles{EngineHandle(small), EngineHandle(plain), EngineHandle(large)};
  const auto run_with = [&](std::int64_t of_small, std::int64_t of_large) {
    return runs_with(*small, of_small) && runs_with(*large, of_large) && runs_right(*plain, 2, 1);
  };
  EXPECT_EQ(weight_streaming(handles), (WeightStreaming{4000, 1000, 1000}));
  set_weight_streaming_budget(EngineHandle(small), 7);
  try {
    const ModeScope outer = scoped_weight_streaming_budget(handles, 400);
    EXPECT_TRUE(run_with(100, 300));
    {
      const ModeScope inner = scoped_weight_streaming_budget(handles, 4000);
      EXPECT_TRUE(run_with(1000, 3000));
    }
    EXPECT_TRUE(run_with(100, 300));
    throw 1;
  } catch (int) {
  }
  EXPECT_TRUE(run_with(7, 750));
  EXPECT_EQ(plain->contexts_created(), 1U) << "its contexts stay";
}

TEST_F(GpuWeightStreaming, ARefusedBudgetLeavesTheFormerOnes) {
  const auto first = make("1000"), second = make("3000", "2400");
  const Handles handles{EngineHandle(first), EngineHandle(second)};
  EXPECT_TRUE(runs_with(*first, 250));
  EXPECT_TRUE(runs_with(*second, 750));
  expect_error(ErrorCode::kInternal, "the fake engine refuses 2400 bytes",
               [&] { set_weight_streaming_budget(handles, 3200); });
  EXPECT_EQ(weight_streaming(handles).budget, 1000);
  EXPECT_TRUE(runs_with(*first, 250)) << "it had taken its 800";
  EXPECT_TRUE(runs_with(*second, 750));
  set_weight_streaming_budget(handles, 2000);
  EXPECT_TRUE(runs_with(*second, 1500));
}

TEST_F(GpuWeightStreaming, WorkInFlightEndsWithItsBudget) {
  const auto engine = make();
  std::vector<std::unique_ptr<Call>> pending;
  for (int i = 0; i < 4; ++i) pending.push_back(start(*engine, 2, static_cast<float>(i), gpu->new_stream()));
  EXPECT_FALSE(pending[0]->right(251.5F)) << "nothing ran yet";
  set_weight_streaming_budget(EngineHandle(engine), 0);
  for (const auto& call : pending) EXPECT_TRUE(call->right(251.5F));
  EXPECT_TRUE(runs_with(*engine, 0));
}

TEST_F(GpuWeightStreaming, CallsThatFailedHoldNothing) {
  const auto engine = make("1000", "-1", "fail");
  for (int call = 0; call < 3; ++call) {
    expect_error(ErrorCode::kInternal, "as it was told to", [&] { start(*engine, 2, 1); });
  }
  expect_error(ErrorCode::kOutOfRange, "outside the range", [&] { start(*engine, 33, 1); });
  set_weight_streaming_budget(EngineHandle(engine), 0);
  EXPECT_EQ(weight_streaming(EngineHandle(engine)).budget, 0);
}

TEST_F(GpuWeightStreaming, EveryDeviceHasTheBudget) {
  const auto engine = make();
  const auto runs_on = [&](int device, std::int64_t budget) {
    const auto call = start(*engine, 2, 1, nullptr, device);
    gpu->drain();
    return call->right(1.5F + static_cast<float>(budget));
  };
  EXPECT_TRUE(runs_on(0, 250));
  EXPECT_TRUE(runs_on(1, 250));
  {
    const ModeScope scope = scoped_weight_streaming_budget(Handles{EngineHandle(engine)}, 600);
    EXPECT_TRUE(runs_on(0, 600));
    EXPECT_TRUE(runs_on(1, 600));
    EXPECT_TRUE(runs_on(2, 600)) << "loaded now";
  }
  for (const int device : {0, 1, 2}) EXPECT_TRUE(runs_on(device, 250)) << device;
}

TEST_F(GpuWeightStreaming, ADeviceThatRefusesTheBudgetKeepsItsOwn) {
  LogLines lines;
  const auto engine = make("1000", "600");
  const auto state = engine->weight_budgets();
  engine->restore({{}, 600});  // nothing is loaded: it is for what follows
  EXPECT_TRUE(runs_with(*engine, 250));
  EXPECT_EQ(lines.count(LogLevel::kWarning, "keeps the weight streaming budget that its library chose: the fake"), 1);
  engine->restore(state);
}

// --- recordings of callers -----------------------------------------------------------------------------------------------

TEST_F(GpuWeightStreaming, ARecordingKeepsItsBudget) {
  const auto engine = make();
  const Handles handles{EngineHandle(engine)};
  void* const stream = gpu->new_stream();
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 1, stream);
  expect_error(ErrorCode::kIncompatibleMode, "cannot change while 1 context is in recordings of the caller's",
               [&] { set_weight_streaming_budget(handles, 0); });
  gpu->end_recording(stream);
  expect_error(ErrorCode::kIncompatibleMode, "release those recordings first",
               [&] { set_weight_streaming_budget(handles, 0); });
  EXPECT_EQ(weight_streaming(handles).budget, 250);
  EXPECT_TRUE(runs_with(*engine, 250)) << "calls go on";
  gpu->destroy_recordings();
  set_weight_streaming_budget(handles, 0);
  EXPECT_TRUE(runs_with(*engine, 0));
}

TEST_F(GpuWeightStreaming, ARecordingThatIsBeingDestroyedIsWaitedFor) {
  const auto engine = make();
  void* const stream = gpu->new_stream();
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 1, stream);
  gpu->end_recording(stream);
  std::thread driver([&] {
    std::this_thread::sleep_for(50ms);
    gpu->destroy_recordings();
  });
  set_weight_streaming_budget(EngineHandle(engine), 0);
  driver.join();
  EXPECT_TRUE(runs_with(*engine, 0));
}

TEST_F(GpuWeightStreaming, ScopesThatEndDuringARecordingSaySo) {
  LogLines lines;
  const auto engine = make();
  const Handles handles{EngineHandle(engine)};
  void* const stream = gpu->new_stream();
  {
    const ModeScope scope = scoped_weight_streaming_budget(handles, 600);
    gpu->begin_recording(stream);
    start(*engine, 2, 1, stream);
    gpu->end_recording(stream);
  }
  EXPECT_EQ(lines.count(LogLevel::kError, "a former weight streaming budget is not back: engine \"net1000\""), 1);
  EXPECT_TRUE(runs_with(*engine, 600));
  gpu->destroy_recordings();
}

// --- threads -----------------------------------------------------------------------------------------------------------

TEST_F(GpuWeightStreaming, ThreadsCallWhileBudgetsChange) {
  constexpr int kThreads = 4, kCalls = 150;
  const auto engine = make();
  const Handles handles{EngineHandle(engine)};
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  std::vector<std::vector<std::unique_ptr<Call>>> calls(kThreads);
  std::vector<std::thread> threads;
  std::atomic<int> running{kThreads};
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t, stream = gpu->new_stream()] {
      for (int i = 0; i < kCalls; ++i) {
        calls[t].push_back(start(*engine, 1 + i % 5, static_cast<float>(10 * t), stream));
        if (i % 7 == 0) std::this_thread::yield();
      }
      --running;
    });
  }
  int changes = 0;
  for (; running > 0 || changes < 10; ++changes) set_weight_streaming_budget(handles, changes % 2 == 0 ? 0 : 600);
  for (std::thread& thread : threads) thread.join();
  gpu->drain();
  for (const auto& of_thread : calls) {
    ASSERT_EQ(of_thread.size(), static_cast<std::size_t>(kCalls));
    for (const auto& call : of_thread) {
      EXPECT_TRUE(call->right(1.5F) || call->right(601.5F) || call->right(251.5F)) << call->output[0];
    }
  }
}

/// Engines whose contexts do nothing, for what the pool alone does.
struct IdleEngine final : backend::ExecutableEngine {
  struct Nothing final : backend::Context {
    void run(const backend::RunRequest&) override {}
  };
  std::unique_ptr<backend::Context> create_context() override { return std::make_unique<Nothing>(); }
};

bool is_ready(std::future<std::size_t>& result, std::chrono::milliseconds patience) {
  return result.wait_for(patience) == std::future_status::ready;
}

TEST(ContextPoolWithoutContexts, WaitsForCallsInFlightAndLetsNewOnesWait) {
  IdleEngine engine;
  ContextPool pool(engine, nullptr, 0);
  std::atomic<bool> was_called{false};
  std::promise<void> go;
  auto in_flight = pool.acquire(nullptr);
  std::future<std::size_t> change = std::async(std::launch::async, [&] {
    return pool.without_contexts([&] {
      was_called = true;
      go.get_future().wait();
    });
  });
  EXPECT_FALSE(is_ready(change, 30ms));
  EXPECT_FALSE(was_called) << "a call is in flight";
  pool.release(std::move(in_flight), nullptr);
  while (!was_called) std::this_thread::yield();
  std::future<std::size_t> call = std::async(std::launch::async, [&] {
    pool.release(pool.acquire(nullptr), nullptr);
    return pool.created();
  });
  EXPECT_FALSE(is_ready(call, 30ms)) << "no context may be made";
  go.set_value();
  EXPECT_EQ(change.get(), 0U);
  EXPECT_EQ(call.get(), 2U);
}

TEST(ContextPoolWithoutContexts, OpensAgainAfterAnError) {
  IdleEngine engine;
  ContextPool pool(engine, nullptr, 0);
  expect_error(ErrorCode::kInternal, "refused",
               [&] { static_cast<void>(pool.without_contexts([] { fail(ErrorCode::kInternal, "refused"); })); });
  pool.release(pool.acquire(nullptr), nullptr);
  EXPECT_EQ(pool.created(), 1U);
}

TEST(ContextPoolWithoutContexts, ACallInFlightThatWasRecorded) {
  testing::FakeDeviceScope gpu;
  IdleEngine engine;
  ContextPool pool(engine, &*gpu, 0);
  void* const stream = gpu->new_stream();
  gpu->begin_recording(stream);
  auto in_flight = pool.acquire_for_recording();
  std::future<std::size_t> change = std::async(
      std::launch::async, [&] { return pool.without_contexts([] { ADD_FAILURE() << "it has a context"; }); });
  EXPECT_FALSE(is_ready(change, 30ms));
  pool.retire(std::move(in_flight), stream);
  EXPECT_EQ(change.get(), 1U);
  gpu->end_recording(stream);
  pool.release(pool.acquire(nullptr), nullptr);
  gpu->destroy_recordings();
  int calls = 0;
  EXPECT_EQ(pool.without_contexts([&] { ++calls; }), 0U);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace torchtrt::runtime
