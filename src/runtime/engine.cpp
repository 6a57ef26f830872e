// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <utility>

#include <torchtrt/backend/properties.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>
#include <torchtrt/runtime.h>

#include "runtime/loaded_engine.h"
#include "runtime/nvtx.h"
#include "runtime/target_loader.h"

namespace torchtrt::runtime {
namespace {

constexpr std::size_t kAlignment = 64;

int profiles_of(const format::TargetSpec& target) {
  int count = 1;
  if (const auto said = target.properties.find(backend::kProfilesProperty); said != target.properties.end()) {
    std::from_chars(said->second.data(), said->second.data() + said->second.size(), count);
  }
  return count;
}

}  // namespace

Engine::Engine(std::string_view metadata, std::span<const std::byte> payload, std::shared_ptr<const void> owner)
    : metadata_(format::read_metadata(metadata, payload.size())),
      payload_(payload),
      owner_(std::move(owner)),
      plan_(metadata_),
      range_name_("torchtrt: " + metadata_.name) {
  TORCHTRT_CHECK(reinterpret_cast<std::uintptr_t>(payload.data()) % kAlignment == 0, kInternal, "engine \"",
                 metadata_.name, "\": the payload must be aligned to ", kAlignment, " bytes");
  for (const format::TargetSpec& target : metadata_.targets) {
    (device_type_of(target, metadata_) == kDLCPU ? has_cpu_target_ : has_cuda_target_) = true;
    profile_count_ = std::max(profile_count_, profiles_of(target));
  }
  has_bound_inputs_ = std::any_of(metadata_.inputs.begin(), metadata_.inputs.end(),
                                  [](const format::InputSpec& input) { return input.shape_symbol.empty(); });
}

Engine::~Engine() {
  for (auto& [device, loaded] : loaded_) LoadedEngine::destroy(std::move(loaded));
}

void Engine::run(std::span<const DLTensor> inputs, backend::OutputSink& outputs, void* stream,
                 std::span<const DLTensor> as_given) {
  const NvtxRange range(range_name_);
  const DLDevice device = device_of(inputs);
  check_bindings(inputs, device);
  const CallModes modes = call_modes();
  if (modes.output_allocator && !said_allocator_.exchange(true)) [[unlikely]] {
    TORCHTRT_LOG(kInfo, "engine \"", metadata_.name, "\" allocates its outputs while it runs, because ",
                 metadata_.requires_output_allocator ? "some output's shape depends on data"
                                                     : "the output allocator was enabled for it");
  }
  if (as_given.empty()) as_given = inputs;
  LoadedEngine& loaded = loaded_on(device);
  const std::exception_ptr failure = run_loaded(loaded, loaded.is_exact() ? as_given : inputs, modes, outputs, stream);
  if (failure != nullptr) [[unlikely]]
    run_exact_form(loaded, failure, as_given, modes, outputs);
}

std::exception_ptr Engine::run_loaded(LoadedEngine& loaded, std::span<const DLTensor> inputs, CallModes modes,
                                      backend::OutputSink& outputs, void* stream) {
  if (modes.profiling) [[unlikely]]
    return run_profiled(loaded, inputs, modes, outputs, stream);
  return loaded.run(plan_, inputs, modes, outputs, stream);
}

void Engine::run_exact_form(const LoadedEngine& instead_of, const std::exception_ptr& failure,
                            std::span<const DLTensor> inputs, CallModes modes, backend::OutputSink& outputs) {
  LoadedEngine* exact = nullptr;
  try {
    if (!instead_of.is_exact() && instead_of.device().device_type == kDLCPU) exact = exact_form();
  } catch (const Error& error) {
    TORCHTRT_LOG(kWarning, error.what());  // the failure is what the caller should know
  }
  if (exact == nullptr) std::rethrow_exception(failure);
  report(failure);
  if (const std::exception_ptr answer = run_loaded(*exact, inputs, modes, outputs, nullptr)) {
    std::rethrow_exception(answer);
  }
}

LoadedEngine* Engine::exact_form() {
  const std::lock_guard lock(load_mutex_);
  if (exact_ == nullptr) exact_ = load_exact_form(metadata_, payload_, owner_);
  return exact_.get();
}

// Once for each engine: a model that always is outside should be known as such, and not fill the log.
void Engine::report(const std::exception_ptr& failure) {
  constexpr const char* kMeans = ". Such calls run its exact form, PyTorch's own operators, which is slower.";
  try {
    std::rethrow_exception(failure);
  } catch (const backend::OutsideGuards& outside) {
    if (outside_calls_.fetch_add(1) == 0) TORCHTRT_LOG(kWarning, outside.what(), kMeans);
  } catch (const std::exception& error) {
    if (failed_calls_.fetch_add(1) == 0) {
      TORCHTRT_LOG(kWarning, "engine \"", metadata_.name, "\" failed: ", error.what(), kMeans);
    }
  }
}

std::exception_ptr Engine::run_profiled(LoadedEngine& loaded, std::span<const DLTensor> inputs, CallModes modes,
                                        backend::OutputSink& outputs, void* stream) {
  std::vector<std::shared_ptr<ProfileRecorder>> recorders;
  {
    const std::lock_guard lock(profile_mutex_);
    recorders = recorders_;
  }
  CallProfile call;
  if (const std::exception_ptr failure = loaded.run(plan_, inputs, modes, outputs, stream, &call)) return failure;
  for (const auto& recorder : recorders) recorder->add(call);
  return nullptr;
}

void Engine::start_profiling(std::shared_ptr<ProfileRecorder> recorder) {
  {
    const std::lock_guard lock(load_mutex_);
    for (const auto& [device, loaded] : loaded_) {
      if (loaded != nullptr) loaded->begin_profiling();
    }
  }
  {
    const std::lock_guard lock(profile_mutex_);
    recorders_.push_back(std::move(recorder));
  }
  acquire(EngineMode::kProfiling);
}

void Engine::stop_profiling(const std::shared_ptr<ProfileRecorder>& recorder) {
  release(EngineMode::kProfiling);
  const std::lock_guard lock(profile_mutex_);
  std::erase(recorders_, recorder);
}

std::string Engine::inspect() {
  const LoadedEngine* primary = primary_.load(std::memory_order_acquire);
  return loaded_on(primary != nullptr ? primary->device() : default_device()).inspect();
}

void Engine::set_runtime_settings(const backend::RuntimeSettings& settings) {
  const std::lock_guard lock(load_mutex_);
  for (const auto& [device, loaded] : loaded_) {
    if (loaded != nullptr) configure(*loaded, settings);
  }
  runtime_settings_ = settings;
}

void Engine::configure(LoadedEngine& loaded, const backend::RuntimeSettings& settings) {
  if (loaded.configure(settings) || settings == backend::RuntimeSettings{} || said_no_settings_) return;
  said_no_settings_ = true;
  TORCHTRT_LOG(kInfo, "engine \"", metadata_.name,
               "\": runtime settings (kernel specialization, CUDA graph strategy, runtime cache) are of TensorRT-RTX "
               "only; they change nothing here");
}

backend::RuntimeSettings Engine::runtime_settings() const {
  const std::lock_guard lock(load_mutex_);
  return runtime_settings_;
}

void Engine::save_runtime_cache() {
  const std::lock_guard lock(load_mutex_);
  for (const auto& [device, loaded] : loaded_) {
    if (loaded != nullptr) loaded->save_runtime_cache();
  }
}

// The device of what is loaded is asked first: a budget is of an engine that runs.
LoadedEngine& Engine::streaming() {
  {
    const std::lock_guard lock(load_mutex_);
    LoadedEngine* found = nullptr;
    for (const auto& [device, loaded] : loaded_) {  // GPUs come after the CPU
      if (loaded != nullptr && (found == nullptr || found->device().device_type == kDLCPU)) found = loaded.get();
    }
    if (found != nullptr) return *found;
  }
  if (!has_cuda_target_) return loaded_on(default_device());
  try {
    return loaded_on({kDLCUDA, device_api().current()});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported || !has_cpu_target_) throw;
    return loaded_on({kDLCPU, 0});  // this machine has no GPU
  }
}

