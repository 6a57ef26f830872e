// SPDX-License-Identifier: Apache-2.0
// Matrix products: linear, matmul of every rank, and the BLAS forms.
#include <algorithm>

#include "converters/constants.h"
#include "converters/families.h"
#include "converters/operands.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;
using network::MatrixOperation;

// Leading dimensions of 1; a constant stays a constant.
ValueId with_rank(Context& ctx, ValueId value, std::size_t rank) {
  Dims dims(rank - ctx.rank_of(value), Expr(1));
  const Dims& own = ctx.dims_of(value);
  dims.insert(dims.end(), own.begin(), own.end());
  return view_as(ctx.net(), value, std::move(dims));
}

// torch.matmul: vectors become matrices for the product, the batch dimensions broadcast. `op_b` transposes b's last two.
ValueId product(Context& ctx, const Node& node, ValueId a, ValueId b, MatrixOperation op_b = MatrixOperation::kNone) {
  require_floating(ctx, node, a);
  if (ctx.dtype_of(a) != ctx.dtype_of(b)) {
    refuse(Reason::kDataType, node.target, " of ", to_string(ctx.dtype_of(a)), " and ", to_string(ctx.dtype_of(b)));
  }
  const bool vector_a = ctx.rank_of(a) == 1;
  const bool vector_b = ctx.rank_of(b) == 1;
  if (ctx.rank_of(a) == 0 || ctx.rank_of(b) == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor");
  if (vector_b) {
    Dims column{ctx.dims_of(b)[0], Expr(1)};
    if (op_b == MatrixOperation::kTranspose) std::swap(column[0], column[1]);
    b = view_as(ctx.net(), b, std::move(column));
  }
  const std::size_t rank = std::max<std::size_t>({ctx.rank_of(a), ctx.rank_of(b), 2});
  if (ctx.dims_of(a).back() == Expr(0)) refuse(Reason::kAttribute, node.target, " over an empty dimension");
  ValueId result =
      ctx.net().add_matrix_multiply(with_rank(ctx, a, rank), MatrixOperation::kNone, with_rank(ctx, b, rank), op_b);
  const auto last = static_cast<std::int64_t>(rank) - 1;
  if (vector_b) result = squeeze(ctx, result, last);
  if (vector_a) result = squeeze(ctx, result, static_cast<std::int64_t>(ctx.rank_of(result)) - (vector_b ? 1 : 2));
  return result;
}

// aten.{mm,bmm,matmul,mv,dot}(self, other)
void convert_product(Context& ctx, const Node& node) {
  ctx.set_output(node, product(ctx, node, ctx.tensor(node, 0, "self"), ctx.tensor(node, 1, "other")));
}

// aten.linear(input, weight, bias): weight is [out, in], or [in]
void convert_linear(Context& ctx, const Node& node) {
  const ValueId weight = ctx.tensor(node, 1, "weight");
  const bool vector = ctx.rank_of(weight) == 1;
  ValueId result = product(ctx, node, ctx.tensor(node, 0, "input"), weight,
                           vector ? MatrixOperation::kNone : MatrixOperation::kTranspose);
  if (const auto bias = ctx.optional_tensor(node, 2, "bias")) {
    result = ctx.net().add_elementwise(result, with_rank(ctx, *bias, ctx.rank_of(result)), ElementWiseOperation::kSum);
  }
  ctx.set_output(node, result);
}

// `value` times a number; where PyTorch's kernel has the number in the value's dtype, `rounded` to it.
ValueId scaled(Context& ctx, ValueId value, double factor, bool rounded) {
  if (factor == 1) return value;
  if (!rounded) return times(ctx, value, factor);
  const ValueId constant = ctx.net().add_scalar(ctx.dtype_of(value), factor, ctx.rank_of(value));
  return ctx.net().add_elementwise(value, constant, ElementWiseOperation::kProd);
}

// aten.{addmm,addmv,baddbmm}(self, a, b, *, beta, alpha): beta * self + alpha * (a @ b); self broadcasts
template <bool rounded>
void convert_add_product(Context& ctx, const Node& node) {
  const double beta = ctx.number(node, 3, "beta", 1);
  const double alpha = ctx.number(node, 4, "alpha", 1);
  const ValueId whole = product(ctx, node, ctx.tensor(node, 1, "mat1"), ctx.tensor(node, 2, "mat2"));
  ValueId result = scaled(ctx, whole, alpha, rounded);
  // With beta = 0 PyTorch does not read `self`, NaN or not.
  if (beta != 0) {
    const ValueId self = scaled(ctx, ctx.tensor(node, 0, "self"), beta, rounded);
    result = ctx.net().add_elementwise(result, with_rank(ctx, self, ctx.rank_of(result)), ElementWiseOperation::kSum);
  }
  ctx.set_output(node, result);
}

constexpr TableRow kRows[]{
    {"aten.addmm.default", convert_add_product<false>},
    {"aten.addmv.default", convert_add_product<true>},
    {"aten.baddbmm.default", convert_add_product<false>},
    {"aten.bmm.default", convert_product},
    {"aten.dot.default", convert_product},
    {"aten.linear.default", convert_linear},
    {"aten.matmul.default", convert_product},
    {"aten.mm.default", convert_product},
    {"aten.mv.default", convert_product},
};

}  // namespace

std::span<const TableRow> matmul_rows() { return kRows; }

}  // namespace torchtrt::converters
