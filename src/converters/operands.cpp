// SPDX-License-Identifier: Apache-2.0
#include "converters/operands.h"

#include <cmath>
#include <utility>

#include "base/half.h"
#include "converters/constants.h"
#include "converters/rearrange.h"

namespace torchtrt::converters {

using backend::Reason;
using graph::Node;
using network::ActivationType;
using network::ElementWiseOperation;

namespace {

bool is_half(DataType dtype) { return dtype == DataType::kFloat16 || dtype == DataType::kBFloat16; }

// Whether the dtype has what float32 has of the number; subnormal float32 numbers are as good as nothing to engines.
bool holds(DataType dtype, double number) {
  const auto wide = static_cast<float>(number);
  if (!is_half(dtype) || std::isnan(wide) || std::fpclassify(wide) == FP_SUBNORMAL) return true;
  return wide == (dtype == DataType::kFloat16 ? from_float16(to_float16(wide)) : from_bfloat16(to_bfloat16(wide)));
}

ValueId with_number(Context& ctx, ValueId x, double number, ActivationType in_float32, ElementWiseOperation otherwise) {
  const DataType dtype = ctx.dtype_of(x);
  if (!holds(dtype, number)) return ctx.net().add_activation(x, in_float32, static_cast<float>(number));
  return ctx.net().add_elementwise(x, ctx.net().add_scalar(dtype, number, ctx.rank_of(x)), otherwise);
}

}  // namespace

void require_floating(Context& ctx, const Node& node, ValueId value) {
  if (!is_floating(ctx.dtype_of(value))) {
    refuse(Reason::kDataType, node.target, " of ", to_string(ctx.dtype_of(value)), " has no engine layer");
  }
}

std::int64_t static_dim(const Node& node, const Expr& dim, std::string_view what) {
  if (!dim.is_constant()) {
    refuse(Reason::kDynamicShape, node.target, " needs a static ", what, ", and it is ", dim);
  }
  return dim.value();
}

std::optional<double> number_operand(Context& ctx, const Node& node, std::size_t index, std::string_view name) {
  const graph::Argument* argument = ctx.find(node, index, name);
  if (argument == nullptr) return std::nullopt;
  if (std::holds_alternative<graph::Ref>(argument->value)) {
    const ValueId value = ctx.tensor(node, index, name);
    return ctx.rank_of(value) == 0 ? read_number(ctx.net(), value) : std::nullopt;
  }
  const auto* size = std::get_if<Expr>(&argument->value);
  if (size != nullptr && !size->is_constant()) return std::nullopt;
  return ctx.number(node, index, name);
}

ValueId times(Context& ctx, ValueId x, double number) {
  return with_number(ctx, x, number, ActivationType::kScale, ElementWiseOperation::kProd);
}

ValueId divided_by(Context& ctx, ValueId x, double number) {
  return with_number(ctx, x, number, ActivationType::kQuotient, ElementWiseOperation::kDiv);
}

std::vector<std::int64_t> integers_per_axis(Context& ctx, const Node& node, std::size_t index, std::string_view name,
                                            std::size_t count, std::int64_t fallback) {
  std::vector<std::int64_t> values = ctx.integers(node, index, name);
  if (values.empty()) values.assign(count, fallback);
  if (values.size() == 1) values.assign(count, values[0]);
  if (values.size() != count) {
    refuse(Reason::kAttribute, node.target, ": argument `", name, "` has ", values.size(), " values, not ", count);
  }
  return values;
}

ValueId batched(Context& ctx, const Node& node, ValueId x, std::size_t spatial) {
  const std::size_t rank = ctx.rank_of(x);
  if (rank != spatial + 2 && rank != spatial + 1) {
    refuse(Reason::kAttribute, node.target, " takes an input of rank ", spatial + 1, " or ", spatial + 2, ", not ",
           rank);
  }
  return ctx.expand_rank(x, spatial + 2);
}

ValueId unbatched_like(Context& ctx, ValueId result, ValueId original) {
  return ctx.rank_of(result) == ctx.rank_of(original) ? result : squeeze(ctx, result, 0);
}

ValueId squeeze(Context& ctx, ValueId value, std::int64_t axis) {
  Dims dims = ctx.dims_of(value);
  dims.erase(dims.begin() + axis);
  return reshaped(ctx.net(), value, std::move(dims));
}

}  // namespace torchtrt::converters
