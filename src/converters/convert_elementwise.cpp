// SPDX-License-Identifier: Apache-2.0
// Arithmetic, comparison, logic and selection on two or more operands.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "converters/families.h"
#include "converters/operands.h"
#include "converters/promotion.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;
using network::UnaryOperation;

bool is_tensor(const Context& ctx, const Node& node, std::size_t position) {
  const graph::Argument* argument = ctx.find(node, position, "");
  return argument != nullptr && std::holds_alternative<graph::Ref>(argument->value);
}

std::size_t rank_of_argument(Context& ctx, const Node& node, std::size_t position) {
  return is_tensor(ctx, node, position) ? ctx.rank_of(ctx.tensor(node, position, "")) : 0;
}

struct Operands {
  ValueId a, b;
};

// Arguments 0 and 1, in one dtype and rank.
Operands operands(Context& ctx, const Node& node, DataType dtype) {
  const std::size_t rank = std::max(rank_of_argument(ctx, node, 0), rank_of_argument(ctx, node, 1));
  return {ctx.tensor_or_scalar(node, 0, "self", dtype, rank), ctx.tensor_or_scalar(node, 1, "other", dtype, rank)};
}

void refuse_bool(const Node& node, DataType dtype) {
  if (dtype == DataType::kBool) refuse(Reason::kDataType, node.target, " of bool has no engine layer");
}

template <ElementWiseOperation operation>
void convert_binary(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  refuse_bool(node, dtype);
  const auto [a, b] = operands(ctx, node, dtype);
  ctx.set_output(node, ctx.net().add_elementwise(a, b, operation));
}

// a + alpha * b, a - alpha * b; `reversed`: b - alpha * a.
template <ElementWiseOperation operation, bool reversed = false>
void convert_scaled_sum(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  refuse_bool(node, dtype);
  auto [a, b] = operands(ctx, node, dtype);
  if (reversed) std::swap(a, b);
  const double alpha = ctx.number(node, 2, "alpha", 1);
  if (alpha != 1) {
    const ValueId factor = is_floating(dtype)
                               ? ctx.net().add_scalar(dtype, alpha, ctx.rank_of(b))
                               : ctx.net().add_int_scalar(dtype, ctx.integer(node, 2, "alpha", 1), ctx.rank_of(b));
    b = ctx.net().add_elementwise(b, factor, ElementWiseOperation::kProd);
  }
  ctx.set_output(node, ctx.net().add_elementwise(a, b, operation));
}

// Whether the operand, which no constant is, is a number that the dtype may not hold: a 0-d tensor of another dtype or a size.
bool is_wide_number(Context& ctx, const Node& node, std::size_t position, DataType dtype) {
  if (is_tensor(ctx, node, position)) {
    const ValueId tensor = ctx.tensor(node, position, "other");
    return ctx.rank_of(tensor) == 0 && ctx.dtype_of(tensor) != dtype && ctx.dtype_of(tensor) != DataType::kBool;
  }
  const Interval size = ctx.net().bounds(*ctx.dim(node, position, "other"));
  const std::int64_t exact = dtype == DataType::kBFloat16 ? 1 << 8 : 1 << 11;
  return size.min < -exact || size.max > exact;
}

// x * number and x / number where x is half precision: PyTorch's kernels take a second operand without dimensions in float32,
// and round a first one to the result's dtype.
std::optional<ValueId> with_wide_number(Context& ctx, const Node& node, ElementWiseOperation operation) {
  const DataType dtype = ctx.meta(node).dtype;
  const bool is_half = dtype == DataType::kFloat16 || dtype == DataType::kBFloat16;
  if (!is_half || !is_tensor(ctx, node, 0)) return std::nullopt;
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), dtype);
  if (const std::optional<double> number = number_operand(ctx, node, 1, "other")) {
    return operation == ElementWiseOperation::kDiv ? divided_by(ctx, x, *number) : times(ctx, x, *number);
  }
  if (!is_wide_number(ctx, node, 1, dtype)) return std::nullopt;
  const ValueId number = ctx.tensor_or_scalar(node, 1, "other", DataType::kFloat32, ctx.rank_of(x));
  return ctx.cast(ctx.net().add_elementwise(ctx.cast(x, DataType::kFloat32), number, operation), dtype);
}