backend::WeightStreaming Engine::weight_streaming() { return streaming().weight_streaming(); }

void Engine::set_weight_streaming_budget(std::int64_t bytes) {
  streaming();  // is loaded
  const std::lock_guard lock(load_mutex_);
  const WeightBudgets former = weight_budgets_locked();
  try {
    WeightBudgets wanted = former;
    for (auto& [device, budget] : wanted.by_device) budget = bytes;
    wanted.chosen = bytes;
    restore_locked(wanted);
  } catch (const Error&) {
    try {
      restore_locked(former);
    } catch (const Error& error) {
      TORCHTRT_LOG(kError, "engine \"", metadata_.name, "\": ", error.what());
    }
    throw;
  }
}

Engine::WeightBudgets Engine::weight_budgets() const {
  const std::lock_guard lock(load_mutex_);
  return weight_budgets_locked();
}

Engine::WeightBudgets Engine::weight_budgets_locked() const {
  WeightBudgets budgets{{}, weight_budget_};
  for (const auto& [device, loaded] : loaded_) {
    const auto now = loaded == nullptr ? backend::WeightStreaming{} : loaded->weight_streaming();
    if (now.streamable > 0) budgets.by_device[device] = now.budget;
  }
  return budgets;
}

void Engine::restore(const WeightBudgets& budgets) {
  const std::lock_guard lock(load_mutex_);
  restore_locked(budgets);
}

