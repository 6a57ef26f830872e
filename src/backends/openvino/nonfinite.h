// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include <openvino/core/model.hpp>

/// NaN and infinities as PyTorch treats them.
///
/// The CPU plugin's fast operations assume finite numbers: its Relu, HardSigmoid and MaxPool turn NaN into a number, its
/// Softmax and attention lose the NaN of a row. Numbers that are finite stay so in most networks, and then the fast
/// operations are exact. Hence two forms of a model: the one that is built is exact for finite inputs; exact_form() of
/// it, several times slower in these operations, is exact for all inputs, and is what runs when an input holds NaN or an
/// infinity.
///
/// What counts as staying finite: everything but a logarithm, an exponential, a division, a root or a power whose
/// operand may be zero or negative, and non-finite constants. Overflow of sums and products beyond the type's range is
/// not followed, and a softmax over -inf (a mask) is taken to leave each row a finite element.
namespace torchtrt::openvino {

/// Replaces the operations above by exact ones where, with finite inputs, an operand may be NaN or infinite.
/// For the model that is built. Returns how many it replaced.
std::size_t make_exact_for_finite_inputs(ov::Model& model);

/// Whether NaN or an infinity in an input could reach one of the operations above.
bool needs_finite_inputs(const ov::Model& model);

/// Replaces them wherever an operand may be NaN or infinite, with inputs that may be.
void make_exact_for_all_inputs(ov::Model& model);

/// Whether any of `count` elements is NaN or infinite. `type` is f32, f16 or bf16; false for others. Reads some 10 GB/s.
bool any_nonfinite(const ov::element::Type& type, const void* data, std::size_t count);

}  // namespace torchtrt::openvino
