// SPDX-License-Identifier: Apache-2.0
#include "network/digest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

namespace torchtrt::network {
namespace {

// xxHash's second prime: odd, about half of its bits set.
constexpr std::uint64_t kMultiplier = 0xc2b2ae3d27d4eb4fULL;
constexpr std::size_t kLanes = 4;

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) { return std::rotl((hash ^ word) * kMultiplier, 29); }

}  // namespace

std::uint64_t digest_of(const Weights& weights) {
  if (weights.digest) return *weights.digest;
  const auto* bytes = static_cast<const unsigned char*>(weights.data.get());
  // Independent lanes, so that one multiplication does not wait for the last.
  std::array<std::uint64_t, kLanes> lanes{1, 2, 3, 4};
  constexpr std::size_t kStep = kLanes * sizeof(std::uint64_t);
  for (std::size_t i = 0; i < weights.bytes; i += kStep) {
    std::array<std::uint64_t, kLanes> words{};  // the tail is filled up with zeros
    std::memcpy(words.data(), bytes + i, std::min(kStep, weights.bytes - i));
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = mix(lanes[lane], words[lane]);
  }
  std::uint64_t hash = weights.bytes;
  for (const std::uint64_t lane : lanes) hash = mix(hash, lane);
  return hash;
}

}  // namespace torchtrt::network