void convert_mul(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  if (const auto result = with_wide_number(ctx, node, ElementWiseOperation::kProd))
    return ctx.set_output(node, *result);
  const auto [a, b] = operands(ctx, node, dtype);
  const auto operation = dtype == DataType::kBool ? ElementWiseOperation::kAnd : ElementWiseOperation::kProd;
  ctx.set_output(node, ctx.net().add_elementwise(a, b, operation));
}

void convert_div(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  const std::string rounding = ctx.string(node, 2, "rounding_mode", "");
  if (!rounding.empty()) {
    refuse(Reason::kAttribute, node.target, " with rounding_mode \"", rounding, "\" rounds differently in engines");
  }
  if (const auto result = with_wide_number(ctx, node, ElementWiseOperation::kDiv)) return ctx.set_output(node, *result);
  const auto [a, b] = operands(ctx, node, dtype);
  ctx.set_output(node, ctx.net().add_elementwise(a, b, ElementWiseOperation::kDiv));
}

ValueId power(Context& ctx, ValueId x, std::int64_t exponent) {
  ValueId result = x;
  for (std::int64_t i = 1; i < exponent; ++i)
    result = ctx.net().add_elementwise(result, x, ElementWiseOperation::kProd);
  return result;
}

// x to the power of 0.5. For float16 PyTorch calls pow, of which -inf gives inf and -0 gives 0; for other types sqrt.
ValueId root(Context& ctx, ValueId x) {
  Network& net = ctx.net();
  if (ctx.dtype_of(x) == DataType::kFloat16) {
    for (const double value : {-std::numeric_limits<double>::infinity(), 0.0}) {
      const ValueId special = net.add_scalar(DataType::kFloat16, value, ctx.rank_of(x));
      const ValueId positive = net.add_scalar(DataType::kFloat16, std::abs(value), ctx.rank_of(x));
      x = net.add_select(net.add_elementwise(x, special, ElementWiseOperation::kEqual), positive, x);
    }
  }
  return net.add_unary(x, UnaryOperation::kSqrt);
}

void convert_pow_scalar(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), dtype);
  const double exponent = ctx.number(node, 1, "exponent");
  // The cases that PyTorch computes by multiplication or roots, too.
  if (exponent == 1 || exponent == 2 || exponent == 3) {
    return ctx.set_output(node, power(ctx, x, static_cast<std::int64_t>(exponent)));
  }
  if (!is_floating(dtype)) refuse(Reason::kDataType, node.target, ": integer powers above 3 are not converted");
  if (exponent == 0.5) return ctx.set_output(node, root(ctx, x));
  if (exponent == -1) return ctx.set_output(node, ctx.net().add_unary(x, UnaryOperation::kRecip));
  if (exponent == -0.5) {
    return ctx.set_output(node, ctx.net().add_unary(root(ctx, x), UnaryOperation::kRecip));
  }
  const ValueId constant = ctx.net().add_scalar(dtype, exponent, ctx.rank_of(x));
  ctx.set_output(node, ctx.net().add_elementwise(x, constant, ElementWiseOperation::kPow));
}

void convert_pow_tensor(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  if (!is_floating(dtype)) refuse(Reason::kDataType, node.target, " of integers is not converted");
  const auto [a, b] = operands(ctx, node, dtype);
  ctx.set_output(node, ctx.net().add_elementwise(a, b, ElementWiseOperation::kPow));
}

enum class Comparison { kEq, kNe, kLt, kLe, kGt, kGe };

