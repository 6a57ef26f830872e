// SPDX-License-Identifier: Apache-2.0
#include "runtime/value_range.h"

#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace torchtrt::runtime {
namespace {

template <typename T>
constexpr DataType kDtype = DataType::kInt64;
template <>
constexpr DataType kDtype<std::int32_t> = DataType::kInt32;
template <>
constexpr DataType kDtype<std::int16_t> = DataType::kInt16;
template <>
constexpr DataType kDtype<std::int8_t> = DataType::kInt8;
template <>
constexpr DataType kDtype<std::uint8_t> = DataType::kUInt8;

template <typename T>
class ValueRange : public testing::Test {};
using Types = testing::Types<std::int64_t, std::int32_t, std::int16_t, std::int8_t, std::uint8_t>;
TYPED_TEST_SUITE(ValueRange, Types);

/// Extreme and ordinary values against extreme and ordinary limits, with comparisons in 128 bits as the reference.
TYPED_TEST(ValueRange, AgreesWithWideComparisons) {
  using T = TypeParam;
  const std::vector<std::int64_t> limits{
      INT64_MIN, INT64_MIN + 1, -2147483649, INT32_MIN, -129,       -128,          -1,       0, 1, 127,
      128,       255,           256,         INT32_MAX, 2147483648, INT64_MAX - 1, INT64_MAX};
  std::vector<T> values;
  for (const std::int64_t limit : limits) {
    for (const std::int64_t near :
         {limit == INT64_MIN ? limit : limit - 1, limit, limit == INT64_MAX ? limit : limit + 1}) {
      values.push_back(static_cast<T>(near));
    }
  }
  for (const std::int64_t min : limits) {
    for (const std::int64_t max : limits) {
      if (min != Interval::kUnbounded && min > max) {
        continue;
      }
      for (const T value : values) {
        const std::vector<T> data{value};
        const bool low_ok = min == Interval::kUnbounded || static_cast<__int128>(value) >= min;
        const bool high_ok = max == Interval::kUnbounded || static_cast<__int128>(value) <= max;
        EXPECT_EQ(find_value_outside(data.data(), 1, kDtype<T>, {min, max}).has_value(), !(low_ok && high_ok))
            << +value << " in " << min << ".." << max;
      }
    }
  }
}

TYPED_TEST(ValueRange, FindsTheFirst) {
  using T = TypeParam;
  for (const std::size_t size : {1u, 7u, 64u, 1000u}) {
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
      std::vector<T> data(size, T{5});
      data[at] = 101;
      data[size - 1] = 101;
      const auto found = find_value_outside(data.data(), size, kDtype<T>, {0, 100});
      ASSERT_TRUE(found);
      EXPECT_EQ(found->index, at);
      EXPECT_EQ(found->value, 101);
    }
  }
}

TYPED_TEST(ValueRange, NothingIsInside) { EXPECT_FALSE(find_value_outside(nullptr, 0, kDtype<TypeParam>, {3, 4})); }

}  // namespace
}  // namespace torchtrt::runtime
