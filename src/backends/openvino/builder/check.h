// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <torchtrt/backend/builder.h>
#include <torchtrt/network/network.h>

namespace torchtrt::openvino {

/// Why OpenVINO's CPU plugin cannot run this layer as PyTorch computes it; nullopt if it can.
std::optional<backend::Refusal> check(const network::Network& net, const network::Layer& layer);

}  // namespace torchtrt::openvino
