// SPDX-License-Identifier: Apache-2.0
// What test_target_shape_inputs.py calls: an engine of a graph's text. Programs that Python captures bring sizes with the
// tensors that have them, so only a text has inputs that are sizes and nothing else.
#include <torch/extension.h>

#include "compiler/pipeline.h"

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  namespace py = pybind11;
  module.def("compile_text", [](const std::string& text, const std::string& target, const std::string& device) {
    torchtrt::compiler::CompileSettings settings;
    settings.targets = {target};
    settings.device = device;
    const auto engine = torchtrt::compiler::compile(torchtrt::graph::parse(text), settings);
    return py::make_tuple(engine.metadata,
                          py::bytes(reinterpret_cast<const char*>(engine.payload.data()), engine.payload.size()));
  });
}
