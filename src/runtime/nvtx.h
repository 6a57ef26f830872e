// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>

namespace torchtrt::runtime {

/// A range in NVIDIA's tools around a block of the calling thread; nothing while runtime::nvtx() is off.
class NvtxRange {
 public:
  explicit NvtxRange(const std::string& name) : is_open_(is_on.load(std::memory_order_relaxed)) {
    if (is_open_) [[unlikely]]
      push(name.c_str());
  }
  ~NvtxRange() {
    if (is_open_) [[unlikely]]
      pop();
  }
  NvtxRange(const NvtxRange&) = delete;
  NvtxRange& operator=(const NvtxRange&) = delete;

  static inline std::atomic<bool> is_on{false};

 private:
  static void push(const char* name);
  static void pop();
  const bool is_open_;
};

}  // namespace torchtrt::runtime
