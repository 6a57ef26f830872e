// SPDX-License-Identifier: Apache-2.0
// What the data selects: nonzero, masks, boxes.
#include <numeric>

#include "converters/families.h"
#include "converters/operands.h"
#include "converters/rearrange.h"
#include "converters/selection.h"

namespace torchtrt::converters {

using backend::Reason;
using graph::Node;

namespace {

// The symbol that the capture gave dimension `axis` of the node's result.
std::string count_symbol(Context& ctx, const Node& node, std::size_t axis) {
  const Dims& dims = ctx.meta(node).dims;
  if (axis >= dims.size() || !dims[axis].is_symbol()) {
    refuse(Reason::kDataDependent, node.target, ": the capture has no symbol for the number of elements it selects");
  }
  return dims[axis].symbol_name();
}

}  // namespace

ValueId positions_of_nonzero(Context& ctx, const Node& node, ValueId x, std::size_t axis) {
  if (ctx.rank_of(x) == 0) refuse(Reason::kAttribute, node.target, " of a 0-d tensor has no engine layer");
  const ValueId columns = ctx.net().add_layer(network::NonZero{count_symbol(ctx, node, axis)}, {x})[0];
  return ctx.net().add_transpose(columns, {1, 0});
}

ValueId masked(Context& ctx, const Node& node, ValueId x, ValueId mask, std::size_t axis) {
  Network& net = ctx.net();
  const std::size_t rank = ctx.rank_of(x), spanned = ctx.rank_of(mask);
  if (axis + spanned > rank) refuse(Reason::kAttribute, node.target, " has more indices than dimensions");
  const ValueId positions = positions_of_nonzero(ctx, node, ctx.cast(mask, DataType::kBool), axis);
  // The masked dimensions go to the front, where a gather reads at tuples of indices.
  std::vector<std::int64_t> order(rank);
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(axis),
              order.begin() + static_cast<std::ptrdiff_t>(axis + spanned));
  const ValueId data = axis == 0 ? x : transposed(net, x, order);
  const ValueId selected = net.add_layer(network::Gather{network::GatherMode::kNd, 0}, {data, positions})[0];
  if (axis == 0) return selected;
  std::vector<std::int64_t> back(ctx.rank_of(selected));
  std::iota(back.begin(), back.end(), 0);
  std::rotate(back.begin(), back.begin() + 1, back.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  return net.add_transpose(selected, std::move(back));
}

namespace {

// aten.nonzero(self) -> int64 [count, rank]
void convert_nonzero(Context& ctx, const Node& node) {
  ctx.set_output(node, positions_of_nonzero(ctx, node, ctx.tensor(node, 0, "self"), 0));
}

// aten.masked_select(self, mask) -> [count]: the two broadcast
void convert_masked_select(Context& ctx, const Node& node) {
  ValueId x = ctx.tensor(node, 0, "self"), mask = ctx.tensor(node, 1, "mask");
  if (ctx.dims_of(x) != ctx.dims_of(mask)) {
    refuse(Reason::kAttribute, node.target, " of a tensor and a mask of different shapes has no converter");
  }
  ctx.set_output(node, masked(ctx, node, x, mask, 0));
}

// torchvision.nms(dets, scores, iou_threshold) -> int64 [count]
void convert_nms(Context& ctx, const Node& node) {
  const ValueId boxes = ctx.tensor(node, 0, "dets");
  const ValueId scores = ctx.tensor(node, 1, "scores");
  if (ctx.dtype_of(boxes) != DataType::kFloat32 || ctx.dtype_of(scores) != DataType::kFloat32) {
    refuse(Reason::kDataType, node.target, " of ", to_string(ctx.dtype_of(boxes)), " boxes and ",
           to_string(ctx.dtype_of(scores)), " scores has no engine layer: both are float32 there");
  }
  network::NonMaxSuppression layer{ctx.number(node, 2, "iou_threshold"), count_symbol(ctx, node, 0)};
  ctx.set_output(node, ctx.net().add_layer(std::move(layer), {boxes, scores})[0]);
}

constexpr TableRow kRows[] = {
    {"aten.masked_select.default", &convert_masked_select},
    {"aten.nonzero.default", &convert_nonzero},
    {"torchvision.nms.default", &convert_nms},
};

}  // namespace

std::span<const TableRow> selection_rows() { return kRows; }

}  // namespace torchtrt::converters
