// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/weight_streaming.h"

#include <gtest/gtest.h>

#include "backends/tensorrt/testing/layers/harness.h"

namespace torchtrt::tensorrt {
namespace {

/// As TensorRT says: at least getStreamableWeightsSize() switches streaming off.
struct FakeEngine {
  std::int64_t all = 1000, proposed = 300, budget = -1;
  bool refuses = false;

  [[nodiscard]] std::int64_t getStreamableWeightsSize() const { return all; }
  [[nodiscard]] std::int64_t getWeightStreamingAutomaticBudget() const { return proposed; }
  bool setWeightStreamingBudgetV2(std::int64_t bytes) {
    budget = bytes;
    return !refuses;
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
  try {
    stream_weights(engine, "engine \"net\"", &reason);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find("refuses to keep 300 of 1000 bytes of weights on the GPU: the fake's "),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace torchtrt::tensorrt
