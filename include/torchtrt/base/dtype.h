// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <torchtrt/base/export.h>

namespace torchtrt {

/// Element types, named as PyTorch names them. The numeric values are never stored: files hold the names.
enum class DataType : std::uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
  kFloat8E4M3,
};

/// PyTorch's name: "float32", "bfloat16", "int64", "bool", ...
TORCHTRT_API std::string_view to_string(DataType dtype);
/// The inverse of to_string; nullopt for a name it does not know.
TORCHTRT_API std::optional<DataType> parse_dtype(std::string_view name);
/// Bytes per element.
TORCHTRT_API std::size_t size_of(DataType dtype);

[[nodiscard]] constexpr bool is_floating(DataType dtype) {
  return dtype == DataType::kFloat64 || dtype == DataType::kFloat32 || dtype == DataType::kFloat16 ||
         dtype == DataType::kBFloat16 || dtype == DataType::kFloat8E4M3;
}
/// Integers; bool is not one.
[[nodiscard]] constexpr bool is_integral(DataType dtype) { return !is_floating(dtype) && dtype != DataType::kBool; }

}  // namespace torchtrt
