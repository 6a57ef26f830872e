// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/error.h>

namespace torchtrt::python {

/// Error(kTypeMismatch) for element types that the network does not know (complex, quantized, ...).
inline DataType from_scalar_type(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Double: return DataType::kFloat64;
    case c10::ScalarType::Float: return DataType::kFloat32;
    case c10::ScalarType::Half: return DataType::kFloat16;
    case c10::ScalarType::BFloat16: return DataType::kBFloat16;
    case c10::ScalarType::Long: return DataType::kInt64;
    case c10::ScalarType::Int: return DataType::kInt32;
    case c10::ScalarType::Short: return DataType::kInt16;
    case c10::ScalarType::Char: return DataType::kInt8;
    case c10::ScalarType::Byte: return DataType::kUInt8;
    case c10::ScalarType::Bool: return DataType::kBool;
    case c10::ScalarType::Float8_e4m3fn: return DataType::kFloat8E4M3;
    default: fail(ErrorCode::kTypeMismatch, "element type ", c10::toString(type), " has no counterpart in an engine");
  }
}

}  // namespace torchtrt::python
