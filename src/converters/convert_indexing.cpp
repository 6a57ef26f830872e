// SPDX-License-Identifier: Apache-2.0
// Reading and writing at indices. Every index is proven to be in range first (indices.h).
#include <algorithm>
#include <numeric>
#include <optional>

#include "converters/families.h"
#include "converters/indices.h"
#include "converters/operands.h"
#include "converters/selection.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;

Dims slice_of(const Dims& dims, std::size_t begin, std::size_t end) {
  return {dims.begin() + static_cast<std::ptrdiff_t>(begin), dims.begin() + static_cast<std::ptrdiff_t>(end)};
}

// The first elements along every axis, as many as `size` says.
ValueId crop(Context& ctx, ValueId value, Dims size) {
  const std::size_t rank = size.size();
  if (size == ctx.dims_of(value)) return value;
  return ctx.net().add_slice(value, Dims(rank, Expr(0)), std::move(size), std::vector<std::int64_t>(rank, 1));
}

// aten.embedding(weight, indices, ..)
void convert_embedding(Context& ctx, const Node& node) {
  const ValueId weight = ctx.tensor(node, 0, "weight");
  const ValueId indices =
      proven_index(ctx, node, ctx.tensor(node, 1, "indices"), ctx.dims_of(weight)[0], NegativeIndices::kRefused);
  ctx.set_output(node, ctx.net().add_gather(weight, indices, 0));
}

// aten.index_select(self, dim, index)
void convert_index_select(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  if (ctx.rank_of(x) == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor has no engine layer");
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x));
  ValueId index = ctx.expand_rank(ctx.tensor(node, 2, "index"), 1);
  index = proven_index(ctx, node, index, ctx.dims_of(x)[static_cast<std::size_t>(axis)], NegativeIndices::kRefused);
  ctx.set_output(node, ctx.net().add_gather(x, index, axis));
}

// aten.gather(self, dim, index, sparse_grad): the index may be smaller than self in the other dimensions
void convert_gather(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  ValueId index = ctx.tensor(node, 2, "index");
  if (ctx.rank_of(x) == 0 || ctx.rank_of(index) != ctx.rank_of(x)) {
    refuse(Reason::kAttribute, node.target, " of a tensor of rank ", ctx.rank_of(x), " with an index of rank ",
           ctx.rank_of(index), " has no engine layer");
  }
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), ctx.rank_of(x));
  index = proven_index(ctx, node, index, ctx.dims_of(x)[static_cast<std::size_t>(axis)], NegativeIndices::kRefused);
  // The layer wants equal sizes in the other dimensions: a smaller index is filled up with zeros, and what they read is cut
  // off. (Cutting the data instead does not survive OpenVINO, which drops a slice in front of a gather.)
  const Dims wanted = ctx.dims_of(index);
  Dims filled = ctx.dims_of(x);
  filled[static_cast<std::size_t>(axis)] = wanted[static_cast<std::size_t>(axis)];
  if (filled != wanted) {
    const std::size_t rank = filled.size();
    const ValueId zero = ctx.net().add_int_scalar(ctx.dtype_of(index), 0);
    network::Slice fill{Dims(rank, Expr(0)), filled, std::vector<std::int64_t>(rank, 1), network::SliceMode::kFill};
    index = ctx.net().add_layer(std::move(fill), {index, zero})[0];
  }
  const ValueId result = ctx.net().add_layer(network::Gather{network::GatherMode::kElement, axis}, {x, index})[0];
  ctx.set_output(node, crop(ctx, result, wanted));
}

// --- aten.index.Tensor ---------------------------------------------------------------------------------------------------

struct AxisIndex {
  std::size_t axis = 0;
  ValueId index;
  bool is_position = false;  // of a true element of a mask: within the dimension for sure
};

bool is_mask(Context& ctx, ValueId index) {
  const DataType dtype = ctx.dtype_of(index);
  return dtype == DataType::kBool || dtype == DataType::kUInt8;
}

