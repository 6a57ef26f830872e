// SPDX-License-Identifier: Apache-2.0
#include "converters/guards.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "converters/constants.h"

namespace torchtrt::converters {
namespace {

using network::ElementWiseOperation;

constexpr double kLargestScale = 0x1p64;

}  // namespace

void guard_against(Network& net, ValueId broken) {
  if (const std::size_t rank = net.value(broken).dims.size(); rank > 0) {
    std::vector<std::int64_t> axes(rank);
    std::iota(axes.begin(), axes.end(), 0);
    const ValueId count =
        net.add_reduce(net.add_cast(broken, DataType::kFloat32), network::ReduceOperation::kSum, axes, false);
    broken = net.add_elementwise(count, net.add_scalar(DataType::kFloat32, 0), ElementWiseOperation::kGreater);
  }
  net.add_guard(broken);
}

void require_elements(Context& ctx, const Expr& size) {
  if (!ctx.takes_guards() || size.is_constant() || ctx.net().bounds(size).min > 0) return;
  Network& net = ctx.net();
  const ValueId known = net.add_layer(network::ShapeOf{{size}, /*scalar=*/true}, {})[0];
  guard_against(net,
                net.add_elementwise(known, net.add_int_scalar(ctx.dtype_of(known), 1, 0), ElementWiseOperation::kLess));
}

void require_elements(Context& ctx, ValueId value, std::size_t first) {
  const Dims dims = ctx.dims_of(value);
  for (std::size_t i = first; i < dims.size(); ++i) require_elements(ctx, dims[i]);
}

bool is_moderate(double scale) { return std::fabs(scale) <= kLargestScale; }

void require_moderate(Context& ctx, const graph::Node& node, ValueId scale, std::string_view what) {
  if (const auto elements = read_floats(ctx.net(), scale)) {
    if (std::all_of(elements->begin(), elements->end(), is_moderate)) return;
    refuse(backend::Reason::kAttribute, node.target, " with a ", what,
           " of NaN, infinities or numbers beyond 2^64 is up to the order in which PyTorch computes");
  }
  if (!ctx.takes_guards()) return;
  Network& net = ctx.net();
  const ValueId wide = ctx.cast(scale, DataType::kFloat32);
  const ValueId magnitude = net.add_unary(wide, network::UnaryOperation::kAbs);
  // An engine may keep what overflows float16.
  const double largest = ctx.dtype_of(scale) == DataType::kFloat16 ? 65504 : kLargestScale;
  const ValueId limit = net.add_scalar(DataType::kFloat32, largest, ctx.rank_of(scale));
  // A comparison with NaN is false.
  const ValueId within = net.add_elementwise(magnitude, limit, ElementWiseOperation::kLess);
  guard_against(net, net.add_unary(within, network::UnaryOperation::kNot));
}

}  // namespace torchtrt::converters
