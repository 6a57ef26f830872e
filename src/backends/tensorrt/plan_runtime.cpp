// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/plan_runtime.h"

#include <torchtrt/backend/properties.h>

#include "backends/tensorrt/library.h"
#include "backends/tensorrt/plugin_layer.h"

namespace torchtrt::tensorrt {

std::unique_ptr<nvinfer1::IRuntime> runtime_for(const Properties& properties) {
  std::unique_ptr<nvinfer1::IRuntime> runtime = Library::get().create_runtime();
  // Plans with plugins are those that cannot be recorded.
  if (property(properties, backend::kRecordableProperty) == "false") {
    register_plugin_layer(runtime->getPluginRegistry());
  }
  // A version compatible plan carries the code that runs it.
  if (is_set(properties, kVersionCompatibleProperty)) runtime->setEngineHostCodeAllowed(true);
  return runtime;
}

}  // namespace torchtrt::tensorrt
