// SPDX-License-Identifier: Apache-2.0
#include "converters/indices.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "converters/guards.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;
using network::Layer;

template <typename Op>
const Op* as(const Layer* layer) {
  return layer == nullptr ? nullptr : std::get_if<Op>(&layer->op);
}

bool is_int32_or_int64(DataType dtype) { return dtype == DataType::kInt32 || dtype == DataType::kInt64; }

// Layers whose result has only elements of the first operand, unchanged.
bool only_moves(const Network& net, const Layer& layer) {
  if (std::holds_alternative<network::Shuffle>(layer.op) || std::holds_alternative<network::Broadcast>(layer.op) ||
      std::holds_alternative<network::Identity>(layer.op) || std::holds_alternative<network::Gather>(layer.op)) {
    return true;
  }
  if (const auto* slice = std::get_if<network::Slice>(&layer.op)) return slice->mode != network::SliceMode::kFill;
  if (const auto* cast = std::get_if<network::Cast>(&layer.op)) {
    // Between index types the value stays, as long as it fits: whoever asks has bounds that do.
    return is_int32_or_int64(cast->to) && is_int32_or_int64(net.value(layer.inputs[0]).dtype);
  }
  return false;
}

bool is_whole(double value) { return std::nearbyint(value) == value && std::fabs(value) < 1e15; }

// The network input that the value is a copy of. Only layers that use every element count: an element that is dropped
// may be anything, and must not fail the check.
std::optional<ValueId> source_input(const Network& net, ValueId value) {
  for (const Layer* layer = net.producer(value); layer != nullptr; layer = net.producer(value)) {
    const bool keeps_all = std::holds_alternative<network::Shuffle>(layer->op) ||
                           std::holds_alternative<network::Broadcast>(layer->op) ||
                           std::holds_alternative<network::Identity>(layer->op) ||
                           (std::holds_alternative<network::Cast>(layer->op) && only_moves(net, *layer));
    if (!keeps_all) return std::nullopt;
    value = layer->inputs[0];
  }
  const bool is_shape = std::any_of(net.inputs().begin(), net.inputs().end(), [&](const network::Input& input) {
    return input.value == value && input.is_shape_tensor;
  });
  return is_shape ? std::nullopt : std::optional(value);
}

bool at_most(const Network& net, const Expr& a, const Expr& b) { return net.bounds(b - a).min >= 0; }

// The expression's value as a constant or a computed one of rank `rank`.
ValueId number(Context& ctx, const Expr& value, DataType dtype, std::size_t rank) {
  if (value.is_constant()) return ctx.net().add_int_scalar(dtype, value.value(), rank);
  const ValueId computed = ctx.net().add_layer(network::ShapeOf{{value}, /*scalar=*/true}, {})[0];
  return ctx.expand_rank(ctx.cast(computed, dtype), rank);
}

// Sizes up to this are compared exactly by engines that compute integers in float32.
constexpr std::int64_t kMaxGuardedSize = 1 << 24;

// `index` where it is in [low, size); a guard is broken where it is not, and what it is then no longer matters, as long as
// it reads inside.
ValueId guarded_index(Context& ctx, ValueId index, const Expr& low, const Expr& size) {
  Network& net = ctx.net();
  const DataType dtype = ctx.dtype_of(index);
  const std::size_t rank = ctx.rank_of(index);
  const ValueId lowest = number(ctx, low, dtype, rank);
  const ValueId highest = number(ctx, size - 1, dtype, rank);
  guard_against(net, net.add_elementwise(net.add_elementwise(index, lowest, ElementWiseOperation::kLess),
                                         net.add_elementwise(index, highest, ElementWiseOperation::kGreater),
                                         ElementWiseOperation::kOr));
  const ValueId inside = net.add_elementwise(net.add_elementwise(index, highest, ElementWiseOperation::kMin), lowest,
                                             ElementWiseOperation::kMax);
  net.refine_range(inside, {net.bounds(low).min, net.bounds(size).max - 1});
  return inside;
}

}  // namespace

