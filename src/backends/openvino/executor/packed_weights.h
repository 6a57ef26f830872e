// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openvino/core/model.hpp>

namespace torchtrt::openvino {

/// Gives each way in which products and convolutions read one constant, or one value that is computed from constants
/// alone, a copy of its own; the first way keeps the value.
///
/// The CPU plugin (2026.4.1) packs weights once per address and packed shape. The layout in which they are read is not
/// part of that key: of a square matrix that one product reads as it is and another one transposed, or of weights that a
/// convolution and its transposed convolution share, the second reader gets what was packed for the first. Addresses are
/// equal for one constant, and for all constants of equal bytes once a model was written and read again. What is computed
/// from constants, the plugin computes once, and packs likewise.
///
/// For models that were read, right before they are compiled. Costs the memory of the copies.
void separate_packed_weights(const ov::Model& model);

}  // namespace torchtrt::openvino
