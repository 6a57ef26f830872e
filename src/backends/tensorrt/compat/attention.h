// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <NvInfer.h>

namespace torchtrt::tensorrt::compat {

/// The attention layer (softmax; an upper left causal mask if `is_causal`), nullptr if it is refused. TensorRT 11 and
/// TensorRT-RTX 1.5 replaced the flag by a kind of mask.
inline nvinfer1::IAttention* add_attention(nvinfer1::INetworkDefinition& network, nvinfer1::ITensor& q,
                                           nvinfer1::ITensor& k, nvinfer1::ITensor& v, bool is_causal) {
  constexpr auto kSoftmax = nvinfer1::AttentionNormalizationOp::kSOFTMAX;
#if defined(TRT_MAJOR_RTX) || NV_TENSORRT_MAJOR >= 11
  using Kind = nvinfer1::CausalMaskKind;
  return network.addAttentionV2(q, k, v, kSoftmax, is_causal ? Kind::kUPPER_LEFT : Kind::kNONE);
#else
  return network.addAttention(q, k, v, kSoftmax, is_causal);
#endif
}

}  // namespace torchtrt::tensorrt::compat
