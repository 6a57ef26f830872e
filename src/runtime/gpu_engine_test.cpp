// SPDX-License-Identifier: Apache-2.0
// Engines on GPUs, over the fake device: streams, graphs, devices. What a test reads back is right only if all work was
// ordered as it has to be, see FakeDevice.
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/runtime.h>

#include "base/testing/expect_error.h"
#include "runtime/call_services.h"
#include "runtime/context_pool.h"
#include "runtime/engine.h"
#include "runtime/scratch.h"
#include "runtime/testing/fake_device.h"
#include "runtime/testing/fixtures.h"
#include "runtime/testing/gpu_calls.h"
#include "runtime/testing/log_lines.h"

namespace torchtrt::runtime {
namespace {

using testing::AlignedBytes;
using testing::Call;
using testing::fake_engine;
using testing::GpuEngineTest;
using testing::LogLines;
using torchtrt::testing::expect_error;

std::shared_ptr<Engine> make(testing::FakeEngineSpec spec = {}) { return testing::make_on_gpu(std::move(spec)); }

// --- streams -----------------------------------------------------------------------------------------------------------

TEST_F(GpuEngineTest, CallsAreEnqueuedNotAwaited) {
  const auto engine = make();
  const auto call = start(*engine, 2, 1);
  EXPECT_FALSE(call->right()) << "nothing ran yet";
  gpu->drain();
  EXPECT_TRUE(call->right());
  EXPECT_EQ(gpu->synchronizations, 0);
}

TEST_F(GpuEngineTest, OneStreamNeedsOneContext) {
  const auto engine = make();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 20; ++i) calls.push_back(start(*engine, 1 + i % 5, static_cast<float>(i)));
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
  EXPECT_EQ(engine->contexts_created(), 1u);
  EXPECT_EQ(gpu->waits, 0);
}

TEST_F(GpuEngineTest, StreamsInFlightDoNotShareScratchMemory) {
  const auto engine = make();
  void* const first = gpu->new_stream();
  void* const second = gpu->new_stream();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(start(*engine, 2, static_cast<float>(10 * i), first));
    calls.push_back(start(*engine, 2, static_cast<float>(10 * i + 5), second));
  }
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
  EXPECT_EQ(engine->contexts_created(), 2u);
}

TEST_F(GpuEngineTest, EnginesGoWithoutSpoilingARecording) {
  const int before = testing::FakeDevice::destroyed_inside_recordings;
  {
    const auto engine = make();
    EXPECT_TRUE(runs_right(*engine, 2, 1, gpu->new_stream()));
    void* const stream = gpu->new_stream();
    gpu->begin_recording(stream);
    const auto recorded = start(*engine, 2, 1, stream);  // keeps a context
    gpu->end_recording(stream);
  }
  EXPECT_EQ(testing::FakeDevice::destroyed_inside_recordings, before);
}

TEST_F(GpuEngineTest, TheThreadsDeviceSurvivesEnginesOfOtherDevices) {
  auto engine = make();
  std::vector<std::unique_ptr<Call>> calls;
  for (const int device : {0, 1}) {
    gpu->set_current(device);
    calls.push_back(start(*engine, 2, 1, nullptr, device));
  }
  gpu->drain();
  for (const int device : {0, 1, 2}) {
    gpu->set_current(device);
    engine.reset();
    EXPECT_EQ(gpu->current(), device);
    engine = make();
    calls.push_back(start(*engine, 2, 1, nullptr, 1));
    gpu->drain();
  }
  gpu->set_current(0);
}

TEST_F(GpuEngineTest, AStreamTakesOverAContextThatIsDone) {
  const auto engine = make();
  EXPECT_TRUE(runs_right(*engine, 2, 1, gpu->new_stream()));
  EXPECT_TRUE(runs_right(*engine, 2, 2, gpu->new_stream()));
  EXPECT_EQ(engine->contexts_created(), 1u);
}

TEST_F(GpuEngineTest, BeyondTheLimitStreamsWaitForEachOther) {
  const auto engine = make();
  std::vector<std::unique_ptr<Call>> calls;
  for (std::size_t i = 0; i < 3 * ContextPool::kMaxWaiting; ++i) {
    calls.push_back(start(*engine, 2, static_cast<float>(i), gpu->new_stream()));
  }
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
  EXPECT_EQ(engine->contexts_created(), ContextPool::kMaxWaiting);
  EXPECT_EQ(gpu->waits, static_cast<int>(2 * ContextPool::kMaxWaiting));
}

TEST_F(GpuEngineTest, AFailedCallWaitsBeforeItsContextGoes) {
  const auto engine = make({.properties = {{"operation", "fail"}}});
  expect_error(ErrorCode::kInternal, "as it was told to", [&] { start(*engine, 2, 1); });
  EXPECT_EQ(gpu->synchronizations, 1) << "the first step was in flight and uses the context's memory";
}

TEST_F(GpuEngineTest, EnginesThatMustNotBeRecordedRunPlainly) {
  const auto engine = make({.properties = {{"operation", "add"}, {"recordable", "false"}}});
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  for (int call = 0; call < 3; ++call) EXPECT_TRUE(runs_right(*engine, 2, static_cast<float>(call)));
  EXPECT_EQ(gpu->launches, 0);
}