// All that can be put back is; then the first error goes on.
void Engine::restore_locked(const WeightBudgets& budgets) {
  std::exception_ptr failure;
  for (const auto& [device, loaded] : loaded_) {
    const auto now = loaded == nullptr ? backend::WeightStreaming{} : loaded->weight_streaming();
    if (now.streamable == 0) continue;
    const auto own = budgets.by_device.find(device);
    try {
      // A device that it was loaded on since gets what it would have been given then.
      loaded->set_weight_streaming_budget(own != budgets.by_device.end() ? own->second
                                                                         : budgets.chosen.value_or(now.automatic));
    } catch (const Error&) {
      if (failure == nullptr) failure = std::current_exception();
    }
  }
  weight_budget_ = budgets.chosen;
  if (failure != nullptr) std::rethrow_exception(failure);
}

void Engine::set_budget_of_new(LoadedEngine& loaded) const {
  try {
    const std::int64_t streamable = loaded.weight_streaming().streamable;
    if (streamable > 0) loaded.set_weight_streaming_budget(std::min(*weight_budget_, streamable));
  } catch (const Error& error) {
    TORCHTRT_LOG(kWarning, "engine \"", metadata_.name,
                 "\" keeps the weight streaming budget that its library chose: ", error.what());
  }
}

void Engine::check_bindings(std::span<const DLTensor> inputs, DLDevice device) const {
  try {
    plan_.check_bindings(inputs, device);
  } catch (const Error& error) {
    const bool may_be_elsewhere = error.code() == ErrorCode::kInvalidArgument && !inputs.empty() &&
                                  inputs[0].device.device_type != device.device_type && metadata_.network;
    if (!may_be_elsewhere) throw;
    fail(error.code(), error.what(), ". ", how_to_rebuild(metadata_, inputs[0].device.device_type));
  }
}

