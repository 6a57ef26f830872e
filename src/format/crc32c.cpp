// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>

#include "format/package.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace torchtrt::format {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // Castagnoli's, bit-reversed

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    }
    table[i] = value;
  }
  return table;
}

std::uint32_t update_by_table(std::uint32_t state, std::span<const std::byte> bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_table();
  for (const std::byte byte : bytes) {
    state = (state >> 8) ^ kTable[(state ^ static_cast<std::uint32_t>(byte)) & 0xFF];
  }
  return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t update_by_instruction(std::uint32_t state,
                                                                      std::span<const std::byte> bytes) {
  std::uint64_t wide = state;
  while (bytes.size() >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof(word));
    wide = _mm_crc32_u64(wide, word);
    bytes = bytes.subspan(sizeof(word));
  }
  auto narrow = static_cast<std::uint32_t>(wide);
  for (const std::byte byte : bytes) {
    narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(byte));
  }
  return narrow;
}
#endif

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
  const std::uint32_t state = ~seed;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) {
    return ~update_by_instruction(state, bytes);
  }
#endif
  return ~update_by_table(state, bytes);
}

}  // namespace torchtrt::format
