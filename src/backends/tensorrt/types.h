// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include <NvInfer.h>
#include <torchtrt/base/dtype.h>

namespace torchtrt::tensorrt {

/// TensorRT's type of a dtype; Error(kUnsupported) where it has none.
nvinfer1::DataType data_type(DataType dtype);

/// Error(kUnsupported) for more dimensions than TensorRT has.
nvinfer1::Dims to_dims(std::span<const std::int64_t> values);

}  // namespace torchtrt::tensorrt
