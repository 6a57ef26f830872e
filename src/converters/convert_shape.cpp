// SPDX-License-Identifier: Apache-2.0
// Operators that rearrange elements: views, permutations, slices, concatenation.
#include <algorithm>
#include <numeric>

#include "converters/families.h"
#include "converters/rearrange.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;

// view, unsqueeze, flatten, ..: the captured shape says all.
void convert_reshape(Context& ctx, const Node& node) {
  ctx.set_output(node, reshaped(ctx.net(), ctx.tensor(node, 0, "self"), ctx.meta(node).dims));
}

// clone, contiguous, detach, ..: nothing to do, as engines' values are never written again.
void convert_same(Context& ctx, const Node& node) { ctx.set_output(node, ctx.tensor(node, 0, "self")); }

void convert_dropout(Context& ctx, const Node& node) {
  if (ctx.boolean(node, 2, "train")) refuse(Reason::kAttribute, node.target, " in training mode");
  convert_same(ctx, node);
}

void convert_permute(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  std::vector<std::int64_t> permutation = ctx.integers(node, 1, "dims");
  for (std::int64_t& axis : permutation) axis = Context::normalize_axis(axis, ctx.rank_of(x));
  ctx.set_output(node, transposed(ctx.net(), x, std::move(permutation)));
}

ValueId swap_axes(Context& ctx, ValueId x, std::int64_t a, std::int64_t b) {
  std::vector<std::int64_t> permutation(ctx.rank_of(x));
  std::iota(permutation.begin(), permutation.end(), 0);
  if (permutation.empty()) return x;
  std::swap(permutation[static_cast<std::size_t>(a)], permutation[static_cast<std::size_t>(b)]);
  return transposed(ctx.net(), x, std::move(permutation));
}

void convert_transpose(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const std::size_t rank = ctx.rank_of(x);
  const std::int64_t a = Context::normalize_axis(ctx.integer(node, 1, "dim0"), rank);
  const std::int64_t b = Context::normalize_axis(ctx.integer(node, 2, "dim1"), rank);
  ctx.set_output(node, swap_axes(ctx, x, a, b));
}

void convert_t(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  ctx.set_output(node, ctx.rank_of(x) < 2 ? x : swap_axes(ctx, x, 0, 1));
}

void convert_expand(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const Dims& dims = ctx.meta(node).dims;
  ctx.set_output(node, ctx.dims_of(x) == dims ? x : ctx.net().add_broadcast(ctx.expand_rank(x, dims.size()), dims));
}

void convert_repeat(Context& ctx, const Node& node) {
  const Dims repeats = ctx.dims(node, 1, "repeats");
  const ValueId x = ctx.expand_rank(ctx.tensor(node, 0, "self"), repeats.size());
  const Dims dims = ctx.dims_of(x);
  Dims interleaved;
  Dims repeated;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    interleaved.insert(interleaved.end(), {Expr(1), dims[i]});
    repeated.insert(repeated.end(), {repeats[i], dims[i]});
  }
  const ValueId broadcast = ctx.net().add_broadcast(ctx.net().add_reshape(x, interleaved), repeated);
  ctx.set_output(node, ctx.net().add_reshape(broadcast, ctx.meta(node).dims));
}

// The part [start, start + size) of one dimension.
ValueId take(Context& ctx, ValueId x, std::int64_t axis, const Expr& start, const Expr& size, std::int64_t step = 1) {
  const Dims& dims = ctx.dims_of(x);
  Dims starts(dims.size(), Expr(0));
  Dims sizes = dims;
  std::vector<std::int64_t> strides(dims.size(), 1);
  starts[static_cast<std::size_t>(axis)] = start;
  sizes[static_cast<std::size_t>(axis)] = size;
  strides[static_cast<std::size_t>(axis)] = step;
  if (start == Expr(0) && sizes == dims && step == 1) return x;
  return ctx.net().add_slice(x, std::move(starts), std::move(sizes), std::move(strides));
}

void convert_slice(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim", 0), ctx.rank_of(x));
  const Expr& size = ctx.dims_of(x)[static_cast<std::size_t>(axis)];
  const std::int64_t step = ctx.integer(node, 4, "step", 1);
  Expr start = ctx.dim(node, 2, "start").value_or(Expr(0));
  const Interval bounds = ctx.net().bounds(start);
  if (bounds.max < 0) {
    start = max(size + start, Expr(0));
  } else if (bounds.min < 0) {
    refuse(Reason::kDynamicShape, node.target, ": the start ", start, " may be negative or not");
  }
  // PyTorch clamps to the end; the captured result says how many elements there are, and none needs no clamping.
  const Expr& taken = ctx.meta(node).dims[static_cast<std::size_t>(axis)];
  if (taken == Expr(0)) start = Expr(0);
  ctx.set_output(node, take(ctx, x, axis, start, taken, step));
}

