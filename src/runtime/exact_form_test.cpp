// SPDX-License-Identifier: Apache-2.0
// When an engine's exact form answers: the fake backend's engine adds 1.5, the exact form 100.
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/backend/properties.h>
#include <torchtrt/base/log.h>

#include "base/testing/expect_error.h"
#include "runtime/engine.h"
#include "runtime/testing/fixtures.h"
#include "runtime/testing/log_lines.h"

namespace torchtrt::runtime {
namespace {

using testing::AlignedBytes;
using testing::FakeEngineSpec;
using testing::FakeEngineState;
using testing::LogLines;
using torchtrt::testing::expect_error;

constexpr const char* kAddHundred = R"({
  "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 3]}],
  "constants": [{"dtype": "float32", "shape": [], "section": "fake.bias", "offset": 0}], "sizes": [],
  "nodes": [{"name": "add", "operator": "aten::add.Scalar", "arguments": [{"tensor": 0}, 100],
             "results": [{"dtype": "float32", "shape": ["batch", 3]}]}],
  "outputs": [2]})";

FakeEngineState with_exact_form(const FakeEngineSpec& spec, const std::string& program = kAddHundred) {
  FakeEngineState state = testing::fake_engine(spec);
  format::PayloadWriter writer;
  format::SectionSpec& bias = state.metadata.targets[0].sections[0];
  bias = writer.append(bias.name, format::section_bytes(bias, state.payload));
  format::TargetSpec exact{backend::kExactBackend, "PyTorch", {}, {}};
  exact.sections.push_back(writer.append(backend::kExactProgramSection, std::as_bytes(std::span(program))));
  exact.sections.push_back(bias);
  exact.sections.back().name = "fake.bias";
  state.metadata.targets.push_back(std::move(exact));
  state.payload = writer.take();
  return state;
}

std::unique_ptr<Engine> make(const FakeEngineState& state) {
  const AlignedBytes bytes(state.payload);
  return std::make_unique<Engine>(state.text(), bytes.span(), bytes.owner());
}

class VectorSink final : public backend::OutputSink {
 public:
  void* allocate(std::size_t, std::span<const std::int64_t> shape) override {
    values.assign(static_cast<std::size_t>(shape[0] * shape[1]), -1);
    return values.data();
  }
  void adopt(std::size_t index, std::span<const std::int64_t> shape, void* data, std::shared_ptr<void>) override {
    allocate(index, shape);
    std::copy_n(static_cast<const float*>(data), values.size(), values.data());
  }
  std::vector<float> values;
};

std::vector<float> run(Engine& engine, std::int64_t rows = 1) {
  std::vector<float> values(static_cast<std::size_t>(rows) * 3, 1.0F);
  std::vector<std::int64_t> shape{rows, 3};
  DLTensor tensor{};
  tensor.data = values.data();
  tensor.device = {kDLCPU, 0};
  tensor.ndim = 2;
  tensor.dtype = to_dlpack(DataType::kFloat32);
  tensor.shape = shape.data();
  VectorSink sink;
  engine.run({&tensor, 1}, sink);
  return sink.values;
}

const std::vector<float> kVendors{2.5F, 2.5F, 2.5F}, kExact{101, 101, 101};

class ExactFormTest : public ::testing::Test {
 protected:
  void SetUp() override { setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1); }
  void TearDown() override { unsetenv("TORCHTRT_BACKEND_PATH"); }
};

TEST_F(ExactFormTest, RestsWhereNothingIsWrong) {
  const auto engine = make(with_exact_form({}));
  EXPECT_EQ(run(*engine), kVendors);
  EXPECT_EQ(engine->target(), "fake");
  EXPECT_EQ(engine->exact_calls().outside + engine->exact_calls().failed, 0u);
}

