// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <torchtrt/backend/executor.h>

#include "runtime/device.h"
#include "runtime/scratch.h"

namespace torchtrt::runtime {

/// Memory as its elements' owner.
inline std::shared_ptr<void> shared_data(std::shared_ptr<DeviceMemory> memory) {
  void* const data = memory->data();
  return {std::move(memory), data};
}

/// What one plain run gets: memory from PyTorch for the thread's current stream, which is the run's.
class CallServices final : public backend::DeviceServices {
 public:
  /// `kept`: where the memory stays after the run, because somebody records it; null: nowhere.
  CallServices(DeviceApi& api, int device, void* stream, std::vector<std::shared_ptr<void>>* kept)
      : api_(api), device_(device), stream_(stream), kept_(kept) {}

  std::shared_ptr<void> allocate(std::size_t bytes) override {
    std::shared_ptr<void> result = shared_data(api_.allocate(device_, bytes == 0 ? 1 : bytes));
    if (kept_ != nullptr) kept_->push_back(result);
    return result;
  }
  // Replays of a recording that somebody makes come at any time, so what it uses is its own.
  void* scratch(std::size_t bytes) override {
    return kept_ != nullptr ? allocate(bytes).get() : scratch_of_thread(api_, device_, stream_, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override { api_.copy_async(to, from, bytes, stream_); }
  void write(void* to, const void* from, std::size_t bytes) override {
    if (kept_ != nullptr) {
      // A replay reads the memory anew.
      const auto kept = std::make_shared<std::vector<std::byte>>(bytes);
      std::memcpy(kept->data(), from, bytes);
      kept_->emplace_back(kept, kept->data());
      from = kept->data();
    }
    copy(to, from, bytes);
  }

 private:
  DeviceApi& api_;
  int device_;
  void* stream_;
  std::vector<std::shared_ptr<void>>* kept_;
};

}  // namespace torchtrt::runtime
