// SPDX-License-Identifier: Apache-2.0
// Loading engines, as far as it goes without a GPU: every way to fail.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/error.h>

#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/executor/engine.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/testing/layers/harness.h"

extern "C" torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version);

namespace torchtrt::tensorrt::testing {
namespace {

bool has_gpu() {
  try {
    Driver::get();
    return true;
  } catch (const Error&) {
    return false;
  }
}

backend::Executor& executor() { return *torchtrt_executor(backend::kExecutorInterfaceVersion); }

class TensorRtExecutor : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_library()) GTEST_SKIP() << "the library is not there";
    Network net("small");
    const ValueId x = net.add_input("x", DataType::kFloat32, {2, 4});
    net.mark_output(net.add_activation(x, network::ActivationType::kRelu), "y");
    built_ = builder().build(net, {});
    request.engine_name = "small";
    request.inputs = {{"x", DataType::kFloat32, {2, 4}}};
    request.outputs = {{"y", DataType::kFloat32, {2, 4}}};
    request.properties = built_.properties;
    const auto* data = static_cast<const std::byte*>(built_.sections[0].data);
    plan.assign(data, data + built_.sections[0].size);
    request.payloads = {{"plan", plan}};
    request.device = {kDLCUDA, 0};
  }
  std::string error_of_load(ErrorCode expected) {
    return error_of(expected, [&] { executor().load(request); });
  }
  std::string error_of_deserialize(ErrorCode expected) {
    return error_of(expected, [&] { deserialize(*Library::get().create_runtime(), plan, request); });
  }
  template <typename Function>
  static std::string error_of(ErrorCode expected, Function&& function) {
    try {
      function();
      return "no error";
    } catch (const Error& error) {
      EXPECT_STREQ(to_string(error.code()), to_string(expected));
      return error.what();
    }
  }
  static bool has(const std::string& text, const std::string& part) {
    if (text.find(part) != std::string::npos) return true;
    std::cerr << text << '\n';
    return false;
  }

  std::vector<std::byte> plan;
  backend::LoadRequest request;

 private:
  backend::BuiltEngine built_;
};

TEST_F(TensorRtExecutor, SaysWhoItIs) {
  EXPECT_EQ(executor().name(), "tensorrt_rtx");
  EXPECT_EQ(executor().version(), "TensorRT-RTX " + builder().version());
  EXPECT_EQ(torchtrt_executor(backend::kExecutorInterfaceVersion + 1), nullptr);
}

TEST_F(TensorRtExecutor, RunsOnGpusOnly) {
  request.device = {kDLCPU, 0};
  EXPECT_TRUE(has(error_of_load(ErrorCode::kInvalidArgument), "engines run on NVIDIA GPUs"));
}

TEST_F(TensorRtExecutor, NoPlan) {
  request.payloads = {};
  EXPECT_TRUE(has(error_of_load(ErrorCode::kDataLoss), "engine \"small\" has no section \"plan\""));
}

TEST_F(TensorRtExecutor, WithoutAGpuTheErrorSaysSo) {
  if (has_gpu()) GTEST_SKIP() << "there is one";
  const std::string error = error_of_load(ErrorCode::kNotFound);
  EXPECT_TRUE(has(error, "TensorRT-RTX needs an NVIDIA GPU"));
}

// The library itself, asked without a GPU.
TEST_F(TensorRtExecutor, WhatTheLibrarySaysBecomesTheError) {
  if (has_gpu()) GTEST_SKIP() << "the plan may load";
  const std::string error = error_of_deserialize(ErrorCode::kDataLoss);
  EXPECT_TRUE(has(error, "engine \"small\" was built by TensorRT-RTX " + builder().version()));
  EXPECT_TRUE(has(error, "cannot load it: "));
  EXPECT_FALSE(error.ends_with("no reason given")) << error;
}

TEST_F(TensorRtExecutor, APlanOfAnotherRelease) {
  if (has_gpu()) GTEST_SKIP() << "the plan may load";
  request.properties["version"] = "1.3.0";
  request.properties["compute_capabilities"] = "86,89";
  const std::string error = error_of_deserialize(ErrorCode::kVersionMismatch);
  EXPECT_TRUE(has(error, "was built by TensorRT-RTX 1.3.0 for compute capabilities 86,89, and TensorRT-RTX " +
                             builder().version() + " cannot load it: "));
  EXPECT_TRUE(has(error, "compile the model again for this machine, or install that version"));
}

TEST_F(TensorRtExecutor, BytesThatAreNoPlan) {
  std::fill(plan.begin(), plan.end(), std::byte{0x5A});
  EXPECT_TRUE(has(error_of_deserialize(ErrorCode::kDataLoss), "it is no engine, or damaged"));
  for (const std::size_t size : {std::size_t{0}, std::size_t{63}}) {
    plan.resize(size);
    EXPECT_TRUE(has(error_of_deserialize(ErrorCode::kDataLoss), "it is too short to be an engine"));
  }
}

TEST_F(TensorRtExecutor, ATruncatedPlan) {
  plan.resize(plan.size() / 2);
  EXPECT_NE(error_of_deserialize(ErrorCode::kDataLoss), "no error");
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
