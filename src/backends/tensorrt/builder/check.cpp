// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/check.h"

#include <algorithm>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {
namespace {

using backend::Reason;
using backend::Refusal;

constexpr std::int64_t kMaxTopK = 3840;
constexpr std::size_t kMaxRank = 8;

template <typename... Parts>
Refusal refusal(Reason reason, const Parts&... parts) {
  return {reason, detail::concat(parts...)};
}

std::optional<Refusal> check_value(const network::Value& value) {
  switch (value.dtype) {
    case DataType::kFloat64: return refusal(Reason::kDataType, "there is no float64");
    case DataType::kInt16: return refusal(Reason::kDataType, "there is no int16");
    case DataType::kFloat8E4M3:
      return refusal(Reason::kDataType, "float8 values exist only between quantization layers");
    default: break;
  }
  if (value.dims.size() > kMaxRank) {
    return refusal(Reason::kBackend, "tensors have at most ", kMaxRank, " dimensions, not ", value.dims.size());
  }
  return std::nullopt;
}

class Check {
 public:
  Check(const network::Network& net, const network::Layer& layer) : net_(net), layer_(layer) {}

  std::optional<Refusal> operator()(const network::Constant& op) const {
    if (op.dtype == DataType::kUInt8) return refusal(Reason::kDataType, "there are no uint8 constants");
    if (volume(op.dims) == Expr(0)) return refusal(Reason::kBackend, "there are no empty constants");
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::ElementWise&) const { return no_narrow_integers(); }
  std::optional<Refusal> operator()(const network::Unary&) const { return no_narrow_integers(); }
  std::optional<Refusal> operator()(const network::Reduce&) const { return no_narrow_integers(); }
  std::optional<Refusal> operator()(const network::CumulativeSum&) const { return no_narrow_integers(); }
  std::optional<Refusal> operator()(const network::TopK& op) const {
    if (dims(0).size() < 2) return refusal(Reason::kBackend, "topk needs at least two dimensions");
    const Interval k = net_.bounds(op.k);
    if (k.max > kMaxTopK)
      return refusal(Reason::kBackend, "topk takes at most ", kMaxTopK, " elements, not up to ", k.max);
    if (dtype(0) == DataType::kInt64) return refusal(Reason::kDataType, "there is no topk of int64");
    // PyTorch gives the first of equal elements to argmax and NaN the greatest rank; the library promises neither.
    return refusal(Reason::kBackend, "the order of equal elements and of NaN is not PyTorch's");
  }
  std::optional<Refusal> operator()(const network::NonZero&) const {
    if (compat::kIsRtx) return refusal(Reason::kBackend, "the library has no implementation of non_zero");
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::Convolution&) const { return static_weights(); }
  std::optional<Refusal> operator()(const network::Deconvolution& op) const {
    for (std::size_t i = 0; i < op.output_padding.size(); ++i) {
      if (op.output_padding[i] > op.post_padding[i]) {
        return refusal(Reason::kBackend, "output_padding greater than the padding has no layer");
      }
    }
    return static_weights();
  }
  std::optional<Refusal> operator()(const network::Pooling& op) const {
    const bool dilated = std::any_of(op.dilation.begin(), op.dilation.end(), [](std::int64_t d) { return d != 1; });
    if (dilated) return refusal(Reason::kBackend, "pooling has no dilation");
    // The library's rounding keeps windows that start in the padding at the end; PyTorch drops them.
    const bool padded =
        std::any_of(op.post_padding.begin(), op.post_padding.end(), [](std::int64_t p) { return p != 0; });
    if (op.ceil_mode && padded) return refusal(Reason::kAttribute, "ceil_mode with padding counts other windows");
    if (op.window.size() > 1 + 2) return refusal(Reason::kBackend, "pooling has at most three dimensions");
    return std::nullopt;
  }
  std::optional<Refusal> operator()(const network::Slice&) const { return std::nullopt; }
  std::optional<Refusal> operator()(const network::Attention&) const {
    for (std::size_t i = 0; i < layer_.inputs.size(); ++i) {
      if (dims(i).size() > 4) return refusal(Reason::kBackend, "attention takes four dimensions");
    }
    if (layer_.inputs.size() == 4 && dtype(3) == DataType::kBool) return std::nullopt;
    return std::nullopt;
  }
  template <typename Other>
  std::optional<Refusal> operator()(const Other&) const {
    return std::nullopt;
  }

 private:
  [[nodiscard]] const Dims& dims(std::size_t i) const { return net_.value(layer_.inputs[i]).dims; }
  [[nodiscard]] DataType dtype(std::size_t i) const { return net_.value(layer_.inputs[i]).dtype; }

  [[nodiscard]] std::optional<Refusal> no_narrow_integers() const {
    for (std::size_t i = 0; i < layer_.inputs.size(); ++i) {
      if (dtype(i) == DataType::kInt8 || dtype(i) == DataType::kUInt8) {
        return refusal(Reason::kDataType, "there is no ", to_string(dtype(i)), " arithmetic outside of quantization");
      }
    }
    return std::nullopt;
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
      if (std::optional<Refusal> found = check_value(net.value(id))) return found;
    }
  }
  const Check visitor(net, layer);
  return std::visit([&](const auto& op) { return visitor(op); }, layer.op);
}

}  // namespace torchtrt::tensorrt
