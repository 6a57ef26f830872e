// SPDX-License-Identifier: Apache-2.0
#include "runtime/context_pool.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <torchtrt/base/log.h>

namespace torchtrt::runtime {

std::unique_ptr<ContextSlot> ContextPool::acquire(void* stream) {
  if (std::unique_ptr<ContextSlot> slot = take_free(stream)) {
    if (slot->done != nullptr && slot->stream != stream) slot->done->wait_on(stream);
    return slot;
  }
  return make();
}

std::unique_ptr<ContextSlot> ContextPool::take_free(void* stream) {
  const std::lock_guard lock(mutex_);
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

std::unique_ptr<ContextSlot> ContextPool::make() {
  {
    const std::lock_guard lock(mutex_);
    ++created_;
    free_.reserve(created_);  // so that release() and retire() cannot throw for want of memory
    retired_.reserve(created_);
  }
  auto slot = std::make_unique<ContextSlot>();
  slot->context = engine_.create_context();
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
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(slot));
}

void ContextPool::discard(std::unique_ptr<ContextSlot> slot, void* stream) noexcept {
  if (api_ == nullptr) return;
  try {
    api_->synchronize(stream);
  } catch (const std::exception& error) {
    // The device is lost, or somebody records the stream: kept, because its work may not be done.
    TORCHTRT_LOG(kError, "an execution context is kept after a failure: ", error.what());
    retire(std::move(slot));
  }
}

void ContextPool::retire(std::unique_ptr<ContextSlot> slot) {
  const std::lock_guard lock(mutex_);
  retired_.push_back(std::move(slot));
}

std::size_t ContextPool::created() const {
  const std::lock_guard lock(mutex_);
  return created_;
}

}  // namespace torchtrt::runtime