// The given entries of `indices`, a list of tensors and None, with their places in the list.
std::vector<AxisIndex> read_indices(Context& ctx, const Node& node) {
  const graph::Argument* argument = ctx.find(node, 1, "indices");
  const auto* list = argument == nullptr ? nullptr : std::get_if<graph::List>(&argument->value);
  if (list == nullptr) refuse(Reason::kAttribute, node.target, ": argument `indices` is not a list");
  std::vector<AxisIndex> indices;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto* ref = std::get_if<graph::Ref>(&(*list)[i].value);
    if (ref == nullptr) continue;
    const ValueId* value = ctx.lookup(ref->name);
    TORCHTRT_CHECK(value != nullptr, kInternal, "node ", node.name, " reads %", ref->name, ", which has no value yet");
    indices.push_back({i, *value});
  }
  if (indices.empty()) refuse(Reason::kAttribute, node.target, " without an index");
  return indices;
}

bool are_consecutive(const std::vector<AxisIndex>& indices) {
  return indices.back().axis - indices.front().axis + 1 == indices.size();
}

// A mask among other indices is an index into each dimension that it spans: the positions of its true elements.
std::vector<AxisIndex> expand_mask(Context& ctx, const Node& node, const Dims& x_dims,
                                   const std::vector<AxisIndex>& given) {
  std::vector<AxisIndex> indices;
  std::optional<ValueId> mask;
  std::size_t broadcast_rank = 1;
  for (const AxisIndex& item : given) {
    const std::size_t axis = indices.size() + item.axis - static_cast<std::size_t>(&item - given.data());
    const std::size_t rank = ctx.rank_of(item.index);
    if (!is_mask(ctx, item.index)) {
      indices.push_back({axis, item.index});
      broadcast_rank = std::max(broadcast_rank, rank);
      continue;
    }
    if (mask) refuse(Reason::kAttribute, node.target, " with several masks has no converter");
    mask = item.index;
    for (std::size_t i = 0; i < rank; ++i) indices.push_back({axis + i, item.index, /*is_position=*/true});
  }
  if (indices.empty() || indices.back().axis >= x_dims.size()) {
    refuse(Reason::kAttribute, node.target, " has more indices than dimensions, or a 0-d mask");
  }
  if (!mask) return indices;
  const std::size_t first = are_consecutive(indices) ? indices.front().axis : 0;
  const ValueId positions =
      positions_of_nonzero(ctx, node, ctx.cast(*mask, DataType::kBool), first + broadcast_rank - 1);
  const Expr count = ctx.dims_of(positions)[0];
  std::int64_t column = 0;
  for (AxisIndex& item : indices) {
    if (item.is_position) {
      const ValueId one = ctx.net().add_slice(positions, {Expr(0), Expr(column++)}, {count, Expr(1)}, {1, 1});
      item.index = ctx.net().add_reshape(one, {count});
    } else if (const Dims& dims = ctx.dims_of(item.index); !dims.empty() && dims.back() != Expr(1)) {
      refuse(Reason::kDataDependent, node.target, " with a mask and indices of shape ", to_string(dims),
             ", whose last dimension may not be the number of elements that the mask selects");
    } else if (const Expr& size = x_dims[item.axis];
               !is_known_within(ctx.net(), item.index, Expr(0) - size, size - 1)) {
      // Where the mask selects nothing PyTorch reads nothing, so that nothing may be asked of the index.
      refuse(Reason::kDataDependent, node.target, " with a mask and indices that may be outside of ", size,
             " elements");
    }
  }
  return indices;
}

// What broadcasting the indices gives; the capture has checked that they do.
Dims broadcast_dims(const Network& net, const std::vector<AxisIndex>& indices) {
  std::size_t rank = 0;
  for (const AxisIndex& item : indices) rank = std::max(rank, net.value(item.index).dims.size());
  Dims result(rank, Expr(1));
  for (const AxisIndex& item : indices) {
    const Dims& dims = net.value(item.index).dims;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      Expr& to = result[rank - dims.size() + i];
      if (to == Expr(1) || (dims[i].is_constant() && dims[i] != Expr(1))) to = dims[i];
    }
  }
  return result;
}

