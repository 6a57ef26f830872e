// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <ATen/core/Tensor.h>

#include <torchtrt/base/export.h>

namespace torchtrt::torch_adapter {

/// The body of `tensorrt::check_inputs`: holds a program's inputs to what it was compiled for.
///
/// Engines check their own inputs, but PyTorch's blocks do not, and in a package of AOTInductor they are kernels that
/// read memory as the exported sizes, types and strides say, whatever comes. `expected` is read by
/// format::read_inputs; `contiguous`: the program reads the memory as that of contiguous tensors.
/// Thread-safe. Throws Error: what BindingPlan's checks throw, kDataLoss for a damaged `expected`.
TORCHTRT_API void check_inputs(at::TensorList inputs, std::string_view expected, bool contiguous);

}  // namespace torchtrt::torch_adapter
