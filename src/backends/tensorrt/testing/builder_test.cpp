// SPDX-License-Identifier: Apache-2.0
// Whole networks: inputs, outputs, ranges, settings, threads.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <thread>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/testing/harness.h"

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
