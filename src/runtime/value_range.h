// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/export.h>
#include <torchtrt/base/expr.h>

namespace torchtrt::runtime {

struct ValueOutside {
  std::size_t index = 0;
  std::int64_t value = 0;
};

/// The first of `count` integers at `data` that is outside `range` (kUnbounded: no limit on that side); nullopt if all
/// are inside. Reads at about memory speed. `dtype` is an integer type.
TORCHTRT_API std::optional<ValueOutside> find_value_outside(const void* data, std::size_t count, DataType dtype,
                                                            Interval range);

}  // namespace torchtrt::runtime
