// SPDX-License-Identifier: Apache-2.0
#include "converters/operands.h"

#include "converters/rearrange.h"

#include <utility>

namespace torchtrt::converters {

using backend::Reason;
using graph::Node;

void require_floating(Context& ctx, const Node& node, ValueId value) {
  if (!is_floating(ctx.dtype_of(value))) {
    refuse(Reason::kDataType, node.target, " of ", to_string(ctx.dtype_of(value)), " has no engine layer");
  }
}

std::int64_t static_dim(const Node& node, const Expr& dim, std::string_view what) {
  if (!dim.is_constant()) {
    refuse(Reason::kDynamicShape, node.target, " needs a static ", what, ", and it is ", dim);
  }
  return dim.value();
}

std::vector<std::int64_t> integers_per_axis(Context& ctx, const Node& node, std::size_t index, std::string_view name,
                                            std::size_t count, std::int64_t fallback) {
  std::vector<std::int64_t> values = ctx.integers(node, index, name);
  if (values.empty()) values.assign(count, fallback);
  if (values.size() == 1) values.assign(count, values[0]);
  if (values.size() != count) {
    refuse(Reason::kAttribute, node.target, ": argument `", name, "` has ", values.size(), " values, not ", count);
  }
  return values;
}

ValueId batched(Context& ctx, const Node& node, ValueId x, std::size_t spatial) {
  const std::size_t rank = ctx.rank_of(x);
  if (rank != spatial + 2 && rank != spatial + 1) {
    refuse(Reason::kAttribute, node.target, " takes an input of rank ", spatial + 1, " or ", spatial + 2, ", not ",
           rank);
  }
  return ctx.expand_rank(x, spatial + 2);
}

ValueId unbatched_like(Context& ctx, ValueId result, ValueId original) {
  return ctx.rank_of(result) == ctx.rank_of(original) ? result : squeeze(ctx, result, 0);
}

ValueId squeeze(Context& ctx, ValueId value, std::int64_t axis) {
  Dims dims = ctx.dims_of(value);
  dims.erase(dims.begin() + axis);
  return reshaped(ctx.net(), value, std::move(dims));
}

}  // namespace torchtrt::converters
