// SPDX-License-Identifier: Apache-2.0
#include "runtime/modes.h"

#include <utility>
#include <vector>

#include <torchtrt/base/error.h>
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

CallModes call_modes(const format::Metadata& engine, const EngineModes& modes) {
  CallModes result;
  result.cuda_graphs = cudagraphs_mode() == CudaGraphsMode::kSubgraph || modes.is_on(EngineMode::kCudaGraphs);
  result.output_allocator = engine.requires_output_allocator || modes.is_on(EngineMode::kOutputAllocator);
  result.pre_allocated_outputs = modes.is_on(EngineMode::kPreAllocatedOutputs) && !result.output_allocator;
  if (result.cuda_graphs && result.output_allocator) [[unlikely]] {
    fail(ErrorCode::kIncompatibleMode,
         engine.requires_output_allocator ? kRequiresAllocatorAndGraphs : kAllocatorAndGraphs);
  }
  return result;
}

const std::string& EngineHandle::name() const { return engine_->metadata().name; }
bool EngineHandle::requires_output_allocator() const { return engine_->metadata().requires_output_allocator; }
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

ModeScope scoped_rebuild_engines(bool enabled) {
  const bool former = rebuild_engines();
  set_rebuild_engines(enabled);
  return ModeScope([former] { set_rebuild_engines(former); });
}

}  // namespace torchtrt::runtime
