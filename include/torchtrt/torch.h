// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <torch/csrc/jit/api/module.h>

#include <torchtrt/base/export.h>
#include <torchtrt/runtime.h>

/// Finds the engines of programs as PyTorch loads them, to set their modes (runtime.h). Needs libtorch's headers. Both
/// functions are thread-safe and load no vendor's library.
namespace torchtrt::runtime {

/// The engines that a module and its submodules hold, each once.
TORCHTRT_API std::vector<EngineHandle> engines_of(const torch::jit::Module& module);

/// The engines of a package of AOTInductor (.pt2), each once. They are those of every AOTIModelPackageLoader that loaded
/// the same package, before or after this call; hold the handles if it is to be after. Reads the engines' bytes.
/// Error(kNotFound) if there is no such file, Error(kDataLoss) if it is not a package.
TORCHTRT_API std::vector<EngineHandle> engines_of_package(const std::string& path);

}  // namespace torchtrt::runtime