TEST_F(GpuEngineTest, RecordedByTheCaller) {
  // The context belongs to that recording: no later call may use its scratch memory.
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  void* const stream = gpu->new_stream();
  EXPECT_TRUE(runs_right(*engine, 2, 1, stream));
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 1, stream);
  gpu->end_recording(stream);
  EXPECT_EQ(engine->contexts_created(), 1u) << "the one that is warm and done";
  EXPECT_EQ(gpu->launches, 0) << "a graph is not launched into another recording";
  EXPECT_TRUE(runs_right(*engine, 2, 3, stream));
  EXPECT_EQ(engine->contexts_created(), 2u);
  EXPECT_TRUE(runs_right(*engine, 2, 4, stream));
  EXPECT_EQ(engine->contexts_created(), 2u);
}

TEST_F(GpuEngineTest, ContextsOfRecordingsThatAreGoneAreUsedAgain) {
  const auto engine = make();
  void* const stream = gpu->new_stream();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 5; ++i) {
    gpu->begin_recording(stream);
    for (int j = 0; j < 2; ++j) calls.push_back(start(*engine, 2, 1, stream));
    gpu->end_recording(stream);
    gpu->destroy_recordings();
  }
  EXPECT_EQ(engine->contexts_created(), 2u);
  EXPECT_TRUE(runs_right(*engine, 2, 3, stream));
  EXPECT_EQ(engine->contexts_created(), 2u);
}

TEST_F(GpuEngineTest, ARecordingOfTheCallersTakesNoContextInFlight) {
  const auto engine = make();
  void* const stream = gpu->new_stream();
  const auto pending = start(*engine, 2, 1, stream);
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 5, stream);
  gpu->end_recording(stream);
  EXPECT_EQ(engine->contexts_created(), 2u);
  EXPECT_EQ(gpu->waits, 0) << "the recording would hold the wait";
}

TEST_F(GpuEngineTest, AnEngineThatGoesWaitsForItsCalls) {
  auto engine = make();
  const auto call = start(*engine, 2, 1, gpu->new_stream());
  engine.reset();
  gpu->drain();
  EXPECT_TRUE(call->right()) << "the context's memory was in use";
}

TEST_F(GpuEngineTest, ATargetNamesItsModule) {
  testing::FakeEngineState state = fake_engine({.properties = {{"operation", "add"}, {"module", "fake"}}});
  state.metadata.targets[0].backend = "tensorrt";
  const AlignedBytes bytes(state.payload);
  Engine engine(state.text(), bytes.span(), bytes.owner());
  EXPECT_TRUE(runs_right(engine, 2, 1));
  state.metadata.targets[0].properties["module"] = "../fake";
  Engine damaged(state.text(), bytes.span(), bytes.owner());
  expect_error(ErrorCode::kDataLoss, "\"../fake\" is not the name of a backend", [&] { start(damaged, 2, 1); });
}

// --- memory for a run --------------------------------------------------------------------------------------------------

TEST_F(GpuEngineTest, BorrowedMemoryIsReusedBehindTheWork) {
  const auto engine = make({.properties = {{"operation", "borrow"}}});
  void* const first = gpu->new_stream();
  void* const second = gpu->new_stream();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(start(*engine, 2, static_cast<float>(10 * i), first));
    calls.push_back(start(*engine, 1 + i, static_cast<float>(10 * i + 5), second));
  }
  EXPECT_EQ(gpu->live_allocations(), 0u) << "PyTorch has it back before the work is done";
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
}

TEST_F(GpuEngineTest, GraphsShareBorrowedMemoryAndKeepIt) {
  const auto engine = make({.properties = {{"operation", "borrow"}}});
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  void* const stream = gpu->new_stream();
  for (const std::int64_t batch : {4, 3, 2, 5}) EXPECT_TRUE(runs_right(*engine, batch, 1, stream));
  // Inputs and outputs of four graphs; memory that the first three share, and more of it for the fourth.
  EXPECT_EQ(gpu->live_allocations(), 8u + 2u);
  void* const other = gpu->new_stream();
  for (const std::int64_t batch : {5, 2, 4}) EXPECT_TRUE(runs_right(*engine, batch, 2, other));
  EXPECT_EQ(gpu->launches, 3);
  std::vector<std::unique_ptr<Call>> calls;  // in flight on two streams: two contexts
  for (int i = 0; i < 12; ++i) {
    calls.push_back(start(*engine, 2 + i % 4, static_cast<float>(i), i % 3 == 0 ? other : stream));
  }
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
  EXPECT_EQ(engine->contexts_created(), 2u);
}

TEST_F(GpuEngineTest, ACallersRecordingKeepsBorrowedMemory) {
  const auto engine = make({.properties = {{"operation", "borrow"}}});
  void* const stream = gpu->new_stream();
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 1, stream);
  gpu->end_recording(stream);
  EXPECT_EQ(gpu->live_allocations(), 1u);
  EXPECT_TRUE(runs_right(*engine, 2, 3, stream));
  EXPECT_EQ(gpu->live_allocations(), 1u);
  gpu->destroy_recordings();
  EXPECT_TRUE(runs_right(*engine, 2, 3, stream));
  EXPECT_EQ(gpu->live_allocations(), 0u);
}

