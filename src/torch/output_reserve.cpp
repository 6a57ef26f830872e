// SPDX-License-Identifier: Apache-2.0
#include "torch/output_reserve.h"

#include <algorithm>
#include <utility>

#include <c10/core/InferenceMode.h>

namespace torchtrt::torch_adapter {

std::vector<at::Tensor> OutputReserve::take(at::Device device, const void* stream) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(sets_.rbegin(), sets_.rend(), [&](const Set& set) {
    return set.device == device && set.stream == stream && set.inference_mode == c10::InferenceMode::is_enabled();
  });
  if (found == sets_.rend()) return {};
  std::vector<at::Tensor> outputs = std::move(found->outputs);
  sets_.erase(std::next(found).base());
  return outputs;
}

void OutputReserve::put(at::Device device, const void* stream, std::vector<at::Tensor> outputs) {
  std::vector<at::Tensor> dropped;  // freed without the lock
  const std::lock_guard lock(mutex_);
  if (sets_.size() == kSets) {
    dropped = std::move(sets_.front().outputs);
    sets_.erase(sets_.begin());
  }
  sets_.push_back({device, stream, c10::InferenceMode::is_enabled(), std::move(outputs)});
  filled_.store(true, std::memory_order_relaxed);
}

void OutputReserve::drop_all() {
  std::vector<Set> dropped;
  const std::lock_guard lock(mutex_);
  dropped.swap(sets_);
  filled_.store(false, std::memory_order_relaxed);
}

}  // namespace torchtrt::torch_adapter