template <Comparison comparison>
void convert_comparison(Context& ctx, const Node& node) {
  DataType dtype = promoted_dtype(ctx, node, {0, 1});
  const bool ordered = comparison != Comparison::kEq && comparison != Comparison::kNe;
  if (dtype == DataType::kBool && ordered) dtype = DataType::kInt32;
  const auto [a, b] = operands(ctx, node, dtype);
  Network& net = ctx.net();
  const auto equal = [&] { return net.add_elementwise(a, b, ElementWiseOperation::kEqual); };
  const auto less = [&] { return net.add_elementwise(a, b, ElementWiseOperation::kLess); };
  const auto greater = [&] { return net.add_elementwise(a, b, ElementWiseOperation::kGreater); };
  ValueId result;
  // "not greater" would call NaN less or equal, so <= and >= are put together from two comparisons.
  switch (comparison) {
    case Comparison::kEq: result = equal(); break;
    case Comparison::kNe: result = net.add_unary(equal(), UnaryOperation::kNot); break;
    case Comparison::kLt: result = less(); break;
    case Comparison::kGt: result = greater(); break;
    case Comparison::kLe: result = net.add_elementwise(less(), equal(), ElementWiseOperation::kOr); break;
    case Comparison::kGe: result = net.add_elementwise(greater(), equal(), ElementWiseOperation::kOr); break;
  }
  ctx.set_output(node, result);
}

// logical_*: any dtype, != 0 first. bitwise_*: bool only.
template <ElementWiseOperation operation, bool bitwise>
void convert_logic(Context& ctx, const Node& node) {
  if (bitwise && ctx.meta(node).dtype != DataType::kBool) {
    refuse(Reason::kDataType, node.target, " of integers has no engine layer");
  }
  const auto [a, b] = operands(ctx, node, DataType::kBool);
  ctx.set_output(node, ctx.net().add_elementwise(a, b, operation));
}

void convert_where(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  const std::size_t rank = ctx.meta(node).dims.size();
  const ValueId condition = ctx.tensor(node, 0, "condition");
  if (ctx.dtype_of(condition) != DataType::kBool) refuse(Reason::kDataType, node.target, " takes a bool condition");
  const ValueId a = ctx.tensor_or_scalar(node, 1, "self", dtype, rank);
  const ValueId b = ctx.tensor_or_scalar(node, 2, "other", dtype, rank);
  ctx.set_output(node, ctx.net().add_select(ctx.expand_rank(condition, rank), a, b));
}

void convert_masked_fill(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  const std::size_t rank = ctx.meta(node).dims.size();
  const ValueId x = ctx.expand_rank(ctx.tensor(node, 0, "self"), rank);
  const ValueId mask = ctx.tensor(node, 1, "mask");
  if (ctx.dtype_of(mask) != DataType::kBool) refuse(Reason::kDataType, node.target, " takes a bool mask");
  const ValueId fill = ctx.tensor_or_scalar(node, 2, "value", dtype, rank);
  ctx.set_output(node, ctx.net().add_select(ctx.expand_rank(mask, rank), fill, x));
}

// clamp, clamp_min, clamp_max: argument positions of the bounds, or -1.
template <int min_position, int max_position>
void convert_clamp(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  refuse_bool(node, dtype);
  const std::size_t rank = ctx.meta(node).dims.size();
  ValueId x = ctx.expand_rank(ctx.cast(ctx.tensor(node, 0, "self"), dtype), rank);
  if (min_position > 0 && !ctx.is_none(node, min_position, "min")) {
    const ValueId bound = ctx.tensor_or_scalar(node, min_position, "min", dtype, rank);
    x = ctx.net().add_elementwise(x, bound, ElementWiseOperation::kMax);
  }
  if (max_position > 0 && !ctx.is_none(node, max_position, "max")) {
    const ValueId bound = ctx.tensor_or_scalar(node, max_position, "max", dtype, rank);
    x = ctx.net().add_elementwise(x, bound, ElementWiseOperation::kMin);
  }
  ctx.set_output(node, x);
}

