// SPDX-License-Identifier: Apache-2.0
// What the CPU plugin of OpenVINO 2026.4 computes differently from PyTorch, found by experiment; README.md has the
// list.
#include "backends/openvino/builder/check.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <vector>

#include <torchtrt/base/error.h>

#include "backends/openvino/element_type.h"
#include "backends/openvino/nonfinite.h"

namespace torchtrt::openvino {
namespace {

using backend::Reason;
using backend::Refusal;
using network::ElementWiseOperation;
using network::Layer;
using network::Network;
using network::Value;

using Verdict = std::optional<Refusal>;

constexpr Interval kInt32{INT32_MIN, INT32_MAX};
// Reductions, divisions and remainders of integers are computed in float32: sums and extremes are exact to 2^24, the
// remainder (a - floor(a / b) * b) was found exact to 2^23; one bit is kept as a margin.
constexpr Interval kExactInFloat{-(1 << 24), 1 << 24};
constexpr Interval kExactToDivide{-(1 << 22), 1 << 22};

bool within(const Interval& inner, const Interval& outer) { return inner.min >= outer.min && inner.max <= outer.max; }

std::string text_of(const Interval& range) {
  const auto end = [](std::int64_t value) {
    return value == INT64_MIN || value == INT64_MAX ? std::string("unknown") : std::to_string(value);
  };
  return "[" + end(range.min) + ", " + end(range.max) + "]";
}

template <typename... Parts>
Verdict refuse(Reason reason, const Parts&... parts) {
  return Refusal{reason, detail::concat(parts...)};
}

bool is_narrow(DataType dtype) {
  return dtype == DataType::kInt8 || dtype == DataType::kUInt8 || dtype == DataType::kInt16;
}

class Check {
 public:
  Check(const Network& net, const Layer& layer) : net_(net), layer_(layer) {}

  Verdict run() const {
    for (const auto* ids : {&layer_.inputs, &layer_.outputs}) {
      for (const network::ValueId id : *ids) {
        if (Verdict verdict = check_type(net_.value(id))) return verdict;
      }
    }
    if (Verdict verdict = check_elements()) return verdict;
    return std::visit([this](const auto& op) { return check(op); }, layer_.op);
  }

 private:
  // Kernels divide by a static size that is 0 (broadcasting, gathering), and so do the plugin's own rewritings (a sum of
  // products becomes a matrix product), which ends the process. Nothing is gained by asking which: what computes nothing
  // may stay in PyTorch. Parts that are cut off and joined again are right, and models have them.
  Verdict check_elements() const {
    for (const network::ValueId id : layer_.inputs) {
      const Value& value = net_.value(id);
      if (is_any<network::Concatenation>() || !has_no_elements(value) || !is_constant(id)) continue;
      return refuse(Reason::kBackend, "constant \"", value.name, "\" of shape ", to_string(value.dims),
                    " has no elements, and the CPU plugin reads the first");
    }
    if (is_any<network::Constant, network::Identity, network::Concatenation, network::Slice>()) {
      return std::nullopt;
    }
    for (const auto* ids : {&layer_.inputs, &layer_.outputs}) {
      for (const network::ValueId id : *ids) {
        const Value& value = net_.value(id);
        if (!has_no_elements(value)) continue;
        return refuse(Reason::kBackend, "\"", value.name, "\" of shape ", to_string(value.dims),
                      " has no elements, and the CPU plugin divides by such sizes");
      }
    }
    return std::nullopt;
  }
  static bool has_no_elements(const Value& value) {
    return std::find(value.dims.begin(), value.dims.end(), Expr(0)) != value.dims.end();
  }
  template <typename... Ops>
  [[nodiscard]] bool is_any() const {
    return (std::holds_alternative<Ops>(layer_.op) || ...);
  }
  static Verdict check_type(const Value& value) {
    if (value.dtype == DataType::kFloat64) {
      return refuse(Reason::kDataType, "\"", value.name, "\" is float64, which the CPU plugin computes in float32");
    }
    if (value.dtype == DataType::kFloat8E4M3) {
      return refuse(Reason::kDataType, "\"", value.name, "\" is float8, which the CPU plugin does not compute");
    }
    if (value.dtype == DataType::kInt64 && !within(value.range, kInt32)) {
      return refuse(Reason::kDataType, "\"", value.name,
                    "\" is int64, which the CPU plugin computes in 32 bits, and its values in ", text_of(value.range),
                    " are not known to fit");
    }
    return std::nullopt;
  }