TEST_F(GpuEngineTest, ReplaysWriteWhatWasOnTheHostWhenTheyWereRecorded) {
  const auto engine = make({.properties = {{"operation", "write"}}});
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  for (const std::int64_t batch : {4, 2, 4, 2}) {
    const auto call = start(*engine, batch, 1);
    gpu->drain();
    EXPECT_EQ(call->output, std::vector<float>(call->input.size(), static_cast<float>(batch)));
  }
  EXPECT_EQ(gpu->launches, 2);
  EXPECT_EQ(engine->contexts_created(), 1u) << "whose host memory both shapes used";
}

TEST_F(GpuEngineTest, ACallersRecordingKeepsWhatWasOnTheHost) {
  std::vector<std::shared_ptr<void>> kept;
  float from[2]{1, 2}, to[2]{};
  const auto graph = gpu->capture(0, [&](GraphRecording& recording) {
    CallServices(*gpu, 0, recording.stream(), &kept).write(to, from, sizeof(from));
  });
  from[0] = from[1] = -1;
  graph->launch(nullptr);
  gpu->drain();
  EXPECT_EQ(to[0], 1);
  EXPECT_EQ(to[1], 2);
  EXPECT_EQ(kept.size(), 1u);
}

TEST_F(GpuEngineTest, EnginesOfAThreadShareScratchMemory) {
  const auto small = make({.name = "small", .properties = {{"operation", "scratch"}}});
  const auto large = make({.name = "large", .properties = {{"operation", "scratch"}}});
  void* const first = gpu->new_stream();
  void* const second = gpu->new_stream();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 12; ++i) {
    for (void* const stream : {first, second}) {
      calls.push_back(start(*small, 1 + i % 3, static_cast<float>(10 * i), stream));
      calls.push_back(start(*large, 4 + i % 5, static_cast<float>(10 * i + 5), stream));
    }
  }
  EXPECT_EQ(gpu->live_allocations(), 2u) << "one for each stream";
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
  release_scratch();
  EXPECT_EQ(gpu->live_allocations(), 0u);
}

TEST_F(GpuEngineTest, ThreadsOnOneStreamHaveTheirOwnScratchMemory) {
  // Another thread's work may come between the steps of a run.
  const auto engine = make({.properties = {{"operation", "scratch"}}});
  void* const stream = gpu->new_stream();
  std::vector<std::unique_ptr<Call>> calls(2);
  calls[0] = start(*engine, 3, 1, stream);
  void* other = nullptr;
  std::thread([&] {
    calls[1] = start(*engine, 3, 5, stream);
    EXPECT_EQ(gpu->live_allocations(), 2u);
    other = scratch_of_thread(*gpu, 0, stream, 1);
  }).join();
  EXPECT_EQ(gpu->live_allocations(), 1u) << "a thread that ends gives back";
  EXPECT_NE(other, scratch_of_thread(*gpu, 0, stream, 1));
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
}

TEST_F(GpuEngineTest, OfManyStreamsTheLastKeepScratchMemory) {
  const auto engine = make({.properties = {{"operation", "scratch"}}});
  std::vector<void*> streams;
  for (std::size_t i = 0; i < kScratchStreams + 4; ++i) streams.push_back(gpu->new_stream());
  std::vector<std::unique_ptr<Call>> calls;
  for (int round = 0; round < 3; ++round) {
    for (void* const stream : streams) calls.push_back(start(*engine, 2, static_cast<float>(round), stream));
  }
  EXPECT_EQ(gpu->live_allocations(), kScratchStreams);
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
}

TEST_F(GpuEngineTest, RecordingsHaveTheirOwnScratchMemory) {
  const auto engine = make({.properties = {{"operation", "scratch"}}});
  void* const stream = gpu->new_stream();
  EXPECT_TRUE(runs_right(*engine, 3, 1, stream));
  EXPECT_EQ(gpu->live_allocations(), 1u);
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 1, stream);
  gpu->end_recording(stream);
  EXPECT_EQ(gpu->live_allocations(), 2u) << "the caller's recording is replayed at any time";
  gpu->destroy_recordings();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_TRUE(runs_right(*engine, 3, 2, stream));
  EXPECT_EQ(gpu->live_allocations(), 4u) << "an input, an output, and what the graph alone writes";
  void* const other = gpu->new_stream();
  const auto plain = make({.name = "plain", .properties = {{"operation", "scratch"}}});
  const std::vector<EngineHandle> handles{EngineHandle(plain)};
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(start(*engine, 3, static_cast<float>(i), other));
    set_cudagraphs_mode(CudaGraphsMode::kStandard);
    calls.push_back(start(*plain, 3, static_cast<float>(10 * i), stream));
    set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  }
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
}

// --- measuring layers, runtime settings ----------------------------------------------------------------------------------

TEST_F(GpuEngineTest, CallsThatAreMeasuredUseNoGraphs) {
  const auto engine = make();
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  {
    const Profiler profiler(handles);
    for (int call = 0; call < 3; ++call) EXPECT_TRUE(runs_right(*engine, 2, 2));
    EXPECT_EQ(gpu->launches, 0);
    EXPECT_EQ(profiler.result()[0].layers[0].calls, 3);
  }
  EXPECT_TRUE(runs_right(*engine, 2, 3));
  EXPECT_TRUE(runs_right(*engine, 2, 4));
  EXPECT_EQ(gpu->launches, 1) << "recorded anew, and replayed";
}

