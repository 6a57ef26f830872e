// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "format/package.h"
#include "runtime/binding_plan.h"
#include "runtime/modes.h"
#include "runtime/placement.h"
#include "runtime/profile.h"

namespace torchtrt::runtime {

class LoadedEngine;

/// One engine of a saved program. Immutable and thread-safe: any number of threads run it at the same time on one copy
/// of the weights, each call with an execution context of its own from a pool.
///
/// Making one parses the metadata only. The backend's module, the checksums and the vendor's engine come at the first
/// run on a device (or load()), from the best target that fits it (target_loader.h); if that fails, every run fails with the reason until the cause is gone.
class TORCHTRT_API Engine {
 public:
  /// `owner` keeps `payload` alive, whose start is aligned to 64 bytes. Errors: those of format::read_metadata.
  Engine(std::string_view metadata, std::span<const std::byte> payload, std::shared_ptr<const void> owner);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] const format::Metadata& metadata() const { return metadata_; }

  /// Runs the engine on the device that its inputs are on, without such inputs on default_device(). Inputs are contiguous and in the metadata's order; each
  /// output is handed to `outputs` once. On a GPU the work is enqueued on `stream`, the caller's, and inputs must live
  /// until then; the thread's device is the same afterwards as before.
  ///
  /// Where a vendor's engine on the CPU cannot answer, because a value is outside of what it computes as PyTorch does or
  /// because it fails, the exact form of the package does (load_exact_form); what PyTorch's operators throw then goes
  /// through as it is. The log warns of each once. PyTorch chooses kernels by strides, so the exact form gets the inputs
  /// `as_given`: the same elements as the caller laid them out; empty: as the inputs are.
  ///
  /// Errors: the inputs' (see BindingPlan), modes that exclude each other (see call_modes), loading's (see
  /// executor_loader.h), the backend's. After an error the engine is as usable as before.
  void run(std::span<const DLTensor> inputs, backend::OutputSink& outputs, void* stream = nullptr,
           std::span<const DLTensor> as_given = {});

  /// Whether some input says which device a call runs on. Those that decide shapes are on the CPU and do not.
  [[nodiscard]] bool has_bound_inputs() const { return has_bound_inputs_; }
  /// Where calls run whose inputs do not say it: on the kind of device that the engine was compiled for, of several GPUs on
  /// the calling thread's, as PyTorch's factories do for "cuda".
  [[nodiscard]] DLDevice default_device() const;

  /// Where multi-device safe mode wants a call with inputs on these devices (of all inputs, in order); warns once per
  /// engine if something is elsewhere. nullopt: nothing to decide, because the mode is off, or the engine is one for the
  /// CPU, or all inputs are on the CPU and it runs there.
  std::optional<Placement> place(std::span<const DLDevice> inputs);

  [[nodiscard]] CallModes call_modes() const {
    CallModes modes = runtime::call_modes(metadata_, modes_);
    modes.profile = profile_.current();
    return modes;
  }
  void acquire(EngineMode mode) { modes_.acquire(mode); }
  void release(EngineMode mode) { modes_.release(mode); }
  [[nodiscard]] bool is_on(EngineMode mode) const { return modes_.is_on(mode); }
  /// Which optimization profile calls run; see optimization_profile() for who may ask for which.
  [[nodiscard]] ProfileChoice& profile() { return profile_; }
  /// The largest number that a target has; at least 1.
  [[nodiscard]] int profile_count() const { return profile_count_; }
  /// See LoadedEngine::invalidate_graphs; on all devices.
  void invalidate_graphs();

  /// Loads now what the first run on `device` would load. Errors: see load_best_target.
  void load(DLDevice device) { loaded_on(device); }

  /// See BindingPlan::infer_output_shapes.
  [[nodiscard]] std::vector<std::vector<std::int64_t>> infer_output_shapes(
      std::span<const std::vector<std::int64_t>> input_shapes) const {
    return plan_.infer_output_shapes(input_shapes);
  }

  /// Execution contexts made so far, on all devices: the largest number of calls that ran at the same time.
  [[nodiscard]] std::size_t contexts_created() const;

  /// Calls that the exact form answered, or refused as PyTorch does, so far.
  struct ExactCalls {
    std::size_t outside = 0;  ///< Because of a value outside of what was compiled.
    std::size_t failed = 0;   ///< Because the vendor's engine failed.
  };
  [[nodiscard]] ExactCalls exact_calls() const { return {outside_calls_.load(), failed_calls_.load()}; }

