// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "runtime/binding_plan.h"
#include "runtime/context_pool.h"
#include "runtime/device.h"
#include "runtime/modes.h"

namespace torchtrt::runtime {

/// A vendor's engine on one device with its contexts. Thread-safe.
class TORCHTRT_API LoadedEngine {
 public:
  /// `api`: null on the CPU; outlives the engine, as `metadata` does. `recordable`: see backend::kRecordableProperty.
  /// `exact`: the engine is PyTorch's own operators and takes every value.
  LoadedEngine(std::unique_ptr<backend::ExecutableEngine> executable, const format::Metadata& metadata, DLDevice device,
               DeviceApi* api, bool recordable = true, bool exact = false);
  /// Destroys it. What that frees on a GPU must not spoil a recording that any thread makes meanwhile, and the calling
  /// thread's device stays what it is.
  static void destroy(std::unique_ptr<LoadedEngine> engine);

  [[nodiscard]] DLDevice device() const { return device_; }
  [[nodiscard]] bool is_exact() const { return exact_; }
  [[nodiscard]] std::size_t contexts_created() const { return pool_.created(); }

  /// Checks shapes and values and runs. The inputs have passed BindingPlan::check_bindings.
  /// `layer_times`: where the run says how long its layers took; null: it is not profiled.
  ///
  /// Shapes that the engine does not take are an error. What else keeps it from answering, on a CPU, is returned, for the
  /// exact form to step in: backend::OutsideGuards for values, and what the backend threw. Null: it has answered.
  [[nodiscard]] std::exception_ptr run(const BindingPlan& plan, std::span<const DLTensor> inputs, CallModes modes,
                                       backend::OutputSink& outputs, void* stream,
                                       backend::LayerTimes* layer_times = nullptr);

  /// Makes every context record anew: to be called after a change of what graphs hold (weights, settings). Also gives
  /// recording another chance after a failure.
  void invalidate_graphs();

  void begin_profiling() { executable_->begin_profiling(); }
  [[nodiscard]] std::string inspect() { return executable_->inspect(); }
  /// False: the backend has no such settings. Otherwise contexts are made anew.
  bool configure(const backend::RuntimeSettings& settings);
  void save_runtime_cache() { executable_->save_runtime_cache(); }
  [[nodiscard]] backend::WeightStreaming weight_streaming();
  /// Waits for the calls in flight, and makes contexts and graphs anew, see ContextPool::without_contexts; does nothing if
  /// that is the budget already. Error(kIncompatibleMode), at once or after a second, if callers' recordings hold
  /// contexts; otherwise the backend's.
  void set_weight_streaming_budget(std::int64_t bytes);

 private:
  void run_on_gpu(const BindingPlan& plan, std::span<const DLTensor> inputs, CallModes modes,
                  backend::OutputSink& outputs, void* stream, backend::LayerTimes* layer_times);
  const ResolvedShapes& resolve(std::unique_ptr<ContextSlot>& slot, const BindingPlan& plan,
                                std::span<const DLTensor> inputs);
  bool may_record(ContextSlot& slot, CallModes modes);

  // Declared first, destroyed last: contexts must not outlive their engine.
  std::unique_ptr<backend::ExecutableEngine> executable_;
  const format::Metadata& metadata_;
  DLDevice device_;
  DeviceApi* api_;
  const bool recordable_, exact_;
  ContextPool pool_;
  std::atomic<std::size_t> graph_generation_{0};
  std::atomic<bool> graphs_failed_{false}, said_unrecordable_{false};
};

}  // namespace torchtrt::runtime
