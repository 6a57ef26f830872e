// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/forks.h"

#include <pthread.h>

#include <atomic>

namespace torchtrt::openvino {
namespace {

std::atomic<unsigned> fork_count{0};

}  // namespace

unsigned forks() noexcept {
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });
  return fork_count.load(std::memory_order_relaxed);
}

}  // namespace torchtrt::openvino