// x[arange(n)[:, None], arange(m)] and the like: every index only counts along a dimension of its own, in order. Then the
// result is x under another shape.
bool only_reshapes(const Network& net, const Dims& dims, const std::vector<AxisIndex>& indices, std::size_t rank) {
  if (!are_consecutive(indices)) return false;
  std::optional<std::size_t> previous;
  for (const AxisIndex& item : indices) {
    const auto along = counting_dimension(net, item.index, dims[item.axis]);
    if (!along) return false;
    const std::size_t position = *along + rank - net.value(item.index).dims.size();
    if (previous && position <= *previous) return false;
    previous = position;
  }
  return true;
}

// Several indices: the indexed axes go to the front, where one gather reads at tuples of indices.
ValueId gather_tuples(Context& ctx, ValueId x, const std::vector<AxisIndex>& indices, const Dims& shape) {
  Network& net = ctx.net();
  const std::size_t rank = ctx.rank_of(x);
  std::vector<std::int64_t> permutation;
  for (const AxisIndex& item : indices) permutation.push_back(static_cast<std::int64_t>(item.axis));
  for (std::size_t i = 0; i < rank; ++i) {
    const bool indexed =
        std::any_of(indices.begin(), indices.end(), [&](const AxisIndex& item) { return item.axis == i; });
    if (!indexed) permutation.push_back(static_cast<std::int64_t>(i));
  }
  const ValueId data = std::is_sorted(permutation.begin(), permutation.end()) ? x : net.add_transpose(x, permutation);
  Dims column = shape;
  column.emplace_back(1);
  std::vector<ValueId> columns;
  for (const AxisIndex& item : indices) {
    ValueId index = ctx.expand_rank(ctx.cast(item.index, DataType::kInt64), shape.size());
    if (ctx.dims_of(index) != shape) index = net.add_broadcast(index, shape);
    columns.push_back(net.add_reshape(index, column));
  }
  const ValueId tuples = net.add_concatenation(std::move(columns), static_cast<std::int64_t>(shape.size()));
  const ValueId result = net.add_layer(network::Gather{network::GatherMode::kNd, 0}, {data, tuples})[0];
  const std::size_t before = indices.front().axis;
  if (!are_consecutive(indices) || before == 0) return result;
  // The dimensions of the indices belong where the indexed ones were.
  std::vector<std::int64_t> back(ctx.rank_of(result));
  const auto middle = back.begin() + static_cast<std::ptrdiff_t>(before);
  const auto tail = middle + static_cast<std::ptrdiff_t>(shape.size());
  std::iota(back.begin(), middle, static_cast<std::int64_t>(shape.size()));
  std::iota(middle, tail, 0);
  std::iota(tail, back.end(), static_cast<std::int64_t>(shape.size() + before));
  return net.add_transpose(result, std::move(back));
}

// aten.index.Tensor(self, indices)
void convert_index(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  std::vector<AxisIndex> indices = read_indices(ctx, node);
  if (indices.size() == 1 && is_mask(ctx, indices[0].index)) {
    ctx.set_output(node, masked(ctx, node, x, indices[0].index, indices[0].axis));
    return;
  }
  const Dims dims = ctx.dims_of(x);
  indices = expand_mask(ctx, node, dims, indices);
  const Dims shape = broadcast_dims(ctx.net(), indices);
  if (only_reshapes(ctx.net(), dims, indices, shape.size())) {
    Dims result = slice_of(dims, 0, indices.front().axis);
    result.insert(result.end(), shape.begin(), shape.end());
    result.insert(result.end(), dims.begin() + static_cast<std::ptrdiff_t>(indices.back().axis) + 1, dims.end());
    ctx.set_output(node, ctx.net().add_reshape(x, std::move(result)));
    return;
  }
  for (AxisIndex& item : indices) {
    if (item.is_position) continue;
    item.index = proven_index(ctx, node, item.index, dims[item.axis], NegativeIndices::kFromTheEnd);
  }
  ctx.set_output(node, indices.size() == 1
                           ? ctx.net().add_gather(x, indices[0].index, static_cast<std::int64_t>(indices[0].axis))
                           : gather_tuples(ctx, x, indices, shape));
}

// --- writing ---------------------------------------------------------------------------------------------------------------

