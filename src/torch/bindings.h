// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <ATen/core/Tensor.h>

#include "runtime/binding_plan.h"

namespace torchtrt::torch_adapter {

/// kInvalidArgument for what has no elements in memory: undefined, sparse, meta and fake tensors.
void check_has_elements(const at::Tensor& tensor, std::size_t index, const format::Metadata& metadata);

/// Whether the memory holds the elements themselves, in order. (A lazy negation's memory holds their opposites.)
bool readable_in_place(const at::Tensor& tensor);

/// The tensor as DLPack has it, without its strides. It points into `tensor`. Engines do not write to inputs: DLPack
/// only has no const.
DLTensor to_dlpack(const at::Tensor& tensor);
/// The same, `binding`, with the tensor's strides.
DLTensor with_strides(DLTensor binding, const at::Tensor& tensor);

}  // namespace torchtrt::torch_adapter
