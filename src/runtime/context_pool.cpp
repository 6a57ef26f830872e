// SPDX-License-Identifier: Apache-2.0
#include "runtime/context_pool.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <torchtrt/base/log.h>

namespace torchtrt::runtime {

namespace {

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

std::unique_ptr<ContextSlot> ContextPool::take_free(void* stream) {
  const std::lock_guard lock(mutex_);
  reclaim();
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
    const std::lock_guard lock(mutex_);
    reclaim();
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
    const std::lock_guard lock(mutex_);
    slot->generation = generation_;  // before the context is made: settings that change meanwhile make it anew
    ++created_;
    free_.reserve(created_);  // so that release() does not throw for want of memory
    retired_.reserve(created_);
  }
  const auto create = [&] { slot->context = engine_.create_context(); };
  if (api_ != nullptr) {
    api_->outside_recordings(create);
  } else {
    create();
  }
  return slot;
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
  const auto destroy = [&] {
    await(*slot);
    slot.reset();
  };
  if (api_ != nullptr) {
    api_->outside_recordings(destroy);
  } else {
    destroy();
  }
}

void ContextPool::renew() {
  std::vector<std::unique_ptr<ContextSlot>> outdated;
  {
    const std::lock_guard lock(mutex_);
    ++generation_;
    reclaim();
    outdated.swap(free_);
    free_.reserve(created_);
  }
  for (auto& slot : outdated) drop(std::move(slot));
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
  return gone;
}

// The contexts of recordings that are gone may be used again; under the lock.
void ContextPool::reclaim() {
  std::erase_if(retired_, [&](Retired& retired) {
    const bool gone = retired.gone->load(std::memory_order_acquire);
    if (gone) {
      retired.slot->recorded_memory.clear();
      // Of former settings: nothing of it runs any more, so it can go here.
      if (retired.slot->generation == generation_) free_.push_back(std::move(retired.slot));
    }
    return gone;
  });
}

std::size_t ContextPool::created() const {
  const std::lock_guard lock(mutex_);
  return created_;
}

}  // namespace torchtrt::runtime
