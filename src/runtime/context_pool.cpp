// SPDX-License-Identifier: Apache-2.0
#include "runtime/context_pool.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include <torchtrt/base/log.h>

namespace torchtrt::runtime {

namespace {

constexpr std::chrono::seconds kPatienceWithRecordings{1};

void await(const ContextSlot& slot) noexcept {
  try {
    if (slot.done != nullptr) slot.done->wait();
  } catch (const std::exception& error) {
    // At the end of a process CUDA may be gone before an engine is.
    TORCHTRT_LOG(kInfo, "the work of an execution context cannot be awaited: ", error.what());
  }
}

}  // namespace

ContextPool::~ContextPool() {
  for (const auto& slot : free_) await(*slot);
}

std::unique_ptr<ContextSlot> ContextPool::acquire(void* stream) {
  if (std::unique_ptr<ContextSlot> slot = take_free(stream)) {
    if (slot->done != nullptr && slot->stream != stream) slot->done->wait_on(stream);
    return slot;
  }
  return make();
}

// While the pool is closed no slot is free, so only make() has to wait for its opening.
std::unique_ptr<ContextSlot> ContextPool::take_free(void* stream) {
  std::vector<std::unique_ptr<ContextSlot>> outdated;  // goes after the lock
  const std::lock_guard lock(mutex_);
  reclaim(outdated);
  if (free_.empty()) return nullptr;
  // The one used last on this stream: its bindings and caches are warm, and nothing has to wait.
  auto chosen = std::find_if(free_.rbegin(), free_.rend(), [&](const auto& slot) { return slot->stream == stream; });
  if (chosen == free_.rend()) {
    chosen = std::find_if(free_.rbegin(), free_.rend(),
                          [](const auto& slot) { return slot->done == nullptr || slot->done->is_done(); });
  }
  if (chosen == free_.rend()) {
    if (free_.size() < kMaxWaiting) return nullptr;
    chosen = std::prev(free_.rend());  // the one that has had the longest time
  }
  std::unique_ptr<ContextSlot> slot = std::move(*chosen);
  free_.erase(std::next(chosen).base());
  return slot;
}

std::unique_ptr<ContextSlot> ContextPool::acquire_for_recording() {
  {
    std::vector<std::unique_ptr<ContextSlot>> outdated;
    const std::lock_guard lock(mutex_);
    reclaim(outdated);
    const auto chosen = std::find_if(free_.rbegin(), free_.rend(),
                                     [](const auto& slot) { return slot->done == nullptr || slot->done->is_done(); });
    if (chosen != free_.rend()) {
      std::unique_ptr<ContextSlot> slot = std::move(*chosen);
      free_.erase(std::next(chosen).base());
      return slot;
    }
  }
  return make();
}

std::unique_ptr<ContextSlot> ContextPool::make() {
  auto slot = std::make_unique<ContextSlot>();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !is_closed_; });
    slot->generation = generation_;  // before the context is made: settings that change meanwhile make it anew
    ++created_;
    free_.reserve(created_);  // so that release() does not throw for want of memory
    retired_.reserve(created_);
    ++alive_;
    slot->counted.reset(this);
  }
  outside_recordings([&] { slot->context = engine_.create_context(); });
  return slot;
}

void ContextSlot::Leave::operator()(ContextPool* pool) const noexcept {
  const std::lock_guard lock(pool->mutex_);
  --pool->alive_;
  pool->changed_.notify_all();
}

void ContextPool::release(std::unique_ptr<ContextSlot> slot, void* stream) {
  if (api_ != nullptr) {
    if (slot->done == nullptr) slot->done = api_->create_event(device_);
    slot->done->record(stream);
    slot->stream = stream;
  }
  put_back(std::move(slot));
}

void ContextPool::put_back(std::unique_ptr<ContextSlot> slot) {
  {
    const std::lock_guard lock(mutex_);
    if (slot->generation == generation_) [[likely]] {
      free_.push_back(std::move(slot));
      return;
    }
  }
  drop(std::move(slot));
}