TEST_F(GpuEngineTest, CallsInACallersRecordingAreNotMeasured) {
  const auto engine = make();
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  const Profiler profiler(handles);
  void* const stream = gpu->new_stream();
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 1, stream);
  gpu->end_recording(stream);
  EXPECT_TRUE(profiler.result()[0].layers.empty());
}

TEST_F(GpuEngineTest, RuntimeSettingsMakeContextsAndGraphsAnew) {
  const auto engine = make({.properties = {{"operation", "add"}, {"settings", ""}}});
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  void* const stream = gpu->new_stream();
  EXPECT_TRUE(start_and_check(*engine, 1.5F, stream));
  EXPECT_TRUE(start_and_check(*engine, 1.5F, stream));
  const auto pending = start(*engine, 3, 1, gpu->new_stream());
  {
    const ModeScope eager =
        scoped_runtime_settings(handles, {.dynamic_shapes_kernel_specialization = KernelSpecialization::kEager});
    for (int call = 0; call < 2; ++call) EXPECT_TRUE(start_and_check(*engine, 20, stream));
    EXPECT_EQ(runtime_settings(handles[0]).dynamic_shapes_kernel_specialization, KernelSpecialization::kEager);
  }
  for (int call = 0; call < 2; ++call) EXPECT_TRUE(start_and_check(*engine, 10, stream));
  EXPECT_EQ(runtime_settings(handles[0]), RuntimeSettings{});
  EXPECT_TRUE(pending->right()) << "its context went when its work was done";
  EXPECT_EQ(gpu->captures, 4);
}

TEST_F(GpuEngineTest, RuntimeSettingsReachEnginesThatAreLoadedLater) {
  const auto engine = make({.properties = {{"operation", "add"}, {"settings", ""}}});
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  set_runtime_settings(handles, {.dynamic_shapes_kernel_specialization = KernelSpecialization::kNone});
  EXPECT_TRUE(start_and_check(*engine, 30, nullptr));
}

TEST_F(GpuEngineTest, AContextInACallersRecordingKeepsItsSettings) {
  const auto engine = make({.properties = {{"operation", "add"}, {"settings", ""}}});
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  void* const stream = gpu->new_stream();
  gpu->begin_recording(stream);
  const auto recorded = start(*engine, 2, 1, stream);
  gpu->end_recording(stream);
  set_runtime_settings(handles, {.dynamic_shapes_kernel_specialization = KernelSpecialization::kNone});
  gpu->destroy_recordings();
  EXPECT_TRUE(start_and_check(*engine, 30, stream)) << "the context of the recording is not used for calls";
  EXPECT_EQ(engine->contexts_created(), 2u);
}

TEST_F(GpuEngineTest, RuntimeSettingsOfOtherBackendsAreSaidOnce) {
  LogLines lines;
  const auto engine = make();
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  set_runtime_settings(handles, {.cuda_graph_strategy = CudaGraphStrategy::kWholeGraphCapture});
  set_runtime_settings(handles, {.runtime_cache = "cache"});
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  EXPECT_EQ(engine->contexts_created(), 1u);
  EXPECT_EQ(lines.count(LogLevel::kInfo, "are of TensorRT-RTX only; they change nothing here"), 1);
  expect_error(ErrorCode::kInvalidArgument, "0 (lazily), 1 (eagerly) or 2 (never), not 3", [&] {
    set_runtime_settings(handles, {.dynamic_shapes_kernel_specialization = static_cast<KernelSpecialization>(3)});
  });
  expect_error(ErrorCode::kInvalidArgument, "0 (disabled) or 1 (whole-graph capture), not -1",
               [&] { set_runtime_settings(handles, {.cuda_graph_strategy = static_cast<CudaGraphStrategy>(-1)}); });
}

// --- CUDA graphs -------------------------------------------------------------------------------------------------------

TEST_F(GpuEngineTest, NewShapesRecordKnownShapesReplay) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  for (int round = 0; round < 3; ++round) {
    for (std::int64_t batch = 1; batch <= 4; ++batch) {
      EXPECT_TRUE(runs_right(*engine, batch, static_cast<float>(100 * round)));
    }
  }
  EXPECT_EQ(gpu->captures, 4) << "one for each shape, also when shapes alternate";
  EXPECT_EQ(gpu->launches, 8);
}

TEST_F(GpuEngineTest, ReplaysReadEachCallsOwnInputs) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(start(*engine, 2, static_cast<float>(10 * i)));
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right()) << "tensors of earlier calls stay as they are";
}

TEST_F(GpuEngineTest, ReplaysOfCallsInFlightKeepTheirAddresses) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_TRUE(runs_right(*engine, 4, 0));
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(start(*engine, 4, static_cast<float>(7 * i)));
  gpu->drain();
  for (const auto& call : calls) EXPECT_TRUE(call->right());
  EXPECT_EQ(gpu->launches, 10);
  EXPECT_EQ(engine->contexts_created(), 1u);
}

