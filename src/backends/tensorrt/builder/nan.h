// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <torchtrt/base/dtype.h>
#include <torchtrt/network/network.h>

#include "base/half.h"

namespace torchtrt::tensorrt {

/// Whether one of a constant's elements is NaN, of float32, float16 or bfloat16; of other dtypes none is.
inline bool has_nan(const network::Weights& weights, DataType dtype) {
  if (dtype != DataType::kFloat32 && dtype != DataType::kFloat16 && dtype != DataType::kBFloat16) return false;
  const auto* bytes = static_cast<const std::byte*>(weights.data.get());
  for (std::size_t at = 0; at < weights.bytes; at += size_of(dtype)) {
    float wide = 0;
    std::uint16_t narrow = 0;
    std::memcpy(dtype == DataType::kFloat32 ? static_cast<void*>(&wide) : &narrow, bytes + at, size_of(dtype));
    if (dtype == DataType::kFloat16) wide = from_float16(narrow);
    if (dtype == DataType::kBFloat16) wide = from_bfloat16(narrow);
    if (std::isnan(wide)) return true;
  }
  return false;
}

}  // namespace torchtrt::tensorrt
