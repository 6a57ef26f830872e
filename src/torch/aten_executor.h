// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torchtrt/backend/executor.h>

namespace torchtrt::torch_adapter {

/// The backend "aten": runs an engine's ATen graph by PyTorch's own operators, on the CPU. Never destroyed.
backend::Executor& aten_executor();

}  // namespace torchtrt::torch_adapter
