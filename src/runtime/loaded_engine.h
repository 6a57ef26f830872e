// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include <torchtrt/backend/executor.h>

#include "runtime/binding_plan.h"

namespace torchtrt::runtime {

/// The shapes that a context met, with what follows from them. Bounded; the oldest makes room.
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

/// A vendor's engine on one device with its pool of contexts. Thread-safe.
class LoadedEngine {
 public:
  LoadedEngine(std::unique_ptr<backend::ExecutableEngine> executable, DLDevice device)
      : executable_(std::move(executable)), device_(device) {}

  [[nodiscard]] DLDevice device() const { return device_; }
  [[nodiscard]] std::size_t contexts_created() const;

  /// Checks shapes and values and runs. The inputs have passed BindingPlan::check_bindings.
  void run(const BindingPlan& plan, std::span<const DLTensor> inputs, backend::OutputSink& outputs, void* stream);

 private:
  /// What one call at a time works with.
  struct Slot {
    std::unique_ptr<backend::Context> context;
    ShapeCache shapes;
  };

  std::unique_ptr<Slot> acquire();
  void release(std::unique_ptr<Slot> slot);

  // Declared first, destroyed last: contexts must not outlive their engine.
  std::unique_ptr<backend::ExecutableEngine> executable_;
  DLDevice device_;
  mutable std::mutex mutex_;  // guards the two below; never held while an engine runs
  std::vector<std::unique_ptr<Slot>> free_;
  std::size_t created_ = 0;
};

}  // namespace torchtrt::runtime
