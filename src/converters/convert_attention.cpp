// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention.
#include <cmath>
#include <optional>

#include "converters/families.h"
#include "converters/operands.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;

struct Arguments {
  ValueId query, key, value;
  std::optional<ValueId> mask;
  double dropout = 0;
  bool is_causal = false;
  std::optional<double> scale{};
  bool grouped = false;  ///< Heads of key and value may serve several heads of query.
};

// Two dimensions that PyTorch would broadcast; the layer wants them equal.
void require_equal(const Node& node, const Expr& a, const Expr& b, std::string_view what) {
  if (a != b) refuse(Reason::kAttribute, node.target, ": query and key differ in ", what, " (", a, " and ", b, ")");
}

void set_attention(Context& ctx, const Node& node, const Arguments& arguments) {
  const ValueId query = arguments.query;
  require_floating(ctx, node, query);
  if (arguments.dropout != 0) refuse(Reason::kAttribute, node.target, " with dropout is not deterministic");
  const std::size_t rank = ctx.rank_of(query);
  if (rank < 2 || rank > 4 || ctx.rank_of(arguments.key) != rank || ctx.rank_of(arguments.value) != rank) {
    refuse(Reason::kAttribute, node.target, " takes query, key and value of one rank from 2 to 4");
  }
  const ValueId q = ctx.expand_rank(query, 4);
  const ValueId k = ctx.expand_rank(arguments.key, 4);
  const ValueId v = ctx.expand_rank(arguments.value, 4);
  const Dims query_dims = ctx.dims_of(q);
  const Dims key_dims = ctx.dims_of(k);
  const Dims value_dims = ctx.dims_of(v);
  require_equal(node, query_dims[0], key_dims[0], "batch");
  require_equal(node, key_dims[0], value_dims[0], "batch");
  require_equal(node, key_dims[1], value_dims[1], "heads");
  if (query_dims[1] != key_dims[1]) {
    const std::int64_t heads = static_dim(node, query_dims[1], "number of heads");
    const std::int64_t key_heads = static_dim(node, key_dims[1], "number of heads");
    const bool broadcasts = arguments.grouped ? key_heads != 0 && heads % key_heads == 0 : key_heads == 1;
    if (!broadcasts) require_equal(node, query_dims[1], key_dims[1], "heads");
  }
  const std::int64_t head_size = static_dim(node, query_dims[3], "head size");
  if (head_size == 0 || key_dims[2] == Expr(0)) refuse(Reason::kAttribute, node.target, " over an empty dimension");

  network::Attention op;
  op.scale = arguments.scale.value_or(1.0 / std::sqrt(static_cast<double>(head_size)));
  op.is_causal = arguments.is_causal;
  std::vector<ValueId> inputs{q, k, v};
  if (arguments.mask) {
    const DataType mask_dtype = ctx.dtype_of(*arguments.mask);
    if (mask_dtype != DataType::kBool && mask_dtype != ctx.dtype_of(query)) {
      refuse(Reason::kDataType, node.target, " of ", to_string(ctx.dtype_of(query)), " with a mask of ",
             to_string(mask_dtype));
    }
    if (arguments.is_causal) refuse(Reason::kAttribute, node.target, " takes a mask or is_causal, not both");
    if (ctx.rank_of(*arguments.mask) > rank) refuse(Reason::kAttribute, node.target, " has a mask of a higher rank");
    inputs.push_back(ctx.expand_rank(*arguments.mask, 4));
  }
  ValueId result = ctx.net().add_layer(std::move(op), std::move(inputs))[0];
  while (ctx.rank_of(result) > rank) result = squeeze(ctx, result, 0);
  ctx.set_output(node, result);
}

// aten.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, *, scale, enable_gqa)
void convert_attention(Context& ctx, const Node& node) {
  Arguments arguments{ctx.tensor(node, 0, "query"), ctx.tensor(node, 1, "key"), ctx.tensor(node, 2, "value"),
                      ctx.optional_tensor(node, 3, "attn_mask")};
  arguments.dropout = ctx.number(node, 4, "dropout_p", 0);
  arguments.is_causal = ctx.boolean(node, 5, "is_causal", false);
  if (!ctx.is_none(node, 6, "scale")) arguments.scale = ctx.number(node, 6, "scale");
  arguments.grouped = ctx.boolean(node, 7, "enable_gqa", false);
  set_attention(ctx, node, arguments);
}

// aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, dropout_p, is_causal, *, attn_mask, scale)
// -> (output, logsumexp), the second for training only
void convert_flash_attention(Context& ctx, const Node& node) {
  Arguments arguments{ctx.tensor(node, 0, "query"), ctx.tensor(node, 1, "key"), ctx.tensor(node, 2, "value"),
                      ctx.optional_tensor(node, 5, "attn_mask")};
  arguments.dropout = ctx.number(node, 3, "dropout_p", 0);
  arguments.is_causal = ctx.boolean(node, 4, "is_causal", false);
  if (!ctx.is_none(node, 6, "scale")) arguments.scale = ctx.number(node, 6, "scale");
  set_attention(ctx, node, arguments);
}

// aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, return_debug_mask, *, scale), with
// `has_mask` aten._scaled_dot_product_{efficient,cudnn}_attention(query, key, value, attn_bias, compute_log_sumexp,
// dropout_p, is_causal, .., *, scale) -> (output, ..), the others for training only: what PyTorch chooses for a GPU
template <bool has_mask>
void convert_gpu_attention(Context& ctx, const Node& node) {
  Arguments arguments{ctx.tensor(node, 0, "query"), ctx.tensor(node, 1, "key"), ctx.tensor(node, 2, "value"),
                      std::nullopt};
  if (has_mask) arguments.mask = ctx.optional_tensor(node, 3, "attn_bias");
  arguments.dropout = ctx.number(node, has_mask ? 5 : 3, "dropout_p", 0);
  arguments.is_causal = ctx.boolean(node, has_mask ? 6 : 4, "is_causal", false);
  constexpr std::size_t kByName = 100;
  if (!ctx.is_none(node, kByName, "scale")) arguments.scale = ctx.number(node, kByName, "scale");
  set_attention(ctx, node, arguments);
}

constexpr TableRow kRows[]{
    {"aten._scaled_dot_product_cudnn_attention.default", convert_gpu_attention<true>},
    {"aten._scaled_dot_product_efficient_attention.default", convert_gpu_attention<true>},
    {"aten._scaled_dot_product_flash_attention.default", convert_gpu_attention<false>},
    {"aten.scaled_dot_product_attention.default", convert_attention},
    {"aten._scaled_dot_product_flash_attention_for_cpu.default", convert_flash_attention},
};

}  // namespace

std::span<const TableRow> attention_rows() { return kRows; }

}  // namespace torchtrt::converters
