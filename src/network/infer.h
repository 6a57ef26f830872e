// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <torchtrt/network/network.h>

namespace torchtrt::network {

struct ValueType {
  DataType dtype{};
  Dims dims;
};

/// PyTorch's limit.
inline constexpr std::size_t kMaxRank = 64;

/// The dtypes and dims of a layer's outputs from its operation and operands. Error(kInvalidArgument) for a rule that
/// does not hold; the message starts with the layer's kind and name.
std::vector<ValueType> infer(const Network& network, const Layer& layer);

/// What is known of the elements of a layer's integer output.
Interval infer_range(const Network& network, const Layer& layer, std::size_t output, DataType dtype);

}  // namespace torchtrt::network
