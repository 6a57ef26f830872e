// SPDX-License-Identifier: Apache-2.0
// Largest and smallest elements, their positions, and sorting.
#include <limits>
#include <optional>

#include "converters/families.h"
#include "converters/operands.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;
using network::TopKOperation;
using network::TopKTies;

void require_ordered(Context& ctx, const Node& node, ValueId x) {
  if (ctx.dtype_of(x) == DataType::kBool) refuse(Reason::kDataType, node.target, " of bool has no engine layer");
  if (ctx.rank_of(x) == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor has no engine layer");
}

enum class NanIs { kLargest, kSmallest };

// What to order by instead of x, where one element is looked for: engines compare NaN in their own ways. Here it becomes
// the one infinity, and the infinities that were there the largest finite number. Backends that order NaN themselves take
// x out of it; to others infinities are equal to that very number (in float16, where such numbers are met, they are not).
ValueId ordering_key(Context& ctx, ValueId x, NanIs nan_is) {
  if (!is_floating(ctx.dtype_of(x))) return x;
  Network& net = ctx.net();
  if (ctx.dtype_of(x) == DataType::kFloat16) x = ctx.cast(x, DataType::kFloat32);
  const DataType dtype = ctx.dtype_of(x);
  const std::size_t rank = ctx.rank_of(x);
  const double sign = nan_is == NanIs::kLargest ? 1 : -1;
  // The largest bfloat16 is a float32 too.
  const double largest = dtype == DataType::kBFloat16 ? 0x1.FEp127 : std::numeric_limits<float>::max();
  const ValueId finite =
      net.add_elementwise(x, net.add_scalar(dtype, sign * largest, rank),
                          nan_is == NanIs::kLargest ? ElementWiseOperation::kMin : ElementWiseOperation::kMax);
  const ValueId infinity = net.add_scalar(dtype, sign * std::numeric_limits<double>::infinity(), rank);
  return net.add_select(net.add_unary(x, network::UnaryOperation::kIsNan), infinity, finite);
}

// The indices of the first elements of x in PyTorch's order.
ValueId top_indices(Context& ctx, ValueId x, const network::TopK& top, NanIs nan_is) {
  // Of several elements NaN is the largest, in PyTorch as in the layer.
  const ValueId key = top.k == Expr(1) ? ordering_key(ctx, x, nan_is) : x;
  return ctx.net().add_layer(top, {key})[1];
}

// (values, indices) of the first elements.
std::vector<ValueId> first_elements(Context& ctx, ValueId x, const network::TopK& top, NanIs nan_is) {
  if (!is_floating(ctx.dtype_of(x))) return ctx.net().add_layer(top, {x});
  const ValueId indices = top_indices(ctx, x, top, nan_is);
  const network::Gather gather{network::GatherMode::kElement, top.axis};
  return {ctx.net().add_layer(gather, {x, indices})[0], indices};
}

// aten.topk(self, k, dim, largest, sorted) -> (values, indices)
void convert_topk(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  require_ordered(ctx, node, x);
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 2, "dim", -1), ctx.rank_of(x));
  const TopKOperation operation = ctx.boolean(node, 3, "largest", true) ? TopKOperation::kMax : TopKOperation::kMin;
  const std::optional<Expr> k = ctx.dim(node, 1, "k");
  if (!k || *k == Expr(0)) refuse(Reason::kAttribute, node.target, " of no elements has no engine layer");
  const TopKTies ties = ctx.boolean(node, 4, "sorted", true) ? TopKTies::kTopK : TopKTies::kTopKUnsorted;
  const std::vector<ValueId> results = first_elements(ctx, x, {operation, *k, axis, ties}, NanIs::kLargest);
  ctx.set_output(node, results[0], 0);
  ctx.set_output(node, results[1], 1);
}

void set_sorted(Context& ctx, const Node& node, std::int64_t dim, bool descending, bool stable) {
  const ValueId x = ctx.tensor(node, 0, "self");
  require_ordered(ctx, node, x);
  const std::int64_t axis = Context::normalize_axis(dim, ctx.rank_of(x));
  const Expr size = ctx.dims_of(x)[static_cast<std::size_t>(axis)];
  if (size == Expr(0)) refuse(Reason::kAttribute, node.target, " of an empty dimension has no engine layer");
  const TopKOperation operation = descending ? TopKOperation::kMax : TopKOperation::kMin;
  const TopKTies ties = stable ? TopKTies::kLowerIndex : TopKTies::kSort;
  const std::vector<ValueId> results = first_elements(ctx, x, {operation, size, axis, ties}, NanIs::kLargest);
  ctx.set_output(node, results[0], 0);
  ctx.set_output(node, results[1], 1);
}

// aten.sort(self, dim, descending) -> (values, indices)
void convert_sort(Context& ctx, const Node& node) {
  set_sorted(ctx, node, ctx.integer(node, 1, "dim", -1), ctx.boolean(node, 2, "descending", false), /*stable=*/false);
}

// aten.sort.stable(self, *, stable, dim, descending)
void convert_stable_sort(Context& ctx, const Node& node) {
  set_sorted(ctx, node, ctx.integer(node, 2, "dim", -1), ctx.boolean(node, 3, "descending", false),
             ctx.boolean(node, 1, "stable", false));
}

// The largest and the smallest of elements with a NaN among them is the NaN.
constexpr NanIs nan_of(TopKOperation operation) {
  return operation == TopKOperation::kMax ? NanIs::kLargest : NanIs::kSmallest;
}

// aten.arg{max,min}(self, dim, keepdim): the first of equal elements; without `dim` the position among all
template <TopKOperation operation>
void convert_arg(Context& ctx, const Node& node) {
  ValueId x = ctx.tensor(node, 0, "self");
  require_ordered(ctx, node, x);
  const std::size_t rank = ctx.rank_of(x);
  const bool keep = ctx.boolean(node, 2, "keepdim", false);
  if (ctx.is_none(node, 1, "dim")) {
    x = ctx.net().add_reshape(x, {volume(ctx.dims_of(x))});
    const ValueId index = top_indices(ctx, x, {operation, Expr(1), 0}, nan_of(operation));
    ctx.set_output(node, ctx.net().add_reshape(index, Dims(keep ? rank : 0, Expr(1))));
    return;
  }
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), rank);
  const ValueId index = top_indices(ctx, x, {operation, Expr(1), axis}, nan_of(operation));
  ctx.set_output(node, keep ? index : squeeze(ctx, index, axis));
}

// aten.{max,min}.dim(self, dim, keepdim) -> (values, indices)
template <TopKOperation operation>
void convert_along(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  require_ordered(ctx, node, x);
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x));
  const bool keep = ctx.boolean(node, 2, "keepdim", false);
  const std::vector<ValueId> results = first_elements(ctx, x, {operation, Expr(1), axis}, nan_of(operation));
  for (std::size_t i = 0; i < 2; ++i) {
    ctx.set_output(node, keep ? results[i] : squeeze(ctx, results[i], axis), i);
  }
}

constexpr TableRow kRows[]{
    {"aten.argmax.default", convert_arg<TopKOperation::kMax>},
    {"aten.argmin.default", convert_arg<TopKOperation::kMin>},
    {"aten.max.dim", convert_along<TopKOperation::kMax>},
    {"aten.min.dim", convert_along<TopKOperation::kMin>},
    {"aten.sort.default", convert_sort},
    {"aten.sort.stable", convert_stable_sort},
    {"aten.topk.default", convert_topk},
};

}  // namespace

std::span<const TableRow> ordering_rows() { return kRows; }

}  // namespace torchtrt::converters
