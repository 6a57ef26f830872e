// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include <torchtrt/converters/context.h>

/// What engines assume and check in each run: where it does not hold, the exact form answers, or raises as PyTorch does.
/// Without guards (Context::takes_guards) all but guard_against do nothing about what is not known before.
namespace torchtrt::converters {

/// A guard that is broken where an element of `broken`, a bool of any rank, is true.
void guard_against(Network& net, ValueId broken);

/// PyTorch raises where there is nothing to read or to write: `size` is at least 1.
void require_elements(Context& ctx, const Expr& size);
/// The same for the dimensions of `value` from `first` on.
void require_elements(Context& ctx, ValueId value, std::size_t first);

/// PyTorch multiplies with scales before it adds, in an order in which such numbers overflow, and subtracts an infinity
/// from another: the elements of `scale`, floating, are numbers up to 2^64. Refuses (kAttribute) a constant that has
/// others; `what` names it in the message.
void require_moderate(Context& ctx, const graph::Node& node, ValueId scale, std::string_view what);
/// Whether the number is such a scale.
bool is_moderate(double scale);

}  // namespace torchtrt::converters
