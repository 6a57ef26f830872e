// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torchtrt/converters/context.h>

/// Reshapes, transposes and slices that see what they follow: a chain of them becomes as few layers that move elements as
/// it can. Models reach one arrangement by many ways (nn.MultiheadAttention alone puts six transposes around its heads);
/// engines recognize attention, and skip copies, only where few are left.
///
/// Layers that are passed over stay for other readers; those without any are removed at the end.
namespace torchtrt::converters {

/// `x` under `dims`, of the same volume; `x` itself where it has them. Reshapes of reshapes are one. Where `x` is a
/// transpose whose dimensions the reshape only splits, the transpose comes last.
ValueId reshaped(Network& net, ValueId x, Dims dims);

/// Transposes of transposes are one. Dimensions of 1 do not travel: what moves nothing else is a reshape.
ValueId transposed(Network& net, ValueId x, std::vector<std::int64_t> permutation);

/// One element of a dimension, which stays as 1. Of a transpose it is taken before, if the transpose is a reshape then.
ValueId taken_at(Network& net, ValueId x, std::int64_t axis, const Expr& index);

}  // namespace torchtrt::converters