TEST_F(GpuEngineTest, MemoryThatAGraphCannotCopyIsRecordedAnew) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  std::vector<std::unique_ptr<Call>> calls;  // all are kept: each has its own addresses
  for (const bool refusing : {false, true, false}) {
    gpu->refuse_copies(refusing);
    calls.push_back(start(*engine, 4, static_cast<float>(calls.size())));
    gpu->drain();
    EXPECT_TRUE(calls.back()->right());
  }
  EXPECT_EQ(gpu->launches, 1);
  EXPECT_EQ(gpu->captures, 2);
}

TEST_F(GpuEngineTest, TheLeastRecentlyUsedGraphMakesRoom) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  for (std::int64_t batch = 1; batch <= 8; ++batch) EXPECT_TRUE(runs_right(*engine, batch, 1));
  EXPECT_TRUE(runs_right(*engine, 1, 2));  // shape 1 is used again, so shape 2 is the oldest
  EXPECT_TRUE(runs_right(*engine, 9, 3));
  EXPECT_EQ(gpu->captures, 9);
  EXPECT_EQ(gpu->live_allocations(), 16u) << "the evicted graph's memory is released";
  EXPECT_TRUE(runs_right(*engine, 1, 4));
  EXPECT_EQ(gpu->captures, 9);
  EXPECT_TRUE(runs_right(*engine, 2, 5));
  EXPECT_EQ(gpu->captures, 10);
}

TEST_F(GpuEngineTest, AnEvictedGraphMayStillRun) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  void* const other = gpu->new_stream();
  EXPECT_TRUE(runs_right(*engine, 1, 1));  // memory made for the legacy stream
  const auto pending = start(*engine, 1, 7, other);
  std::vector<std::unique_ptr<Call>> calls;
  for (std::int64_t batch = 2; batch <= 12; ++batch) calls.push_back(start(*engine, batch, 1, other));
  gpu->drain();
  EXPECT_TRUE(pending->right());
  for (const auto& call : calls) EXPECT_TRUE(call->right());
}

TEST_F(GpuEngineTest, GraphsFollowTheCallersStream) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  void* const first = gpu->new_stream();
  void* const second = gpu->new_stream();
  EXPECT_TRUE(runs_right(*engine, 2, 1, first));
  EXPECT_TRUE(runs_right(*engine, 2, 2, second));
  EXPECT_TRUE(runs_right(*engine, 2, 3, testing::FakeDevice::kLegacyStream));
  EXPECT_EQ(gpu->captures, 1) << "a graph is launched on any stream";
  EXPECT_EQ(gpu->launch_streams, (std::vector<void*>{second, testing::FakeDevice::kLegacyStream}));
}

TEST_F(GpuEngineTest, ChangesInvalidateGraphs) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  engine->invalidate_graphs();
  EXPECT_TRUE(runs_right(*engine, 2, 2));
  EXPECT_EQ(gpu->captures, 2);
  EXPECT_TRUE(runs_right(*engine, 2, 3));
  EXPECT_EQ(gpu->captures, 2);
}

TEST_F(GpuEngineTest, TurningGraphsOffReleasesThem) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  EXPECT_GT(gpu->live_allocations(), 0u);
  set_cudagraphs_mode(CudaGraphsMode::kStandard);
  EXPECT_TRUE(runs_right(*engine, 2, 2));
  EXPECT_EQ(gpu->live_allocations(), 0u);
  EXPECT_EQ(gpu->launches, 0);
}

TEST_F(GpuEngineTest, WholeGraphModeLeavesEnginesPlain) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kWholeGraph);
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  EXPECT_TRUE(runs_right(*engine, 2, 2));
  EXPECT_EQ(gpu->captures, 0);
}

TEST_F(GpuEngineTest, FailedRecordingFallsBackOnceWithAWarning) {
  LogLines log;
  const auto engine = make({.name = "syncs", .properties = {{"operation", "host_sync"}}});
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_TRUE(runs_right(*engine, 1, 1)) << "the plain run before the recording is the answer";
  EXPECT_EQ(log.count(LogLevel::kWarning, "\"syncs\" cannot be recorded into a CUDA graph"), 1);
}

TEST_F(GpuEngineTest, FailedRecordingInTheDriver) {
  LogLines log;
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  gpu->fail_captures(true);
  for (std::int64_t batch = 1; batch <= 3; ++batch) EXPECT_TRUE(runs_right(*engine, batch, 1));
  EXPECT_EQ(log.count(LogLevel::kWarning, "stream is capturing"), 1);
  EXPECT_EQ(gpu->captures, 0);
  EXPECT_EQ(gpu->live_allocations(), 0u);
  gpu->fail_captures(false);
  EXPECT_TRUE(runs_right(*engine, 1, 1));
  EXPECT_EQ(gpu->captures, 0) << "not tried again by itself";
  engine->invalidate_graphs();
  EXPECT_TRUE(runs_right(*engine, 1, 1));
  EXPECT_EQ(gpu->captures, 1);
}

