// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <openvino/core/model.hpp>

/// NaN and infinities as PyTorch treats them.
///
/// The CPU plugin's fast operations assume finite numbers: its Relu, HardSigmoid and MaxPool turn NaN into a number, its
/// Softmax and attention lose the NaN of a row; and it moves factors across matrix products, convolutions and each other,
/// which gives other infinities than eager's where something overflows on the way. Numbers that are finite and of usual
/// size stay so in most networks, and then the fast operations are exact. Hence two forms of a model: the one that is
/// built is exact for numbers of usual size, and what that takes is checked in each run (Guards); exact_form() of it,
/// several times slower in these operations, is exact for all inputs, and is what runs when a check fails.
///
/// Where ordinary numbers may make an operand NaN or infinite (a division, a logarithm, an exponential, constants that hold
/// them), the operation is exact in both forms; so only overflow is checked. But for operations without an exact form that
/// is as good as PyTorch's (attention, normalizations, interpolation): their operands are checked then, too.
namespace torchtrt::openvino {

/// Replaces the operations above by exact ones where, with finite inputs and without overflow, an operand may be NaN or
/// infinite. For the model that is built. Returns how many it replaced.
std::size_t make_exact_for_finite_inputs(ov::Model& model);

/// Replaces them wherever an operand may be NaN or infinite, with inputs that may be anything.
void make_exact_for_all_inputs(ov::Model& model);

/// What must hold in a run of the model that was built, so that its results are right.
struct Guards {
  /// By input: what the magnitude of its elements must not exceed; infinite where they may be anything.
  std::vector<float> inputs;
  /// Of the results that were added to the model, float32 of no dimensions: what they must not exceed. NaN exceeds.
  std::vector<float> limits;
};

/// Bounds what may overflow, by limits for the inputs where they are enough and otherwise by results that measure a value
/// in between, as small and as few as possible.
Guards add_guards(ov::Model& model);

/// Whether no magnitude of `count` elements exceeds `limit` (2^24 or more). `type` is f32, f16 or bf16; true for others.
/// NaN exceeds. Reads some 10 GB/s.
bool all_within(const ov::element::Type& type, const void* data, std::size_t count, float limit);

}  // namespace torchtrt::openvino