void ContextPool::drop(std::unique_ptr<ContextSlot> slot) {
  outside_recordings([&] {
    await(*slot);
    slot.reset();
  });
}

void ContextPool::drop(std::vector<std::unique_ptr<ContextSlot>> slots) {
  for (auto& slot : slots) drop(std::move(slot));
}

void ContextPool::outside_recordings(const std::function<void()>& work) {
  if (api_ != nullptr) {
    api_->outside_recordings(work);
  } else {
    work();
  }
}

void ContextPool::renew() {
  std::vector<std::unique_ptr<ContextSlot>> outdated;
  {
    const std::lock_guard lock(mutex_);
    ++generation_;
    outdated.swap(free_);
    free_.reserve(created_);
    reclaim(outdated);
  }
  drop(std::move(outdated));
}

std::size_t ContextPool::without_contexts(const std::function<void()>& work) {
  const std::lock_guard turn(turn_);
  if (const std::size_t recorded = await_recordings(); recorded > 0) return recorded;  // calls go on meanwhile
  struct Closed {
    explicit Closed(ContextPool& of) : pool(of) { set(true); }
    ~Closed() { set(false); }
    void set(bool closed) const {
      const std::lock_guard lock(pool.mutex_);
      pool.is_closed_ = closed;
      pool.changed_.notify_all();
    }
    ContextPool& pool;
  };
  const Closed closed(*this);
  renew();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return alive_ == retired_.size(); });
    if (!retired_.empty()) return retired_.size();  // a call in flight was one of a recording
  }
  outside_recordings(work);
  return 0;
}

// The number of contexts that are in recordings when patience ends.
std::size_t ContextPool::await_recordings() {
  const auto deadline = std::chrono::steady_clock::now() + kPatienceWithRecordings;
  while (true) {
    std::vector<std::unique_ptr<ContextSlot>> outdated;
    std::size_t recorded = 0;
    {
      const std::lock_guard lock(mutex_);
      reclaim(outdated);
      recorded = retired_.size();
    }
    drop(std::move(outdated));
    if (recorded == 0 || std::chrono::steady_clock::now() >= deadline) return recorded;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void ContextPool::discard(std::unique_ptr<ContextSlot> slot, void* stream) noexcept {
  if (api_ == nullptr) return;
  try {
    if (!api_->is_capturing(stream)) {
      api_->synchronize(stream);
      return;
    }
    // Half of a run is in the caller's recording, which uses the context as long as it lives; waiting would spoil it.
  } catch (const std::exception& error) {
    TORCHTRT_LOG(kError, "an execution context is kept after a failure: ", error.what());  // the device is lost
  }
  keep(std::move(slot));
}

void ContextPool::retire(std::unique_ptr<ContextSlot> slot, void* stream) {
  api_->when_recording_is_gone(stream,
                               [gone = keep(std::move(slot))] { gone->store(true, std::memory_order_release); });
}

std::shared_ptr<std::atomic<bool>> ContextPool::keep(std::unique_ptr<ContextSlot> slot) {
  auto gone = std::make_shared<std::atomic<bool>>(false);
  const std::lock_guard lock(mutex_);
  retired_.push_back({std::move(slot), gone});
  changed_.notify_all();  // the call is no longer in flight
  return gone;
}

// The contexts of recordings that are gone may be used again; under the lock, behind which the caller lets those of former
// settings go.
void ContextPool::reclaim(std::vector<std::unique_ptr<ContextSlot>>& outdated) {
  for (auto retired = retired_.begin(); retired != retired_.end();) {
    if (!retired->gone->load(std::memory_order_acquire)) {
      ++retired;
      continue;
    }
    retired->slot->recorded_memory.clear();
    (retired->slot->generation == generation_ ? free_ : outdated).push_back(std::move(retired->slot));
    retired = retired_.erase(retired);
  }
}

std::size_t ContextPool::created() const {
  const std::lock_guard lock(mutex_);
  return created_;
}

}  // namespace torchtrt::runtime
