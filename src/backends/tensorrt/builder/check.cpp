// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/check.h"

#include <algorithm>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/builder/nan.h"
#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {
namespace {

using backend::Reason;
using backend::Refusal;

constexpr std::size_t kMaxRank = 8;

template <typename... Parts>
Refusal refusal(Reason reason, const Parts&... parts) {
  return {reason, detail::concat(parts...)};
}

std::optional<Refusal> check_value(const network::Network& net, const network::Value& value) {
  switch (value.dtype) {
    case DataType::kFloat64: return refusal(Reason::kDataType, "the library has no float64 values");
    case DataType::kInt16: return refusal(Reason::kDataType, "the library has no int16 values");
    case DataType::kInt8: return refusal(Reason::kDataType, "int8 values exist only between quantization layers");
    case DataType::kFloat8E4M3:
      return refusal(Reason::kDataType, "float8 values exist only between quantization layers");
    default: break;
  }
  if (value.dims.size() > kMaxRank) {
    return refusal(Reason::kBackend, "tensors have at most ", kMaxRank, " dimensions, not ", value.dims.size());
  }
  for (const Expr& dim : value.dims) {
    if (dim.is_constant() || net.bounds(dim).max <= INT32_MAX) continue;
    return refusal(Reason::kDynamicShape, "every dimension needs an upper limit, and ", dim, " has none");
  }
  return std::nullopt;
}

class Check {
 public:
  Check(const network::Network& net, const network::Layer& layer) : net_(net), layer_(layer) {}

  std::optional<Refusal> operator()(const network::Constant& op) const {
    if (volume(op.dims) == Expr(0)) return refusal(Reason::kBackend, "there are no empty constants");
    // Numbers that somebody wrote down; to look through all weights would take its time.
    constexpr std::size_t kMaxBytes = 4096;
    if (op.weights->bytes <= kMaxBytes && !op.weights->digest && has_nan(*op.weights, op.dtype)) {
      return refusal(Reason::kBackend, "arithmetic with a constant that is NaN gives numbers");
    }
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::Cast& op) const {
    if (dtype(0) == DataType::kUInt8 && net_.producer(layer_.inputs[0]) != nullptr) {
      return refusal(Reason::kDataType, "uint8 values exist only as inputs and outputs of an engine");
    }
    if (dtype(0) == DataType::kFloat16 && op.to == DataType::kBFloat16) {
      return refusal(Reason::kDataType, "the library cuts float16 off to bfloat16, and PyTorch rounds");
    }
    // Also where the lowering casts the result, of a normalization for one, where only a reshape is between, and by way of
    // float32.
    if (op.to == DataType::kFloat16 && is_of_bfloat16(layer_.inputs[0])) {
      return refusal(Reason::kDataType, "the library leaves out a cast of bfloat16 to float16 that is cast again");
    }
    if (!is_integral(dtype(0))) return std::nullopt;
    const Interval range = net_.value(layer_.inputs[0]).range;
    constexpr std::int64_t kExact = 256;  // what bfloat16's 8 bits hold
    if (op.to == DataType::kBFloat16 && (range.min < -kExact || range.max > kExact)) {
      return refusal(Reason::kDataType,
                     "integers become bfloat16 only where they are known to lie within [-256, 256]: "
                     "greater ones are cut, and PyTorch rounds");
    }
    if (op.to != DataType::kUInt8) return std::nullopt;
    // PyTorch wraps around, the library need not.
    if (range.min >= 0 && range.max <= 255) return std::nullopt;
    return refusal(Reason::kDataType, "integers become uint8 only where they are known to lie within [0, 255]");
  }
  std::optional<Refusal> operator()(const network::ElementWise& op) const {
    using enum network::ElementWiseOperation;
    const bool quotient = op.operation == kFloorDiv || op.operation == kMod;
    if (quotient && is_floating(dtype(0))) {
      return refusal(Reason::kDataType, "floating quotients are rounded before they are cut, PyTorch's are exact");
    }
    if ((quotient || op.operation == kDiv) && is_integral(dtype(0))) {
      const Interval dividend = net_.value(layer_.inputs[0]).range;
      const Interval divisor = net_.value(layer_.inputs[1]).range;
      if (dividend.min < 0 || divisor.min < 1) {
        return refusal(Reason::kDataType, "integers are divided only where they are known not to be negative (the ",
                       "library does not say which way it rounds) and the divisor not to be 0");
      }
    }
    if (op.operation == kPow && is_integral(dtype(0))) {
      return refusal(Reason::kDataType, "powers of integers are computed in floating point");
    }
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::Reduce& op) const {
    if (op.operation == network::ReduceOperation::kProd && is_integral(dtype(0))) {
      return refusal(Reason::kDataType, "products of integers are computed in floating point");
    }
    for (const std::int64_t axis : op.axes) {
      if (std::optional<Refusal> found = not_empty(dims(0)[static_cast<std::size_t>(axis)])) return found;
    }
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::TopK& op) const {
    // PyTorch takes the first of equal elements for one, and leaves NaN to the converters; for more the library's order
    // of equal elements would decide, which it does not promise.
    if (op.k != Expr(1)) return refusal(Reason::kBackend, "the order of equal elements is not PyTorch's");
    return not_empty(dims(0)[static_cast<std::size_t>(op.axis)]);
  }
  std::optional<Refusal> operator()(const network::NonZero&) const {
    if (compat::kIsRtx) return refusal(Reason::kBackend, "the library has no implementation of non_zero");
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::Plugin&) const {
    if (compat::kIsRtx) return refusal(Reason::kBackend, "the library takes no plugins");
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::NonMaxSuppression&) const {
    return refusal(Reason::kBackend, "the library's layer does not promise torchvision's order of equal scores");
  }
  std::optional<Refusal> operator()(const network::Convolution&) const { return static_weights(); }
  std::optional<Refusal> operator()(const network::Deconvolution& op) const {
    for (std::size_t i = 0; i < op.output_padding.size(); ++i) {
      if (op.output_padding[i] > op.post_padding[i]) {
        return refusal(Reason::kBackend, "output_padding greater than the padding has no layer");
      }
      if (op.dilation[i] > 1)
        return refusal(Reason::kBackend, "a dilated transposed convolution has no implementation");
    }
    return static_weights();
  }
  std::optional<Refusal> operator()(const network::Pooling& op) const {
    const auto any = [](const std::vector<std::int64_t>& values, std::int64_t but) {
      return std::any_of(values.begin(), values.end(), [but](std::int64_t value) { return value != but; });
    };
    if (any(op.dilation, 1)) return refusal(Reason::kBackend, "pooling has no dilation");
    if (!is_floating(dtype(0))) return refusal(Reason::kDataType, "there is no pooling of integers");
    if (!op.ceil_mode) return std::nullopt;
    // The library's rounding keeps windows that start in the padding at the end; PyTorch drops them.
    if (any(op.pre_padding, 0) || any(op.post_padding, 0)) {
      return refusal(Reason::kAttribute, "ceil_mode with padding counts other windows");
    }
    for (std::size_t i = 0; i < op.window.size(); ++i) {
      if (op.stride[i] > op.window[i]) {
        return refusal(Reason::kAttribute, "ceil_mode with a stride greater than the window counts other windows");
      }
    }
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::Attention& op) const {
    if (op.is_causal && layer_.inputs.size() > 3) {
      return refusal(Reason::kAttribute, "attention is either causal or takes a mask");
    }
    return std::nullopt;
  }
  template <typename Other>
  std::optional<Refusal> operator()(const Other&) const {
    return std::nullopt;
  }

