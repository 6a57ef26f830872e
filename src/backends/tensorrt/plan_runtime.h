// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <NvInfer.h>

#include "backends/tensorrt/properties.h"

namespace torchtrt::tensorrt {

/// What loads a plan with these properties: it knows our plugins where the plan has some, and lets a version compatible
/// plan's own code run. Errors: Library::create_runtime's.
std::unique_ptr<nvinfer1::IRuntime> runtime_for(const Properties& properties);

}  // namespace torchtrt::tensorrt
