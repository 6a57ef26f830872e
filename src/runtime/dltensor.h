// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <torchtrt/backend/executor.h>

/// What several files ask of DLPack's plain structs.
namespace torchtrt::runtime {

inline std::span<const std::int64_t> shape_of(const DLTensor& tensor) {
  return {tensor.shape, static_cast<std::size_t>(tensor.ndim)};
}

inline const void* data_of(const DLTensor& tensor) {
  return static_cast<const std::byte*>(tensor.data) + tensor.byte_offset;
}

/// The number of elements.
inline std::int64_t volume(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  for (const std::int64_t dim : shape) count *= dim;
  return count;
}

/// "cpu", "cuda:1"
inline std::string text_of(DLDevice device) {
  switch (device.device_type) {
    case kDLCPU: return "cpu";
    case kDLCUDA: return "cuda:" + std::to_string(device.device_id);
    default: return "a device of DLPack type " + std::to_string(static_cast<int>(device.device_type));
  }
}

}  // namespace torchtrt::runtime
