// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torchtrt/converters/context.h>

/// Results whose shape only the data knows. Their engine allocates its outputs while it runs (the output allocator).
namespace torchtrt::converters {

/// The positions where `x` is not zero, in row-major order: int64 [count, rank], where `count` is the symbol that the
/// capture gave dimension `axis` of the node's result. Refuses a 0-d `x`, and a capture that knows of no such symbol.
ValueId positions_of_nonzero(Context& ctx, const graph::Node& node, ValueId x, std::size_t axis);

/// x[:, .., mask]: `mask`, bool or uint8, spans the dimensions of `x` from `axis` on, which become the one of `count`
/// elements.
ValueId masked(Context& ctx, const graph::Node& node, ValueId x, ValueId mask, std::size_t axis);

}  // namespace torchtrt::converters
