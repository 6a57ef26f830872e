// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/base/dtype.h>

#include <array>
#include <utility>

#include <torchtrt/base/error.h>

namespace torchtrt {
namespace {

struct Row {
  DataType dtype;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<Row, 11> kRows{{
    {DataType::kFloat64, "float64", 8},
    {DataType::kFloat32, "float32", 4},
    {DataType::kFloat16, "float16", 2},
    {DataType::kBFloat16, "bfloat16", 2},
    {DataType::kInt64, "int64", 8},
    {DataType::kInt32, "int32", 4},
    {DataType::kInt16, "int16", 2},
    {DataType::kInt8, "int8", 1},
    {DataType::kUInt8, "uint8", 1},
    {DataType::kBool, "bool", 1},
    {DataType::kFloat8E4M3, "float8_e4m3fn", 1},
}};

const Row& row(DataType dtype) {
  for (const Row& candidate : kRows) {
    if (candidate.dtype == dtype) {
      return candidate;
    }
  }
  fail(ErrorCode::kInternal, "no such DataType: ", static_cast<int>(dtype));
}

}  // namespace

std::string_view to_string(DataType dtype) { return row(dtype).name; }

std::optional<DataType> parse_dtype(std::string_view name) {
  for (const Row& candidate : kRows) {
    if (candidate.name == name) {
      return candidate.dtype;
    }
  }
  return std::nullopt;
}

std::size_t size_of(DataType dtype) { return row(dtype).size; }

}  // namespace torchtrt
