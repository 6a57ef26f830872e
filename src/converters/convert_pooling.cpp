// SPDX-License-Identifier: Apache-2.0
// Pooling with fixed windows, and adaptive pooling.
#include <algorithm>
#include <numeric>

#include "converters/families.h"
#include "converters/guards.h"
#include "converters/operands.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::PoolingType;
using network::ReduceOperation;

// More slices than this are no longer cheaper than leaving the node in PyTorch.
constexpr std::int64_t kMaxAdaptiveWindows = 64;

void add(Context& ctx, const Node& node, network::Pooling op, ValueId x, std::size_t spatial) {
  const ValueId batch = batched(ctx, node, x, spatial);
  require_elements(ctx, batch, 1);
  const ValueId result = ctx.net().add_layer(std::move(op), {batch})[0];
  require_elements(ctx, result, 2);
  ctx.set_output(node, unbatched_like(ctx, result, x));
}

// aten.max_pool*d(self, kernel_size, stride, padding, dilation, ceil_mode), also the forms that return indices
template <std::size_t spatial>
void convert_max_pool(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  require_floating(ctx, node, x);
  network::Pooling op;
  op.type = PoolingType::kMax;
  op.window = integers_per_axis(ctx, node, 1, "kernel_size", spatial, 1);
  op.stride =
      ctx.integers(node, 2, "stride").empty() ? op.window : integers_per_axis(ctx, node, 2, "stride", spatial, 1);
  op.pre_padding = op.post_padding = integers_per_axis(ctx, node, 3, "padding", spatial, 0);
  op.dilation = integers_per_axis(ctx, node, 4, "dilation", spatial, 1);
  op.ceil_mode = ctx.boolean(node, 5, "ceil_mode", false);
  add(ctx, node, std::move(op), x, spatial);
}

// aten.avg_pool*d(self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
template <std::size_t spatial>
void convert_avg_pool(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "self");
  require_floating(ctx, node, x);
  network::Pooling op;
  op.type = PoolingType::kAverage;
  op.window = integers_per_axis(ctx, node, 1, "kernel_size", spatial, 1);
  op.stride =
      ctx.integers(node, 2, "stride").empty() ? op.window : integers_per_axis(ctx, node, 2, "stride", spatial, 1);
  op.pre_padding = op.post_padding = integers_per_axis(ctx, node, 3, "padding", spatial, 0);
  op.dilation.assign(spatial, 1);
  op.ceil_mode = ctx.boolean(node, 4, "ceil_mode", false);
  op.count_include_pad = ctx.boolean(node, 5, "count_include_pad", true);
  if (!ctx.is_none(node, 6, "divisor_override")) {
    refuse(Reason::kAttribute, node.target, " with divisor_override has no engine layer");
  }
  add(ctx, node, std::move(op), x, spatial);
}

// One spatial axis of adaptive pooling whose windows differ in size: window i covers [i * in / out, ceil((i + 1) * in / out)).
ValueId reduce_windows(Context& ctx, ValueId x, ReduceOperation operation, std::int64_t axis, std::int64_t out) {
  const Dims dims = ctx.dims_of(x);
  const std::int64_t in = dims[static_cast<std::size_t>(axis)].value();
  std::vector<ValueId> parts;
  for (std::int64_t i = 0; i < out; ++i) {
    const std::int64_t begin = i * in / out;
    const std::int64_t end = ((i + 1) * in + out - 1) / out;
    Dims start(dims.size(), Expr(0));
    Dims size = dims;
    start[static_cast<std::size_t>(axis)] = Expr(begin);
    size[static_cast<std::size_t>(axis)] = Expr(end - begin);
    const ValueId window =
        ctx.net().add_slice(x, std::move(start), std::move(size), std::vector<std::int64_t>(dims.size(), 1));
    parts.push_back(ctx.net().add_reduce(window, operation, {axis}, /*keep_dims=*/true));
  }
  return parts.size() == 1 ? parts[0] : ctx.net().add_concatenation(std::move(parts), axis);
}

