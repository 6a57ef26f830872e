// SPDX-License-Identifier: Apache-2.0
// Functions of one tensor, element by element.
#include "converters/families.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::UnaryOperation;

// Integer operands are taken to the floating result type first, as PyTorch does for these functions.
template <UnaryOperation operation>
void convert_function(Context& ctx, const Node& node) {
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype);
  ctx.set_output(node, ctx.net().add_unary(x, operation));
}

void convert_rsqrt(Context& ctx, const Node& node) {
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype);
  const ValueId root = ctx.net().add_unary(x, UnaryOperation::kSqrt);
  ctx.set_output(node, ctx.net().add_unary(root, UnaryOperation::kRecip));
}

// floor, ceil, round: integers are whole already.
template <UnaryOperation operation>
void convert_rounding(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  ctx.set_output(node, is_floating(ctx.dtype_of(x)) ? ctx.net().add_unary(x, operation) : x);
}

template <UnaryOperation operation>
void convert_test(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  if (!is_floating(ctx.dtype_of(x))) refuse(Reason::kDataType, node.target, " of integers is not worth an engine");
  ctx.set_output(node, ctx.net().add_unary(x, operation));
}

// abs, neg: in the operand's own dtype.
template <UnaryOperation operation>
void convert_signed(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  if (ctx.dtype_of(x) == DataType::kBool) refuse(Reason::kDataType, node.target, " of bool has no engine layer");
  ctx.set_output(node, ctx.net().add_unary(x, operation));
}

template <bool bitwise>
void convert_not(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  if (bitwise && ctx.dtype_of(x) != DataType::kBool) {
    refuse(Reason::kDataType, node.target, " of integers has no engine layer");
  }
  ctx.set_output(node, ctx.net().add_unary(ctx.cast(x, DataType::kBool), UnaryOperation::kNot));
}

using enum UnaryOperation;
constexpr TableRow kRows[]{
    {"aten.abs.default", convert_signed<kAbs>},
    {"aten.neg.default", convert_signed<kNeg>},
    {"aten.exp.default", convert_function<kExp>},
    {"aten.log.default", convert_function<kLog>},
    {"aten.sqrt.default", convert_function<kSqrt>},
    {"aten.rsqrt.default", convert_rsqrt},
    {"aten.reciprocal.default", convert_function<kRecip>},
    {"aten.sin.default", convert_function<kSin>},
    {"aten.cos.default", convert_function<kCos>},
    {"aten.tan.default", convert_function<kTan>},
    {"aten.sinh.default", convert_function<kSinh>},
    {"aten.cosh.default", convert_function<kCosh>},
    {"aten.asin.default", convert_function<kAsin>},
    {"aten.acos.default", convert_function<kAcos>},
    {"aten.atan.default", convert_function<kAtan>},
    {"aten.asinh.default", convert_function<kAsinh>},
    {"aten.acosh.default", convert_function<kAcosh>},
    {"aten.atanh.default", convert_function<kAtanh>},
    {"aten.erf.default", convert_function<kErf>},
    {"aten.floor.default", convert_rounding<kFloor>},
    {"aten.ceil.default", convert_rounding<kCeil>},
    {"aten.round.default", convert_rounding<kRound>},
    {"aten.isnan.default", convert_test<kIsNan>},
    {"aten.isinf.default", convert_test<kIsInf>},
    {"aten.logical_not.default", convert_not<false>},
    {"aten.bitwise_not.default", convert_not<true>},
};

}  // namespace

std::span<const TableRow> unary_rows() { return kRows; }

}  // namespace torchtrt::converters
