// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <openvino/core/model.hpp>

namespace torchtrt::openvino {

/// backend::ExecutableEngine::inspect of what CompiledModel::get_runtime_model gives. Each of "layers" has:
///
///   name, type        OpenVINO's node, and its kind there (Convolution, FullyConnected, Reorder, Input, ...)
///   kernel            the implementation that runs ("brgemm_avx512_f32"); absent for what does not run
///   precision         what the kernel computes in ("f32")
///   output_shapes     of each output, -1 where a dimension is not static and no run has given it a size yet
///   original_layers   names of the nodes before OpenVINO's fusions; they begin with the network's values' names
std::string describe(const ov::Model& runtime_model, const std::string& engine);

struct ComputingLayer {
  std::string name, type;
};
/// Those of its layers that compute something, in order.
std::vector<ComputingLayer> computing_layers(const ov::Model& runtime_model);

}  // namespace torchtrt::openvino