  /// See runtime::inspect.
  [[nodiscard]] std::string inspect();
  /// Measures the layers of all calls until stop_profiling() with the same recorder.
  void start_profiling(std::shared_ptr<ProfileRecorder> recorder);
  void stop_profiling(const std::shared_ptr<ProfileRecorder>& recorder);
  /// See runtime::set_runtime_settings; also for the devices that the engine is loaded on later.
  void set_runtime_settings(const backend::RuntimeSettings& settings);
  [[nodiscard]] backend::RuntimeSettings runtime_settings() const;
  /// See runtime::save_runtime_cache.
  void save_runtime_cache();
  /// On the first GPU that it was loaded on, otherwise where it runs; loads it on the thread's GPU, or on the CPU where it
  /// has no target for one, if it was not loaded yet.
  [[nodiscard]] backend::WeightStreaming weight_streaming();
  /// On every device, also on those that it is loaded on later. After an error all have their former budgets. `bytes`: 0 to
  /// WeightStreaming::streamable.
  void set_weight_streaming_budget(std::int64_t bytes);
  /// What set_weight_streaming_budget() changes, to put it back.
  struct WeightBudgets {
    std::map<std::pair<int, int>, std::int64_t> by_device;  ///< Of the devices that it is loaded on.
    std::optional<std::int64_t> chosen;                     ///< Of those that follow; nullopt: as the library proposes.
  };
  [[nodiscard]] WeightBudgets weight_budgets() const;
  void restore(const WeightBudgets& budgets);

  /// What runs on the first device that the engine was loaded on ("openvino"); empty before that.
  [[nodiscard]] std::string target() const;

 private:
  [[nodiscard]] std::exception_ptr run_loaded(LoadedEngine& loaded, std::span<const DLTensor> inputs, CallModes modes,
                                              backend::OutputSink& outputs, void* stream);
  [[nodiscard]] std::exception_ptr run_profiled(LoadedEngine& loaded, std::span<const DLTensor> inputs, CallModes modes,
                                                backend::OutputSink& outputs, void* stream);
  void run_exact_form(const LoadedEngine& instead_of, const std::exception_ptr& failure,
                      std::span<const DLTensor> inputs, CallModes modes, backend::OutputSink& outputs);
  LoadedEngine* exact_form();
  void report(const std::exception_ptr& failure);
  void configure(LoadedEngine& loaded, const backend::RuntimeSettings& settings);
  LoadedEngine& loaded_on(DLDevice device);
  LoadedEngine& streaming();
  void set_budget_of_new(LoadedEngine& loaded) const;
  [[nodiscard]] WeightBudgets weight_budgets_locked() const;
  void restore_locked(const WeightBudgets& budgets);
  void check_bindings(std::span<const DLTensor> inputs, DLDevice device) const;
  [[nodiscard]] DLDevice device_of(std::span<const DLTensor> inputs) const;

  format::Metadata metadata_;
  std::span<const std::byte> payload_;
  std::shared_ptr<const void> owner_;
  BindingPlan plan_;
  std::atomic<bool> has_cpu_target_{false}, has_cuda_target_{false};  // in the package, or rebuilt
  EngineModes modes_;
  ProfileChoice profile_;
  int profile_count_ = 1;
  bool has_bound_inputs_ = false;
  std::atomic<bool> warned_of_devices_{false}, said_allocator_{false};
  std::atomic<std::size_t> outside_calls_{0}, failed_calls_{0};

  /// The first device's engine, read without a lock: nearly every engine only ever has this one.
  std::atomic<LoadedEngine*> primary_{nullptr};
  mutable std::mutex load_mutex_;
  std::map<std::pair<int, int>, std::unique_ptr<LoadedEngine>> loaded_;  // by device type and index
  std::map<std::pair<int, int>, std::string> targets_;                   // which of them
  std::unique_ptr<LoadedEngine> exact_;                                  // under load_mutex_; loaded when first needed

  const std::string range_name_;  // of NVTX
  mutable std::mutex profile_mutex_;
  std::vector<std::shared_ptr<ProfileRecorder>> recorders_;  // under profile_mutex_
  backend::RuntimeSettings runtime_settings_;                // under load_mutex_
  bool said_no_settings_ = false;                            // under load_mutex_
  std::optional<std::int64_t> weight_budget_;                // under load_mutex_; nullopt: nobody chose one
};

}  // namespace torchtrt::runtime
