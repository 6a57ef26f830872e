// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "runtime/device.h"
#include "runtime/graph_cache.h"
#include "runtime/shape_cache.h"

namespace torchtrt::runtime {

class ContextPool;

/// What one call at a time works with: a context and what it remembers.
struct ContextSlot {
  struct Leave {
    void operator()(ContextPool* pool) const noexcept;
  };
  /// The pool that counts the context. First, so that the pool hears of the end when the context is gone.
  std::unique_ptr<ContextPool, Leave> counted;
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

  /// Runs `work` while the engine has no context: waits for the calls that are in flight and for their work on the GPU,
  /// drops all contexts with their graphs, and lets calls that begin meanwhile wait until `work` is done. What it throws
  /// goes on. Callers take turns. Not to be called by whoever holds a slot.
  ///
  /// Contexts that a caller recorded cannot be dropped, and waiting for the caller could be for ever: gives their number,
  /// with nothing done, if some are left after a second (the driver is a little late to say that a recording is gone).
  [[nodiscard]] std::size_t without_contexts(const std::function<void()>& work);

  /// Contexts made so far.
  [[nodiscard]] std::size_t created() const;

 private:
  /// A context that is taken until `*gone`.
  struct Retired {
    std::unique_ptr<ContextSlot> slot;
    std::shared_ptr<const std::atomic<bool>> gone;
  };

  friend struct ContextSlot::Leave;

  std::unique_ptr<ContextSlot> take_free(void* stream);
  void reclaim(std::vector<std::unique_ptr<ContextSlot>>& outdated);
  void drop(std::unique_ptr<ContextSlot> slot);
  void drop(std::vector<std::unique_ptr<ContextSlot>> slots);
  std::size_t await_recordings();
  void outside_recordings(const std::function<void()>& work);
  std::shared_ptr<std::atomic<bool>> keep(std::unique_ptr<ContextSlot> slot);
  std::unique_ptr<ContextSlot> make();

  backend::ExecutableEngine& engine_;
  DeviceApi* api_;
  int device_;
  std::mutex turn_;           // of without_contexts()
  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::size_t alive_ = 0;   // contexts that exist or are being made
  bool is_closed_ = false;  // no context may be made
  std::vector<std::unique_ptr<ContextSlot>> free_;
  std::vector<Retired> retired_;
  std::size_t created_ = 0;
  std::size_t generation_ = 0;
};

}  // namespace torchtrt::runtime
