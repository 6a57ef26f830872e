// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/builder/check.h"

#include <algorithm>

#include <torchtrt/base/error.h>

namespace torchtrt::openvino {
namespace {

using backend::Reason;
using backend::Refusal;
using network::ElementWiseOperation;

constexpr Interval kInt32{INT32_MIN, INT32_MAX};

template <typename... Parts>
Refusal refusal(Reason reason, const Parts&... parts) {
  return {reason, detail::concat(parts...)};
}

bool moves_elements(const network::Op& op) {
  return std::visit(
      [](const auto& kind) {
        using T = std::decay_t<decltype(kind)>;
        return std::is_same_v<T, network::Constant> || std::is_same_v<T, network::Gather> ||
               std::is_same_v<T, network::Slice> || std::is_same_v<T, network::Shuffle> ||
               std::is_same_v<T, network::Broadcast> || std::is_same_v<T, network::Concatenation> ||
               std::is_same_v<T, network::Select> || std::is_same_v<T, network::Identity> ||
               std::is_same_v<T, network::Cast> || std::is_same_v<T, network::Scatter>;
      },
      op);
}

std::optional<Refusal> check_elementwise(ElementWiseOperation operation, DataType dtype) {
  const bool divides = operation == ElementWiseOperation::kDiv || operation == ElementWiseOperation::kFloorDiv ||
                       operation == ElementWiseOperation::kMod || operation == ElementWiseOperation::kPow;
  // The plugin divides integers in float32, which is exact only below 2^24.
  if (divides && is_integral(dtype)) {
    return refusal(Reason::kDataType, "integer ", to_string(operation), " is computed in float32 by the CPU plugin");
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> check(const network::Network& net, const network::Layer& layer) {
  const auto each_value = [&](auto&& visit) -> std::optional<Refusal> {
    for (const auto* ids : {&layer.inputs, &layer.outputs}) {
      for (const network::ValueId id : *ids) {
        if (std::optional<Refusal> found = visit(net.value(id))) return found;
      }
    }
    return std::nullopt;
  };
  if (auto found = each_value([](const network::Value& value) -> std::optional<Refusal> {
        if (value.dtype == DataType::kFloat64) {
          return refusal(Reason::kDataType, "float64 is computed in float32 by the CPU plugin");
        }
        if (value.dtype == DataType::kFloat8E4M3) return refusal(Reason::kDataType, "no float8 on the CPU");
        if (value.dtype == DataType::kInt16) return refusal(Reason::kDataType, "no int16 on the CPU");
        if (value.dtype == DataType::kInt64 && (value.range.min < kInt32.min || value.range.max > kInt32.max)) {
          return refusal(Reason::kDataType, "int64 is computed in 32 bits by the CPU plugin, and values up to [",
                         value.range.min, ", ", value.range.max, "] are possible");
        }
        return std::nullopt;
      })) {
    return found;
  }
  // Narrow integers wrap around in PyTorch; the plugin computes them wider or saturates.
  for (const network::ValueId id : layer.outputs) {
    const DataType dtype = net.value(id).dtype;
    if ((dtype == DataType::kInt8 || dtype == DataType::kUInt8) && !moves_elements(layer.op)) {
      return refusal(Reason::kDataType, to_string(dtype), " arithmetic does not wrap around in the CPU plugin");
    }
  }
  if (const auto* elementwise = std::get_if<network::ElementWise>(&layer.op)) {
    return check_elementwise(elementwise->operation, net.value(layer.inputs[0]).dtype);
  }
  if (const auto* slice = std::get_if<network::Slice>(&layer.op)) {
    const bool steps = std::any_of(slice->stride.begin(), slice->stride.end(), [](std::int64_t s) { return s != 1; });
    if (slice->mode != network::SliceMode::kStrict && steps) {
      return refusal(Reason::kBackend, "padding with a stride is not a CPU operation");
    }
  }
  if (const auto* pooling = std::get_if<network::Pooling>(&layer.op)) {
    const bool dilated = std::any_of(pooling->dilation.begin(), pooling->dilation.end(), [](std::int64_t d) { return d != 1; });
    if (dilated && pooling->type == network::PoolingType::kAverage) {
      return refusal(Reason::kBackend, "average pooling has no dilation");
    }
  }
  if (const auto* convolution = std::get_if<network::Convolution>(&layer.op);
      convolution != nullptr && convolution->groups != 1 && !is_static(net.value(layer.inputs[1]).dims)) {
    return refusal(Reason::kDynamicShape, "grouped convolution needs weights of a static shape");
  }
  return std::nullopt;
}

}  // namespace torchtrt::openvino