// aten.scatter.{src,value}(self, dim, index, src | value)
template <bool from_tensor>
void convert_scatter(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  ValueId index = ctx.tensor(node, 2, "index");
  const std::size_t rank = ctx.rank_of(x);
  if (rank == 0 || ctx.rank_of(index) != rank) {
    refuse(Reason::kAttribute, node.target, " into a tensor of rank ", rank, " with an index of rank ",
           ctx.rank_of(index), " has no engine layer");
  }
  const std::int64_t axis = Context::normalize_axis(ctx.integer(node, 1, "dim"), rank);
  index = proven_index(ctx, node, index, ctx.dims_of(x)[static_cast<std::size_t>(axis)], NegativeIndices::kRefused);
  const Dims written = ctx.dims_of(index);
  ValueId updates;
  if constexpr (from_tensor) {
    updates = crop(ctx, ctx.tensor(node, 3, "src"), written);
  } else {
    updates = ctx.net().add_broadcast(ctx.tensor_or_scalar(node, 3, "value", ctx.dtype_of(x), rank), written);
  }
  ctx.set_output(node,
                 ctx.net().add_layer(network::Scatter{network::ScatterMode::kElement, axis}, {x, index, updates})[0]);
}

// x with [begin, begin + length) along `axis` replaced by `part`.
ValueId replace_range(Context& ctx, ValueId x, ValueId part, std::size_t axis, const Expr& begin, const Expr& length) {
  const Dims dims = ctx.dims_of(x);
  const std::vector<std::int64_t> step(dims.size(), 1);
  std::vector<ValueId> parts;
  const auto keep = [&](const Expr& from, const Expr& count) {
    if (count == Expr(0)) return;
    Dims start(dims.size(), Expr(0));
    Dims size = dims;
    start[axis] = from;
    size[axis] = count;
    parts.push_back(ctx.net().add_slice(x, std::move(start), std::move(size), step));
  };
  keep(Expr(0), begin);
  if (length != Expr(0)) parts.push_back(part);
  keep(begin + length, dims[axis] - begin - length);
  return parts.size() == 1 ? parts[0] : ctx.net().add_concatenation(std::move(parts), static_cast<std::int64_t>(axis));
}

// A start or an end of a slice within [0, size]: negative ones count from the end.
Expr clamp_position(const Node& node, const Network& net, const Expr& position, const Expr& size) {
  const Interval bounds = net.bounds(position);
  if (bounds.min < 0 && bounds.max >= 0) {
    refuse(Reason::kDynamicShape, node.target, ": the position ", position, " may count from either end");
  }
  if (bounds.max < 0) return max(position + size, Expr(0));
  return net.bounds(size - position).min >= 0 ? position : min(position, size);
}

// aten.slice_scatter(self, src, dim, start, end, step)
void convert_slice_scatter(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const ValueId source = ctx.tensor(node, 1, "src");
  const auto axis = static_cast<std::size_t>(Context::normalize_axis(ctx.integer(node, 2, "dim", 0), ctx.rank_of(x)));
  if (ctx.integer(node, 5, "step", 1) != 1) refuse(Reason::kAttribute, node.target, " with a step has no engine layer");
  const Expr size = ctx.dims_of(x).at(axis);
  const Expr begin = clamp_position(node, ctx.net(), ctx.dim(node, 3, "start").value_or(Expr(0)), size);
  const Expr given_end = ctx.dim(node, 4, "end").value_or(size);
  // Slices without an end come with the largest integer.
  const Expr end = given_end == Expr(INT64_MAX) ? size : clamp_position(node, ctx.net(), given_end, size);
  const Expr length = ctx.dims_of(source).at(axis);
  if (ctx.net().bounds(end - begin).min < 0 ||
      (end - begin != length && !(length.is_constant() && (end - begin).is_constant()))) {
    refuse(Reason::kDynamicShape, node.target, ": whether [", begin, ", ", end, ") has ", length,
           " elements is known only from data");
  }
  ctx.set_output(node, replace_range(ctx, x, ctx.cast(source, ctx.dtype_of(x)), axis, begin, length));
}

