// SPDX-License-Identifier: Apache-2.0
// Distinct elements: of neighbours, and of all after sorting. A run of equal elements starts where an element differs from
// the one before; the positions where runs start are what only the data knows.
#include <limits>
#include <optional>

#include "converters/families.h"
#include "converters/guards.h"
#include "converters/operands.h"
#include "converters/selection.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;
using network::UnaryOperation;

// Engines keep what they computed in half precision unrounded, so that elements which PyTorch rounds to one would stay
// two: only values that were given in half precision are compared.
void require_comparable(Context& ctx, const Node& node, ValueId x) {
  const DataType dtype = ctx.dtype_of(x);
  if (dtype != DataType::kFloat16 && dtype != DataType::kBFloat16) return;
  const Network& net = ctx.net();
  for (const network::Layer* layer = net.producer(x); layer != nullptr; layer = net.producer(x)) {
    if (std::holds_alternative<network::Constant>(layer->op)) return;
    const bool moves =
        std::holds_alternative<network::Shuffle>(layer->op) || std::holds_alternative<network::Slice>(layer->op) ||
        std::holds_alternative<network::Broadcast>(layer->op) || std::holds_alternative<network::Gather>(layer->op) ||
        std::holds_alternative<network::Identity>(layer->op);
    if (!moves) {
      refuse(Reason::kDataType, node.target, " of ", to_string(dtype),
             " values that the engine computed: it does not round them to ", to_string(dtype), " as PyTorch does");
    }
    x = layer->inputs[0];
  }
}

// As int32 where the dtype is narrower: layers order no bool.
ValueId widened(Context& ctx, ValueId x) {
  const DataType dtype = ctx.dtype_of(x);
  return is_floating(dtype) || dtype == DataType::kInt64 ? x : ctx.cast(x, DataType::kInt32);
}

ValueId counting(Context& ctx, const Expr& length) {
  return ctx.net().add_layer(network::Fill{network::FillOperation::kLinspace, DataType::kInt64, length}, {})[0];
}

// 1-d, [start, start + size).
ValueId part(Context& ctx, ValueId x, const Expr& start, const Expr& size) {
  return ctx.net().add_slice(x, {start}, {size}, {1});
}

// bool [n]: where x, along `axis`, is not what it is one element before; true for the first. NaN differs from NaN.
ValueId differs_from_previous(Context& ctx, ValueId x, std::size_t axis) {
  Network& net = ctx.net();
  const ValueId index = counting(ctx, ctx.dims_of(x)[axis]);
  const ValueId zero = net.add_int_scalar(DataType::kInt64, 0, 1), one = net.add_int_scalar(DataType::kInt64, 1, 1);
  const ValueId previous = net.add_elementwise(net.add_elementwise(index, one, ElementWiseOperation::kSub), zero,
                                               ElementWiseOperation::kMax);
  const ValueId before = net.add_gather(x, previous, static_cast<std::int64_t>(axis));
  ValueId differs = net.add_unary(net.add_elementwise(x, before, ElementWiseOperation::kEqual), UnaryOperation::kNot);
  if (ctx.rank_of(x) > 1) {
    std::vector<std::int64_t> others;
    for (std::size_t i = 0; i < ctx.rank_of(x); ++i) {
      if (i != axis) others.push_back(static_cast<std::int64_t>(i));
    }
    const ValueId any = net.add_reduce(ctx.cast(differs, DataType::kInt32), network::ReduceOperation::kMax,
                                       std::move(others), /*keep_dims=*/false);
    differs = ctx.cast(any, DataType::kBool);
  }
  return net.add_elementwise(differs, net.add_elementwise(index, zero, ElementWiseOperation::kEqual),
                             ElementWiseOperation::kOr);
}

// int64, as long as `flags`: how many of them are true up to each.
ValueId running_count(Context& ctx, ValueId flags) {
  return ctx.net().add_layer(network::CumulativeSum{0}, {ctx.cast(flags, DataType::kInt64)})[0];
}

