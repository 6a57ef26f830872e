// SPDX-License-Identifier: Apache-2.0
#include "runtime/shape_cache.h"

#include <utility>

namespace torchtrt::runtime {

const ResolvedShapes& ShapeCache::find_or_resolve(const BindingPlan& plan, std::span<const DLTensor> inputs) {
  if (last_ < entries_.size() && plan.matches(entries_[last_], inputs)) [[likely]] {
    return entries_[last_];
  }
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (plan.matches(entries_[i], inputs)) {
      last_ = i;
      return entries_[i];
    }
  }
  ResolvedShapes resolved = plan.resolve(inputs);
  if (entries_.size() < kCapacity) {
    last_ = entries_.size();
    entries_.push_back(std::move(resolved));
  } else {
    last_ = next_;
    next_ = (next_ + 1) % kCapacity;
    entries_[last_] = std::move(resolved);
  }
  return entries_[last_];
}

}  // namespace torchtrt::runtime
