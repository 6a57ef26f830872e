// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <torchtrt/backend/executor.h>

#include "runtime/binding_plan.h"

namespace torchtrt::runtime {

/// The shapes that a context met, with what follows from them. Bounded; the oldest makes room. Not thread-safe.
class ShapeCache {
 public:
  /// Checks the inputs' shapes if they are new. The reference is valid until the next call.
  const ResolvedShapes& find_or_resolve(const BindingPlan& plan, std::span<const DLTensor> inputs);

 private:
  static constexpr std::size_t kCapacity = 16;
  std::vector<ResolvedShapes> entries_;
  std::size_t last_ = 0;  // the entry used last: tried first
  std::size_t next_ = 0;  // the entry that a new one replaces once the cache is full
};

}  // namespace torchtrt::runtime
