// SPDX-License-Identifier: Apache-2.0
// Sums, means, extremes, variances, softmax, running sums.
#include <algorithm>
#include <numeric>
#include <set>

#include "converters/families.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;
using network::ReduceOperation;
using network::UnaryOperation;

std::vector<std::int64_t> all_axes(std::size_t rank) {
  std::vector<std::int64_t> axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// The axes argument; missing, None or an empty list mean all of them.
std::vector<std::int64_t> axes_argument(Context& ctx, const Node& node, int position, std::size_t rank) {
  if (position < 0) return all_axes(rank);
  std::set<std::int64_t> axes;
  for (const std::int64_t axis : ctx.integers(node, static_cast<std::size_t>(position), "dim")) {
    axes.insert(Context::normalize_axis(axis, rank));
  }
  return axes.empty() ? all_axes(rank) : std::vector<std::int64_t>(axes.begin(), axes.end());
}

ValueId reduce(Context& ctx, ValueId x, ReduceOperation operation, const std::vector<std::int64_t>& axes, bool keep) {
  return ctx.rank_of(x) == 0 ? x : ctx.net().add_reduce(x, operation, axes, keep);
}

// Positions in the schema: of the axes and of keepdim, -1 where the overload has none.
template <ReduceOperation operation, int axes_position, int keep_position>
void convert_reduce(Context& ctx, const Node& node) {
  const DataType dtype = ctx.meta(node).dtype;
  if (dtype == DataType::kBool) refuse(Reason::kDataType, node.target, " of bool has no engine layer");
  ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), dtype);
  constexpr bool kMayOverflow = operation == ReduceOperation::kSum || operation == ReduceOperation::kProd;
  // PyTorch wraps around; the vendor's sums of 8 bits end at the dtype's ends.
  if (kMayOverflow && (dtype == DataType::kInt8 || dtype == DataType::kUInt8)) x = ctx.cast(x, DataType::kInt32);
  const bool keep = keep_position > 0 && ctx.boolean(node, keep_position, "keepdim", false);
  const ValueId result = reduce(ctx, x, operation, axes_argument(ctx, node, axes_position, ctx.rank_of(x)), keep);
  ctx.set_output(node, ctx.cast(result, dtype));
}

// any, all: the greatest or least of 0 and 1.
template <ReduceOperation operation, int axes_position, int keep_position>
void convert_logical(Context& ctx, const Node& node) {
  const ValueId truth = ctx.cast(ctx.tensor(node, 0, "self"), DataType::kBool);
  const ValueId numbers = ctx.cast(truth, DataType::kInt32);
  const bool keep = keep_position > 0 && ctx.boolean(node, keep_position, "keepdim", false);
  const std::vector<std::int64_t> axes = axes_argument(ctx, node, axes_position, ctx.rank_of(truth));
  for (const std::int64_t axis : axes) {
    if (ctx.rank_of(truth) > 0 && ctx.net().bounds(ctx.dims_of(truth)[static_cast<std::size_t>(axis)]).min < 1) {
      refuse(Reason::kDynamicShape, node.target, " over a dimension that may be empty");
    }
  }
  ctx.set_output(node, ctx.cast(reduce(ctx, numbers, operation, axes, keep), ctx.meta(node).dtype));
}

