// SPDX-License-Identifier: Apache-2.0
// Reading elements at positions that are data. PyTorch raises for a position outside; an engine would read something
// else, so each position must be known to lie inside: by the network's interval analysis, or by a requirement on the
// network input that it comes from, which the runtime checks before each run.
#include <algorithm>

#include "converters/families.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;

// The network input whose elements are exactly those of `value` (moved, repeated or left out, but not computed with).
std::optional<ValueId> origin(const Network& net, ValueId value) {
  while (const network::Layer* layer = net.producer(value)) {
    const bool moves = std::holds_alternative<network::Shuffle>(layer->op) ||
                       std::holds_alternative<network::Broadcast>(layer->op) ||
                       std::holds_alternative<network::Identity>(layer->op) ||
                       (std::holds_alternative<network::Cast>(layer->op) && is_integral(net.value(layer->inputs[0]).dtype));
    if (!moves) return std::nullopt;
    value = layer->inputs[0];
  }
  return value;
}

// Positions in [0, size), with PyTorch's negative ones (where the operator has them) counted from the end.
ValueId checked_indices(Context& ctx, const Node& node, ValueId indices, const Expr& size, bool allow_negative) {
  Network& net = ctx.net();
  if (ctx.dtype_of(indices) == DataType::kBool || !is_integral(ctx.dtype_of(indices))) {
    refuse(Reason::kDataDependent, node.target, " with a mask gives a shape that only the data knows");
  }
  indices = ctx.cast(indices, DataType::kInt64);
  const std::int64_t least = net.bounds(size).min;
  Interval range = net.value(indices).range;
  const Interval inside{allow_negative ? -least : 0, least - 1};
  if (range.min < inside.min || range.max > inside.max) {
    const std::optional<ValueId> input = origin(net, indices);
    if (!input) {
      refuse(Reason::kDataDependent, node.target, ": indices within [", range.min, ", ", range.max,
             "] are not known to lie in a dimension of size ", size);
    }
    net.refine_range(*input, inside);
    range = inside;
  }
  if (range.min >= 0) return indices;
  const std::size_t rank = ctx.rank_of(indices);
  const ValueId zero = net.add_int_scalar(DataType::kInt64, 0, rank);
  const ValueId length = ctx.expand_rank(net.add_layer(network::ShapeOf{{size}, true}, {})[0], rank);
  const ValueId from_end = net.add_elementwise(indices, length, ElementWiseOperation::kSum);
  return net.add_select(net.add_elementwise(indices, zero, ElementWiseOperation::kLess), from_end, indices);
}

void convert_embedding(Context& ctx, const Node& node) {
  const ValueId weight = ctx.tensor(node, 0, "weight");
  const ValueId indices = checked_indices(ctx, node, ctx.tensor(node, 1, "indices"), ctx.dims_of(weight)[0], false);
  ctx.set_output(node, ctx.net().add_gather(weight, indices, 0));
}

void convert_index_select(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  if (ctx.rank_of(x) == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor");
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x));
  const Expr size = ctx.dims_of(x)[static_cast<std::size_t>(axis)];
  const ValueId indices = checked_indices(ctx, node, ctx.tensor(node, 2, "index"), size, false);
  const ValueId gathered = ctx.net().add_gather(x, indices, axis);
  ctx.set_output(node, ctx.dims_of(gathered) == ctx.meta(node).dims ? gathered
                                                                     : ctx.net().add_reshape(gathered, ctx.meta(node).dims));
}

// torch.gather: element-wise along one axis; along the others the indices may be shorter than the data.
void convert_gather(Context& ctx, const Node& node) {
  ValueId x = ctx.tensor(node, 0, "self");
  const std::size_t rank = ctx.rank_of(x);
  if (rank == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor");
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), rank);
  const Expr along = ctx.dims_of(x)[static_cast<std::size_t>(axis)];
  const ValueId indices = checked_indices(ctx, node, ctx.tensor(node, 2, "index"), along, false);
  Dims sizes = ctx.dims_of(indices);
  sizes[static_cast<std::size_t>(axis)] = along;
  if (sizes != ctx.dims_of(x)) {
    x = ctx.net().add_slice(x, Dims(rank, Expr(0)), sizes, std::vector<std::int64_t>(rank, 1));
  }
  ctx.set_output(node, ctx.net().add_layer(network::Gather{network::GatherMode::kElement, axis}, {x, indices})[0]);
}

// index.Tensor with integer tensors: one of them anywhere, or several that index the leading dimensions together.
void convert_index(Context& ctx, const Node& node) {
  Network& net = ctx.net();
  const ValueId x = ctx.tensor(node, 0, "self");
  const graph::Argument* argument = ctx.find(node, 1, "indices");
  const auto* list = argument == nullptr ? nullptr : std::get_if<graph::List>(&argument->value);
  if (list == nullptr) refuse(Reason::kAttribute, node.target, ": `indices` is not a list");
  std::vector<std::size_t> axes;
  std::vector<ValueId> indices;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto* ref = std::get_if<graph::Ref>(&(*list)[i].value);
    if (ref == nullptr) continue;
    const ValueId* value = ctx.lookup(ref->name);
    TORCHTRT_CHECK(value != nullptr, kInternal, node.target, " reads %", ref->name, ", which has no value yet");
    axes.push_back(i);
    indices.push_back(checked_indices(ctx, node, *value, ctx.dims_of(x)[i], true));
  }
  if (axes.empty()) return ctx.set_output(node, x);
  if (axes.size() == 1) return ctx.set_output(node, net.add_gather(x, indices[0], static_cast<std::int64_t>(axes[0])));
  if (axes.back() != axes.size() - 1) {
    refuse(Reason::kAttribute, node.target, ": several index tensors are converted only for the leading dimensions");
  }
  // The index tensors, broadcast together, become the last dimension of one.
  std::size_t rank = 0;
  for (const ValueId index : indices) rank = std::max(rank, ctx.rank_of(index));
  const Dims& result = ctx.meta(node).dims;
  const Dims common(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(rank));
  Dims column = common;
  column.emplace_back(1);
  for (ValueId& index : indices) {
    index = ctx.expand_rank(index, rank);
    if (ctx.dims_of(index) != common) index = net.add_broadcast(index, common);
    index = net.add_reshape(index, column);
  }
  const ValueId together = net.add_concatenation(indices, static_cast<std::int64_t>(rank));
  ctx.set_output(node, net.add_layer(network::Gather{network::GatherMode::kNd, 0}, {x, together})[0]);
}

constexpr TableRow kRows[]{
    {"aten.embedding.default", convert_embedding},
    {"aten.index_select.default", convert_index_select},
    {"aten.gather.default", convert_gather},
    {"aten.index.Tensor", convert_index},
};

}  // namespace

std::span<const TableRow> indexing_rows() { return kRows; }

}  // namespace torchtrt::converters