std::optional<Placement> Engine::place(std::span<const DLDevice> inputs) {
  if (!has_cuda_target_ || !multi_device_safe_mode()) return std::nullopt;
  // Without shape inputs, which stay on the host. The thread's own vector, so that a call allocates nothing.
  static thread_local std::vector<DLDevice> bound;
  bound.clear();
  for (std::size_t i = 0; i < inputs.size() && i < metadata_.inputs.size(); ++i) {
    if (metadata_.inputs[i].shape_symbol.empty()) bound.push_back(inputs[i]);
  }
  const LoadedEngine* primary = primary_.load(std::memory_order_acquire);
  const bool on_cpu = std::all_of(bound.begin(), bound.end(), [](DLDevice d) { return d.device_type == kDLCPU; });
  if (on_cpu && has_cpu_target_) return std::nullopt;
  const bool has_home = primary != nullptr && primary->device().device_type == kDLCUDA;
  Placement placement = place_safely(device_api(), has_home ? std::optional(primary->device().device_id) : std::nullopt,
                                     bound, !warned_of_devices_.load(std::memory_order_relaxed));
  if (!placement.mismatch.empty() && !warned_of_devices_.exchange(true)) {
    TORCHTRT_LOG(kWarning, "engine \"", metadata_.name, "\" runs on cuda:", placement.device.device_id, ", but ",
                 placement.mismatch, "; multi-device safe mode switches the device for the call and moves the inputs");
  }
  return placement;
}

void Engine::invalidate_graphs() {
  const std::lock_guard lock(load_mutex_);
  for (const auto& [device, loaded] : loaded_) {
    if (loaded != nullptr) loaded->invalidate_graphs();
  }
}

DLDevice Engine::device_of(std::span<const DLTensor> inputs) const {
  for (std::size_t i = 0; i < inputs.size() && i < metadata_.inputs.size(); ++i) {
    const DLDeviceType type = inputs[i].device.device_type;
    const bool has_target = type == kDLCPU    ? has_cpu_target_ || may_rebuild(metadata_)
                            : type == kDLCUDA ? has_cuda_target_ || may_rebuild(metadata_)
                                              : false;
    // Shape inputs are on the CPU whatever the engine's device.
    if (has_target && metadata_.inputs[i].shape_symbol.empty()) {
      return inputs[i].device;
    }
  }
  if (!has_bound_inputs_) return default_device();
  // No input is where the engine can run; the check of the inputs will say so for the first.
  return {has_cpu_target_ ? kDLCPU : kDLCUDA, 0};
}

DLDevice Engine::default_device() const {
  if (!has_cuda_target_ || (has_cpu_target_ && metadata_.device == "cpu")) return {kDLCPU, 0};
  try {
    return {kDLCUDA, device_api().current()};
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    return {has_cpu_target_ ? kDLCPU : kDLCUDA, 0};  // this machine has no GPU
  }
}

LoadedEngine& Engine::loaded_on(DLDevice device) {
  LoadedEngine* primary = primary_.load(std::memory_order_acquire);
  if (primary != nullptr && primary->device().device_type == device.device_type &&
      primary->device().device_id == device.device_id) [[likely]] {
    return *primary;
  }
  // Under the lock, so that one thread loads and the others wait for it. Nothing is stored if it throws: the next call
  // tries again.
  const std::lock_guard lock(load_mutex_);
  std::unique_ptr<LoadedEngine>& loaded = loaded_[{device.device_type, device.device_id}];
  if (loaded == nullptr) {
    ChosenTarget chosen = load_best_target(metadata_, payload_, owner_, device);
    if (runtime_settings_ != backend::RuntimeSettings{}) configure(*chosen.engine, runtime_settings_);
    if (weight_budget_) set_budget_of_new(*chosen.engine);
    targets_[{device.device_type, device.device_id}] = std::move(chosen.backend);
    loaded = std::move(chosen.engine);
    (device.device_type == kDLCPU ? has_cpu_target_ : has_cuda_target_) = true;
    LoadedEngine* none = nullptr;
    primary_.compare_exchange_strong(none, loaded.get(), std::memory_order_acq_rel);
  }
  return *loaded;
}

std::string Engine::target() const {
  const LoadedEngine* primary = primary_.load(std::memory_order_acquire);
  if (primary == nullptr) return "";
  const std::lock_guard lock(load_mutex_);
  return targets_.at({primary->device().device_type, primary->device().device_id});
}

std::size_t Engine::contexts_created() const {
  const std::lock_guard lock(load_mutex_);
  std::size_t count = 0;
  for (const auto& [device, loaded] : loaded_) {
    count += loaded != nullptr ? loaded->contexts_created() : 0;
  }
  return count;
}

}  // namespace torchtrt::runtime