void convert_select(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x));
  Expr index = ctx.dim(node, 2, "index").value_or(Expr(0));
  const Interval bounds = ctx.net().bounds(index);
  if (bounds.max < 0) {
    index = ctx.dims_of(x)[static_cast<std::size_t>(axis)] + index;
  } else if (bounds.min < 0) {
    refuse(Reason::kDynamicShape, node.target, ": the index ", index, " may be negative or not");
  }
  ctx.set_output(node, reshaped(ctx.net(), taken_at(ctx.net(), x, axis, index), ctx.meta(node).dims));
}

void convert_flip(Context& ctx, const Node& node) {
  ValueId x = ctx.tensor(node, 0, "self");
  for (const std::int64_t dim : ctx.integers(node, 1, "dims")) {
    const std::int64_t axis = Context::normalize_axis(dim, ctx.rank_of(x));
    if (ctx.rank_of(x) == 0) break;  // PyTorch names an axis of a 0-d tensor, which has none
    const Expr size = ctx.dims_of(x)[static_cast<std::size_t>(axis)];
    if (ctx.net().bounds(size).min < 1) refuse(Reason::kDynamicShape, node.target, " of a dimension that may be empty");
    x = take(ctx, x, axis, size - 1, size, -1);
  }
  ctx.set_output(node, x);
}

void convert_cat(Context& ctx, const Node& node) {
  std::vector<ValueId> parts;
  const graph::TensorMeta& meta = ctx.meta(node);
  for (const ValueId part : ctx.tensors(node, 0, "tensors")) {
    // PyTorch ignores 1-d empty tensors whatever the others' rank.
    if (ctx.dims_of(part) == Dims{Expr(0)} && meta.dims.size() != 1) continue;
    parts.push_back(ctx.cast(part, meta.dtype));
  }
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim", 0), meta.dims.size());
  ctx.set_output(node, parts.size() == 1 ? parts[0] : ctx.net().add_concatenation(std::move(parts), axis));
}

void convert_stack(Context& ctx, const Node& node) {
  const graph::TensorMeta& meta = ctx.meta(node);
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim", 0), meta.dims.size());
  std::vector<ValueId> parts;
  for (const ValueId part : ctx.tensors(node, 0, "tensors")) {
    Dims dims = ctx.dims_of(part);
    dims.insert(dims.begin() + axis, Expr(1));
    parts.push_back(ctx.net().add_reshape(ctx.cast(part, meta.dtype), std::move(dims)));
  }
  ctx.set_output(node, ctx.net().add_concatenation(std::move(parts), axis));
}

// split, split_with_sizes, chunk: results lie one after the other along the dimension.
template <std::size_t dim_position>
void convert_split(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, dim_position, "dim", 0), ctx.rank_of(x));
  Expr start(0);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const Expr& size = ctx.meta(node, i).dims[static_cast<std::size_t>(axis)];
    ctx.set_output(node, take(ctx, x, axis, start, size), i);
    start = start + size;
  }
}

void convert_unbind(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim", 0), ctx.rank_of(x));
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId part = taken_at(ctx.net(), x, axis, Expr(static_cast<std::int64_t>(i)));
    ctx.set_output(node, reshaped(ctx.net(), part, ctx.meta(node, i).dims), i);
  }
}

constexpr TableRow kRows[]{
    {"aten.view.default", convert_reshape},
    {"aten._unsafe_view.default", convert_reshape},
    {"aten.reshape.default", convert_reshape},
    {"aten.unsqueeze.default", convert_reshape},
    {"aten.squeeze.default", convert_reshape},
    {"aten.squeeze.dim", convert_reshape},
    {"aten.squeeze.dims", convert_reshape},
    {"aten.flatten.using_ints", convert_reshape},
    {"aten.unflatten.int", convert_reshape},
    {"aten.clone.default", convert_same},
    {"aten.contiguous.default", convert_same},
    {"aten.alias.default", convert_same},
    {"aten.detach.default", convert_same},
    {"aten.lift_fresh_copy.default", convert_same},
    {"aten.dropout.default", convert_dropout},
    {"aten.permute.default", convert_permute},
    {"aten.transpose.int", convert_transpose},
    {"aten.t.default", convert_t},
    {"aten.expand.default", convert_expand},
    {"aten.repeat.default", convert_repeat},
    {"aten.slice.Tensor", convert_slice},
    {"aten.select.int", convert_select},
    {"aten.flip.default", convert_flip},
    {"aten.cat.default", convert_cat},
    {"aten.stack.default", convert_stack},
    {"aten.split.Tensor", convert_split<2>},
    {"aten.split_with_sizes.default", convert_split<2>},
    {"aten.chunk.default", convert_split<2>},
    {"aten.unbind.int", convert_unbind},
};

}  // namespace

std::span<const TableRow> shape_rows() { return kRows; }

}  // namespace torchtrt::converters
