// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openvino/core/model.hpp>

namespace torchtrt::openvino {

/// Keeps elementwise layers from writing over values that depend on no input. The CPU plugin (2026.4.1) computes those
/// once, and lets a layer write its result in place into its first operand unless that is a constant or an input itself:
/// from the second run on, w in `w * x` is the result of the first where w is hidden from folding or was cast, and so are
/// the condition of a selection and the queries of an attention, which the plugin scales. Such a value becomes the second
/// operand, or is chosen anew in every run. For models that were read, before they are compiled.
void keep_constants(const ov::Model& model);

}  // namespace torchtrt::openvino
