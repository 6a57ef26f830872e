// SPDX-License-Identifier: Apache-2.0
#include "converters/promotion.h"

#include <optional>

namespace torchtrt::converters {
namespace {

using backend::Reason;

int category(DataType dtype) { return is_floating(dtype) ? 2 : is_integral(dtype) ? 1 : 0; }

std::optional<DataType> merge(std::optional<DataType> a, std::optional<DataType> b) {
  if (!a || !b) return a ? a : b;
  return promote(*a, *b);
}

}  // namespace

DataType promote(DataType a, DataType b) {
  if (a == b) return a;
  if (category(a) != category(b)) return category(a) > category(b) ? a : b;
  if (is_floating(a)) {
    const bool halves =
        (a == DataType::kFloat16 || a == DataType::kBFloat16) && (b == DataType::kFloat16 || b == DataType::kBFloat16);
    if (a == DataType::kFloat8E4M3 || b == DataType::kFloat8E4M3) refuse(Reason::kDataType, "float8 is not promoted");
    if (halves) return DataType::kFloat32;
    return size_of(a) > size_of(b) ? a : b;
  }
  // uint8 and int8 meet in int16; otherwise the wider one holds both.
  if (size_of(a) == size_of(b)) return DataType::kInt16;
  return size_of(a) > size_of(b) ? a : b;
}

DataType promoted_dtype(Context& ctx, const graph::Node& node, std::initializer_list<std::size_t> positions) {
  std::optional<DataType> dimensioned;
  std::optional<DataType> zero_dim;
  std::optional<DataType> number;
  for (const std::size_t position : positions) {
    const graph::Argument* argument = ctx.find(node, position, "");
    if (argument == nullptr) continue;
    if (std::holds_alternative<graph::Ref>(argument->value)) {
      const ValueId value = ctx.tensor(node, position, "");
      std::optional<DataType>& group = ctx.rank_of(value) == 0 ? zero_dim : dimensioned;
      group = merge(group, ctx.dtype_of(value));
    } else if (std::holds_alternative<bool>(argument->value)) {
      number = merge(number, DataType::kBool);
    } else if (std::holds_alternative<double>(argument->value)) {
      number = merge(number, DataType::kFloat32);  // PyTorch's default dtype
    } else {
      number = merge(number, DataType::kInt64);
    }
  }
  std::optional<DataType> result = dimensioned;
  for (const std::optional<DataType>& lower : {zero_dim, number}) {
    if (lower && (!result || category(*lower) > category(*result))) result = lower;
  }
  if (!result) refuse(Reason::kAttribute, node.target, ": no argument decides the dtype");
  return *result;
}

}  // namespace torchtrt::converters
