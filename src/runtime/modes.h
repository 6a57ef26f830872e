// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include <torchtrt/base/export.h>

#include "format/package.h"

namespace torchtrt::runtime {

/// What is set for single engines, besides the process's defaults (torchtrt/runtime.h).
enum class EngineMode : int { kCudaGraphs = 0, kOutputAllocator = 1, kPreAllocatedOutputs = 2, kProfiling = 3 };

/// How many scopes want each mode of an engine: a mode is on while at least one does, so that scopes of several threads
/// may overlap. All in one word that a call reads once. Thread-safe.
class EngineModes {
 public:
  void acquire(EngineMode mode) { counts_.fetch_add(one(mode), std::memory_order_relaxed); }
  void release(EngineMode mode) { counts_.fetch_sub(one(mode), std::memory_order_relaxed); }
  [[nodiscard]] bool is_on(EngineMode mode) const {
    return (counts_.load(std::memory_order_relaxed) >> shift(mode) & kMask) != 0;
  }

 private:
  static constexpr int kBits = 16;
  static constexpr std::uint64_t kMask = (std::uint64_t{1} << kBits) - 1;
  static constexpr int shift(EngineMode mode) { return kBits * static_cast<int>(mode); }
  static constexpr std::uint64_t one(EngineMode mode) { return std::uint64_t{1} << shift(mode); }

  std::atomic<std::uint64_t> counts_{0};
};

/// Which optimization profile the open scopes want of an engine: the one opened last decides, and scopes may end in any
/// order. Thread-safe; a call reads one word.
class TORCHTRT_API ProfileChoice {
 public:
  static constexpr int kAutomatic = -1;

  /// The ticket ends the scope.
  std::int64_t open(int profile);
  void close(std::int64_t ticket);
  [[nodiscard]] int current() const { return current_.load(std::memory_order_relaxed); }

 private:
  void update() { current_.store(open_.empty() ? kAutomatic : open_.back().second, std::memory_order_relaxed); }

  std::mutex mutex_;  // of the rest
  std::vector<std::pair<std::int64_t, int>> open_;
  std::int64_t tickets_ = 0;
  std::atomic<int> current_{kAutomatic};
};

/// What holds for one call of one engine.
struct CallModes {
  bool cuda_graphs = false;
  bool output_allocator = false;
  bool pre_allocated_outputs = false;
  int profile = ProfileChoice::kAutomatic;
  bool profiling = false;
};

/// Puts the process's defaults, the engine's settings and its nature together. Error(kIncompatibleMode) for CUDA graphs
/// with an output allocator, in the words that scripts for Torch-TensorRT know. A call that is profiled uses no graphs.
TORCHTRT_API CallModes call_modes(const format::Metadata& engine, const EngineModes& modes);

/// The texts of those errors.
inline constexpr const char* kRequiresAllocatorAndGraphs =
    "The model contains submodules that require a dynamic output allocator at runtime, which is incompatible with CUDA "
    "Graphs. Please disable CUDA Graphs.";
inline constexpr const char* kAllocatorAndGraphs =
    "Both CUDA Graphs and dynamic output allocation are enabled, which are incompatible runtime modes. Please disable "
    "one of the two.";

}  // namespace torchtrt::runtime