// int64 [1]: how many are true.
ValueId total(Context& ctx, ValueId flags) {
  const ValueId zero = ctx.net().add_int_scalar(DataType::kInt64, 0, 1);
  const ValueId counts = ctx.net().add_layer(
      network::CumulativeSum{0}, {ctx.net().add_concatenation({zero, ctx.cast(flags, DataType::kInt64)}, 0)})[0];
  return part(ctx, counts, ctx.dims_of(flags)[0], Expr(1));
}

// int64 [count]: the positions of the true ones, where `count` is the size of the node's first result along `axis`.
ValueId positions(Context& ctx, const Node& node, ValueId flags, std::size_t axis) {
  const ValueId found = positions_of_nonzero(ctx, node, flags, axis);
  return ctx.net().add_reshape(found, {ctx.dims_of(found)[0]});
}

// int64 [count]: where the next run starts; `end` for the last.
ValueId next_starts(Context& ctx, ValueId starts, const Expr& end) {
  const ValueId last = ctx.net().add_layer(network::ShapeOf{{end}}, {})[0];
  return part(ctx, ctx.net().add_concatenation({starts, last}, 0), Expr(1), ctx.dims_of(starts)[0]);
}

// Captures of a negative `dim` give the counts another size than the values.
void set_counts(Context& ctx, const Node& node, ValueId counts) {
  if (ctx.meta(node, 2).dims != ctx.dims_of(counts)) {
    refuse(Reason::kDataDependent, node.target, ": the capture gives the counts the shape ",
           to_string(ctx.meta(node, 2).dims), " and the values ", ctx.dims_of(counts)[0], " elements");
  }
  ctx.set_output(node, counts, 2);
}

// aten.unique_consecutive(self, return_inverse, return_counts, dim) -> (values, inverse, counts)
void convert_unique_consecutive(Context& ctx, const Node& node) {
  Network& net = ctx.net();
  ValueId x = ctx.tensor(node, 0, "self");
  require_comparable(ctx, node, x);
  const bool flat = ctx.is_none(node, 3, "dim");
  const Dims dims = ctx.dims_of(x);
  const std::int64_t axis = flat ? 0 : Context::normalize_axis(ctx.integer(node, 3, "dim"), dims.size());
  if (flat) x = net.add_reshape(x, {volume(dims)});
  const Expr size = ctx.dims_of(x).at(static_cast<std::size_t>(axis));
  const ValueId begins = differs_from_previous(ctx, widened(ctx, x), static_cast<std::size_t>(axis));
  const ValueId starts = positions(ctx, node, begins, static_cast<std::size_t>(axis));
  ctx.set_output(node, net.add_gather(x, starts, axis), 0);
  if (ctx.boolean(node, 1, "return_inverse", false)) {
    const ValueId inverse = net.add_elementwise(running_count(ctx, begins), net.add_int_scalar(DataType::kInt64, 1, 1),
                                                ElementWiseOperation::kSub);
    ctx.set_output(node, flat ? net.add_reshape(inverse, dims) : inverse, 1);
  }
  if (ctx.boolean(node, 2, "return_counts", false)) {
    set_counts(ctx, node, net.add_elementwise(next_starts(ctx, starts, size), starts, ElementWiseOperation::kSub));
  }
}

