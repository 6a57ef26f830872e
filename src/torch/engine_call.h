// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include <torchtrt/base/export.h>

#include "torch/engine_holder.h"

namespace torchtrt::torch_adapter {

/// Runs the engine on tensors: the body of `tensorrt::execute_engine`, and what the Python binding calls directly. It
/// does not go through torch's dispatcher, so the inputs must be plain tensors (no subclass, no mode, no tracing);
/// gradients are neither needed nor recorded: the results are detached.
///
/// Contiguous inputs are used where they are, others are copied first; the exact form, PyTorch's own operators, gets them
/// as the caller laid them out. The results are new tensors that share memory with no other. Thread-safe. Throws
/// torchtrt::Error; translate() (errors.h) makes torch's exceptions of it.
TORCHTRT_API std::vector<at::Tensor> run_engine(const EngineHolder& holder, at::TensorList inputs);

}  // namespace torchtrt::torch_adapter
