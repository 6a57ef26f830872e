// SPDX-License-Identifier: Apache-2.0
#include "converters/families.h"

namespace torchtrt::converters {
namespace {

using graph::Node;

// The captured result says the dtype; strides and memory format do not exist in a network.
void convert_to(Context& ctx, const Node& node) {
  ctx.set_output(node, ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype));
}

// aten.copy(self, src): src as the elements of a tensor like self
void convert_copy(Context& ctx, const Node& node) {
  const graph::TensorMeta& meta = ctx.meta(node);
  const ValueId x = ctx.cast(ctx.tensor(node, 1, "src"), meta.dtype);
  const bool repeats = ctx.dims_of(x) != meta.dims;
  ctx.set_output(node, repeats ? ctx.net().add_broadcast(ctx.expand_rank(x, meta.dims.size()), meta.dims) : x);
}

constexpr TableRow kRows[]{
    {"aten._to_copy.default", convert_to}, {"aten.copy.default", convert_copy},  {"aten.to.dtype", convert_to},
    {"aten.to.dtype_layout", convert_to},  {"aten.type_as.default", convert_to},
};

}  // namespace

std::span<const TableRow> cast_rows() { return kRows; }

}  // namespace torchtrt::converters
