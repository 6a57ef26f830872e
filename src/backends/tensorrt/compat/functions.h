// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <NvInfer.h>

#include "backends/tensorrt/compat/version.h"

/// What TensorRT 10's releases got one after the other. The modules are compiled with the headers of the newest, and to
/// call a function that an older library does not have yet is a crash: each is asked for here first. The numbers are those
/// of the vendor's headers of each release, whose NvInferImpl.h lists the functions in the order of the library's tables.
namespace torchtrt::tensorrt::compat {

struct Functions {
  bool cumulative = true;          ///< addCumulative: 10.9
  bool int64_shape_values = true;  ///< setShapeValuesV2, getProfileTensorValuesV2: 10.11
  bool attention = true;           ///< addAttention: 10.14
  bool int64_indices = true;       ///< addNonZero with a type of indices: 10.14
  bool include_refit = true;       ///< SerializationFlag::kINCLUDE_REFIT: 10.14
  bool normalization_v2 = true;    ///< addNormalizationV2: 10.15
};

/// Those of a library that is_compatible().
constexpr Functions functions_of(const Version& library) {
  if (kIsRtx || library.major != 10) return {};
  const auto since = [&](int minor) { return library.minor >= minor; };
  return {since(9), since(11), since(14), since(14), since(14), since(15)};
}

#if !defined(TRT_MAJOR_RTX) && NV_TENSORRT_MAJOR == 10
#define TORCHTRT_OLDER_FUNCTIONS 1  // the headers of TensorRT 11 and TensorRT-RTX do not have them any more
#endif

/// Of a shape input in an optimization profile: false if the library refuses them.
inline bool set_shape_values(nvinfer1::IOptimizationProfile& profile, const char* input,
                             nvinfer1::OptProfileSelector selector, std::span<const std::int64_t> values,
                             [[maybe_unused]] const Functions& functions) {
  const auto count = static_cast<std::int32_t>(values.size());
#ifdef TORCHTRT_OLDER_FUNCTIONS
  if (!functions.int64_shape_values) {
    std::vector<std::int32_t> narrow;
    for (const std::int64_t value : values) {
      if (value < INT32_MIN || value > INT32_MAX) return false;
      narrow.push_back(static_cast<std::int32_t>(value));
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return profile.setShapeValues(input, selector, narrow.data(), count);
#pragma GCC diagnostic pop
  }
#endif
  return profile.setShapeValuesV2(input, selector, values.data(), count);
}

/// The `count` values of a shape input in a profile of an engine; nullopt if it has none.
inline std::optional<std::vector<std::int64_t>> shape_values(const nvinfer1::ICudaEngine& engine, const char* input,
                                                             std::int32_t profile,
                                                             nvinfer1::OptProfileSelector selector, std::size_t count,
                                                             [[maybe_unused]] const Functions& functions) {
  const auto copied = [count](const auto* values) -> std::optional<std::vector<std::int64_t>> {
    if (values == nullptr) return std::nullopt;
    return std::vector<std::int64_t>(values, values + count);
  };
#ifdef TORCHTRT_OLDER_FUNCTIONS
  if (!functions.int64_shape_values) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return copied(engine.getProfileTensorValues(input, profile, selector));
#pragma GCC diagnostic pop
  }
#endif
  return copied(engine.getProfileTensorValuesV2(input, profile, selector));
}

/// Indices of int64, or of int32 in older libraries.
inline nvinfer1::INonZeroLayer* add_non_zero(nvinfer1::INetworkDefinition& network, nvinfer1::ITensor& x,
                                             const Functions& functions) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return functions.int64_indices ? network.addNonZero(x, nvinfer1::DataType::kINT64) : network.addNonZero(x);
#pragma GCC diagnostic pop
}

/// `scale` and `bias` of groups: one element a channel if there is normalization_v2, one a group otherwise.
inline nvinfer1::INormalizationLayer* add_normalization(nvinfer1::INetworkDefinition& network, nvinfer1::ITensor& x,
                                                        nvinfer1::ITensor& scale, nvinfer1::ITensor& bias,
                                                        std::uint32_t axes, const Functions& functions) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return functions.normalization_v2 ? network.addNormalizationV2(x, scale, bias, axes)
                                    : network.addNormalization(x, scale, bias, axes);
#pragma GCC diagnostic pop
}

}  // namespace torchtrt::tensorrt::compat
