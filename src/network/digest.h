// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torchtrt/network/network.h>

namespace torchtrt::network {

/// A 64-bit hash that tells constants apart in the text form (not against intent); of weights that were read from a
/// text, the digest that the text gave. Reads at memory speed, because models have gigabytes.
std::uint64_t digest_of(const Weights& weights);

}  // namespace torchtrt::network
