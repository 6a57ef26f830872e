// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/weight_streaming.h"

#include <gtest/gtest.h>

#include <utility>

#include "backends/tensorrt/testing/layers/harness.h"
#include "base/testing/expect_error.h"

namespace torchtrt::tensorrt {
namespace {

using torchtrt::testing::expect_error;

/// As TensorRT says: at least getStreamableWeightsSize() switches streaming off, and contexts need more scratch memory
/// where weights are streamed.
struct FakeEngine {
  std::int64_t all = 1000, proposed = 300, budget = 1000;
  bool refuses = false;
  std::int64_t left_by_refusal = -1;  // the budget that a refusal leaves; -1: the former

  [[nodiscard]] std::int64_t getStreamableWeightsSize() const { return all; }
  [[nodiscard]] std::int64_t getWeightStreamingAutomaticBudget() const { return proposed; }
  [[nodiscard]] std::int64_t getWeightStreamingBudgetV2() const { return budget; }
  [[nodiscard]] std::int64_t getDeviceMemorySizeForProfileV2(std::int32_t profile) const {
    return 10 * (profile + 1) + (budget < all ? 5 : 0);
  }
  bool setWeightStreamingBudgetV2(std::int64_t bytes) {
    if (refuses) {
      if (left_by_refusal >= 0) budget = std::exchange(left_by_refusal, -1);
      refuses = false;
      return false;
    }
    budget = bytes;
    return true;
  }
};

std::string reason() { return "the fake's reason"; }

TEST(TensorRtWeightStreaming, TakesTheLibrarysProposal) {
  testing::Log log;
  FakeEngine engine;
  stream_weights(engine, "engine \"net\"", &reason);
  EXPECT_EQ(engine.budget, 300);
  EXPECT_TRUE(log.has("engine \"net\" keeps 300 of 1000 bytes of weights on the GPU and streams the others"));
}

TEST(TensorRtWeightStreaming, WhereAllFits) {
  testing::Log log;
  FakeEngine engine{.proposed = 4000};
  stream_weights(engine, "engine \"net\"", &reason);
  EXPECT_EQ(engine.budget, 4000);
  EXPECT_TRUE(log.has("keeps 1000 of 1000 bytes of weights on the GPU\n")) << log.lines();
}

TEST(TensorRtWeightStreaming, ARefusalIsAnError) {
  FakeEngine engine{.refuses = true};
  expect_error(ErrorCode::kInternal, "refuses to keep 300 of 1000 bytes of weights on the GPU: the fake's reason",
               [&] { stream_weights(engine, "engine \"net\"", &reason); });
  EXPECT_EQ(engine.budget, 1000);
}

TEST(TensorRtWeightStreaming, WhereTheWeightsAre) {
  EXPECT_EQ(weight_streaming_of(FakeEngine{.budget = 400}), (backend::WeightStreaming{1000, 400, 300}));
  EXPECT_EQ(weight_streaming_of(FakeEngine{.proposed = 4000, .budget = 4000}),
            (backend::WeightStreaming{1000, 1000, 1000}))
      << "more than all is all";
  EXPECT_EQ(weight_streaming_of(FakeEngine{.all = 0}), backend::WeightStreaming{});
}

TEST(TensorRtWeightStreaming, AnotherBudgetChangesTheScratchMemory) {
  testing::Log log;
  FakeEngine engine;
  std::vector<Profile> profiles(2);
  const auto sizes = [&] { return std::pair(profiles[0].scratch_bytes, profiles[1].scratch_bytes); };
  read_scratch_sizes(engine, profiles);
  EXPECT_EQ(sizes(), std::pair(std::size_t{10}, std::size_t{20}));
  change_weight_budget(engine, profiles, 0, "engine \"net\"", &reason);
  EXPECT_EQ(engine.budget, 0);
  EXPECT_EQ(sizes(), std::pair(std::size_t{15}, std::size_t{25}));
  EXPECT_TRUE(log.has("engine \"net\" keeps 0 of 1000 bytes of weights on the GPU and streams the others"));
  change_weight_budget(engine, profiles, 1000, "engine \"net\"", &reason);
  EXPECT_EQ(sizes(), std::pair(std::size_t{10}, std::size_t{20}));
}

TEST(TensorRtWeightStreaming, ARefusalThatChangedSomethingIsUndone) {
  FakeEngine engine{.budget = 400, .refuses = true, .left_by_refusal = 0};
  std::vector<Profile> profiles(1);
  expect_error(ErrorCode::kInternal, "refuses to keep 900 of 1000 bytes",
               [&] { change_weight_budget(engine, profiles, 900, "engine \"net\"", &reason); });
  EXPECT_EQ(engine.budget, 400);
  EXPECT_EQ(profiles[0].scratch_bytes, 15U);
}

}  // namespace
}  // namespace torchtrt::tensorrt
