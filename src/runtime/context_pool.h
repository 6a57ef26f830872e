// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "runtime/device.h"
#include "runtime/graph_cache.h"
#include "runtime/shape_cache.h"

namespace torchtrt::runtime {

/// What one call at a time works with: a context and what it remembers.
struct ContextSlot {
  std::unique_ptr<backend::Context> context;
  ShapeCache shapes;
  std::unique_ptr<GraphCache> graphs;  ///< Null while CUDA graphs are off.
  std::size_t graph_generation = 0;    ///< What the graphs were recorded from, see LoadedEngine::invalidate_graphs.

  // On a GPU a call returns before its work is done: the context's scratch memory stays in use.
  void* stream = nullptr;       ///< The stream of the last call.
  std::unique_ptr<Event> done;  ///< Behind the last call's work; null before the first.
  /// What a caller's recording reads and writes besides: kept with the context, see ContextPool::retire.
  std::vector<std::shared_ptr<void>> recorded_memory;
  std::size_t generation = 0;  ///< Of the settings that the context was made with, see ContextPool::renew.
};

/// The contexts of an engine on one device. Thread-safe; its lock is held for a few instructions, never while an engine
/// runs.
///
/// On a GPU a context is given to a call on another stream only when its work is done. If none is, a new one is made up
/// to kMaxWaiting; beyond that the stream waits for the context's work (the host never does).
class TORCHTRT_API ContextPool {
 public:
  static constexpr std::size_t kMaxWaiting = 8;

  /// `api`: null for the CPU. Both outlive the pool.
  ContextPool(backend::ExecutableEngine& engine, DeviceApi* api, int device)
      : engine_(engine), api_(api), device_(device) {}
  /// Waits for what runs: contexts own memory that it uses.
  ~ContextPool();
  ContextPool(const ContextPool&) = delete;
  ContextPool& operator=(const ContextPool&) = delete;

  /// A slot whose work is done, or that `stream` waits for.
  std::unique_ptr<ContextSlot> acquire(void* stream);
  /// A slot for a call that the caller records, see retire(). Its work is done, so that no event of an earlier call gets
  /// into the recording; one that ran before is preferred, because a first run may do what cannot be recorded.
  std::unique_ptr<ContextSlot> acquire_for_recording();
  /// After a call on `stream` that did not fail.
  void release(std::unique_ptr<ContextSlot> slot, void* stream);
  /// A slot that was not run after all.
  void put_back(std::unique_ptr<ContextSlot> slot);
  /// After a call on `stream` that failed: nobody knows what state the vendor left the context in, so it is not used
  /// again. Waits for the stream before it destroys the context.
  void discard(std::unique_ptr<ContextSlot> slot, void* stream) noexcept;
  /// After a call on `stream` whose work was recorded by the caller: the context belongs to that recording as long as it
  /// lives, because every replay uses its scratch memory.
  void retire(std::unique_ptr<ContextSlot> slot, void* stream);

  /// Calls that begin after this get contexts that are made after it. Waits for the work of those that are free; others
  /// go when their call ends, those of a caller's recording with the recording.
  void renew();

  /// Contexts made so far.
  [[nodiscard]] std::size_t created() const;

 private:
  /// A context that is taken until `*gone`.
  struct Retired {
    std::unique_ptr<ContextSlot> slot;
    std::shared_ptr<const std::atomic<bool>> gone;
  };

  std::unique_ptr<ContextSlot> take_free(void* stream);
  void reclaim();
  void drop(std::unique_ptr<ContextSlot> slot);
  std::shared_ptr<std::atomic<bool>> keep(std::unique_ptr<ContextSlot> slot);
  std::unique_ptr<ContextSlot> make();

  backend::ExecutableEngine& engine_;
  DeviceApi* api_;
  int device_;
  mutable std::mutex mutex_;  // guards the rest
  std::vector<std::unique_ptr<ContextSlot>> free_;
  std::vector<Retired> retired_;
  std::size_t created_ = 0;
  std::size_t generation_ = 0;
};

}  // namespace torchtrt::runtime