TEST_F(ExactFormTest, AnswersForValuesOutside) {
  LogLines log;
  const auto engine = make(with_exact_form({.properties = {{"operation", "guard"}}}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(*engine), kExact);
  EXPECT_EQ(engine->target(), "fake");
  EXPECT_EQ(engine->exact_calls().outside, 3u);
  EXPECT_EQ(engine->exact_calls().failed, 0u);
  EXPECT_EQ(log.count(LogLevel::kWarning, "outside, as it was told to be"), 1) << "it says so once";
}

TEST_F(ExactFormTest, AnswersForAnEngineThatFails) {
  LogLines log;
  const auto engine = make(with_exact_form({.properties = {{"operation", "fail"}}}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run(*engine), kExact);
  EXPECT_EQ(engine->exact_calls().failed, 3u);
  EXPECT_EQ(log.count(LogLevel::kWarning, "the fake engine failed"), 1);
}

TEST_F(ExactFormTest, LeavesErrorsOfTheCallersInputs) {
  const auto engine = make(with_exact_form({.properties = {{"operation", "fail"}}}));
  expect_error(ErrorCode::kOutOfRange, "33 is outside the range [1, 32]", [&] { run(*engine, 33); });
  EXPECT_EQ(engine->exact_calls().failed, 0u);
}

TEST_F(ExactFormTest, ItsOwnErrorIsTheAnswer) {
  std::string program = kAddHundred;
  const std::string add = R"("aten::add.Scalar", "arguments": [{"tensor": 0}, 100])";
  program.replace(program.find(add), add.size(), R"("aten::select.int", "arguments": [{"tensor": 0}, 0, 7])");
  const auto engine = make(with_exact_form({.properties = {{"operation", "guard"}}}, program));
  try {
    run(*engine);
    FAIL();
  } catch (const Error& error) {
    FAIL() << error.what();
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("index 7 out of range"), std::string::npos) << error.what();
  }
}

TEST_F(ExactFormTest, TheFailureIsTheAnswerWhereItDoesNotLoad) {
  for (const char* damage : {"{", R"({"inputs": []})"}) {
    const auto engine = make(with_exact_form({.properties = {{"operation", "fail"}}}, damage));
    expect_error(ErrorCode::kInternal, "the fake engine failed", [&] { run(*engine); });
  }
  const auto engine = make(testing::fake_engine({.properties = {{"operation", "fail"}}}));
  expect_error(ErrorCode::kInternal, "the fake engine failed", [&] { run(*engine); });
}

TEST_F(ExactFormTest, RunsInsteadOfWhatDoesNotLoad) {
  for (const char* code : {"NotFound", "VersionMismatch", "Unsupported", "DataLoss", "Internal"}) {
    LogLines log;
    const auto engine = make(with_exact_form({.properties = {{"operation", "add"}, {"load_error", code}}}));
    EXPECT_EQ(run(*engine), kExact) << code;
    EXPECT_EQ(engine->target(), "aten");
    EXPECT_EQ(log.count(LogLevel::kWarning, "runs its exact form"), 1) << code;
  }
  FakeEngineState missing = with_exact_form({});
  missing.metadata.targets[0].backend = "no_such_backend";
  EXPECT_EQ(run(*make(missing)), kExact);
}

TEST_F(ExactFormTest, DamageIsAnError) {
  FakeEngineState state = with_exact_form({});
  state.metadata.targets[0].sections[0].crc32c ^= 1;
  const auto engine = make(state);
  expect_error(ErrorCode::kDataLoss, "section \"bias\"", [&] { run(*engine); });
  FakeEngineState both = with_exact_form({.properties = {{"operation", "fail"}}});
  both.metadata.targets[1].sections[0].crc32c ^= 1;
  expect_error(ErrorCode::kInternal, "the fake engine failed", [&] { run(*make(both)); });
}

TEST_F(ExactFormTest, IsEnoughByItself) {
  FakeEngineState state = with_exact_form({});
  state.metadata.targets.erase(state.metadata.targets.begin());
  LogLines log;
  const auto engine = make(state);
  EXPECT_EQ(run(*engine), kExact);
  EXPECT_EQ(engine->target(), "aten");
  EXPECT_NE(engine->inspect().find("aten::add.Scalar"), std::string::npos);
  EXPECT_EQ(log.count(LogLevel::kWarning, ""), 0);
}

TEST_F(ExactFormTest, RunsInManyThreads) {
  const auto engine = make(with_exact_form({.properties = {{"operation", "guard"}}}));
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 50; ++call) right += run(*engine) == kExact ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 200);
  EXPECT_EQ(engine->exact_calls().outside, 200u);
}

}  // namespace
}  // namespace torchtrt::runtime
