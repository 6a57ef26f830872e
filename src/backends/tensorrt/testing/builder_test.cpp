// SPDX-License-Identifier: Apache-2.0
// Whole networks: inputs, outputs, ranges, settings, threads.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <thread>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/testing/layers/harness.h"

extern "C" torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version);

namespace torchtrt::tensorrt::testing {
namespace {

using backend::BuildSettings;
using backend::BuiltEngine;
using network::ActivationType;

class TensorRtBuilder : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_library()) GTEST_SKIP() << "the library is not there";
  }
};

/// relu(x[n, 4]), n in the given range.
Network small(network::SymbolRange range = {1, 2, 8}) {
  Network net("small");
  net.add_symbol("n", range);
  const ValueId x = net.add_input("x", DataType::kFloat32, {Expr::symbol("n"), 4});
  net.mark_output(net.add_activation(x, ActivationType::kRelu), "y");
  return net;
}

std::string error_of(const Network& net, const BuildSettings& settings = {}) {
  try {
    builder().build(net, settings);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

bool same_plan(const BuiltEngine& a, const BuiltEngine& b) {
  return a.sections[0].size == b.sections[0].size &&
         std::memcmp(a.sections[0].data, b.sections[0].data, a.sections[0].size) == 0;
}

TEST_F(TensorRtBuilder, DescribesThePlan) {
  const BuiltEngine built = builder().build(small(), {});
  ASSERT_EQ(built.sections.size(), 1U);
  EXPECT_EQ(built.sections[0].name, "plan");
  EXPECT_EQ(built.producer, "TensorRT-RTX " + builder().version());
  EXPECT_EQ(built.properties.at("version"), builder().version());
  EXPECT_EQ(builder().name(), "tensorrt_rtx");
  EXPECT_FALSE(builder().narrows_int64());
}

TEST_F(TensorRtBuilder, TheSameNetworkGivesTheSamePlan) {
  EXPECT_TRUE(same_plan(builder().build(small(), {}), builder().build(small(), {})));
}

TEST_F(TensorRtBuilder, OutputsThatAreInputsOrAppearTwice) {
  Network net("test");
  const ValueId x = net.add_input("x", DataType::kFloat32, {2, 3});
  const ValueId bytes = net.add_input("bytes", DataType::kUInt8, {2});
  const ValueId y = net.add_activation(x, ActivationType::kRelu);
  net.mark_output(x, "same");
  net.mark_output(y, "first");
  net.mark_output(y, "second");
  net.mark_output(bytes, "bytes_again");
  net.mark_output(zeros(net, {3}, DataType::kInt64), "constant");
  EXPECT_EQ(problem_of(net), "");
}

TEST_F(TensorRtBuilder, RangesOfDimensions) {
  EXPECT_EQ(error_of(small({0, 2, 8})), "");
  EXPECT_EQ(error_of(small({3, 3, 3})), "");
  const std::string error = error_of(small({1, 2, Interval::kUnbounded}));
  EXPECT_NE(error.find("needs an upper limit"), std::string::npos) << error;
  EXPECT_NE(error.find("input x"), std::string::npos) << error;
}

TEST_F(TensorRtBuilder, SettingsThatAreNone) {
  BuildSettings settings;
  settings.compute_capabilities = {86, 90};
  const std::string error = error_of(small(), settings);
  EXPECT_NE(error.find("does not build for compute capability 90"), std::string::npos) << error;
}

TEST_F(TensorRtBuilder, Settings) {
  BuildSettings settings;
  settings.compute_capabilities = {86, 120};
  settings.workspace_size = std::size_t{1} << 30;
  settings.optimization_level = 3;
  EXPECT_EQ(builder().build(small(), settings).properties.at("compute_capabilities"), "86,120");
}

TEST_F(TensorRtBuilder, SettingsThatTheExecutorMustKnow) {
  BuildSettings settings;
  settings.weight_streaming = true;
  settings.hardware_compatible = true;
  settings.timing_cache_path = "/nonexistent/cache";
  const BuiltEngine built = builder().build(small(), settings);
  EXPECT_EQ(built.properties.at("weight_streaming"), "true");
  EXPECT_FALSE(built.properties.contains("hardware_compatible")) << "the engines are for a list of GPUs anyway";
  EXPECT_FALSE(same_plan(built, builder().build(small(), {})));
}

TEST_F(TensorRtBuilder, VersionCompatiblePlansNeedTheLeanRuntime) {
  // With it the plan is built; without it the library's reason comes through.
  BuildSettings settings;
  settings.version_compatible = true;
  const std::string error = error_of(small(), settings);
  if (error.empty()) {
    EXPECT_EQ(builder().build(small(), settings).properties.at("version_compatible"), "true");
  } else {
    EXPECT_NE(error.find("cannot build engine small: "), std::string::npos) << error;
    EXPECT_NE(error.find("lean"), std::string::npos) << error;
  }
}

TEST_F(TensorRtBuilder, ProgressIsLoggedByPhase) {
  Log log;
  int steps = 0;
  BuildSettings settings;
  settings.keep_going = [&] {
    ++steps;
    return true;
  };
  builder().build(small(), settings);
  EXPECT_GT(steps, 0);
  EXPECT_TRUE(log.has("3 TensorRT-RTX builds engine small: ")) << log.lines();
}

TEST_F(TensorRtBuilder, Cancelled) {
  BuildSettings settings;
  int asked = 0;
  settings.keep_going = [&] {
    ++asked;
    return false;
  };
  try {
    builder().build(small(), settings);
    ADD_FAILURE() << "it was built";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    EXPECT_STREQ(error.what(), "the build of engine small for tensorrt_rtx was cancelled");
  }
  EXPECT_EQ(asked, 1) << "not again after a no";
  settings.keep_going = []() -> bool { throw std::runtime_error("interrupted"); };
  EXPECT_THROW(builder().build(small(), settings), std::runtime_error);
  EXPECT_EQ(error_of(small()), "") << "the next build";
}

TEST_F(TensorRtBuilder, BuildsOnSeveralThreads) {
  const BuiltEngine expected = builder().build(small(), {});
  std::array<std::string, 4> errors;
  {
    std::array<std::jthread, 4> threads;
    for (std::size_t i = 0; i < threads.size(); ++i) {
      threads[i] = std::jthread([&, i] {
        try {
          if (!same_plan(expected, builder().build(small(), {}))) errors[i] = "another plan";
        } catch (const Error& error) {
          errors[i] = error.what();
        }
      });
    }
  }
  for (const std::string& error : errors) EXPECT_EQ(error, "");
}

TEST(TensorRtModule, AnotherInterfaceVersionGetsNoBuilder) {
  EXPECT_EQ(torchtrt_builder(backend::kBuilderInterfaceVersion + 1), nullptr);
  EXPECT_NE(torchtrt_builder(backend::kBuilderInterfaceVersion), nullptr);
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