  // --- elementwise
  Verdict check(const network::Activation& op) const {
    if (op.type == network::ActivationType::kClip && !(op.alpha <= op.beta)) {
      return refuse(Reason::kAttribute, "clip needs a lower bound that is not above the upper one, not ", op.alpha,
                    " and ", op.beta);
    }
    return std::nullopt;
  }
  Verdict check(const network::Unary& op) const {
    if (op.operation != network::UnaryOperation::kSign && is_narrow(dtype(0))) {
      return refuse(Reason::kDataType, to_string(dtype(0)), " ", to_string(op.operation),
                    " does not wrap around in the CPU plugin");
    }
    return std::nullopt;
  }
  Verdict check(const network::ElementWise& op) const {
    using enum ElementWiseOperation;
    const bool divides = op.operation == kDiv || op.operation == kFloorDiv || op.operation == kMod;
    if (is_floating(dtype(0))) {
      if (op.operation == kFloorDiv || op.operation == kMod) {
        return refuse(Reason::kDataType, "floating ", to_string(op.operation),
                      " is computed from a rounded quotient by the CPU plugin, so it can be off by one divisor");
      }
      return std::nullopt;
    }
    if (op.operation == kPow) {
      return refuse(Reason::kDataType, "integer pow is computed in float32 by the CPU plugin");
    }
    const bool wraps = op.operation == kSum || op.operation == kSub || op.operation == kProd;
    if (wraps && dtype(0) == DataType::kInt16) {
      return refuse(Reason::kDataType, "int16 ", to_string(op.operation), " does not wrap around in the CPU plugin");
    }
    if (!divides) return std::nullopt;
    if (!within(range(0), kExactToDivide) || !within(range(1), kExactToDivide)) {
      return refuse(Reason::kDataType, "integer ", to_string(op.operation),
                    " is computed in float32 by the CPU plugin, and operands in ", text_of(range(0)), " and ",
                    text_of(range(1)), " are not known to be exact there");
    }
    if (range(1).min <= 0 && range(1).max >= 0) {
      return refuse(Reason::kDataDependent, "integer ", to_string(op.operation),
                    " by a divisor that may be 0 is an error in PyTorch, but not in the CPU plugin");
    }
    return std::nullopt;
  }
  Verdict check(const network::Cast& op) const {
    if (op.to == DataType::kInt16 && is_floating(dtype(0))) {
      return refuse(Reason::kDataType,
                    "the CPU plugin keeps int16 in 32 bits, and floating values may need to wrap around");
    }
    if (op.to == DataType::kInt16 && is_integral(dtype(0)) && !within(range(0), network::range_of(op.to))) {
      return refuse(Reason::kDataType, "the CPU plugin keeps int16 in 32 bits, and values in ", text_of(range(0)),
                    " may need to wrap around");
    }
    return std::nullopt;
  }

  // --- reductions and orderings
  Verdict check(const network::Reduce& op) const {
    using enum network::ReduceOperation;
    if (is_integral(dtype(0)) &&
        !(within(range(0), kExactInFloat) && within(net_.value(layer_.outputs[0]).range, kExactInFloat))) {
      return refuse(Reason::kDataType,
                    "the CPU plugin reduces integers in float32, which is exact to 2^24, and values in ",
                    text_of(range(0)), " may lead beyond");
    }
    if (op.operation == kSum || op.operation == kProd) return std::nullopt;
    for (const std::int64_t axis : op.axes) {
      const Expr& dim = dims(0)[static_cast<std::size_t>(axis)];
      if (net_.bounds(dim).min < 1) {
        return refuse(Reason::kDynamicShape, to_string(op.operation), " over dimension ", axis, " of size ", dim,
                      ", which may be 0: PyTorch then gives NaN or an error, the CPU plugin a number");
      }
    }
    return std::nullopt;
  }
  Verdict check(const network::CumulativeSum&) const {
    if (dtype(0) == DataType::kBFloat16) {
      return refuse(Reason::kDataType, "the CPU plugin rounds every partial sum of a bfloat16 cumulative sum");
    }
    if (is_narrow(dtype(0))) {
      return refuse(Reason::kDataType, to_string(dtype(0)), " sums do not wrap around in the CPU plugin");
    }
    return std::nullopt;
  }
  Verdict check(const network::TopK& op) const {
    const Expr& dim = dims(0)[static_cast<std::size_t>(op.axis)];
    // A sort of nothing is nothing.
    if (op.k != dim && net_.bounds(dim).min < 1) {
      return refuse(
          Reason::kDynamicShape, "the first elements along dimension ", op.axis, " of size ", dim,
          ", which may be 0: PyTorch then raises or gives nothing, the CPU plugin gives whatever memory holds");
    }
    if (dtype(0) == DataType::kBool || dtype(0) == DataType::kInt16) {
      return refuse(Reason::kDataType, "the CPU plugin orders no ", to_string(dtype(0)));
    }
    return std::nullopt;
  }