std::optional<ElementBounds> element_bounds(const Network& net, ValueId value) {
  const network::Value& info = net.value(value);
  const Layer* layer = net.producer(value);
  if (const auto* fill = as<network::Fill>(layer); fill != nullptr && is_whole(fill->start) && is_whole(fill->step)) {
    const Expr first(static_cast<std::int64_t>(fill->start));
    const Expr last = first + (fill->length - 1) * Expr(static_cast<std::int64_t>(fill->step));
    return fill->step >= 0 ? ElementBounds{first, last} : ElementBounds{last, first};
  }
  if (const auto* shape = as<network::ShapeOf>(layer); shape != nullptr && shape->values.size() == 1) {
    return ElementBounds{shape->values[0], shape->values[0]};
  }
  // Positions in a dimension.
  if (const auto* topk = as<network::TopK>(layer); topk != nullptr && value == layer->outputs[1]) {
    return ElementBounds{Expr(0), net.value(layer->inputs[0]).dims[static_cast<std::size_t>(topk->axis)] - 1};
  }
  const bool is_nonzero_of_1d = as<network::NonZero>(layer) != nullptr && net.value(layer->inputs[0]).dims.size() == 1;
  if (is_nonzero_of_1d || as<network::NonMaxSuppression>(layer) != nullptr) {
    return ElementBounds{Expr(0), net.value(layer->inputs[0]).dims[0] - 1};
  }
  if (layer != nullptr && only_moves(net, *layer)) return element_bounds(net, layer->inputs[0]);
  if (const auto* elementwise = as<network::ElementWise>(layer); elementwise != nullptr && is_integral(info.dtype)) {
    const auto a = element_bounds(net, layer->inputs[0]);
    const auto b = element_bounds(net, layer->inputs[1]);
    if (a && b && elementwise->operation == ElementWiseOperation::kSum) {
      return ElementBounds{a->low + b->low, a->high + b->high};
    }
    if (a && b && elementwise->operation == ElementWiseOperation::kSub) {
      return ElementBounds{a->low - b->high, a->high - b->low};
    }
  }
  if (info.range.min == INT64_MIN || info.range.max == INT64_MAX) return std::nullopt;
  return ElementBounds{Expr(info.range.min), Expr(info.range.max)};
}

bool is_known_within(const Network& net, ValueId index, const Expr& low, const Expr& high) {
  const std::optional<ElementBounds> bounds = element_bounds(net, index);
  return bounds && at_most(net, low, bounds->low) && at_most(net, bounds->high, high);
}

ValueId proven_index(Context& ctx, const Node& node, ValueId index, const Expr& size, NegativeIndices negative) {
  Network& net = ctx.net();
  if (!is_int32_or_int64(ctx.dtype_of(index))) {
    refuse(Reason::kDataType, node.target, " with indices of ", to_string(ctx.dtype_of(index)));
  }
  const bool allows_negative = negative == NegativeIndices::kFromTheEnd;
  const Expr lowest = allows_negative ? Expr(0) - size : Expr(0);
  std::optional<ElementBounds> bounds = element_bounds(net, index);
  if (!is_known_within(net, index, lowest, size - 1)) {
    const std::optional<ValueId> input = source_input(net, index);
    const Interval sizes = net.bounds(size);
    if (input && size.is_constant() && size.value() > 0) {
      // The interval of a network input is a requirement that the runtime checks.
      net.refine_range(*input, {lowest.value(), size.value() - 1});
      net.refine_range(index, {lowest.value(), size.value() - 1});
      bounds = element_bounds(net, *input);
    } else if (ctx.takes_guards() && sizes.min > 0 && sizes.max <= kMaxGuardedSize) {
      index = guarded_index(ctx, index, lowest, size);
      bounds = element_bounds(net, index);
    } else {
      refuse(Reason::kDataDependent, node.target, " reads with indices that may be outside [", lowest, ", ", size,
             "), where PyTorch would raise");
    }
  }
  if (!allows_negative || (bounds && net.bounds(bounds->low).min >= 0)) return index;
  const DataType dtype = ctx.dtype_of(index);
  const std::size_t rank = ctx.rank_of(index);
  const ValueId extent = number(ctx, size, dtype, rank);
  const ValueId shifted = net.add_elementwise(index, extent, ElementWiseOperation::kSum);
  const ValueId is_negative =
      net.add_elementwise(index, net.add_int_scalar(dtype, 0, rank), ElementWiseOperation::kLess);
  const ValueId result = net.add_select(is_negative, shifted, index);
  if (const Interval extent_bounds = net.bounds(size); extent_bounds.max != Interval::kUnbounded) {
    net.refine_range(result, {0, std::max<std::int64_t>(extent_bounds.max - 1, 0)});
  }
  return result;
}

std::optional<std::size_t> counting_dimension(const Network& net, ValueId index, const Expr& size) {
  const Dims& dims = net.value(index).dims;
  std::optional<std::size_t> along;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == Expr(1)) continue;
    if (along) return std::nullopt;
    along = i;
  }
  if (!along || dims[*along] != size) return std::nullopt;
  for (const Layer* layer = net.producer(index); layer != nullptr; layer = net.producer(index)) {
    if (const auto* fill = as<network::Fill>(layer)) {
      return fill->start == 0 && fill->step == 1 && fill->length == size ? along : std::nullopt;
    }
    if (const auto* elementwise = as<network::ElementWise>(layer)) {
      // arange + 0, which masks are made with.
      const Interval offset = net.value(layer->inputs[1]).range;
      if (elementwise->operation != ElementWiseOperation::kSum || offset != Interval{0, 0}) return std::nullopt;
    } else if (!std::holds_alternative<network::Shuffle>(layer->op) &&
               !std::holds_alternative<network::Identity>(layer->op) &&
               !(std::holds_alternative<network::Cast>(layer->op) && only_moves(net, *layer))) {
      return std::nullopt;
    }
    // Reshapes and transposes between shapes with one dimension that is not 1 keep the order.
    index = layer->inputs[0];
  }
  return std::nullopt;
}

}  // namespace torchtrt::converters
