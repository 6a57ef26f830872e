// SPDX-License-Identifier: Apache-2.0
#include "runtime/loaded_engine.h"

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

std::unique_ptr<LoadedEngine::Slot> LoadedEngine::acquire() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      // The one used last: its bindings and caches are warm.
      std::unique_ptr<Slot> slot = std::move(free_.back());
      free_.pop_back();
      return slot;
    }
    ++created_;
    free_.reserve(created_);  // so that release() cannot throw
  }
  auto slot = std::make_unique<Slot>();
  slot->context = executable_->create_context();
  return slot;
}

void LoadedEngine::release(std::unique_ptr<Slot> slot) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(slot));
}

std::size_t LoadedEngine::contexts_created() const {
  const std::lock_guard lock(mutex_);
  return created_;
}

void LoadedEngine::run(const BindingPlan& plan, std::span<const DLTensor> inputs, backend::OutputSink& outputs,
                       void* stream) {
  std::unique_ptr<Slot> slot = acquire();
  const ResolvedShapes* shapes = nullptr;
  try {
    shapes = &slot->shapes.find_or_resolve(plan, inputs);
    plan.check_values(inputs);
  } catch (...) {
    release(std::move(slot));
    throw;
  }
  // If the run throws, the context goes with the exception: nobody knows what state the vendor left it in.
  slot->context->run({inputs, shapes->outputs, &outputs, stream});
  release(std::move(slot));
}

}  // namespace torchtrt::runtime
