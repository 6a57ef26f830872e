// SPDX-License-Identifier: Apache-2.0
// What the optimization profiles say of the inputs (no library needed), and that the library takes them.
#include "backends/tensorrt/builder/profiles.h"

#include <gtest/gtest.h>

#include <utility>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/library.h"
#include "backends/tensorrt/testing/layers/harness.h"

namespace torchtrt::tensorrt::testing {
namespace {

using backend::BuildSettings;
using Sizes = std::vector<std::int64_t>;
using Triple = std::array<Sizes, 3>;

/// x[n, 4] + y[n * m, 4]'s sum, and a constant input.
Network net_of_two_symbols() {
  Network net("two");
  net.add_symbol("n", {1, 2, 8});
  net.add_symbol("m", {2, 3, 4});
  const Expr n = Expr::symbol("n"), m = Expr::symbol("m");
  const ValueId x = net.add_input("x", DataType::kFloat32, {n, 4});
  const ValueId y = net.add_input("y", DataType::kFloat32, {n * m, 4});
  const ValueId fixed = net.add_input("fixed", DataType::kFloat32, {1, 4});
  net.mark_output(net.add_elementwise(x, fixed, network::ElementWiseOperation::kSum), "a");
  net.mark_output(net.add_reduce(y, network::ReduceOperation::kSum, {0}, true), "b");
  return net;
}

/// relu(x[n, 4]), n in 1..8.
Network small() {
  Network net("small");
  net.add_symbol("n", {1, 2, 8});
  const ValueId x = net.add_input("x", DataType::kFloat32, {Expr::symbol("n"), 4});
  net.mark_output(net.add_activation(x, network::ActivationType::kRelu), "y");
  return net;
}

BuildSettings with(std::vector<std::map<std::string, network::SymbolRange>> profiles) {
  BuildSettings settings;
  settings.profiles = std::move(profiles);
  return settings;
}

std::string error_of(ErrorCode code, const Network& net, const BuildSettings& settings) {
  try {
    plan_profiles(net, settings);
    return "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(to_string(error.code()), to_string(code));
    return error.what();
  }
}

TEST(TensorRtProfiles, OneOfTheSymbolsOwnRanges) {
  const std::vector<ProfileInputs> profiles = plan_profiles(net_of_two_symbols(), {});
  ASSERT_EQ(profiles.size(), 1U);
  ASSERT_EQ(profiles[0].size(), 2U) << "the static input is in none";
  EXPECT_EQ(profiles[0][0].name, "x");
  EXPECT_EQ(profiles[0][0].min_opt_max, (Triple{Sizes{1, 4}, Sizes{2, 4}, Sizes{8, 4}}));
  EXPECT_EQ(profiles[0][1].name, "y");
  EXPECT_EQ(profiles[0][1].min_opt_max, (Triple{Sizes{2, 4}, Sizes{6, 4}, Sizes{32, 4}}));
}

TEST(TensorRtProfiles, RangesOfEach) {
  // A symbol that a profile does not name keeps its range; one of another engine is nothing to this one.
  const BuildSettings settings = with({{{"n", {1, 1, 1}}}, {{"n", {4, 6, 8}}, {"m", {2, 2, 2}}, {"k", {5, 5, 5}}}});
  const std::vector<ProfileInputs> profiles = plan_profiles(net_of_two_symbols(), settings);
  ASSERT_EQ(profiles.size(), 2U);
  EXPECT_EQ(profiles[0][0].min_opt_max, (Triple{Sizes{1, 4}, Sizes{1, 4}, Sizes{1, 4}}));
  EXPECT_EQ(profiles[0][1].min_opt_max, (Triple{Sizes{2, 4}, Sizes{3, 4}, Sizes{4, 4}}));
  EXPECT_EQ(profiles[1][0].min_opt_max, (Triple{Sizes{4, 4}, Sizes{6, 4}, Sizes{8, 4}}));
  EXPECT_EQ(profiles[1][1].min_opt_max, (Triple{Sizes{8, 4}, Sizes{12, 4}, Sizes{16, 4}}));
}

TEST(TensorRtProfiles, ShapeInputsHaveTheSymbolsValue) {
  Network net("test");
  net.add_symbol("n", {1, 2, 8});
  net.add_shape_input("n_value", "n");
  const std::vector<ProfileInputs> profiles = plan_profiles(net, with({{{"n", {1, 1, 1}}}, {{"n", {2, 3, 8}}}}));
  ASSERT_EQ(profiles.size(), 2U);
  EXPECT_TRUE(profiles[1][0].is_shape_input);
  EXPECT_EQ(profiles[1][0].min_opt_max, (Triple{Sizes{2}, Sizes{3}, Sizes{8}}));
}

TEST(TensorRtProfiles, NetworksOfOneShapeHaveNone) {
  Network net("test");
  net.add_symbol("n", {1, 2, 8});
  const ValueId x = net.add_input("x", DataType::kFloat32, {2, 4});
  net.mark_output(net.add_activation(x, network::ActivationType::kRelu), "y");
  EXPECT_TRUE(plan_profiles(net, with({{{"n", {1, 1, 1}}}, {{"n", {2, 3, 8}}}})).empty());
}

TEST(TensorRtProfiles, RangesThatAreNone) {
  const Network net = small();
  EXPECT_EQ(error_of(ErrorCode::kInvalidArgument, net, with({{}, {{"n", {1, 2, 9}}}})),
            "optimization profile 1 says 1 <= 2 <= 9 of symbol n, expected min <= opt <= max within 1 to 8");
  EXPECT_NE(error_of(ErrorCode::kInvalidArgument, net, with({{{"n", {4, 3, 5}}}})).find("4 <= 3 <= 5"),
            std::string::npos);
  Network unbounded("unbounded");
  unbounded.add_symbol("n", {1, 2, Interval::kUnbounded});
  unbounded.add_input("x", DataType::kFloat32, {Expr::symbol("n"), 4});
  EXPECT_NE(error_of(ErrorCode::kUnsupported, unbounded, {}).find("needs an upper limit"), std::string::npos);
  EXPECT_EQ(plan_profiles(unbounded, with({{{"n", {1, 2, 3}}}}))[0][0].min_opt_max[2], (Sizes{3, 4}))
      << "a profile may be what bounds it";
}

TEST(TensorRtProfiles, TheLibraryTakesThem) {
  if (!has_library()) GTEST_SKIP() << "the library is not there";
  const std::unique_ptr<nvinfer1::IBuilder> trt = Library::get().create_builder();
  const std::unique_ptr<nvinfer1::IBuilderConfig> config(trt->createBuilderConfig());
  const std::vector<ProfileInputs> profiles =
      plan_profiles(net_of_two_symbols(), with({{{"n", {1, 1, 1}}}, {{"n", {2, 3, 8}}}, {}}));
  add_profiles(profiles, *trt, *config);
  EXPECT_EQ(config->getNbOptimizationProfiles(), 3);
}

TEST(TensorRtProfiles, PlansOfSeveral) {
  if (!has_library()) GTEST_SKIP() << "the library is not there";
  const backend::BuiltEngine one = builder().build(small(), {});
  const backend::BuiltEngine two = builder().build(small(), with({{{"n", {1, 1, 1}}}, {{"n", {4, 8, 8}}}}));
  EXPECT_FALSE(one.properties.contains("profiles"));
  EXPECT_EQ(two.properties.at("profiles"), "2");
  EXPECT_NE(one.sections[0].size, two.sections[0].size);
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
