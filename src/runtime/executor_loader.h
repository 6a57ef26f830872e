// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

namespace torchtrt::runtime {

/// The executor module of this name: a backend's ("openvino"), or what its targets say (backend::kModuleProperty:
/// "tensorrt11"). Opens libtorchtrt_<module>_executor.so on the first call, from the folders
/// of TORCHTRT_BACKEND_PATH (separated by colons) or, without it, from the folder of libtorchtrt_runtime.so. The module
/// stays open for the life of the process. Thread-safe; a failure is not remembered, so that installing what is missing
/// helps.
///
/// Error(kNotFound) if the module or a vendor's library is missing, naming what to install; Error(kVersionMismatch) for
/// a module of another interface; Error(kDataLoss) for a name that is not one (it comes from a file).
TORCHTRT_API backend::Executor& load_executor(const std::string& module);

/// Makes an executor known under its name that is no module. It must live as long as the process. Thread-safe.
TORCHTRT_API void register_executor(backend::Executor& executor);

}  // namespace torchtrt::runtime
