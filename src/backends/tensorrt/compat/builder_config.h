// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <NvInfer.h>

#include "backends/tensorrt/compat/version.h"

/// Settings of a build that TensorRT has and TensorRT-RTX does not: its engines are for a list of GPUs, and it times no
/// kernels while it builds. There nothing happens.
namespace torchtrt::tensorrt::compat {

#ifdef TRT_MAJOR_RTX

inline void set_hardware_compatible(nvinfer1::IBuilderConfig&) {}

class TimingCache {
 public:
  bool attach(nvinfer1::IBuilderConfig&, std::span<const std::byte>) { return true; }
  bool combine(nvinfer1::IBuilderConfig&, std::span<const std::byte>) { return true; }
  [[nodiscard]] std::vector<std::byte> serialized() const { return {}; }
};

#else

/// An engine for every GPU of compute capability 8.0 or more.
inline void set_hardware_compatible(nvinfer1::IBuilderConfig& config) {
  config.setHardwareCompatibilityLevel(nvinfer1::HardwareCompatibilityLevel::kAMPERE_PLUS);
}

/// The timings that a build uses and adds to: lives until the build is over.
class TimingCache {
 public:
  /// Builds with the timings in `bytes`, or with none yet. False: they are not what the library takes.
  bool attach(nvinfer1::IBuilderConfig& config, std::span<const std::byte> bytes) {
    cache_.reset(config.createTimingCache(bytes.data(), bytes.size()));
    return cache_ != nullptr && config.setTimingCache(*cache_, /*ignoreMismatch=*/false);
  }
  /// Adds the timings in `bytes`; those that are known stay. False: they are not what the library takes.
  bool combine(nvinfer1::IBuilderConfig& config, std::span<const std::byte> bytes) {
    const std::unique_ptr<nvinfer1::ITimingCache> other(config.createTimingCache(bytes.data(), bytes.size()));
    return cache_ != nullptr && other != nullptr && cache_->combine(*other, /*ignoreMismatch=*/false);
  }
  /// What is known after the build; empty if there is no cache.
  [[nodiscard]] std::vector<std::byte> serialized() const {
    const std::unique_ptr<nvinfer1::IHostMemory> memory(cache_ == nullptr ? nullptr : cache_->serialize());
    if (memory == nullptr) return {};
    const auto* bytes = static_cast<const std::byte*>(memory->data());
    return {bytes, bytes + memory->size()};
  }

 private:
  std::unique_ptr<nvinfer1::ITimingCache> cache_;
};

#endif

}  // namespace torchtrt::tensorrt::compat
