// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include <torchtrt/backend/builder.h>
#include <torchtrt/network/network.h>

#include "format/package.h"

/// The network inside of an engine package, with which its targets can be built again, where the model is not at hand.
namespace torchtrt::compiler {

/// Appends the sections "network" (the text form), "constants" (the elements that the text gives by digest; each at a
/// multiple of 64, shared storage once) and "index" (JSON: offset of each constant in that section, by name).
format::NetworkSpec pack_network(const network::Network& network, const backend::BuildSettings& settings,
                                 format::PayloadWriter& payload);

struct UnpackedNetwork {
  network::Network network;  ///< Its constants point into the payload. Verified.
  backend::BuildSettings settings;
};
/// Error(kInvalidArgument) if the package has no network, Error(kDataLoss) for one that is damaged,
/// Error(kVersionMismatch) for one that another release wrote and this one cannot read.
UnpackedNetwork unpack_network(const format::Metadata& metadata, std::span<const std::byte> payload);

}  // namespace torchtrt::compiler