  // --- layers with weights, windows and normalization
  Verdict check(const network::Convolution& op) const { return check_weights(op.groups); }
  Verdict check(const network::Deconvolution& op) const { return check_weights(op.groups); }
  Verdict check_weights(std::int64_t groups) const {
    constexpr const char* kWhy = "which some kernels multiply with the zeros of the padding and others do not";
    if (Verdict verdict = check_finite(1, kWhy)) return verdict;
    if (groups != 1 && !is_static(dims(1))) {
      return refuse(Reason::kDynamicShape, "a convolution in groups needs weights of a static shape, not ",
                    to_string(dims(1)));
    }
    return std::nullopt;
  }
  Verdict check(const network::Pooling& op) const {
    if (!is_floating(dtype(0))) return refuse(Reason::kDataType, "the CPU plugin pools no ", to_string(dtype(0)));
    if (op.type == network::PoolingType::kMax) return std::nullopt;
    const auto any = [](const std::vector<std::int64_t>& values, std::int64_t neutral) {
      return std::any_of(values.begin(), values.end(), [&](std::int64_t value) { return value != neutral; });
    };
    if (any(op.dilation, 1)) return refuse(Reason::kBackend, "the CPU plugin's average pooling has no dilation");
    if (dtype(0) == DataType::kBFloat16 && is_constant(layer_.inputs[0])) {
      return refuse(Reason::kBackend,
                    "the CPU plugin ends the process when it compiles an average of bfloat16 constants");
    }
    if (op.ceil_mode && op.count_include_pad && (any(op.pre_padding, 0) || any(op.post_padding, 0))) {
      return refuse(Reason::kBackend,
                    "the CPU plugin divides the last windows of ceil_mode with count_include_pad by another "
                    "number of elements than PyTorch");
    }
    return std::nullopt;
  }
  Verdict check(const network::Normalization& op) const {
    if (Verdict verdict = check_finite(0, "which the CPU plugin's normalization loses")) return verdict;
    if (op.kind == network::NormalizationKind::kGroup) {
      // PyTorch computes x * (weight / deviation) + (bias - mean * weight / deviation).
      if (Verdict verdict = check_finite(1, "of which PyTorch subtracts one product from another")) return verdict;
    }
    if (op.kind == network::NormalizationKind::kGroup && !dims(0)[1].is_constant()) {
      return refuse(Reason::kDynamicShape, "group normalization needs a static number of channels, not ", dims(0)[1]);
    }
    return std::nullopt;
  }
  Verdict check(const network::Attention& op) const {
    if (op.is_causal && layer_.inputs.size() == 4) {
      return refuse(Reason::kAttribute, "attention takes either a mask or is_causal");
    }
    for (std::size_t i = 0; i < 4; ++i) {
      if (Verdict verdict = check_finite(i, "of which PyTorch's attention makes what its kernels do", i == 3)) {
        return verdict;
      }
    }
    return std::nullopt;
  }
  Verdict check(const network::Resize& op) const {
    if (op.mode != network::InterpolationMode::kNearest) {
      if (Verdict verdict = check_finite(0, "which PyTorch multiplies with weights of 0 too")) return verdict;
    }
    // Coordinates follow from the sizes; PyTorch takes them from the scale factors where it was given some.
    for (std::size_t i = 0; i < op.scales.size(); ++i) {
      const Expr& from = dims(0)[i + 2];
      const bool exact = op.scales[i] == std::floor(op.scales[i]) &&
                         op.size[i] == from * Expr(static_cast<std::int64_t>(op.scales[i]));
      const bool same = from.is_constant() && op.size[i].is_constant() &&
                        static_cast<double>(op.size[i].value()) == static_cast<double>(from.value()) * op.scales[i];
      if (!exact && !same) {
        return refuse(Reason::kAttribute, "a scale factor of ", op.scales[i], " does not lead from size ", from, " to ",
                      op.size[i], " exactly; the CPU plugin resizes by the sizes");
      }
    }
    return std::nullopt;
  }

  // Whether the layer gives its first operand's elements, in other places.
  static bool moves(const Layer& layer) {
    return std::holds_alternative<network::Shuffle>(layer.op) || std::holds_alternative<network::Slice>(layer.op) ||
           std::holds_alternative<network::Broadcast>(layer.op) || std::holds_alternative<network::Identity>(layer.op);
  }

