// SPDX-License-Identifier: Apache-2.0
// Interval analysis of integer values: what a backend with narrower integers needs to know, and what proves an index valid.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "network/infer.h"

namespace torchtrt::network {
namespace {

constexpr Interval kUnknown{INT64_MIN, INT64_MAX};
// Larger constants are weights, not indices; scanning them would only cost time.
constexpr std::size_t kMaxScannedElements = 1 << 20;

// Both ends of int64 stand for "not known", so arithmetic that reaches them stays there.
std::int64_t saturate(__int128 value) {
  return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : static_cast<std::int64_t>(value);
}

template <typename T>
Interval scan(const Weights& weights) {
  const std::size_t count = weights.bytes / sizeof(T);
  if (count == 0 || count > kMaxScannedElements) return kUnknown;
  const auto* begin = static_cast<const T*>(weights.data.get());
  const auto [low, high] = std::minmax_element(begin, begin + count);
  return {static_cast<std::int64_t>(*low), static_cast<std::int64_t>(*high)};
}

Interval hull(const Interval& a, const Interval& b) {
  return {std::min(a.min, b.min), std::max(a.max, b.max)};
}

Interval multiply(const Interval& a, const Interval& b) {
  const __int128 products[] = {static_cast<__int128>(a.min) * b.min, static_cast<__int128>(a.min) * b.max,
                               static_cast<__int128>(a.max) * b.min, static_cast<__int128>(a.max) * b.max};
  return {saturate(*std::min_element(products, products + 4)), saturate(*std::max_element(products, products + 4))};
}

class RangeInference {
 public:
  RangeInference(const Network& network, const Layer& layer, std::size_t output)
      : network_(network), layer_(layer), output_(output) {}

