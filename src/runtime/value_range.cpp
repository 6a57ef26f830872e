// SPDX-License-Identifier: Apache-2.0
#include "runtime/value_range.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include <torchtrt/base/error.h>

namespace torchtrt::runtime {
namespace {

/// Whether all values are within [min, max]. The sign bit of (v - min) | (max - v), in arithmetic modulo 2^n, is set
/// exactly if v is outside, as long as max - min is below 2^(n-1); without branches or comparisons this becomes SIMD
/// code on every x86-64, which has no 64-bit comparison.
template <typename T>
bool all_within(const T* values, std::size_t count, T min, T max) {
  using Unsigned = std::make_unsigned_t<T>;
  constexpr Unsigned kSignBit = Unsigned{1} << (std::numeric_limits<Unsigned>::digits - 1);
  const auto low = static_cast<Unsigned>(min), high = static_cast<Unsigned>(max);
  if (static_cast<Unsigned>(high - low) >= kSignBit) {
    return std::all_of(values, values + count, [=](T value) { return value >= min && value <= max; });
  }
  Unsigned outside = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<Unsigned>(values[i]);
    outside |= static_cast<Unsigned>(static_cast<Unsigned>(value - low) | static_cast<Unsigned>(high - value));
  }
  return (outside & kSignBit) == 0;
}

template <typename T>
std::optional<ValueOutside> find(const void* data, std::size_t count, Interval range) {
  constexpr auto kMin = static_cast<std::int64_t>(std::numeric_limits<T>::min());
  constexpr auto kMax = static_cast<std::int64_t>(std::numeric_limits<T>::max());
  const std::int64_t low = range.min == Interval::kUnbounded ? kMin : range.min;
  const std::int64_t high = range.max;  // kUnbounded is the largest int64: no limit
  if (low <= kMin && high >= kMax) {
    return std::nullopt;
  }
  const auto* values = static_cast<const T*>(data);
  if (low <= kMax && high >= kMin &&
      all_within(values, count, static_cast<T>(std::max(low, kMin)), static_cast<T>(std::min(high, kMax)))) {
    return std::nullopt;
  }
  const auto* first = std::find_if(values, values + count, [=](T value) { return value < low || value > high; });
  if (first == values + count) {
    return std::nullopt;
  }
  return ValueOutside{static_cast<std::size_t>(first - values), static_cast<std::int64_t>(*first)};
}

}  // namespace

std::optional<ValueOutside> find_value_outside(const void* data, std::size_t count, DataType dtype, Interval range) {
  switch (dtype) {
    case DataType::kInt64: return find<std::int64_t>(data, count, range);
    case DataType::kInt32: return find<std::int32_t>(data, count, range);
    case DataType::kInt16: return find<std::int16_t>(data, count, range);
    case DataType::kInt8: return find<std::int8_t>(data, count, range);
    case DataType::kUInt8: return find<std::uint8_t>(data, count, range);
    default: fail(ErrorCode::kInternal, "values of ", to_string(dtype), " have no integer range");
  }
}

}  // namespace torchtrt::runtime