// aten._unique2(self, sorted, return_inverse, return_counts) -> (values, inverse, counts), always sorted as PyTorch's are
// on the CPU. Each NaN counts by itself, after everything else, in the order of the elements: they take part in sorting as
// infinities, and come after the sorted elements once more, as what they are. Of more than 16 elements PyTorch's sort does
// not keep the order of NaNs, so that where each of them went is for the exact form to say. Of 0 and -0, which are equal, any
// may stand for both.
void convert_unique(Context& ctx, const Node& node) {
  Network& net = ctx.net();
  const ValueId x = ctx.tensor(node, 0, "self");
  require_comparable(ctx, node, x);
  const Dims dims = ctx.dims_of(x);
  const Expr size = volume(dims);
  const ValueId elements = net.add_reshape(x, {size});
  // Backends compare bfloat16 with an infinity less well than float32.
  const bool half = ctx.dtype_of(x) == DataType::kBFloat16;
  const ValueId flat = half ? ctx.cast(elements, DataType::kFloat32) : elements;
  ValueId key = widened(ctx, flat);
  std::optional<ValueId> is_nan;
  std::optional<ValueId> infinity;
  if (is_floating(ctx.dtype_of(x))) {
    is_nan = net.add_unary(flat, UnaryOperation::kIsNan);
    infinity = net.add_scalar(ctx.dtype_of(flat), std::numeric_limits<double>::infinity(), 1);
    key = net.add_select(*is_nan, *infinity, flat);
  }
  const std::vector<ValueId> sorted = net.add_layer(network::TopK{network::TopKOperation::kMin, size, 0}, {key});
  ValueId begins = differs_from_previous(ctx, sorted[0], 0);
  if (is_nan) {
    // The run of infinities is one of NaNs alone where x has no infinity.
    const ValueId infinities = total(ctx, net.add_elementwise(flat, *infinity, ElementWiseOperation::kEqual));
    const ValueId any_infinity =
        net.add_elementwise(infinities, net.add_int_scalar(DataType::kInt64, 0, 1), ElementWiseOperation::kGreater);
    const ValueId finite = net.add_elementwise(sorted[0], *infinity, ElementWiseOperation::kLess);
    begins = net.add_elementwise(begins, net.add_elementwise(finite, any_infinity, ElementWiseOperation::kOr),
                                 ElementWiseOperation::kAnd);
    begins = net.add_concatenation({begins, *is_nan}, 0);
  }
  const ValueId starts = positions(ctx, node, begins, 0);
  // What stands behind each flag. Not the element behind a sorted infinity, which may be a NaN.
  const ValueId values = is_nan ? net.add_gather(net.add_concatenation({sorted[0], flat}, 0), starts, 0)
                                : net.add_gather(flat, net.add_gather(sorted[1], starts, 0), 0);
  ctx.set_output(node, ctx.cast(values, ctx.dtype_of(x)), 0);
  const ValueId one = net.add_int_scalar(DataType::kInt64, 1, 1);
  if (ctx.boolean(node, 2, "return_inverse", false)) {
    const ValueId number = net.add_elementwise(running_count(ctx, begins), one, ElementWiseOperation::kSub);
    const ValueId of_sorted = is_nan ? part(ctx, number, Expr(0), size) : number;
    ValueId inverse =
        net.add_layer(network::Scatter{network::ScatterMode::kElement, 0}, {sorted[1], sorted[1], of_sorted})[0];
    if (is_nan) {
      inverse = net.add_select(*is_nan, part(ctx, number, size, size), inverse);
      if (ctx.takes_guards()) guard_against(net, *is_nan);
    }
    ctx.set_output(node, net.add_reshape(inverse, dims), 1);
  }
  if (ctx.boolean(node, 3, "return_counts", false)) {
    ValueId ends = next_starts(ctx, starts, size);
    if (is_nan) {
      const ValueId numbers = total(ctx, net.add_unary(*is_nan, UnaryOperation::kNot));
      ends = net.add_elementwise(ends, numbers, ElementWiseOperation::kMin);
    }
    ValueId counts = net.add_elementwise(ends, starts, ElementWiseOperation::kSub);
    if (is_nan) {
      const ValueId end = net.add_layer(network::ShapeOf{{size}}, {})[0];
      counts = net.add_select(net.add_elementwise(starts, end, ElementWiseOperation::kLess), counts, one);
    }
    set_counts(ctx, node, counts);
  }
}

constexpr TableRow kRows[]{
    {"aten._unique2.default", convert_unique},
    {"aten.unique_consecutive.default", convert_unique_consecutive},
};

}  // namespace

std::span<const TableRow> unique_rows() { return kRows; }

}  // namespace torchtrt::converters
