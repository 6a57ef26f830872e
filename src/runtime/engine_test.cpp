// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine.h"
#include "base/testing/expect_error.h"

#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include <torchtrt/runtime.h>

#include "runtime/executor_loader.h"
#include "runtime/settings.h"
#include "runtime/testing/fixtures.h"

namespace torchtrt::runtime {
namespace {

using testing::AlignedBytes;
using testing::fake_engine;
using testing::FakeEngineSpec;
using testing::FakeEngineState;
using torchtrt::testing::expect_error;

struct Collected {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Keeps one float output.
class VectorSink final : public backend::OutputSink {
 public:
  void* allocate(std::size_t index, std::span<const std::int64_t> shape) override {
    EXPECT_EQ(index, 0u);
    result.shape.assign(shape.begin(), shape.end());
    std::size_t count = 1;
    for (const std::int64_t dim : shape) {
      count *= static_cast<std::size_t>(dim);
    }
    result.values.resize(count);
    return result.values.data();
  }
  void adopt(std::size_t index, std::span<const std::int64_t> shape, void* data, std::shared_ptr<void>) override {
    allocate(index, shape);
    std::copy_n(static_cast<const float*>(data), result.values.size(), result.values.data());
  }
  Collected result;
};

std::unique_ptr<Engine> make(const FakeEngineState& state) {
  const AlignedBytes bytes(state.payload);
  return std::make_unique<Engine>(state.text(), bytes.span(), bytes.owner());
}

Collected run(Engine& engine, std::vector<float> values, std::vector<std::int64_t> shape,
              DLDevice device = {kDLCPU, 0}) {
  DLTensor tensor{};
  tensor.data = values.data();
  tensor.device = device;
  tensor.ndim = static_cast<std::int32_t>(shape.size());
  tensor.dtype = to_dlpack(DataType::kFloat32);
  tensor.shape = shape.data();
  VectorSink sink;
  engine.run({&tensor, 1}, sink);
  return sink.result;
}

/// Sets an environment variable for the life of the object.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) {
      old_ = old;
    }
    setenv(name, value, 1);
  }
  ~Environment() { old_ ? setenv(name_, old_->c_str(), 1) : unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

class EngineTest : public ::testing::Test {
  Environment path_{"TORCHTRT_BACKEND_PATH", "/nonexistent:" TORCHTRT_FAKE_BACKEND_PATH};
};

TEST_F(EngineTest, Runs) {
  const auto engine = make(fake_engine());
  const Collected result = run(*engine, {1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(result.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(result.values, (std::vector<float>{2.5, 3.5, 4.5, 5.5, 6.5, 7.5}));
  EXPECT_EQ(engine->infer_output_shapes(std::vector<std::vector<std::int64_t>>{{7, 3}}),
            (std::vector<std::vector<std::int64_t>>{{7, 3}}));
}

TEST_F(EngineTest, ManyShapesInTurn) {
  const auto engine = make(fake_engine());
  // More shapes than a context remembers, twice.
  for (int round = 0; round < 2; ++round) {
    for (std::int64_t batch = 1; batch <= 32; ++batch) {
      const Collected result = run(*engine, std::vector<float>(static_cast<std::size_t>(batch) * 3, 1.0F), {batch, 3});
      EXPECT_EQ(result.shape[0], batch);
    }
  }
  EXPECT_EQ(engine->contexts_created(), 1u);
}

TEST_F(EngineTest, DataDependentShape) {
  const auto engine = make(fake_engine({.properties = {{"operation", "select"}}, .output = {Expr::symbol("u0")}}));
  const Collected result = run(*engine, {-1, 2, -3, 4, -5, 6}, {2, 3});
  EXPECT_EQ(result.values, (std::vector<float>{2, 4, 6}));
  EXPECT_TRUE(run(*engine, {-1, -2, -3}, {1, 3}).values.empty());
}

TEST_F(EngineTest, BadInputLeavesItUsable) {
  const auto engine = make(fake_engine());
  expect_error(ErrorCode::kOutOfRange, "33 is outside the range [1, 32]",
               [&] { run(*engine, std::vector<float>(99), {33, 3}); });
  expect_error(ErrorCode::kInvalidArgument, R"(input "x": expected a tensor on cpu, but got one on cuda:0)",
               [&] { run(*engine, {1, 2, 3}, {1, 3}, {kDLCUDA, 0}); });
  EXPECT_EQ(run(*engine, {1, 2, 3}, {1, 3}).values, (std::vector<float>{2.5, 3.5, 4.5}));
  EXPECT_EQ(engine->contexts_created(), 1u) << "a refused input costs no context";
}

TEST_F(EngineTest, FailedRunsDropTheirContext) {
  const auto engine = make(fake_engine({.properties = {{"operation", "fail"}}}));
  for (int i = 0; i < 3; ++i) {
    expect_error(ErrorCode::kInternal, "as it was told to", [&] { run(*engine, {1, 2, 3}, {1, 3}); });
  }
  EXPECT_EQ(engine->contexts_created(), 3u);
}

TEST_F(EngineTest, LoadsAtFirstUseAndTriesAgain) {
  const auto engine =
      make(fake_engine({.name = "retried", .properties = {{"operation", "add"}, {"failing_loads", "2"}}}));
  for (int i = 0; i < 2; ++i) {
    expect_error(ErrorCode::kNotFound, "install fake", [&] { run(*engine, {1, 2, 3}, {1, 3}); });
  }
  EXPECT_EQ(run(*engine, {1, 2, 3}, {1, 3}).values, (std::vector<float>{2.5, 3.5, 4.5}));
}

TEST_F(EngineTest, DamagedPayloadNeverReachesTheBackend) {
  const FakeEngineState state = fake_engine();
  AlignedBytes bytes(state.payload);
  bytes.data()[2] ^= std::byte{16};
  Engine engine(state.text(), bytes.span(), bytes.owner());
  expect_error(ErrorCode::kDataLoss, R"(engine "engine": section "bias")", [&] { run(engine, {1, 2, 3}, {1, 3}); });
}

TEST_F(EngineTest, TruncatedPayload) {
  const FakeEngineState state = fake_engine();
  const AlignedBytes bytes(state.payload);
  expect_error(ErrorCode::kDataLoss, "sections[0]",
               [&] { Engine(state.text(), bytes.span().first(3), bytes.owner()); });
}

TEST_F(EngineTest, NoTargetForTheDevice) {
  FakeEngineState state = fake_engine();
  state.metadata.targets[0].backend = "tensorrt";
  const auto engine = make(state);
  expect_error(ErrorCode::kInvalidArgument, R"(input "x": expected a tensor on cuda:0, but got one on cpu)",
               [&] { run(*engine, {1, 2, 3}, {1, 3}); });
  expect_error(ErrorCode::kUnsupported, "cannot run on the CPU", [&] { engine->load({kDLCPU, 0}); });
  expect_error(ErrorCode::kNotFound, "libtorchtrt_tensorrt_executor.so", [&] { engine->load({kDLCUDA, 0}); });
}

TEST_F(EngineTest, MissingModuleNamesWhatToDo) {
  FakeEngineState state = fake_engine();
  state.metadata.targets[0].backend = "openvino";
  const auto engine = make(state);
  expect_error(ErrorCode::kNotFound, "openvino==", [&] { run(*engine, {1, 2, 3}, {1, 3}); });
}

TEST_F(EngineTest, ModulesThatDoNotOpenSayWhy) {
  char folder[] = "/tmp/torchtrt_modules_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::filesystem::path path = folder;
  std::ofstream(path / "libtorchtrt_junk_executor.so") << "not a library";
  // A library all right, but not a module: the runtime itself.
  Dl_info runtime{};
  ASSERT_NE(dladdr(reinterpret_cast<const void*>(&load_executor), &runtime), 0);
  std::filesystem::create_symlink(std::filesystem::absolute(runtime.dli_fname),
                                  path / "libtorchtrt_foreign_executor.so");
  const Environment search("TORCHTRT_BACKEND_PATH", folder);
  expect_error(ErrorCode::kNotFound, "libtorchtrt_junk_executor.so", [] { load_executor("junk"); });
  expect_error(ErrorCode::kVersionMismatch, "not a module of this release", [] { load_executor("foreign"); });
  std::filesystem::remove_all(path);
}

TEST_F(EngineTest, BackendNamesAreNotPaths) {
  expect_error(ErrorCode::kDataLoss, "not the name of a backend", [] { load_executor("../../tmp/evil"); });
  expect_error(ErrorCode::kDataLoss, "not the name of a backend", [] { load_executor(""); });
}

TEST_F(EngineTest, ThreadsRunAtTheSameTime) {
  // Each call waits inside the backend until all eight are there: a lock of ours would make them give up.
  const auto engine =
      make(fake_engine({.name = "together", .properties = {{"operation", "rendezvous"}, {"parties", "8"}}}));
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto value = static_cast<float>(i);
      right += run(*engine, {value, value, value}, {1, 3}).values == std::vector<float>(3, value + 1.5F) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(right, 8);
  EXPECT_EQ(engine->contexts_created(), 8u);
}

TEST_F(EngineTest, ManyThreadsManyShapes) {
  const auto engine = make(fake_engine());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int call = 0; call < 500; ++call) {
        const std::int64_t batch = 1 + (call * 7 + i) % 32;
        const auto value = static_cast<float>(call);
        const std::size_t count = static_cast<std::size_t>(batch) * 3;
        wrong +=
            run(*engine, std::vector<float>(count, value), {batch, 3}).values == std::vector<float>(count, value + 1.5F)
                ? 0
                : 1;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(engine->contexts_created(), 8u);
}

TEST_F(EngineTest, ConcurrentFirstUseLoadsOnce) {
  const auto engine = make(fake_engine({.name = "once", .properties = {{"operation", "add"}, {"single_load", ""}}}));
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { right += run(*engine, {1, 2, 3}, {1, 3}).values.size() == 3 ? 1 : 0; });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(right, 8);
}

TEST_F(EngineTest, RunsInAForkedChild) {
  const auto used = make(fake_engine()), fresh = make(fake_engine());
  run(*used, {1, 2, 3}, {1, 3});
  const pid_t child = fork();
  if (child == 0) {
    const std::vector<float> expected{2.5, 3.5, 4.5};
    const bool right =
        run(*used, {1, 2, 3}, {1, 3}).values == expected && run(*fresh, {1, 2, 3}, {1, 3}).values == expected;
    _exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(Settings, CpuSettings) {
  EXPECT_EQ(cpu_settings().streams, 1);
  expect_error(ErrorCode::kInvalidArgument, "streams >= 1", [] { set_cpu_settings({0, 0}); });
  expect_error(ErrorCode::kInvalidArgument, "threads >= 0", [] { set_cpu_settings({1, -1}); });
  set_default_thread_count([] { return 7; });
  EXPECT_EQ(current_executor_settings().threads, 7);
  set_cpu_settings({2, 3});
  EXPECT_EQ(current_executor_settings().streams, 2);
  EXPECT_EQ(current_executor_settings().threads, 3);
  set_cpu_settings({});
  EXPECT_EQ(current_executor_settings().streams, 1);
}

TEST(Settings, Modes) {
  EXPECT_FALSE(multi_device_safe_mode());
  set_multi_device_safe_mode(true);
  EXPECT_TRUE(multi_device_safe_mode());
  set_multi_device_safe_mode(false);
  EXPECT_EQ(cudagraphs_mode(), CudaGraphsMode::kStandard);
  set_cudagraphs_mode(CudaGraphsMode::kSubgraph);
  EXPECT_EQ(cudagraphs_mode(), CudaGraphsMode::kSubgraph);
  set_cudagraphs_mode(CudaGraphsMode::kStandard);
  expect_error(ErrorCode::kInvalidArgument, "not 3", [] { set_cudagraphs_mode(static_cast<CudaGraphsMode>(3)); });
}

}  // namespace
}  // namespace torchtrt::runtime