  Interval operator()(const Constant& op) const {
    switch (op.dtype) {
      case DataType::kInt64: return scan<std::int64_t>(*op.weights);
      case DataType::kInt32: return scan<std::int32_t>(*op.weights);
      case DataType::kInt16: return scan<std::int16_t>(*op.weights);
      case DataType::kInt8: return scan<std::int8_t>(*op.weights);
      case DataType::kUInt8: return scan<std::uint8_t>(*op.weights);
      default: return kUnknown;
    }
  }
  Interval operator()(const Unary& op) const {
    const Interval x = range(0);
    switch (op.operation) {
      case UnaryOperation::kNeg: return {saturate(-static_cast<__int128>(x.max)), saturate(-static_cast<__int128>(x.min))};
      case UnaryOperation::kSign: return {-1, 1};
      case UnaryOperation::kAbs: {
        const Interval negated = {saturate(-static_cast<__int128>(x.max)), saturate(-static_cast<__int128>(x.min))};
        return {std::max<std::int64_t>(0, std::max(x.min, negated.min)), std::max(x.max, negated.max)};
      }
      default: return kUnknown;
    }
  }
  Interval operator()(const ElementWise& op) const {
    const Interval a = range(0);
    const Interval b = range(1);
    using enum ElementWiseOperation;
    switch (op.operation) {
      case kSum: return {saturate(static_cast<__int128>(a.min) + b.min), saturate(static_cast<__int128>(a.max) + b.max)};
      case kSub: return {saturate(static_cast<__int128>(a.min) - b.max), saturate(static_cast<__int128>(a.max) - b.min)};
      case kProd: return multiply(a, b);
      case kMax: return {std::max(a.min, b.min), std::max(a.max, b.max)};
      case kMin: return {std::min(a.min, b.min), std::min(a.max, b.max)};
      case kDiv:
      case kFloorDiv:
        // A quotient is never further from zero than the dividend (and floor adds at most one below).
        if (b.min > 0) return {a.min >= 0 ? 0 : a.min, a.max <= 0 ? 0 : a.max / (op.operation == kFloorDiv ? b.min : 1)};
        return kUnknown;
      case kMod: return b.min > 0 ? Interval{0, b.max - 1} : kUnknown;
      default: return kUnknown;
    }
  }
  Interval operator()(const Reduce& op) const {
    const Interval x = range(0);
    if (op.operation == ReduceOperation::kMax || op.operation == ReduceOperation::kMin) return x;
    if (op.operation != ReduceOperation::kSum) return kUnknown;
    Expr count(1);
    for (const std::int64_t axis : op.axes) count = count * network_.value(layer_.inputs[0]).dims[static_cast<std::size_t>(axis)];
    return hull({0, 0}, multiply(x, network_.bounds(count)));
  }
  Interval operator()(const CumulativeSum& op) const {
    const Expr& count = network_.value(layer_.inputs[0]).dims[static_cast<std::size_t>(op.axis)];
    return hull({0, 0}, multiply(range(0), network_.bounds(count)));
  }
  Interval operator()(const TopK& op) const {
    if (output_ == 0) return range(0);
    const Interval along = network_.bounds(network_.value(layer_.inputs[0]).dims[static_cast<std::size_t>(op.axis)]);
    return {0, along.max == Interval::kUnbounded ? INT64_MAX : along.max - 1};
  }
  Interval operator()(const Gather&) const { return range(0); }
  Interval operator()(const Scatter&) const { return hull(range(0), range(2)); }
  Interval operator()(const Slice& op) const {
    if (op.mode != SliceMode::kFill) return range(0);
    return hull(range(0), layer_.inputs.size() == 2 ? range(1) : Interval{0, 0});
  }
  Interval operator()(const Shuffle&) const { return range(0); }
  Interval operator()(const Broadcast&) const { return range(0); }
  Interval operator()(const Identity&) const { return range(0); }
  Interval operator()(const Concatenation&) const {
    Interval all = range(0);
    for (std::size_t i = 1; i < layer_.inputs.size(); ++i) all = hull(all, range(i));
    return all;
  }
  Interval operator()(const Select&) const { return hull(range(1), range(2)); }
  Interval operator()(const Cast& op) const {
    const DataType from = network_.value(layer_.inputs[0]).dtype;
    if (is_floating(from)) return range_of(op.to);
    const Interval source = from == DataType::kBool ? Interval{0, 1} : range(0);
    const Interval target = range_of(op.to);
    // Values that do not fit wrap around: then nothing is known but the dtype.
    return source.min >= target.min && source.max <= target.max ? source : target;
  }
  Interval operator()(const Fill& op) const {
    const Interval length = network_.bounds(op.length);
    if (length.max == Interval::kUnbounded) return kUnknown;
    const double last = op.start + op.step * static_cast<double>(std::max<std::int64_t>(length.max - 1, 0));
    if (std::fabs(last) > 9e15) return kUnknown;
    return {static_cast<std::int64_t>(std::floor(std::min(op.start, last))),
            static_cast<std::int64_t>(std::ceil(std::max(op.start, last)))};
  }
  Interval operator()(const ShapeOf& op) const {
    Interval all = op.values.empty() ? Interval{0, 0} : network_.bounds(op.values[0]);
    for (const Expr& value : op.values) all = hull(all, network_.bounds(value));
    return all;
  }
  Interval operator()(const NonZero&) const {
    std::int64_t highest = 0;
    for (const Expr& dim : network_.value(layer_.inputs[0]).dims) highest = std::max(highest, network_.bounds(dim).max);
    return {0, highest == Interval::kUnbounded ? INT64_MAX : std::max<std::int64_t>(highest - 1, 0)};
  }
  template <typename Other>
  Interval operator()(const Other&) const {
    return kUnknown;
  }

 private:
  // Values of unsigned and narrow dtypes are within the dtype whatever the analysis says.
  [[nodiscard]] Interval range(std::size_t i) const {
    const Value& value = network_.value(layer_.inputs[i]);
    const Interval dtype = range_of(value.dtype);
    return {std::max(value.range.min, dtype.min), std::min(value.range.max, dtype.max)};
  }

  const Network& network_;
  const Layer& layer_;
  std::size_t output_;
};

}  // namespace

Interval range_of(DataType dtype) {
  switch (dtype) {
    case DataType::kInt32: return {INT32_MIN, INT32_MAX};
    case DataType::kInt16: return {INT16_MIN, INT16_MAX};
    case DataType::kInt8: return {INT8_MIN, INT8_MAX};
    case DataType::kUInt8: return {0, UINT8_MAX};
    case DataType::kBool: return {0, 1};
    default: return kUnknown;
  }
}

Interval infer_range(const Network& network, const Layer& layer, std::size_t output, DataType dtype) {
  const RangeInference inference(network, layer, output);
  const Interval computed = std::visit([&](const auto& op) { return inference(op); }, layer.op);
  const Interval limits = range_of(dtype);
  return computed.min >= limits.min && computed.max <= limits.max ? computed : limits;
}

}  // namespace torchtrt::network
