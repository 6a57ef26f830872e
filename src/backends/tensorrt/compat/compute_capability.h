// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <NvInfer.h>

namespace torchtrt::tensorrt::compat {

/// Makes `capability` (86 for 8.6) number `index` of the `count` targets that the engine is built for; false where the
/// library does not know it. TensorRT has no such setting.
inline bool set_compute_capability([[maybe_unused]] nvinfer1::IBuilderConfig& config, [[maybe_unused]] int capability,
                                   [[maybe_unused]] std::size_t index, [[maybe_unused]] std::size_t count) {
#ifdef TRT_MAJOR_RTX
  return config.setNbComputeCapabilities(static_cast<std::int32_t>(count)) &&
         config.setComputeCapability(static_cast<nvinfer1::ComputeCapability>(capability),
                                     static_cast<std::int32_t>(index));
#else
  return false;
#endif
}

}  // namespace torchtrt::tensorrt::compat
