// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include <ATen/core/Tensor.h>

#include <torchtrt/base/export.h>

namespace torchtrt::torch_adapter {

/// Outputs allocated ahead of the calls that will fill them: one set per call that runs at the same time. A set that is
/// taken belongs to the taker alone, so what a caller got is never written again. Thread-safe.
class TORCHTRT_API OutputReserve {
 public:
  /// A set for this device and stream (memory of PyTorch's allocator belongs to one stream) and the thread's inference
  /// mode (tensors made in it stay inference tensors); empty if there is none.
  std::vector<at::Tensor> take(at::Device device, const void* stream);
  /// Beyond kSets the oldest goes.
  void put(at::Device device, const void* stream, std::vector<at::Tensor> outputs);
  /// Cheap if there is nothing.
  void clear() {
    if (filled_.load(std::memory_order_relaxed)) drop_all();
  }

 private:
  static constexpr std::size_t kSets = 8;
  struct Set {
    at::Device device;
    const void* stream;
    bool inference_mode;
    std::vector<at::Tensor> outputs;
  };
  void drop_all();

  std::mutex mutex_;
  std::vector<Set> sets_;
  std::atomic<bool> filled_{false};
};

}  // namespace torchtrt::torch_adapter
