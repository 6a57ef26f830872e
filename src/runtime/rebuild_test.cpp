// SPDX-License-Identifier: Apache-2.0
// Which target of a package runs, what is said when none does, and rebuilding from the packed network. The compiler and
// OpenVINO are the real ones: they lie beside the runtime.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/runtime.h>

#include "base/testing/expect_error.h"
#include "runtime/engine.h"
#include "runtime/executor_loader.h"
#include "runtime/testing/fake_device.h"
#include "runtime/testing/fixtures.h"
#include "runtime/testing/log_lines.h"

namespace torchtrt::runtime {
namespace {

using testing::AlignedBytes;
using testing::LogLines;
using torchtrt::testing::expect_error;

constexpr DLDevice kCpu{kDLCPU, 0};

constexpr const char* kRelu = R"(network "model"
symbols batch=[1,8,32]
input %x: float32[batch, 3]
%y: float32[batch, 3] = activation(%x) {type = relu}
output %y as "y"
)";
// A product that may leave 32 bits.
constexpr const char* kSquare = R"(network "model"
symbols batch=[1,8,32]
input %x: int64[batch, 3]
%y: int64[batch, 3] = elementwise(%x, %x) {operation = prod}
output %y as "y"
)";

// A package whose targets all load into the fake backend, whatever they are called.
class Package {
 public:
  Package() {
    metadata_.name = "model";
    metadata_.inputs = {{"x", DataType::kFloat32, {Expr::symbol("batch"), 3}, "", std::nullopt}};
    metadata_.outputs = {{"y", DataType::kFloat32, {Expr::symbol("batch"), 3}}};
    metadata_.symbols = {{"batch", {1, 8, 32}}};
    metadata_.producer = {{"torchtrt", version()}};
  }

  /// `failure`: the code with which its loads fail.
  Package& add(const std::string& backend, float bias, const std::string& failure = "") {
    format::TargetSpec target{backend, "the fake builder", {{"operation", "add"}, {"module", "fake"}}, {}};
    if (!failure.empty()) target.properties["load_error"] = failure;
    target.sections.push_back(writer_.append("bias", std::as_bytes(std::span(&bias, 1))));
    metadata_.targets.push_back(std::move(target));
    return *this;
  }
  Package& add_network(const std::string& text = kRelu) {
    format::NetworkSpec spec;
    spec.sections.push_back(writer_.append("network", std::as_bytes(std::span(text))));
    spec.sections.push_back(writer_.append("index", std::as_bytes(std::span(std::string_view("{}")))));
    spec.sections.push_back(writer_.append("constants", {}));
    metadata_.network = spec;
    return *this;
  }
  format::Metadata& metadata() { return metadata_; }

  std::unique_ptr<Engine> engine() {
    const AlignedBytes bytes(writer_.take());
    return std::make_unique<Engine>(format::write_metadata(metadata_), bytes.span(), bytes.owner());
  }

 private:
  format::Metadata metadata_;
  format::PayloadWriter writer_;
};

class VectorSink final : public backend::OutputSink {
 public:
  void* allocate(std::size_t, std::span<const std::int64_t> shape) override {
    values.resize(static_cast<std::size_t>(shape[0] * shape[1]));
    return values.data();
  }
  void adopt(std::size_t index, std::span<const std::int64_t> shape, void* data, std::shared_ptr<void>) override {
    allocate(index, shape);
    std::copy_n(static_cast<const float*>(data), values.size(), values.data());
  }
  std::vector<float> values;
};

std::vector<float> run(Engine& engine, std::vector<float> values = {-1, 0, 2}) {
  std::vector<std::int64_t> shape{static_cast<std::int64_t>(values.size()) / 3, 3};
  DLTensor tensor{};
  tensor.data = values.data();
  tensor.device = kCpu;
  tensor.ndim = 2;
  tensor.dtype = to_dlpack(DataType::kFloat32);
  tensor.shape = shape.data();
  VectorSink sink;
  engine.run({&tensor, 1}, sink);
  return sink.values;
}