// aten.adaptive_{avg,max}_pool*d(self, output_size)
template <PoolingType type, std::size_t spatial>
void convert_adaptive_pool(Context& ctx, const Node& node) {
  const ValueId original = ctx.tensor(node, 0, "self");
  require_floating(ctx, node, original);
  Network& net = ctx.net();
  const ValueId x = batched(ctx, node, original, spatial);
  const Dims dims = ctx.dims_of(x);
  const Dims wanted = ctx.dims(node, 1, "output_size");
  if (wanted.size() != spatial) refuse(Reason::kAttribute, node.target, " needs ", spatial, " output sizes");
  require_elements(ctx, x, 1);
  const ReduceOperation operation = type == PoolingType::kMax ? ReduceOperation::kMax : ReduceOperation::kAvg;

  if (std::equal(wanted.begin(), wanted.end(), dims.begin() + 2)) {
    ctx.set_output(node, net.add_identity(original));
    return;
  }
  if (std::all_of(wanted.begin(), wanted.end(), [](const Expr& size) { return size == Expr(1); })) {
    std::vector<std::int64_t> axes(spatial);
    std::iota(axes.begin(), axes.end(), 2);
    ctx.set_output(node, unbatched_like(ctx, net.add_reduce(x, operation, axes, /*keep_dims=*/true), original));
    return;
  }
  network::Pooling op;
  op.type = type;
  std::int64_t windows = 0;
  bool even = true;
  for (std::size_t i = 0; i < spatial; ++i) {
    const std::int64_t in = static_dim(node, dims[i + 2], "input where its output size is not 1");
    const std::int64_t out = static_dim(node, wanted[i], "output size");
    if (out < 1) refuse(Reason::kAttribute, node.target, " with an empty output has no engine layer");
    even = even && in % out == 0;
    windows += out;
    op.window.push_back(in / out);
  }
  ValueId result = x;
  if (even) {
    op.stride = op.window;
    op.pre_padding.assign(spatial, 0);
    op.post_padding.assign(spatial, 0);
    op.dilation.assign(spatial, 1);
    result = net.add_layer(std::move(op), {x})[0];
  } else {
    if (windows > kMaxAdaptiveWindows) {
      refuse(Reason::kAttribute, node.target, " with ", windows, " windows of different sizes has no engine layer");
    }
    // Axis by axis; half precision would round once an axis.
    result = ctx.cast(x, DataType::kFloat32);
    for (std::size_t i = 0; i < spatial; ++i) {
      result = reduce_windows(ctx, result, operation, static_cast<std::int64_t>(i) + 2, wanted[i].value());
    }
    result = ctx.cast(result, ctx.dtype_of(x));
  }
  ctx.set_output(node, unbatched_like(ctx, result, original));
}

constexpr TableRow kRows[]{
    {"aten.max_pool1d.default", convert_max_pool<1>},
    {"aten.max_pool1d_with_indices.default", convert_max_pool<1>},
    {"aten.max_pool2d.default", convert_max_pool<2>},
    {"aten.max_pool2d_with_indices.default", convert_max_pool<2>},
    {"aten.max_pool3d.default", convert_max_pool<3>},
    {"aten.max_pool3d_with_indices.default", convert_max_pool<3>},
    {"aten.avg_pool1d.default", convert_avg_pool<1>},
    {"aten.avg_pool2d.default", convert_avg_pool<2>},
    {"aten.avg_pool3d.default", convert_avg_pool<3>},
    {"aten.adaptive_avg_pool1d.default", convert_adaptive_pool<PoolingType::kAverage, 1>},
    {"aten.adaptive_avg_pool2d.default", convert_adaptive_pool<PoolingType::kAverage, 2>},
    {"aten._adaptive_avg_pool2d.default", convert_adaptive_pool<PoolingType::kAverage, 2>},
    {"aten.adaptive_avg_pool3d.default", convert_adaptive_pool<PoolingType::kAverage, 3>},
    {"aten._adaptive_avg_pool3d.default", convert_adaptive_pool<PoolingType::kAverage, 3>},
    {"aten.adaptive_max_pool1d.default", convert_adaptive_pool<PoolingType::kMax, 1>},
    {"aten.adaptive_max_pool2d.default", convert_adaptive_pool<PoolingType::kMax, 2>},
    {"aten.adaptive_max_pool3d.default", convert_adaptive_pool<PoolingType::kMax, 3>},
};

}  // namespace

std::span<const TableRow> pooling_rows() { return kRows; }

}  // namespace torchtrt::converters
