// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {

/// Keeps as many weights on the GPU as the library proposes for the memory that is free, and streams the others. Has to be
/// called before the first context is made, and before anybody asks how much scratch memory a context needs.
/// Error(kInternal) with the library's reason (`take_errors()`) if it refuses.
/// Engine: nvinfer1::ICudaEngine; a test has another one.
template <typename Engine>
void stream_weights(Engine& engine, const std::string& subject, std::string (*take_errors)()) {
  const std::int64_t all = engine.getStreamableWeightsSize();
  const std::int64_t budget = engine.getWeightStreamingAutomaticBudget();
  TORCHTRT_CHECK(engine.setWeightStreamingBudgetV2(budget), kInternal, subject, ": ", compat::kProductName,
                 " refuses to keep ", budget, " of ", all, " bytes of weights on the GPU: ", take_errors());
  TORCHTRT_LOG(kInfo, subject, " keeps ", budget < all ? budget : all, " of ", all, " bytes of weights on the GPU",
               budget < all ? " and streams the others" : "");
}

}  // namespace torchtrt::tensorrt
