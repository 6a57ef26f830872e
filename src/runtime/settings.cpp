// SPDX-License-Identifier: Apache-2.0
#include "runtime/settings.h"

#include <atomic>

namespace torchtrt {

const char* version() { return TORCHTRT_VERSION; }

namespace runtime {
namespace {

// One word, so that readers never see half of a change.
struct PackedCpuSettings {
  int streams = CpuSettings{}.streams;
  int threads = CpuSettings{}.threads;
};
std::atomic<PackedCpuSettings> cpu_settings_variable{PackedCpuSettings{}};
static_assert(std::atomic<PackedCpuSettings>::is_always_lock_free);

std::atomic<CudaGraphsMode> cudagraphs_mode_variable{CudaGraphsMode::kStandard};
std::atomic<bool> multi_device_safe_mode_variable{false};
std::atomic<bool> rebuild_engines_variable{false};
std::atomic<int (*)()> default_thread_count{nullptr};

}  // namespace

void set_cpu_settings(const CpuSettings& settings) {
  TORCHTRT_CHECK(settings.streams >= 1 && settings.threads >= 0, kInvalidArgument,
                 "CPU settings need streams >= 1 and threads >= 0, not ", settings.streams, " and ", settings.threads);
  cpu_settings_variable.store({settings.streams, settings.threads});
}

CpuSettings cpu_settings() {
  const PackedCpuSettings packed = cpu_settings_variable.load();
  return {packed.streams, packed.threads};
}

void set_cudagraphs_mode(CudaGraphsMode mode) {
  TORCHTRT_CHECK(mode >= CudaGraphsMode::kStandard && mode <= CudaGraphsMode::kWholeGraph, kInvalidArgument,
                 "a CUDA graphs mode is 0 (standard), 1 (subgraph) or 2 (whole graph), not ", static_cast<int>(mode));
  cudagraphs_mode_variable.store(mode);
}

CudaGraphsMode cudagraphs_mode() { return cudagraphs_mode_variable.load(std::memory_order_relaxed); }

void set_multi_device_safe_mode(bool enabled) { multi_device_safe_mode_variable.store(enabled); }

bool multi_device_safe_mode() { return multi_device_safe_mode_variable.load(std::memory_order_relaxed); }

void set_rebuild_engines(bool enabled) { rebuild_engines_variable.store(enabled); }

bool rebuild_engines() { return rebuild_engines_variable.load(std::memory_order_relaxed); }

void set_default_thread_count(int (*provider)()) { default_thread_count.store(provider); }

backend::ExecutorSettings current_executor_settings() {
  const CpuSettings settings = cpu_settings();
  int threads = settings.threads;
  if (const auto provider = default_thread_count.load(); threads == 0 && provider != nullptr) {
    threads = provider();
  }
  return {settings.streams, threads};
}

}  // namespace runtime
}  // namespace torchtrt
