// SPDX-License-Identifier: Apache-2.0
#include "converters/families.h"

namespace torchtrt::converters {
namespace {

using graph::Node;

// The captured result says the dtype; strides and memory format do not exist in a network.
void convert_to(Context& ctx, const Node& node) {
  ctx.set_output(node, ctx.cast(ctx.tensor(node, 0, "self"), ctx.meta(node).dtype));
}

constexpr TableRow kRows[]{
    {"aten._to_copy.default", convert_to},
    {"aten.to.dtype", convert_to},
    {"aten.to.dtype_layout", convert_to},
    {"aten.type_as.default", convert_to},
};

}  // namespace

std::span<const TableRow> cast_rows() { return kRows; }

}  // namespace torchtrt::converters
