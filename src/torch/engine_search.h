// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/api/module.h>

#include <torchtrt/base/export.h>

namespace torchtrt::torch_adapter {

/// The objects of class `tensorrt.Engine` that a module and its submodules, or a package of AOTInductor, hold. See
/// <torchtrt/torch.h>, which gives them as handles.
TORCHTRT_API std::vector<c10::IValue> find_engines(const torch::jit::Module& module);
TORCHTRT_API std::vector<c10::IValue> find_engines_of_package(const std::string& path);

}  // namespace torchtrt::torch_adapter
