// SPDX-License-Identifier: Apache-2.0
// Convolutions and transposed convolutions of one to three spatial dimensions.
#include <optional>
#include <string>

#include "converters/families.h"
#include "converters/guards.h"
#include "converters/operands.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;

struct Operands {
  ValueId x, weight;
  std::optional<ValueId> bias;
  std::size_t spatial = 0;
};

Operands read_operands(Context& ctx, const Node& node) {
  Operands operands{ctx.tensor(node, 0, "input"), ctx.tensor(node, 1, "weight"), ctx.optional_tensor(node, 2, "bias"),
                    0};
  require_floating(ctx, node, operands.x);
  const std::size_t rank = ctx.rank_of(operands.weight);
  if (rank < 3 || rank > 5)
    refuse(Reason::kAttribute, node.target, " has weights of rank ", rank, "; engines take 3 to 5");
  operands.spatial = rank - 2;
  return operands;
}

template <typename Op>
void add(Context& ctx, const Node& node, const Operands& operands, Op op) {
  // A window of one element is not dilated; given a dilation, a kernel of OpenVINO's reads outside.
  const Dims& weight = ctx.dims_of(operands.weight);
  for (std::size_t i = 0; i < op.dilation.size(); ++i)
    if (weight[i + 2] == Expr(1)) op.dilation[i] = 1;
  std::vector<ValueId> inputs{batched(ctx, node, operands.x, operands.spatial), operands.weight};
  if (operands.bias) inputs.push_back(*operands.bias);
  require_elements(ctx, inputs[0], 2);
  const ValueId result = ctx.net().add_layer(std::move(op), std::move(inputs))[0];
  require_elements(ctx, result, 2);
  ctx.set_output(node, unbatched_like(ctx, result, operands.x));
}

// padding="same" puts the odd element at the end.
void pad_same(const Node& node, const Dims& weight, network::Convolution& op) {
  op.pre_padding.clear();
  for (std::size_t i = 0; i < op.dilation.size(); ++i) {
    if (op.stride[i] != 1) refuse(Reason::kAttribute, node.target, " with padding \"same\" has stride 1 only");
    const std::int64_t total = op.dilation[i] * (static_dim(node, weight[i + 2], "kernel") - 1);
    op.pre_padding.push_back(total / 2);
    op.post_padding.push_back(total - total / 2);
  }
}

// aten.conv*d(input, weight, bias, stride, padding, dilation, groups); padding may be "same" or "valid"
void convert_convnd(Context& ctx, const Node& node) {
  const Operands operands = read_operands(ctx, node);
  network::Convolution op;
  op.stride = integers_per_axis(ctx, node, 3, "stride", operands.spatial, 1);
  op.dilation = integers_per_axis(ctx, node, 5, "dilation", operands.spatial, 1);
  op.groups = ctx.integer(node, 6, "groups", 1);
  const graph::Argument* padding = ctx.find(node, 4, "padding");
  if (padding != nullptr && std::holds_alternative<std::string>(padding->value)) {
    op.pre_padding.assign(operands.spatial, 0);
    if (std::get<std::string>(padding->value) == "same") {
      pad_same(node, ctx.dims_of(operands.weight), op);
    } else {
      op.post_padding = op.pre_padding;
    }
  } else {
    op.pre_padding = op.post_padding = integers_per_axis(ctx, node, 4, "padding", operands.spatial, 0);
  }
  add(ctx, node, operands, std::move(op));
}

// aten.conv_transpose*d(input, weight, bias, stride, padding, output_padding, groups, dilation)
void convert_conv_transpose(Context& ctx, const Node& node) {
  const Operands operands = read_operands(ctx, node);
  network::Deconvolution op;
  op.stride = integers_per_axis(ctx, node, 3, "stride", operands.spatial, 1);
  op.pre_padding = op.post_padding = integers_per_axis(ctx, node, 4, "padding", operands.spatial, 0);
  op.output_padding = integers_per_axis(ctx, node, 5, "output_padding", operands.spatial, 0);
  op.groups = ctx.integer(node, 6, "groups", 1);
  op.dilation = integers_per_axis(ctx, node, 7, "dilation", operands.spatial, 1);
  add(ctx, node, operands, std::move(op));
}

// aten.convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
void convert_convolution(Context& ctx, const Node& node) {
  const Operands operands = read_operands(ctx, node);
  const auto stride = integers_per_axis(ctx, node, 3, "stride", operands.spatial, 1);
  const auto padding = integers_per_axis(ctx, node, 4, "padding", operands.spatial, 0);
  const auto dilation = integers_per_axis(ctx, node, 5, "dilation", operands.spatial, 1);
  const std::int64_t groups = ctx.integer(node, 8, "groups", 1);
  if (!ctx.boolean(node, 6, "transposed", false)) {
    add(ctx, node, operands, network::Convolution{stride, dilation, padding, padding, groups});
    return;
  }
  const auto output_padding = integers_per_axis(ctx, node, 7, "output_padding", operands.spatial, 0);
  add(ctx, node, operands, network::Deconvolution{stride, dilation, padding, padding, output_padding, groups});
}

constexpr TableRow kRows[]{
    {"aten.conv1d.default", convert_convnd},
    {"aten.conv1d.padding", convert_convnd},
    {"aten.conv2d.default", convert_convnd},
    {"aten.conv2d.padding", convert_convnd},
    {"aten.conv3d.default", convert_convnd},
    {"aten.conv3d.padding", convert_convnd},
    {"aten.conv_transpose1d.default", convert_conv_transpose},
    {"aten.conv_transpose2d.input", convert_conv_transpose},
    {"aten.conv_transpose3d.input", convert_conv_transpose},
    {"aten.convolution.default", convert_convolution},
};

}  // namespace

std::span<const TableRow> convolution_rows() { return kRows; }

}  // namespace torchtrt::converters
