// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include <torchtrt/converters/context.h>

/// Index operands. PyTorch raises on an index out of range; engines read whatever is there. So an index goes into an engine
/// only if it is in range for sure: by what is known of its values, because it comes from an input of the network, whose
/// values the runtime then checks before every run, or because a guard says so (Context::takes_guards).
namespace torchtrt::converters {

/// Bounds of an integer value's elements as expressions over the symbols: tighter than the value's interval where the
/// bound is a dynamic dimension (arange over a batch).
struct ElementBounds {
  Expr low, high;
};
std::optional<ElementBounds> element_bounds(const Network& net, ValueId value);

/// Whether the elements are known to be in [low, high] without asking anything of an input.
bool is_known_within(const Network& net, ValueId index, const Expr& low, const Expr& high);

enum class NegativeIndices { kRefused, kFromTheEnd };

/// `index` proven to be in [0, size), as int32 or int64; with kFromTheEnd, indices in [-size, 0) count from the end and are
/// shifted. With a guard the result is in range whatever `index` is. Refuses (kDataDependent) what cannot be proven and kDataType what is no index.
ValueId proven_index(Context& ctx, const graph::Node& node, ValueId index, const Expr& size, NegativeIndices negative);

/// The dimension of `index` along which it counts 0, 1, .., `size` - 1, if that is all it does (its other dimensions are 1):
/// indexing with it moves a dimension and reads nothing.
std::optional<std::size_t> counting_dimension(const Network& net, ValueId index, const Expr& size);

}  // namespace torchtrt::converters
