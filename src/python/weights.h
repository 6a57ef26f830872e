// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include <ATen/core/Tensor.h>

#include <torchtrt/base/error.h>
#include <torchtrt/network/network.h>

namespace torchtrt::python {

/// The tensor's elements without a copy, where it is contiguous.
inline network::Weights share_elements(const at::Tensor& tensor) {
  TORCHTRT_CHECK(tensor.device().is_cpu(), kInvalidArgument, "constants must be on the CPU, this one is on ",
                 tensor.device().str());
  auto held = std::make_shared<at::Tensor>(tensor.detach().contiguous());
  network::Weights weights;
  weights.bytes = held->nbytes();
  const void* elements = held->const_data_ptr();
  weights.data = std::shared_ptr<const void>(std::move(held), elements);
  return weights;
}

}  // namespace torchtrt::python