using enum ElementWiseOperation;
constexpr TableRow kRows[]{
    {"aten.add.Tensor", convert_scaled_sum<kSum>},
    {"aten.add.Scalar", convert_scaled_sum<kSum>},
    {"aten.sub.Tensor", convert_scaled_sum<kSub>},
    {"aten.sub.Scalar", convert_scaled_sum<kSub>},
    {"aten.rsub.Tensor", convert_scaled_sum<kSub, true>},
    {"aten.rsub.Scalar", convert_scaled_sum<kSub, true>},
    {"aten.mul.Tensor", convert_mul},
    {"aten.mul.Scalar", convert_mul},
    {"aten.div.Tensor", convert_div},
    {"aten.div.Scalar", convert_div},
    {"aten.div.Tensor_mode", convert_div},
    {"aten.div.Scalar_mode", convert_div},
    {"aten.pow.Tensor_Scalar", convert_pow_scalar},
    {"aten.pow.Tensor_Tensor", convert_pow_tensor},
    {"aten.pow.Scalar", convert_pow_tensor},
    {"aten.maximum.default", convert_binary<kMax>},
    {"aten.minimum.default", convert_binary<kMin>},
    {"aten.eq.Tensor", convert_comparison<Comparison::kEq>},
    {"aten.eq.Scalar", convert_comparison<Comparison::kEq>},
    {"aten.ne.Tensor", convert_comparison<Comparison::kNe>},
    {"aten.ne.Scalar", convert_comparison<Comparison::kNe>},
    {"aten.lt.Tensor", convert_comparison<Comparison::kLt>},
    {"aten.lt.Scalar", convert_comparison<Comparison::kLt>},
    {"aten.le.Tensor", convert_comparison<Comparison::kLe>},
    {"aten.le.Scalar", convert_comparison<Comparison::kLe>},
    {"aten.gt.Tensor", convert_comparison<Comparison::kGt>},
    {"aten.gt.Scalar", convert_comparison<Comparison::kGt>},
    {"aten.ge.Tensor", convert_comparison<Comparison::kGe>},
    {"aten.ge.Scalar", convert_comparison<Comparison::kGe>},
    {"aten.logical_and.default", convert_logic<kAnd, false>},
    {"aten.logical_or.default", convert_logic<kOr, false>},
    {"aten.logical_xor.default", convert_logic<kXor, false>},
    {"aten.bitwise_and.Tensor", convert_logic<kAnd, true>},
    {"aten.bitwise_and.Scalar", convert_logic<kAnd, true>},
    {"aten.bitwise_or.Tensor", convert_logic<kOr, true>},
    {"aten.bitwise_or.Scalar", convert_logic<kOr, true>},
    {"aten.bitwise_xor.Tensor", convert_logic<kXor, true>},
    {"aten.bitwise_xor.Scalar", convert_logic<kXor, true>},
    {"aten.where.self", convert_where},
    {"aten.where.ScalarSelf", convert_where},
    {"aten.where.ScalarOther", convert_where},
    {"aten.where.Scalar", convert_where},
    {"aten.masked_fill.Scalar", convert_masked_fill},
    {"aten.masked_fill.Tensor", convert_masked_fill},
    {"aten.clamp.default", convert_clamp<1, 2>},
    {"aten.clamp.Tensor", convert_clamp<1, 2>},
    {"aten.clamp_min.default", convert_clamp<1, -1>},
    {"aten.clamp_min.Tensor", convert_clamp<1, -1>},
    {"aten.clamp_max.default", convert_clamp<-1, 1>},
    {"aten.clamp_max.Tensor", convert_clamp<-1, 1>},
    {"aten.hardtanh.default", convert_clamp<1, 2>},
};

}  // namespace

std::span<const TableRow> elementwise_rows() { return kRows; }

}  // namespace torchtrt::converters
