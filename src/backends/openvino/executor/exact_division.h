// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openvino/core/model.hpp>

namespace torchtrt::openvino {

/// Keeps the CPU plugin from making x / y to x * (1 / y), which is rounded twice, infinite where y is below 2^-128, and off
/// where y is above 2^126, so that 1 / y is subnormal. Not of constants: the plugin (2026.4.1) makes c / y to y / c where y
/// is a reduction, so that builders hide c unless it is 1. The mark is what OpenVINO's own transformations set; it is not
/// written with a model. For models that were read, right before they are compiled.
void keep_divisions(const ov::Model& model);

}  // namespace torchtrt::openvino