std::string message_of(Engine& engine) {
  try {
    engine.load(kCpu);
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

/// Backends are looked for in these folders while it lives.
class SearchPath {
 public:
  explicit SearchPath(const std::string& folders) { setenv("TORCHTRT_BACKEND_PATH", folders.c_str(), 1); }
  ~SearchPath() { unsetenv("TORCHTRT_BACKEND_PATH"); }
  SearchPath(const SearchPath&) = delete;
  SearchPath& operator=(const SearchPath&) = delete;
};

std::string runtime_folder() {
  Dl_info runtime{};
  EXPECT_NE(dladdr(reinterpret_cast<const void*>(&load_executor), &runtime), 0);
  const std::string path = runtime.dli_fname;
  return path.substr(0, path.rfind('/'));
}

class RebuildTest : public ::testing::Test {
  SearchPath path_{TORCHTRT_FAKE_BACKEND_PATH ":" + runtime_folder()};
};

/// Those that build with OpenVINO, which a build for a GPU machine may lack.
class RebuildForTheCpu : public RebuildTest {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(runtime_folder() + "/libtorchtrt_openvino_builder.so")) {
      GTEST_SKIP() << "OpenVINO's modules were not built";
    }
  }
};

TEST_F(RebuildTest, TheFirstThatFitsRunsAndSaysSo) {
  LogLines log;
  const auto engine = Package().add("first", 1).add("second", 2).engine();
  EXPECT_EQ(engine->target(), "");
  EXPECT_EQ(run(*engine), (std::vector<float>{0, 1, 3}));
  run(*engine);
  EXPECT_EQ(engine->target(), "first");
  EXPECT_EQ(EngineHandle(std::shared_ptr<Engine>(engine.get(), [](Engine*) {})).target(), "first");
  EXPECT_EQ(log.count(LogLevel::kInfo, "engine \"model\" runs on cpu by the fake backend (targets: first, second)"), 1);
  EXPECT_EQ(log.count(LogLevel::kInfo, "passed over"), 0);
}

TEST_F(RebuildTest, TargetsThatDoNotFitArePassedOver) {
  for (const char* code : {"NotFound", "VersionMismatch", "Unsupported"}) {
    LogLines log;
    const auto engine = Package().add("first", 1, code).add("second", 2).engine();
    EXPECT_EQ(run(*engine), (std::vector<float>{1, 2, 4})) << code;
    EXPECT_EQ(engine->target(), "second");
    EXPECT_EQ(
        log.count(LogLevel::kInfo, "target first, built by the fake builder, does not fit cpu and is passed over"), 1);
  }
}

TEST_F(RebuildTest, DamageIsNeverPassedOver) {
  const auto engine = Package().add("first", 1, "DataLoss").add("second", 2).engine();
  expect_error(ErrorCode::kDataLoss, "as it was told to", [&] { run(*engine); });
  Package package;
  package.add("first", 1).add("second", 2);
  package.metadata().targets[0].sections[0].crc32c ^= 1;
  expect_error(ErrorCode::kDataLoss, "checksum", [&] { run(*package.engine()); });
}

TEST_F(RebuildTest, IfNothingFitsTheErrorListsAllOfThem) {
  const auto engine = Package().add("first", 1, "VersionMismatch").add("second", 2, "NotFound").engine();
  expect_error(ErrorCode::kVersionMismatch, "nothing fits cpu", [&] { run(*engine); });
  const std::string message = message_of(*engine);
  for (const char* part : {"\n  first, built by the fake builder: ", "\n  second, built by the fake builder: ",
                           "(targets: first, second)", "Compile the model again", "rebuildable=True"}) {
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, message);
  }
  const auto packed = Package().add("first", 1, "VersionMismatch").add_network().engine();
  for (const char* part : {"python -m torch_tensorrt rebuild <file> <new file> --targets first",
                           "torchtrt::runtime::set_rebuild_engines(true)"}) {
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, message_of(*packed));
  }
}

TEST_F(RebuildTest, OnAGpuTensorRtIsBetterThanTensorRtRtx) {
  const testing::FakeDeviceScope gpu(std::vector<DeviceInfo>{{"Fake GPU", 9, 0}, {"Fake GPU", 9, 0}});
  constexpr DLDevice kGpu{kDLCUDA, 1};
  LogLines log;
  const auto both = Package().add("openvino", 3).add("tensorrt_rtx", 1).add("tensorrt", 2).engine();
  both->load(kGpu);
  EXPECT_EQ(both->target(), "tensorrt");
  EXPECT_EQ(
      log.count(LogLevel::kInfo, "runs on cuda:1 by the fake backend (targets: openvino, tensorrt_rtx, tensorrt)"), 1);
  const auto other_gpu = Package().add("tensorrt", 2, "Unsupported").add("tensorrt_rtx", 1).engine();
  other_gpu->load(kGpu);
  EXPECT_EQ(other_gpu->target(), "tensorrt_rtx");
  const auto neither = Package().add("tensorrt_rtx", 1, "Unsupported").add("tensorrt", 2, "VersionMismatch").engine();
  try {
    neither->load(kGpu);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_STREQ(to_string(error.code()), to_string(ErrorCode::kVersionMismatch)) << "of the best target";
    EXPECT_LT(message.find("\n  tensorrt, "), message.find("\n  tensorrt_rtx, ")) << message;
  }
}