TEST_F(GpuEngineTest, ThreadsOnTheirStreamsWithGraphs) {
  const auto engine = make();
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  std::vector<std::vector<std::unique_ptr<Call>>> calls(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < calls.size(); ++t) {
    threads.emplace_back([&, t, stream = gpu->new_stream()] {
      for (int i = 0; i < 50; ++i) {
        calls[t].push_back(start(*engine, 1 + (i + static_cast<int>(t)) % 10, static_cast<float>(100 * t), stream));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  gpu->drain();
  for (const auto& of_thread : calls) {
    for (const auto& call : of_thread) EXPECT_TRUE(call->right());
  }
}

// Eight threads on one engine and on many of their own choice, with changing shapes, modes and streams.
TEST_F(GpuEngineTest, ManyThreadsOnManyEnginesWithChangingModes) {
  constexpr std::size_t kThreads = 8;
  constexpr int kCalls = 60;
  std::vector<std::shared_ptr<Engine>> engines;
  for (int i = 0; i < 4; ++i) {
    engines.push_back(
        make({.name = "engine" + std::to_string(i), .properties = {{"operation", i % 2 == 0 ? "add" : "borrow"}}}));
  }
  std::vector<std::vector<std::unique_ptr<Call>>> calls(kThreads);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t, own = gpu->new_stream(), other = gpu->new_stream()] {
      std::minstd_rand dice(static_cast<std::uint32_t>(t + 1));
      for (int i = 0; i < kCalls; ++i) {
        const auto& engine = engines[t < kThreads / 2 ? 0 : dice() % engines.size()];
        ModeScope scope;
        switch (dice() % 6) {
          case 0: scope = scoped_cudagraphs_mode(CudaGraphsMode::kSubgraph); break;
          case 1: scope = enable_cudagraphs(std::vector{EngineHandle(engine)}); break;
          case 2: scope = enable_pre_allocated_outputs(std::vector{EngineHandle(engine)}); break;
          case 3: scope = scoped_multi_device_safe_mode(true); break;
          case 4: engine->invalidate_graphs(); break;
          default: break;
        }
        const auto batch = static_cast<std::int64_t>(1 + dice() % 10);
        calls[t].push_back(start(*engine, batch, static_cast<float>(100 * t + i), dice() % 4 == 0 ? other : own));
        if (dice() % 16 == 0) gpu->drain();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  gpu->drain();
  for (const auto& of_thread : calls) {
    ASSERT_EQ(of_thread.size(), static_cast<std::size_t>(kCalls));
    for (const auto& call : of_thread) EXPECT_TRUE(call->right());
  }
}

// --- modes of single engines -------------------------------------------------------------------------------------------

TEST_F(GpuEngineTest, ScopesNestOverlapAndEndInAnyOrder) {
  const auto engine = make();
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  ModeScope first = enable_cudagraphs(handles);
  ModeScope second = enable_cudagraphs(handles);
  first = ModeScope();
  EXPECT_TRUE(engine->is_on(EngineMode::kCudaGraphs));
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  EXPECT_EQ(gpu->captures, 1);
  second = ModeScope();
  EXPECT_FALSE(engine->is_on(EngineMode::kCudaGraphs));
  try {
    const ModeScope scope = enable_pre_allocated_outputs(handles);
    EXPECT_TRUE(engine->call_modes().pre_allocated_outputs);
    throw 1;
  } catch (int) {
  }
  EXPECT_FALSE(engine->call_modes().pre_allocated_outputs);
}

TEST_F(GpuEngineTest, OptimizationProfiles) {
  const auto engine = make({.properties = {{"operation", "profile"}, {"profiles", "3"}}});
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  EXPECT_EQ(handles[0].optimization_profile_count(), 3);
  const auto runs_with = [&](int profile) {
    const auto call = start(*engine, 2, 1);
    gpu->drain();
    return call->right(1.5F + static_cast<float>(profile));
  };
  EXPECT_TRUE(runs_with(-1));
  {
    ModeScope first = optimization_profile(handles, 2);
    EXPECT_TRUE(runs_with(2));
    ModeScope second = optimization_profile(handles, 1);
    EXPECT_TRUE(runs_with(1));
    {
      const ModeScope automatic = optimization_profile(handles, std::nullopt);
      EXPECT_TRUE(runs_with(-1));
    }
    EXPECT_TRUE(runs_with(1));
    first = ModeScope();
    EXPECT_TRUE(runs_with(1)) << "scopes may end in any order";
    second = ModeScope();
    EXPECT_TRUE(runs_with(-1));
    second = optimization_profile(handles, 0);
    EXPECT_TRUE(runs_with(0));
  }
  EXPECT_TRUE(runs_with(-1));
}

TEST_F(GpuEngineTest, GraphsOfOtherProfilesAreNotReplayed) {
  const auto engine = make({.properties = {{"operation", "profile"}, {"profiles", "2"}}});
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  for (int round = 0; round < 2; ++round) {
    for (int profile = 0; profile < 2; ++profile) {
      const ModeScope scope = optimization_profile(handles, profile);
      const auto call = start(*engine, 2, static_cast<float>(round));
      gpu->drain();
      EXPECT_TRUE(call->right(1.5F + static_cast<float>(profile)));
    }
  }
  EXPECT_EQ(gpu->captures, 2);
  EXPECT_EQ(gpu->launches, 2);
}

TEST_F(GpuEngineTest, ProfilesThatThereAreNot) {
  const auto three = make({.name = "three", .properties = {{"operation", "profile"}, {"profiles", "3"}}});
  const auto two = make({.name = "two", .properties = {{"operation", "profile"}, {"profiles", "2"}}});
  const auto one = make({.name = "one", .properties = {{"operation", "profile"}}});
  const auto fails = [](std::vector<std::shared_ptr<Engine>> engines, int profile, const std::string& text) {
    std::vector<EngineHandle> handles;
    for (const auto& engine : engines) handles.emplace_back(engine);
    expect_error(ErrorCode::kInvalidArgument, text, [&] { auto scope = optimization_profile(handles, profile); });
    for (const auto& engine : engines) EXPECT_EQ(engine->profile().current(), -1) << "nothing is left open";
  };
  fails({three}, 3, "there is no optimization profile 3: engine \"three\" has 0 to 2");
  fails({three}, -1, "there is no optimization profile -1");
  fails({three, two}, 2, "engine \"two\" has 0 to 1");
  fails({one}, 1, "engine \"one\" has one, number 0");
  const ModeScope scope = optimization_profile(std::vector{EngineHandle(three), EngineHandle(one)}, 2);
  EXPECT_EQ(three->profile().current(), 2);
  EXPECT_EQ(one->profile().current(), -1) << "it has one";
  const ModeScope nothing = optimization_profile(std::vector{EngineHandle(one)}, 0);
  const auto call = start(*one, 2, 1);
  gpu->drain();
  EXPECT_TRUE(call->right(0.5F)) << "automatic, which is -1";
}

TEST_F(GpuEngineTest, GraphsOfOneEngineLeaveOthersAlone) {
  const auto recorded = make({.name = "recorded"}), plain = make({.name = "plain"});
  const ModeScope scope = enable_cudagraphs(std::vector{EngineHandle(recorded)});
  EXPECT_TRUE(runs_right(*recorded, 2, 1));
  EXPECT_TRUE(runs_right(*plain, 2, 1));
  EXPECT_EQ(gpu->captures, 1);
}

TEST_F(GpuEngineTest, AllocatorAndGraphsExclude) {
  LogLines log;
  const auto engine = make({.name = "needs", .requires_output_allocator = true});
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  expect_error(ErrorCode::kIncompatibleMode, kRequiresAllocatorAndGraphs, [&] { auto s = enable_cudagraphs(handles); });
  EXPECT_TRUE(runs_right(*engine, 2, 1));
  EXPECT_TRUE(runs_right(*engine, 2, 2));
  EXPECT_EQ(log.count(LogLevel::kInfo, "allocates its outputs while it runs"), 1) << "said once";
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  expect_error(ErrorCode::kIncompatibleMode, kRequiresAllocatorAndGraphs, [&] { start(*engine, 2, 1); });
  EXPECT_EQ(engine->contexts_created(), 1u);

  const auto ordinary = make();
  {
    const ModeScope scope = enable_output_allocator(std::vector{EngineHandle(ordinary)});
    expect_error(ErrorCode::kIncompatibleMode, kAllocatorAndGraphs, [&] { start(*ordinary, 2, 1); });
  }
  EXPECT_TRUE(runs_right(*ordinary, 2, 1));
}

TEST_F(GpuEngineTest, TheAllocatorWinsOverPreAllocation) {
  const auto engine = make();
  const std::vector<EngineHandle> handles{EngineHandle(engine)};
  const ModeScope allocator = enable_output_allocator(handles), ahead = enable_pre_allocated_outputs(handles);
  EXPECT_TRUE(engine->call_modes().output_allocator);
  EXPECT_FALSE(engine->call_modes().pre_allocated_outputs);
}

// --- devices -----------------------------------------------------------------------------------------------------------

TEST_F(GpuEngineTest, TheCallersDeviceIsRestored) {
  const auto engine = make();
  gpu->set_current(2);
  const auto call = start(*engine, 2, 1, nullptr, 1);
  EXPECT_EQ(gpu->current(), 2);
  gpu->drain();
  EXPECT_TRUE(call->right());
  expect_error(ErrorCode::kOutOfRange, "outside the range", [&] { start(*engine, 33, 1, nullptr, 1); });
  EXPECT_EQ(gpu->current(), 2) << "also by an error";
  gpu->set_current(0);
}

TEST_F(GpuEngineTest, WithoutSafeModeNothingIsPlaced) {
  const auto engine = make();
  EXPECT_FALSE(engine->place(std::vector<DLDevice>{{kDLCUDA, 1}}).has_value());
}

TEST_F(GpuEngineTest, SafeModeKeepsAnEngineOnItsDevice) {
  LogLines log;
  const auto engine = make({.name = "placed"});
  const ModeScope scope = scoped_multi_device_safe_mode(true);
  const auto call = start(*engine, 2, 1, nullptr, 1);  // loads it on cuda:1
  gpu->drain();
  const std::optional<Placement> same = engine->place(std::vector<DLDevice>{{kDLCUDA, 1}});
  ASSERT_TRUE(same.has_value());
  EXPECT_EQ(same->device.device_id, 1);
  EXPECT_FALSE(same->moves_inputs);
  const std::optional<Placement> other = engine->place(std::vector<DLDevice>{{kDLCUDA, 2}});
  EXPECT_EQ(other->device.device_id, 1);
  EXPECT_TRUE(other->moves_inputs);
  EXPECT_TRUE(engine->place(std::vector<DLDevice>{{kDLCPU, 0}})->moves_inputs);
  EXPECT_EQ(
      log.count(LogLevel::kWarning, "engine \"placed\" runs on cuda:1, but the calling thread's device is cuda:0"), 1)
      << "one warning for the engine";
}

/// Of an engine that takes `inputs` and has these targets. It is not loaded.
DLDevice default_device(std::vector<format::InputSpec> inputs, const std::vector<std::string>& targets,
                        const std::string& compiled_for) {
  testing::FakeEngineState state = fake_engine({.output = {2, 3}, .device = compiled_for});
  const format::TargetSpec target = state.metadata.targets[0];
  state.metadata.targets.clear();
  for (const std::string& name : targets) {
    state.metadata.targets.push_back(target);
    state.metadata.targets.back().backend = name;
  }
  if (inputs.empty()) state.metadata.symbols.clear();
  state.metadata.inputs = std::move(inputs);
  const AlignedBytes bytes(state.payload);
  const Engine engine(state.text(), bytes.span(), bytes.owner());
  EXPECT_FALSE(engine.has_bound_inputs());
  return engine.default_device();
}

TEST_F(GpuEngineTest, WithoutInputsCallsRunOnTheThreadsGpu) {
  const format::InputSpec size{"s0", DataType::kInt64, {}, "batch", std::nullopt};
  gpu->set_current(1);
  for (const std::vector<format::InputSpec>& inputs : {std::vector<format::InputSpec>{}, {size}}) {
    const DLDevice on_gpu = default_device(inputs, {"tensorrt"}, "cuda");
    EXPECT_EQ(on_gpu.device_type, kDLCUDA);
    EXPECT_EQ(on_gpu.device_id, 1);
    EXPECT_EQ(default_device(inputs, {"openvino"}, "cpu").device_type, kDLCPU);
    EXPECT_EQ(default_device(inputs, {"tensorrt", "openvino"}, "cuda").device_type, kDLCUDA);
    EXPECT_EQ(default_device(inputs, {"tensorrt", "openvino"}, "cpu").device_type, kDLCPU);
  }
  gpu->set_current(0);
  EXPECT_TRUE(make()->has_bound_inputs());
}

TEST(EngineWithoutInputs, RunsOnTheCpuWhereThereIsNoGpu) {
  EXPECT_EQ(default_device({}, {"tensorrt", "openvino"}, "cuda").device_type, kDLCPU);
  EXPECT_EQ(default_device({}, {"tensorrt"}, "cuda").device_type, kDLCUDA) << "loading says why it cannot";
}

TEST_F(GpuEngineTest, AnEngineOnTheCpuIsNotPlaced) {
  const testing::FakeEngineState state = fake_engine();
  const AlignedBytes bytes(state.payload);
  Engine engine(state.text(), bytes.span(), bytes.owner());
  const ModeScope scope = scoped_multi_device_safe_mode(true);
  EXPECT_FALSE(engine.place(std::vector<DLDevice>{{kDLCPU, 0}}).has_value());
}

TEST_F(GpuEngineTest, Placement) {
  const auto place = [&](std::optional<int> home, const std::vector<DLDevice>& inputs) {
    return place_safely(*gpu, home, inputs);
  };
  EXPECT_EQ(place(std::nullopt, {{kDLCPU, 0}, {kDLCUDA, 2}}).device.device_id, 2) << "where its first CUDA input is";
  EXPECT_EQ(place(std::nullopt, {{kDLCPU, 0}}).device.device_id, 0) << "the thread's";
  EXPECT_EQ(place(0, {{kDLCUDA, 0}}).mismatch, "");
  EXPECT_EQ(place(1, {{kDLCUDA, 1}}).mismatch, "the calling thread's device is cuda:0");
  EXPECT_EQ(place(2, {{kDLCUDA, 2}}).mismatch,
            "the calling thread's device is cuda:0, a Fake GPU (compute capability 9.0)");
  EXPECT_EQ(place(0, {{kDLCUDA, 0}, {kDLCUDA, 1}}).mismatch, "input 1 is on cuda:1");
  expect_error(ErrorCode::kInvalidArgument, "sees 3 CUDA devices", [&] { place(std::nullopt, {{kDLCUDA, 5}}); });
}

TEST(DeviceApi, Missing) {
  expect_error(ErrorCode::kUnsupported, "no CUDA devices", [] { device_api(); });
}

TEST(Scopes, RestoreTheProcessDefaults) {
  {
    const ModeScope outer = scoped_multi_device_safe_mode(true);
    const ModeScope inner = scoped_multi_device_safe_mode(false);
    const ModeScope graphs = scoped_cudagraphs_mode(CudaGraphsMode::kSubgraph);
    EXPECT_FALSE(multi_device_safe_mode());
  }
  EXPECT_FALSE(multi_device_safe_mode());
  EXPECT_EQ(cudagraphs_mode(), CudaGraphsMode::kStandard);
}

}  // namespace
}  // namespace torchtrt::runtime
