// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>

#include <torchtrt/converters/context.h>

namespace torchtrt::converters {

/// The dtype in which PyTorch computes an operation on these arguments (torch.result_type): tensors with dimensions decide
/// over 0-d tensors, those over numbers; a higher category (float over integer over bool) wins.
/// https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
DataType promoted_dtype(Context& ctx, const graph::Node& node, std::initializer_list<std::size_t> positions);

/// The wider of two dtypes of PyTorch's promotion table.
DataType promote(DataType a, DataType b);

}  // namespace torchtrt::converters