  struct Special {
    bool nan = false, infinity = false, minus_infinity = false;
  };
  // What is no finite number among the elements of a floating constant, maybe moved around.
  [[nodiscard]] Special special_elements(network::ValueId value) const {
    for (const Layer* from = net_.producer(value); from != nullptr && moves(*from); from = net_.producer(value)) {
      value = from->inputs[0];
    }
    const network::Weights* weights = net_.constant(value);
    if (weights == nullptr) return {};
    const DataType dtype = net_.value(value).dtype;
    const ov::element::Type type = element_type(dtype);
    constexpr float kLargest = std::numeric_limits<float>::max();
    if (all_within(type, weights->data.get(), weights->bytes / type.size(), kLargest)) return {};
    if (dtype == DataType::kFloat32) return special_among<std::uint32_t>(*weights, 0x7F800000);
    return special_among<std::uint16_t>(*weights, dtype == DataType::kFloat16 ? 0x7C00 : 0x7F80);
  }
  // `exponent`: the bits of the exponent, which are all set in an infinity.
  template <typename Bits>
  static Special special_among(const network::Weights& weights, Bits exponent) {
    constexpr Bits kMagnitude = std::numeric_limits<Bits>::max() / 2;  // all but the sign
    Special found;
    for (const Bits x : std::span(static_cast<const Bits*>(weights.data.get()), weights.bytes / sizeof(Bits))) {
      found.nan |= (x & kMagnitude) > exponent;
      found.infinity |= x == exponent;
      found.minus_infinity |= (x & kMagnitude) == exponent && x > kMagnitude;
    }
    return found;
  }
  // A constant operand that holds NaN or an infinity (of a mask: NaN or the positive one), where the plugin or the kernels
  // of PyTorch lose it. What is computed is measured when it runs, see nonfinite.h.
  [[nodiscard]] Verdict check_finite(std::size_t index, const char* why, bool is_mask = false) const {
    if (index >= layer_.inputs.size()) return std::nullopt;
    const Special found = special_elements(layer_.inputs[index]);
    if (!found.nan && !found.infinity && (is_mask || !found.minus_infinity)) return std::nullopt;
    return refuse(Reason::kBackend, "\"", net_.value(layer_.inputs[index]).name,
                  "\" is a constant with NaN or infinities, ", why);
  }

  // Whether no input is among what the value is computed from.
  bool is_constant(network::ValueId value) const {
    std::vector<network::ValueId> open{value};
    std::set<network::ValueId> seen;
    while (!open.empty()) {
      const network::ValueId id = open.back();
      open.pop_back();
      if (!seen.insert(id).second) continue;
      const Layer* from = net_.producer(id);
      if (from == nullptr) return false;
      open.insert(open.end(), from->inputs.begin(), from->inputs.end());
    }
    return true;
  }

  // --- elements that only move
  Verdict check(const network::Slice& op) const {
    if (layer_.inputs.size() > 1 && is_integral(dtype(1)) && !within(range(1), kExactInFloat)) {
      return refuse(Reason::kDataType, "the CPU plugin takes what it pads with in float32, and a number in ",
                    text_of(range(1)), " may not be exact there");
    }
    for (std::size_t i = 0; i < op.stride.size(); ++i) {
      if (op.mode != network::SliceMode::kStrict && op.stride[i] != 1) {
        return refuse(Reason::kBackend, "the CPU plugin pads without a stride only, not with ", op.stride[i]);
      }
      if (op.stride[i] > 0) continue;
      const Interval stop = net_.bounds(op.start[i] + op.size[i] * Expr(op.stride[i]));
      if (stop.min < 0 && stop.max >= 0) {
        return refuse(Reason::kDynamicShape, "a slice that goes down dimension ", i, " from ", op.start[i], " by ",
                      op.stride[i], " needs to know whether it reaches the first element");
      }
    }
    return std::nullopt;
  }

  template <typename Other>
  Verdict check(const Other&) const {
    return std::nullopt;
  }

  [[nodiscard]] DataType dtype(std::size_t i) const { return net_.value(layer_.inputs[i]).dtype; }
  [[nodiscard]] const Dims& dims(std::size_t i) const { return net_.value(layer_.inputs[i]).dims; }
  [[nodiscard]] Interval range(std::size_t i) const {
    const Interval limits = network::range_of(dtype(i));
    const Interval& known = net_.value(layer_.inputs[i]).range;
    return {std::max(limits.min, known.min), std::min(limits.max, known.max)};
  }

  const Network& net_;
  const Layer& layer_;
};

}  // namespace

Verdict check(const Network& net, const Layer& layer) { return Check(net, layer).run(); }

}  // namespace torchtrt::openvino
