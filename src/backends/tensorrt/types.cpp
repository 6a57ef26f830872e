// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/types.h"

#include <algorithm>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {

nvinfer1::DataType data_type(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat32: return nvinfer1::DataType::kFLOAT;
    case DataType::kFloat16: return nvinfer1::DataType::kHALF;
    case DataType::kBFloat16: return nvinfer1::DataType::kBF16;
    case DataType::kInt64: return nvinfer1::DataType::kINT64;
    case DataType::kInt32: return nvinfer1::DataType::kINT32;
    case DataType::kInt8: return nvinfer1::DataType::kINT8;
    case DataType::kUInt8: return nvinfer1::DataType::kUINT8;
    case DataType::kBool: return nvinfer1::DataType::kBOOL;
    default: fail(ErrorCode::kUnsupported, compat::kProductName, " has no values of dtype ", to_string(dtype));
  }
}

nvinfer1::Dims to_dims(std::span<const std::int64_t> values) {
  TORCHTRT_CHECK(values.size() <= nvinfer1::Dims::MAX_DIMS, kUnsupported, compat::kProductName,
                 " has tensors of at most ", nvinfer1::Dims::MAX_DIMS, " dimensions, not ", values.size());
  nvinfer1::Dims result{};
  result.nbDims = static_cast<std::int32_t>(values.size());
  std::copy(values.begin(), values.end(), result.d);
  return result;
}

}  // namespace torchtrt::tensorrt
