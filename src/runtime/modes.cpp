// SPDX-License-Identifier: Apache-2.0
#include "runtime/modes.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>
#include <torchtrt/runtime.h>

#include "runtime/engine.h"

namespace torchtrt::runtime {
namespace {

ModeScope enable(std::span<const EngineHandle> engines, EngineMode mode) {
  std::vector<EngineHandle> held(engines.begin(), engines.end());
  for (const EngineHandle& engine : held) engine.engine().acquire(mode);
  return ModeScope([held = std::move(held), mode] {
    for (const EngineHandle& engine : held) engine.engine().release(mode);
  });
}

}  // namespace

std::int64_t ProfileChoice::open(int profile) {
  const std::lock_guard lock(mutex_);
  open_.emplace_back(++tickets_, profile);
  update();
  return tickets_;
}

void ProfileChoice::close(std::int64_t ticket) {
  const std::lock_guard lock(mutex_);
  std::erase_if(open_, [ticket](const auto& scope) { return scope.first == ticket; });
  update();
}

CallModes call_modes(const format::Metadata& engine, const EngineModes& modes) {
  CallModes result;
  result.cuda_graphs = cudagraphs_mode() == CudaGraphsMode::kSubgraph || modes.is_on(EngineMode::kCudaGraphs);
  result.output_allocator = engine.requires_output_allocator || modes.is_on(EngineMode::kOutputAllocator);
  result.pre_allocated_outputs = modes.is_on(EngineMode::kPreAllocatedOutputs) && !result.output_allocator;
  if (result.cuda_graphs && result.output_allocator) [[unlikely]] {
    fail(ErrorCode::kIncompatibleMode,
         engine.requires_output_allocator ? kRequiresAllocatorAndGraphs : kAllocatorAndGraphs);
  }
  result.profiling = modes.is_on(EngineMode::kProfiling);
  if (result.profiling) [[unlikely]]
    result.cuda_graphs = false;
  return result;
}

const std::string& EngineHandle::name() const { return engine_->metadata().name; }
bool EngineHandle::requires_output_allocator() const { return engine_->metadata().requires_output_allocator; }
int EngineHandle::optimization_profile_count() const { return engine_->profile_count(); }
std::optional<int> EngineHandle::chosen_profile() const {
  const int profile = engine_->profile().current();
  return profile == ProfileChoice::kAutomatic ? std::nullopt : std::optional(profile);
}
std::string EngineHandle::target() const { return engine_->target(); }

void check_recordable(std::span<const EngineHandle> engines) {
  for (const EngineHandle& engine : engines) {
    TORCHTRT_CHECK(!engine.requires_output_allocator(), kIncompatibleMode, kRequiresAllocatorAndGraphs);
  }
}

ModeScope enable_cudagraphs(std::span<const EngineHandle> engines) {
  check_recordable(engines);
  return enable(engines, EngineMode::kCudaGraphs);
}

ModeScope enable_output_allocator(std::span<const EngineHandle> engines) {
  return enable(engines, EngineMode::kOutputAllocator);
}

ModeScope enable_pre_allocated_outputs(std::span<const EngineHandle> engines) {
  return enable(engines, EngineMode::kPreAllocatedOutputs);
}

ModeScope optimization_profile(std::span<const EngineHandle> engines, std::optional<int> profile) {
  if (profile) {
    int most = engines.empty() ? 0 : 1;
    for (const EngineHandle& engine : engines) most = std::max(most, engine.optimization_profile_count());
    for (const EngineHandle& engine : engines) {
      const int count = engine.optimization_profile_count();
      const bool has = *profile >= 0 && *profile < (count == 1 ? most : count);
      TORCHTRT_CHECK(has, kInvalidArgument, "there is no optimization profile ", *profile, ": engine \"", engine.name(),
                     "\" has ", count == 1 ? "one, number 0" : "0 to " + std::to_string(count - 1));
    }
  }
  std::vector<std::pair<EngineHandle, std::int64_t>> open;
  for (const EngineHandle& engine : engines) {
    const bool has_choice = profile && engine.optimization_profile_count() > 1;
    open.emplace_back(engine, engine.engine().profile().open(has_choice ? *profile : ProfileChoice::kAutomatic));
  }
  return ModeScope([open = std::move(open)] {
    for (const auto& [engine, ticket] : open) engine.engine().profile().close(ticket);
  });
}

ModeScope scoped_multi_device_safe_mode(bool enabled) {
  const bool former = multi_device_safe_mode();
  set_multi_device_safe_mode(enabled);
  return ModeScope([former] { set_multi_device_safe_mode(former); });
}

ModeScope scoped_cudagraphs_mode(CudaGraphsMode mode) {
  const CudaGraphsMode former = cudagraphs_mode();
  set_cudagraphs_mode(mode);
  return ModeScope([former] { set_cudagraphs_mode(former); });
}

void set_runtime_settings(std::span<const EngineHandle> engines, const RuntimeSettings& settings) {
  using Kernels = KernelSpecialization;
  const auto kernels = settings.dynamic_shapes_kernel_specialization;
  TORCHTRT_CHECK(kernels >= Kernels::kLazy && kernels <= Kernels::kNone, kInvalidArgument,
                 "kernels for dynamic shapes are specialized 0 (lazily), 1 (eagerly) or 2 (never), not ",
                 static_cast<int>(kernels));
  const auto graphs = settings.cuda_graph_strategy;
  TORCHTRT_CHECK(graphs == CudaGraphStrategy::kDisabled || graphs == CudaGraphStrategy::kWholeGraphCapture,
                 kInvalidArgument, "a CUDA graph strategy is 0 (disabled) or 1 (whole-graph capture), not ",
                 static_cast<int>(graphs));
  for (const EngineHandle& engine : engines) engine.engine().set_runtime_settings(settings);
}

RuntimeSettings runtime_settings(const EngineHandle& engine) { return engine.engine().runtime_settings(); }

ModeScope scoped_runtime_settings(std::span<const EngineHandle> engines, const RuntimeSettings& settings) {
  std::vector<std::pair<EngineHandle, RuntimeSettings>> former;
  for (const EngineHandle& engine : engines) former.emplace_back(engine, runtime_settings(engine));
  ModeScope scope([former = std::move(former)] {
    for (const auto& [engine, its] : former) {
      try {
        engine.engine().set_runtime_settings(its);
      } catch (const Error& error) {
        TORCHTRT_LOG(kError, "engine \"", engine.name(), "\" keeps the runtime settings of a scope: ", error.what());
      }
    }
  });
  set_runtime_settings(engines, settings);
  return scope;
}

void save_runtime_cache(std::span<const EngineHandle> engines) {
  for (const EngineHandle& engine : engines) engine.engine().save_runtime_cache();
}

ModeScope scoped_rebuild_engines(bool enabled) {
  const bool former = rebuild_engines();
  set_rebuild_engines(enabled);
  return ModeScope([former] { set_rebuild_engines(former); });
}

}  // namespace torchtrt::runtime