// E[(x - E[x])^2] * n / (n - correction), of half precision in float32 as PyTorch computes it: a mean that is rounded is
// wrong by a multiple of what is looked for.
template <bool root>
void convert_variance(Context& ctx, const Node& node) {
  Network& net = ctx.net();
  const DataType given = ctx.dtype_of(ctx.tensor(node, 0, "self"));
  const DataType dtype = given == DataType::kFloat64 ? given : DataType::kFloat32;
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), dtype);
  const std::size_t rank = ctx.rank_of(x);
  if (rank == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor");
  const std::vector<std::int64_t> axes = axes_argument(ctx, node, 1, rank);
  const double correction = ctx.number(node, 2, "correction", 1);
  Expr count(1);
  for (const std::int64_t axis : axes) count = count * ctx.dims_of(x)[static_cast<std::size_t>(axis)];
  if (!count.is_constant()) refuse(Reason::kDynamicShape, node.target, " over a dynamic dimension");
  const double freedom = static_cast<double>(count.value()) - correction;
  if (freedom <= 0) refuse(Reason::kAttribute, node.target, " without degrees of freedom is NaN or infinite");
  const ValueId mean = net.add_reduce(x, ReduceOperation::kAvg, axes, true);
  const ValueId centered = net.add_elementwise(x, mean, ElementWiseOperation::kSub);
  const ValueId squares = net.add_elementwise(centered, centered, ElementWiseOperation::kProd);
  const ValueId sum = net.add_reduce(squares, ReduceOperation::kAvg, axes, ctx.boolean(node, 3, "keepdim", false));
  const ValueId factor = net.add_scalar(dtype, static_cast<double>(count.value()) / freedom, ctx.rank_of(sum));
  const ValueId variance = net.add_elementwise(sum, factor, ElementWiseOperation::kProd);
  ctx.set_output(node, ctx.cast(root ? net.add_unary(variance, UnaryOperation::kSqrt) : variance, given));
}

// softmax.int(self, dim, dtype), _softmax(self, dim, half_to_float)
void convert_softmax(Context& ctx, const Node& node) {
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype);
  if (ctx.rank_of(x) == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor");
  ctx.set_output(node, ctx.net().add_softmax(x, Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x))));
}

// x - max - log(sum(exp(x - max))), which neither overflows nor loses small probabilities.
void convert_log_softmax(Context& ctx, const Node& node) {
  Network& net = ctx.net();
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype);
  if (ctx.rank_of(x) == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor");
  const std::vector<std::int64_t> axes{Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x))};
  const ValueId highest = net.add_reduce(x, ReduceOperation::kMax, axes, true);
  const ValueId shifted = net.add_elementwise(x, highest, ElementWiseOperation::kSub);
  const ValueId sum = net.add_reduce(net.add_unary(shifted, UnaryOperation::kExp), ReduceOperation::kSum, axes, true);
  ctx.set_output(node,
                 net.add_elementwise(shifted, net.add_unary(sum, UnaryOperation::kLog), ElementWiseOperation::kSub));
}

void convert_cumsum(Context& ctx, const Node& node) {
  const ValueId x = ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype);
  if (ctx.rank_of(x) == 0) return ctx.set_output(node, x);
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x));
  ctx.set_output(node, ctx.net().add_layer(network::CumulativeSum{axis, false, false}, {x})[0]);
}

using enum ReduceOperation;
constexpr TableRow kRows[]{
    {"aten.sum.default", convert_reduce<kSum, -1, -1>},
    {"aten.sum.dim_IntList", convert_reduce<kSum, 1, 2>},
    {"aten.mean.default", convert_reduce<kAvg, -1, -1>},
    {"aten.mean.dim", convert_reduce<kAvg, 1, 2>},
    {"aten.prod.default", convert_reduce<kProd, -1, -1>},
    {"aten.prod.dim_int", convert_reduce<kProd, 1, 2>},
    {"aten.amax.default", convert_reduce<kMax, 1, 2>},
    {"aten.amin.default", convert_reduce<kMin, 1, 2>},
    {"aten.max.default", convert_reduce<kMax, -1, -1>},
    {"aten.min.default", convert_reduce<kMin, -1, -1>},
    {"aten.any.default", convert_logical<kMax, -1, -1>},
    {"aten.any.dim", convert_logical<kMax, 1, 2>},
    {"aten.any.dims", convert_logical<kMax, 1, 2>},
    {"aten.all.default", convert_logical<kMin, -1, -1>},
    {"aten.all.dim", convert_logical<kMin, 1, 2>},
    {"aten.all.dims", convert_logical<kMin, 1, 2>},
    {"aten.var.correction", convert_variance<false>},
    {"aten.std.correction", convert_variance<true>},
    {"aten.softmax.int", convert_softmax},
    {"aten._softmax.default", convert_softmax},
    {"aten.log_softmax.int", convert_log_softmax},
    {"aten._log_softmax.default", convert_log_softmax},
    {"aten.cumsum.default", convert_cumsum},
};

}  // namespace

std::span<const TableRow> reduction_rows() { return kRows; }

}  // namespace torchtrt::converters