 private:
  [[nodiscard]] const Dims& dims(std::size_t i) const { return net_.value(layer_.inputs[i]).dims; }
  [[nodiscard]] DataType dtype(std::size_t i) const { return net_.value(layer_.inputs[i]).dtype; }

  [[nodiscard]] std::optional<Refusal> not_empty(const Expr& dim) const {
    if (net_.bounds(dim).min >= 1) return std::nullopt;
    return refusal(Reason::kDynamicShape, "elements are reduced along a dimension of size ", dim,
                   ", which may be 0: what the library gives then is not known");
  }
  // Whether the value, floating, was bfloat16 before nothing but casts to float32 and moves.
  [[nodiscard]] bool is_of_bfloat16(network::ValueId value) const {
    const DataType dtype = net_.value(value).dtype;
    if (dtype != DataType::kFloat32) return dtype == DataType::kBFloat16;
    const network::Layer* producer = net_.producer(value);
    if (producer == nullptr) return false;
    const bool moves = std::holds_alternative<network::Cast>(producer->op) ||
                       std::holds_alternative<network::Shuffle>(producer->op) ||
                       std::holds_alternative<network::Slice>(producer->op) ||
                       std::holds_alternative<network::Broadcast>(producer->op) ||
                       std::holds_alternative<network::Identity>(producer->op) ||
                       std::holds_alternative<network::Concatenation>(producer->op);
    return moves && std::any_of(producer->inputs.begin(), producer->inputs.end(),
                                [this](network::ValueId input) { return is_of_bfloat16(input); });
  }
  [[nodiscard]] std::optional<Refusal> static_weights() const {
    if (!is_static(dims(1))) return refusal(Reason::kDynamicShape, "weights need a static shape");
    return std::nullopt;
  }

  const network::Network& net_;
  const network::Layer& layer_;
};

}  // namespace

std::optional<Refusal> check(const network::Network& net, const network::Layer& layer) {
  for (const auto* ids : {&layer.inputs, &layer.outputs}) {
    for (const network::ValueId id : *ids) {
      if (std::optional<Refusal> found = check_value(net, net.value(id))) return found;
      // Networks may take and give uint8 (images), which converts, and nothing else.
      if (net.value(id).dtype == DataType::kUInt8 && !std::holds_alternative<network::Cast>(layer.op)) {
        return refusal(Reason::kDataType, "uint8 values can only be cast, as inputs and outputs of an engine");
      }
    }
  }
  const Check visitor(net, layer);
  return std::visit([&](const auto& op) { return visitor(op); }, layer.op);
}

}  // namespace torchtrt::tensorrt