// aten.select_scatter(self, src, dim, index)
void convert_select_scatter(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const auto axis = static_cast<std::size_t>(Context::normalize_axis(ctx.integer(node, 2, "dim"), ctx.rank_of(x)));
  const Expr size = ctx.dims_of(x).at(axis);
  const Expr index = clamp_position(node, ctx.net(), ctx.dim(node, 3, "index").value(), size);
  Dims dims = ctx.dims_of(x);
  dims[axis] = Expr(1);
  const ValueId source = ctx.net().add_reshape(ctx.cast(ctx.tensor(node, 1, "src"), ctx.dtype_of(x)), std::move(dims));
  ctx.set_output(node, replace_range(ctx, x, source, axis, index, Expr(1)));
}

// --- padding -----------------------------------------------------------------------------------------------------------------

// Pads are listed from the last dimension on: (before, after) for each.
void set_padded(Context& ctx, const Node& node, network::SliceMode mode) {
  const ValueId x = ctx.tensor(node, 0, "self");
  const Dims dims = ctx.dims_of(x);
  const Dims pads = ctx.dims(node, 1, mode == network::SliceMode::kFill ? "pad" : "padding");
  if (pads.size() % 2 != 0 || pads.size() / 2 > dims.size()) {
    refuse(Reason::kAttribute, node.target, " with ", pads.size(), " pads for a tensor of rank ", dims.size());
  }
  network::Slice op{Dims(dims.size(), Expr(0)), dims, std::vector<std::int64_t>(dims.size(), 1), mode};
  bool grows = false;
  bool shrinks = false;
  for (std::size_t i = 0; i < pads.size() / 2; ++i) {
    const std::size_t axis = dims.size() - 1 - i;
    for (const Expr& pad : {pads[2 * i], pads[2 * i + 1]}) {
      grows = grows || ctx.net().bounds(pad).max > 0;
      shrinks = shrinks || ctx.net().bounds(pad).min < 0;
    }
    op.start[axis] = Expr(0) - pads[2 * i];
    op.size[axis] = dims[axis] + pads[2 * i] + pads[2 * i + 1];
  }
  if (!grows && !shrinks) {
    ctx.set_output(node, ctx.net().add_identity(x));
    return;
  }
  std::vector<ValueId> inputs{x};
  if (!grows) {
    op.mode = network::SliceMode::kStrict;  // negative pads only: a crop
  } else if (mode == network::SliceMode::kFill) {
    inputs.push_back(ctx.tensor_or_scalar(node, 2, "value", ctx.dtype_of(x), 0));
  } else if (shrinks) {
    refuse(Reason::kAttribute, node.target, " with negative pads has no engine layer");
  }
  ctx.set_output(node, ctx.net().add_layer(std::move(op), std::move(inputs))[0]);
}

// aten.constant_pad_nd(self, pad, value)
void convert_constant_pad(Context& ctx, const Node& node) { set_padded(ctx, node, network::SliceMode::kFill); }

// aten.reflection_pad*d, aten.replication_pad*d(self, padding)
template <network::SliceMode mode>
void convert_edge_pad(Context& ctx, const Node& node) {
  set_padded(ctx, node, mode);
}

constexpr auto kReflect = network::SliceMode::kReflect;
constexpr auto kClamp = network::SliceMode::kClamp;
constexpr TableRow kRows[]{
    {"aten.constant_pad_nd.default", convert_constant_pad},
    {"aten.embedding.default", convert_embedding},
    {"aten.gather.default", convert_gather},
    {"aten.index.Tensor", convert_index},
    {"aten.index_select.default", convert_index_select},
    {"aten.reflection_pad1d.default", convert_edge_pad<kReflect>},
    {"aten.reflection_pad2d.default", convert_edge_pad<kReflect>},
    {"aten.reflection_pad3d.default", convert_edge_pad<kReflect>},
    {"aten.replication_pad1d.default", convert_edge_pad<kClamp>},
    {"aten.replication_pad2d.default", convert_edge_pad<kClamp>},
    {"aten.replication_pad3d.default", convert_edge_pad<kClamp>},
    {"aten.scatter.src", convert_scatter<true>},
    {"aten.scatter.value", convert_scatter<false>},
    {"aten.select_scatter.default", convert_select_scatter},
    {"aten.slice_scatter.default", convert_slice_scatter},
};

}  // namespace

std::span<const TableRow> indexing_rows() { return kRows; }

}  // namespace torchtrt::converters
