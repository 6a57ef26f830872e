// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <c10/core/ScalarType.h>

#include <torchtrt/base/dtype.h>

namespace torchtrt::torch_adapter {

constexpr at::ScalarType to_scalar_type(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat64: return at::ScalarType::Double;
    case DataType::kFloat32: return at::ScalarType::Float;
    case DataType::kFloat16: return at::ScalarType::Half;
    case DataType::kBFloat16: return at::ScalarType::BFloat16;
    case DataType::kInt64: return at::ScalarType::Long;
    case DataType::kInt32: return at::ScalarType::Int;
    case DataType::kInt16: return at::ScalarType::Short;
    case DataType::kInt8: return at::ScalarType::Char;
    case DataType::kUInt8: return at::ScalarType::Byte;
    case DataType::kBool: return at::ScalarType::Bool;
    case DataType::kFloat8E4M3: return at::ScalarType::Float8_e4m3fn;
  }
  return at::ScalarType::Undefined;
}

/// nullopt for a type that engines do not know (complex, quantized, ...).
constexpr std::optional<DataType> from_scalar_type(at::ScalarType type) {
  switch (type) {
    case at::ScalarType::Double: return DataType::kFloat64;
    case at::ScalarType::Float: return DataType::kFloat32;
    case at::ScalarType::Half: return DataType::kFloat16;
    case at::ScalarType::BFloat16: return DataType::kBFloat16;
    case at::ScalarType::Long: return DataType::kInt64;
    case at::ScalarType::Int: return DataType::kInt32;
    case at::ScalarType::Short: return DataType::kInt16;
    case at::ScalarType::Char: return DataType::kInt8;
    case at::ScalarType::Byte: return DataType::kUInt8;
    case at::ScalarType::Bool: return DataType::kBool;
    case at::ScalarType::Float8_e4m3fn: return DataType::kFloat8E4M3;
    default: return std::nullopt;
  }
}

}  // namespace torchtrt::torch_adapter
