// SPDX-License-Identifier: Apache-2.0
#include "converters/families.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ActivationType;

ValueId floating_operand(Context& ctx, const Node& node) {
  return ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype);
}

template <ActivationType type>
void convert_simple(Context& ctx, const Node& node) {
  const ValueId x = floating_operand(ctx, node);
  if (!is_floating(ctx.dtype_of(x))) refuse(Reason::kDataType, node.target, " of integers has no engine layer");
  ctx.set_output(node, ctx.net().add_activation(x, type));
}

void convert_gelu(Context& ctx, const Node& node) {
  const std::string approximate = ctx.string(node, 1, "approximate", "none");
  const auto type = approximate == "tanh" ? ActivationType::kGeluTanh : ActivationType::kGeluErf;
  ctx.set_output(node, ctx.net().add_activation(floating_operand(ctx, node), type));
}

void convert_elu(Context& ctx, const Node& node) {
  if (ctx.number(node, 2, "scale", 1) != 1 || ctx.number(node, 3, "input_scale", 1) != 1) {
    refuse(Reason::kAttribute, node.target, ": scale and input_scale other than 1 have no engine layer");
  }
  const double alpha = ctx.number(node, 1, "alpha", 1);
  ctx.set_output(node, ctx.net().add_activation(floating_operand(ctx, node), ActivationType::kElu, alpha));
}

void convert_leaky_relu(Context& ctx, const Node& node) {
  const double slope = ctx.number(node, 1, "negative_slope", 0.01);
  ctx.set_output(node, ctx.net().add_activation(floating_operand(ctx, node), ActivationType::kLeakyRelu, slope));
}

void convert_hardsigmoid(Context& ctx, const Node& node) {
  ctx.set_output(node,
                 ctx.net().add_activation(floating_operand(ctx, node), ActivationType::kHardSigmoid, 1.0 / 6.0, 0.5));
}

void convert_softplus(Context& ctx, const Node& node) {
  if (ctx.number(node, 1, "beta", 1) != 1 || ctx.number(node, 2, "threshold", 20) != 20) {
    refuse(Reason::kAttribute, node.target, ": only beta 1 and threshold 20 have an engine layer");
  }
  ctx.set_output(node, ctx.net().add_activation(floating_operand(ctx, node), ActivationType::kSoftplus, 1, 1));
}

constexpr TableRow kRows[]{
    {"aten.relu.default", convert_simple<ActivationType::kRelu>},
    {"aten.sigmoid.default", convert_simple<ActivationType::kSigmoid>},
    {"aten.tanh.default", convert_simple<ActivationType::kTanh>},
    {"aten.silu.default", convert_simple<ActivationType::kSilu>},
    {"aten.hardswish.default", convert_simple<ActivationType::kHardSwish>},
    {"aten.mish.default", convert_simple<ActivationType::kMish>},
    {"aten.gelu.default", convert_gelu},
    {"aten.elu.default", convert_elu},
    {"aten.leaky_relu.default", convert_leaky_relu},
    {"aten.hardsigmoid.default", convert_hardsigmoid},
    {"aten.softplus.default", convert_softplus},
};

}  // namespace

std::span<const TableRow> activation_rows() { return kRows; }

}  // namespace torchtrt::converters
