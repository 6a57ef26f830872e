// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <torchtrt/base/export.h>
#include <torchtrt/runtime.h>

#include "runtime/engine.h"

/// What stands behind the functions for weight streaming in torchtrt/runtime.h.
namespace torchtrt::runtime {

/// `bytes`, at most the sum of `streamable`, in parts that are in proportion to it: none exceeds its own, and their sum is
/// `bytes`. An engine without streamable weights gets 0.
TORCHTRT_API std::vector<std::int64_t> split_budget(std::span<const std::int64_t> streamable, std::int64_t bytes);

/// The weight streaming budgets of some engines at one moment. Loads engines that were not loaded yet. Thread-safe.
class TORCHTRT_API SavedBudgets {
 public:
  explicit SavedBudgets(std::span<const EngineHandle> engines);
  /// Puts back all that can be put back, then throws the first error.
  void restore() const;

 private:
  std::vector<std::pair<EngineHandle, Engine::WeightBudgets>> engines_;  // each once
};

}  // namespace torchtrt::runtime
