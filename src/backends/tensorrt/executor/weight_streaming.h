// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <torchtrt/backend/weight_streaming.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/executor/layout.h"

/// Weights in host memory, for plans that were built for it. Engine: nvinfer1::ICudaEngine; a test has another one.
namespace torchtrt::tensorrt {

/// The library's own budgets may exceed the weights, which means all of them.
template <typename Engine>
backend::WeightStreaming weight_streaming_of(const Engine& engine) {
  const std::int64_t all = std::max<std::int64_t>(0, engine.getStreamableWeightsSize());
  const auto within = [all](std::int64_t bytes) { return std::clamp<std::int64_t>(bytes, 0, all); };
  return {all, within(engine.getWeightStreamingBudgetV2()), within(engine.getWeightStreamingAutomaticBudget())};
}

/// Keeps this many bytes of weights on the GPU and streams the others. Only while the engine has no context; changes how
/// much scratch memory contexts need, see read_scratch_sizes(). Error(kInternal) with the library's reason
/// (`take_errors()`) if it refuses, with the former budget.
template <typename Engine>
void set_weight_budget(Engine& engine, std::int64_t bytes, const std::string& subject, std::string (*take_errors)()) {
  const std::int64_t all = engine.getStreamableWeightsSize();
  const std::int64_t former = engine.getWeightStreamingBudgetV2();
  if (!engine.setWeightStreamingBudgetV2(bytes)) {
    const std::string reason = take_errors();
    // Nobody promises that a refusal, for want of memory say, leaves things as they were.
    const std::int64_t left = engine.getWeightStreamingBudgetV2();
    if (left != former) static_cast<void>(engine.setWeightStreamingBudgetV2(former));
    fail(ErrorCode::kInternal, subject, ": ", compat::kProductName, " refuses to keep ", bytes, " of ", all,
         " bytes of weights on the GPU: ", reason);
  }
  TORCHTRT_LOG(kInfo, subject, " keeps ", std::min(bytes, all), " of ", all, " bytes of weights on the GPU",
               bytes < all ? " and streams the others" : "");
}

/// The budget that the library proposes for the memory that is free. Before the first context is made.
template <typename Engine>
void stream_weights(Engine& engine, const std::string& subject, std::string (*take_errors)()) {
  set_weight_budget(engine, engine.getWeightStreamingAutomaticBudget(), subject, take_errors);
}

/// What runs need of device memory under the present budget.
template <typename Engine>
void read_scratch_sizes(const Engine& engine, std::vector<Profile>& profiles) {
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    const std::int64_t bytes = engine.getDeviceMemorySizeForProfileV2(static_cast<std::int32_t>(i));
    profiles[i].scratch_bytes = static_cast<std::size_t>(std::max<std::int64_t>(0, bytes));
  }
}

/// Another budget for an engine whose profiles were read.
template <typename Engine>
void change_weight_budget(Engine& engine, std::vector<Profile>& profiles, std::int64_t bytes,
                          const std::string& subject, std::string (*take_errors)()) {
  try {
    set_weight_budget(engine, bytes, subject, take_errors);
  } catch (const Error&) {
    read_scratch_sizes(engine, profiles);  // the former budget may not be back
    throw;
  }
  read_scratch_sizes(engine, profiles);
}

}  // namespace torchtrt::tensorrt
