// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace torchtrt::tensorrt {

/// What a runtime cache asks of nvinfer1::IRuntimeCache, which TensorRT-RTX alone has; thin, so that a test can take its
/// place.
class NativeCache {
 public:
  virtual ~NativeCache() = default;
  /// False, with nothing changed: the library does not take these bytes.
  virtual bool load(std::span<const std::byte> bytes) = 0;
  /// Empty if the library fails.
  virtual std::vector<std::byte> serialize() = 0;
};

}  // namespace torchtrt::tensorrt
