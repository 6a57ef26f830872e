// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include <torchtrt/base/error.h>

/// Arithmetic on int64 for numbers that may come from a file: what cannot be represented is an Error(kOutOfRange), never
/// undefined behaviour. Division and remainder are Python's: the quotient rounds down, the remainder has the divisor's
/// sign.
namespace torchtrt {

/// Holds the sum and the product of any two int64.
using Wide = __int128;

inline std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  TORCHTRT_CHECK(!__builtin_add_overflow(a, b, &result), kOutOfRange, "dimension arithmetic overflows: ", a, " + ", b);
  return result;
}

inline std::int64_t checked_mul(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  TORCHTRT_CHECK(!__builtin_mul_overflow(a, b, &result), kOutOfRange, "dimension arithmetic overflows: ", a, " * ", b);
  return result;
}

inline std::int64_t checked_floor_div(std::int64_t a, std::int64_t b) {
  TORCHTRT_CHECK(b != 0, kOutOfRange, "division by zero in dimension arithmetic: ", a, " // 0");
  // INT64_MIN / -1 traps, as its remainder does.
  TORCHTRT_CHECK(!(a == INT64_MIN && b == -1), kOutOfRange, "dimension arithmetic overflows: ", a, " // -1");
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

inline std::int64_t checked_mod(std::int64_t a, std::int64_t b) {
  TORCHTRT_CHECK(b != 0, kOutOfRange, "division by zero in dimension arithmetic: ", a, " % 0");
  if (b == -1) return 0;
  const std::int64_t remainder = a % b;
  return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

/// The nearest int64.
inline std::int64_t clamp_to_int64(Wide value) {
  return static_cast<std::int64_t>(std::clamp<Wide>(value, INT64_MIN, INT64_MAX));
}

}  // namespace torchtrt