TEST_F(RebuildTest, OffByDefault) {
  EXPECT_FALSE(rebuild_engines());
  {
    const ModeScope scope = scoped_rebuild_engines(true);
    EXPECT_TRUE(rebuild_engines());
  }
  EXPECT_FALSE(rebuild_engines());
  const auto engine = Package().add("tensorrt_rtx", 1).add_network().engine();
  expect_error(ErrorCode::kInvalidArgument, "--targets tensorrt_rtx,openvino", [&] { run(*engine); });
}

TEST_F(RebuildForTheCpu, AnEngineForAGpuOnlyRunsOnTheCpu) {
  const ModeScope scope = scoped_rebuild_engines(true);
  LogLines log;
  const auto engine = Package().add("tensorrt_rtx", 1).add_network().engine();
  EXPECT_EQ(run(*engine), (std::vector<float>{0, 0, 2}));
  EXPECT_EQ(run(*engine, {-1, -2, 3, 4, -5, 6}), (std::vector<float>{0, 0, 3, 4, 0, 6}));
  EXPECT_EQ(engine->target(), "openvino");
  EXPECT_EQ(log.count(LogLevel::kInfo, "rebuilt from its network (targets: tensorrt_rtx)"), 1);
  expect_error(ErrorCode::kOutOfRange, "33 is outside the range [1, 32]",
               [&] { run(*engine, std::vector<float>(99)); });
}

TEST_F(RebuildForTheCpu, AnEngineOfAnotherVersionIsRebuilt) {
  const ModeScope scope = scoped_rebuild_engines(true);
  // What OpenVINO cannot read, and says that another version wrote.
  Package package;
  package.add("openvino", 1).add_network();
  package.metadata().targets[0].properties = {{"openvino_version", "2031.1.0"}};
  package.metadata().targets[0].sections[0].name = "model";
  package.metadata().targets[0].sections.push_back(package.metadata().targets[0].sections[0]);
  package.metadata().targets[0].sections[1].name = "weights";
  const auto engine = package.engine();
  EXPECT_EQ(run(*engine), (std::vector<float>{0, 0, 2}));
  EXPECT_EQ(engine->target(), "openvino");
}

TEST_F(RebuildTest, WhatFitsIsNotRebuilt) {
  const ModeScope scope = scoped_rebuild_engines(true);
  EXPECT_EQ(run(*Package().add("first", 1).add_network().engine()), (std::vector<float>{0, 1, 3}));
}

TEST_F(RebuildForTheCpu, ADamagedNetworkIsAnError) {
  const ModeScope scope = scoped_rebuild_engines(true);
  Package package;
  package.add("tensorrt_rtx", 1).add_network();
  package.metadata().network->sections[0].crc32c ^= 1;
  expect_error(ErrorCode::kDataLoss, "its packed network is damaged", [&] { run(*package.engine()); });
  Package other;
  other.add("tensorrt_rtx", 1).add_network();
  other.metadata().symbols["batch"].max = 64;
  expect_error(ErrorCode::kDataLoss, "describes another network", [&] { run(*other.engine()); });
}

TEST_F(RebuildForTheCpu, TheTargetsRefusalsHold) {
  const ModeScope scope = scoped_rebuild_engines(true);
  Package package;
  package.metadata().inputs[0].dtype = package.metadata().outputs[0].dtype = DataType::kInt64;
  package.add("tensorrt_rtx", 1).add_network(kSquare);
  expect_error(ErrorCode::kUnsupported, "layer \"y\"", [&] { package.engine()->load(kCpu); });
}

TEST(Rebuild, WithoutTheCompilerTheErrorSaysSo) {
  const SearchPath path(TORCHTRT_FAKE_BACKEND_PATH);
  const ModeScope scope = scoped_rebuild_engines(true);
  const auto engine = Package().add("first", 1, "Unsupported").add_network().engine();
  const std::string message = message_of(*engine);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "the module libtorchtrt.so is not in " TORCHTRT_FAKE_BACKEND_PATH,
                      message);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "rebuilding engines needs the compiler", message);
}

}  // namespace
}  // namespace torchtrt::runtime
