// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace torchtrt::tensorrt {

struct Gpu {
  std::string name;  ///< "NVIDIA H200"
  int major = 0;     ///< compute capability
  int minor = 0;

  [[nodiscard]] std::string compute_capability() const { return std::to_string(major) + "." + std::to_string(minor); }
};

/// The NVIDIA driver, asked before anything of TensorRT that needs it: without one some releases return pointers that
/// crash, and none says what is missing. Thread-safe.
class Driver {
 public:
  /// Opens libcuda.so.1 and initializes it. Error(kNotFound) that says what is missing: the driver, one that works, or a
  /// GPU. Failures are not remembered.
  static const Driver& get();

  [[nodiscard]] int count() const { return count_; }
  /// Error(kInvalidArgument) for a device that there is not.
  [[nodiscard]] Gpu gpu(int device) const;
  /// The calling thread's device; 0 where it has none yet.
  [[nodiscard]] int current() const;

 private:
  Driver();
  void* handle_ = nullptr;
  int count_ = 0;
};

}  // namespace torchtrt::tensorrt
