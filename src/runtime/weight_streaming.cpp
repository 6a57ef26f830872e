// SPDX-License-Identifier: Apache-2.0
#include "runtime/weight_streaming.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <numeric>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

namespace torchtrt::runtime {
namespace {

std::vector<EngineHandle> distinct(std::span<const EngineHandle> engines) {
  std::vector<EngineHandle> result;
  for (const EngineHandle& engine : engines) {
    if (std::find(result.begin(), result.end(), engine) == result.end()) result.push_back(engine);
  }
  return result;
}

void restore_or_log(const SavedBudgets& budgets) noexcept {
  try {
    budgets.restore();
  } catch (const std::exception& error) {
    TORCHTRT_LOG(kError, "a former weight streaming budget is not back: ", error.what());
  }
}

}  // namespace

std::vector<std::int64_t> split_budget(std::span<const std::int64_t> streamable, std::int64_t bytes) {
  std::int64_t weights = std::accumulate(streamable.begin(), streamable.end(), std::int64_t{0});
  std::vector<std::int64_t> parts;
  for (const std::int64_t own : streamable) {
    // Of what is left, so that the parts add up; the limits make it right whatever the division rounds.
    const double share = weights == 0 ? 0 : static_cast<double>(own) / static_cast<double>(weights);
    const std::int64_t least = std::max<std::int64_t>(0, bytes - (weights - own));
    const std::int64_t most = std::min(own, bytes);
    parts.push_back(std::clamp(static_cast<std::int64_t>(static_cast<double>(bytes) * share), least, most));
    bytes -= parts.back();
    weights -= own;
  }
  return parts;
}

SavedBudgets::SavedBudgets(std::span<const EngineHandle> engines) {
  for (const EngineHandle& engine : distinct(engines)) {
    static_cast<void>(engine.engine().weight_streaming());  // loads it
    engines_.emplace_back(engine, engine.engine().weight_budgets());
  }
}

void SavedBudgets::restore() const {
  std::exception_ptr failure;
  for (const auto& [engine, budgets] : engines_) {
    try {
      engine.engine().restore(budgets);
    } catch (const Error&) {
      if (failure == nullptr) failure = std::current_exception();
    }
  }
  if (failure != nullptr) std::rethrow_exception(failure);
}

WeightStreaming weight_streaming(std::span<const EngineHandle> engines) {
  WeightStreaming sum;
  for (const EngineHandle& engine : distinct(engines)) {
    const WeightStreaming one = engine.engine().weight_streaming();
    sum.streamable += one.streamable;
    sum.budget += one.budget;
    sum.automatic += one.automatic;
  }
  return sum;
}

void set_weight_streaming_budget(std::span<const EngineHandle> engines, std::int64_t bytes) {
  TORCHTRT_CHECK(bytes >= 0, kInvalidArgument, "a weight streaming budget is a number of bytes from 0 on, not ", bytes);
  const std::vector<EngineHandle> own = distinct(engines);
  std::vector<std::int64_t> streamable;
  for (const EngineHandle& engine : own) streamable.push_back(engine.engine().weight_streaming().streamable);
  const std::int64_t most = std::accumulate(streamable.begin(), streamable.end(), std::int64_t{0});
  TORCHTRT_CHECK(most > 0, kUnsupported, "no engine here has weights that can be streamed: compile the model for ",
                 "TensorRT or TensorRT-RTX with enable_weight_streaming=True");
  if (bytes > most) {
    TORCHTRT_LOG(kWarning, "a weight streaming budget of ", bytes, " bytes is more than the ", most,
                 " bytes that can be streamed; all of them are kept on the GPU");
    bytes = most;
  }
  const SavedBudgets former(own);
  const std::vector<std::int64_t> parts = split_budget(streamable, bytes);
  try {
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (streamable[i] > 0) own[i].engine().set_weight_streaming_budget(parts[i]);
    }
  } catch (const Error&) {
    restore_or_log(former);
    throw;
  }
}

ModeScope scoped_weight_streaming_budget(std::span<const EngineHandle> engines, std::int64_t bytes) {
  const auto former = std::make_shared<const SavedBudgets>(engines);
  set_weight_streaming_budget(engines, bytes);
  return ModeScope([former] { restore_or_log(*former); });
}

}  // namespace torchtrt::runtime
