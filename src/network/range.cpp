// SPDX-License-Identifier: Apache-2.0
// Interval analysis of integer values: what a backend with narrower integers needs to know, and what proves an index
// valid.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/integers.h"
#include "network/infer.h"

namespace torchtrt::network {
namespace {

constexpr Interval kUnknown{INT64_MIN, INT64_MAX};
// Larger constants are weights, not indices; scanning them would only cost time.
constexpr std::size_t kMaxScannedElements = 1 << 20;

// What does not fit int64 wraps around, so that nothing is known of it.
Interval from_wide(Wide low, Wide high) {
  if (low < INT64_MIN || high > INT64_MAX) return kUnknown;
  return {static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)};
}

template <typename T>
Interval scan(const Weights& weights) {
  const std::size_t count = weights.bytes / sizeof(T);
  if (count > kMaxScannedElements || weights.digest) return kUnknown;
  if (count == 0) return {0, 0};
  const auto* begin = static_cast<const T*>(weights.data.get());
  const auto [low, high] = std::minmax_element(begin, begin + count);
  return {static_cast<std::int64_t>(*low), static_cast<std::int64_t>(*high)};
}

Interval hull(const Interval& a, const Interval& b) { return {std::min(a.min, b.min), std::max(a.max, b.max)}; }

Interval multiply(const Interval& a, const Interval& b) {
  const auto [low, high] =
      std::minmax({Wide{a.min} * b.min, Wide{a.min} * b.max, Wide{a.max} * b.min, Wide{a.max} * b.max});
  return from_wide(low, high);
}

// Of 0 to `count` elements of `x`.
Interval sum(const Interval& x, const Interval& count) { return hull({0, 0}, multiply(x, {0, count.max})); }

Interval negate(const Interval& x) { return from_wide(-Wide{x.max}, -Wide{x.min}); }

Interval absolute(const Interval& x) {
  if (x.min >= 0) return x;
  if (x.max <= 0) return negate(x);
  return from_wide(0, std::max(-Wide{x.min}, Wide{x.max}));
}

// By a divisor > 0 both quotients grow with the dividend; they are furthest from zero where the divisor is least.
Interval divide(const Interval& a, const Interval& b, std::int64_t (*quotient)(std::int64_t, std::int64_t)) {
  if (b.min <= 0) return kUnknown;
  return {quotient(a.min, a.min < 0 ? b.min : b.max), quotient(a.max, a.max < 0 ? b.max : b.min)};
}

// Python's: the sign is the divisor's.
Interval modulo(const Interval& a, const Interval& b) {
  if (b.min <= 0) return kUnknown;
  if (a.min >= 0 && a.max < b.min) return a;
  return {0, a.min >= 0 ? std::min(a.max, b.max - 1) : b.max - 1};
}

// The highest index into a dimension.
std::int64_t last_index(const Interval& size) {
  return size.max == Interval::kUnbounded ? INT64_MAX : std::max<std::int64_t>(size.max, 1) - 1;
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
    switch (op.operation) {
      case UnaryOperation::kNeg: return negate(range(0));
      case UnaryOperation::kSign:
        return {range(0).min > 0 ? 1 : range(0).min == 0 ? 0 : -1, range(0).max < 0 ? -1 : range(0).max == 0 ? 0 : 1};
      case UnaryOperation::kAbs: return absolute(range(0));
      default: return kUnknown;
    }
  }
  Interval operator()(const ElementWise& op) const {
    const Interval a = range(0);
    const Interval b = range(1);
    using enum ElementWiseOperation;
    switch (op.operation) {
      case kSum: return from_wide(Wide{a.min} + b.min, Wide{a.max} + b.max);
      case kSub: return from_wide(Wide{a.min} - b.max, Wide{a.max} - b.min);
      case kProd: return multiply(a, b);
      case kMax: return {std::max(a.min, b.min), std::max(a.max, b.max)};
      case kMin: return {std::min(a.min, b.min), std::min(a.max, b.max)};
      case kDiv: return divide(a, b, [](std::int64_t x, std::int64_t y) { return x / y; });
      case kFloorDiv: return divide(a, b, checked_floor_div);
      case kMod: return modulo(a, b);
      default: return kUnknown;
    }
  }
  Interval operator()(const Pooling&) const { return range(0); }  // of integers: the maximum
  Interval operator()(const Reduce& op) const {
    if (op.operation == ReduceOperation::kMax || op.operation == ReduceOperation::kMin) return range(0);
    if (op.operation != ReduceOperation::kSum) return kUnknown;
    Expr count(1);
    for (const std::int64_t axis : op.axes) count = count * dim(axis);
    return sum(range(0), network_.bounds(count));
  }
  Interval operator()(const CumulativeSum& op) const { return sum(range(0), network_.bounds(dim(op.axis))); }
  Interval operator()(const TopK& op) const {
    return output_ == 0 ? range(0) : Interval{0, last_index(network_.bounds(dim(op.axis)))};
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
    // Floating arithmetic is exact up to 2^53.
    constexpr double kExact = 9007199254740992.0;
    const auto steps = static_cast<double>(last_index(network_.bounds(op.length)));
    const double last = op.start + op.step * steps;
    if (!(std::fabs(op.start) <= kExact && std::fabs(last) <= kExact)) return kUnknown;  // NaN too
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
    for (const Expr& size : network_.value(layer_.inputs[0]).dims) {
      highest = std::max(highest, last_index(network_.bounds(size)));
    }
    return {0, highest};
  }
  Interval operator()(const NonMaxSuppression&) const { return {0, last_index(network_.bounds(dim(0)))}; }
  template <typename Other>
  Interval operator()(const Other&) const {
    return kUnknown;
  }

 private:
  // The size of an axis of the first operand.
  [[nodiscard]] const Expr& dim(std::int64_t axis) const {
    return network_.value(layer_.inputs[0]).dims[static_cast<std::size_t>(axis)];
  }
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
