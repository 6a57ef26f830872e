// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <torchtrt/converters/context.h>

/// What several families ask of their operands.
namespace torchtrt::converters {

/// Refuses (kDataType) a value that is not floating.
void require_floating(Context& ctx, const graph::Node& node, ValueId value);

/// Refuses (kDynamicShape) a dimension that is not static; `what` names it in the message.
std::int64_t static_dim(const graph::Node& node, const Expr& dim, std::string_view what);

/// The operand as a number, which is a Python number or a 0-d constant; nullopt for other tensors and for sizes that are not
/// static.
std::optional<double> number_operand(Context& ctx, const graph::Node& node, std::size_t index, std::string_view name);

/// x * number and x / number. PyTorch's kernels take the number beside half precision in float32, which holds more numbers
/// than x's dtype, and round the result once.
ValueId times(Context& ctx, ValueId x, double number);
ValueId divided_by(Context& ctx, ValueId x, double number);

/// PyTorch's `int[n]`: a list of `count`, of one (which stands for all) or of none (`fallback` for all).
std::vector<std::int64_t> integers_per_axis(Context& ctx, const graph::Node& node, std::size_t index,
                                            std::string_view name, std::size_t count, std::int64_t fallback);

/// [c, spatial..] -> [1, c, spatial..] for operators that take inputs with and without a batch dimension; a value of rank
/// `spatial` + 2 as it is. Refuses every other rank.
ValueId batched(Context& ctx, const graph::Node& node, ValueId x, std::size_t spatial);
/// Undoes `batched`: drops the leading 1 if `original` had no batch dimension.
ValueId unbatched_like(Context& ctx, ValueId result, ValueId original);

/// Removes the dimension `axis`, which is 1.
ValueId squeeze(Context& ctx, ValueId value, std::int64_t axis);

}  // namespace torchtrt::converters
