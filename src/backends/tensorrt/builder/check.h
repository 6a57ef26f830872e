// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <torchtrt/backend/builder.h>
#include <torchtrt/network/network.h>

namespace torchtrt::tensorrt {

/// Why this layer cannot be lowered, or would not compute what PyTorch computes; nullopt if it can. Data only: needs no
/// library.
std::optional<backend::Refusal> check(const network::Network& net, const network::Layer& layer);

}  // namespace torchtrt::tensorrt
