// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor_loader.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string_view>

#include "base/module.h"

namespace torchtrt::runtime {
namespace {

/// What to do about a backend that is not there.
std::string_view remedy(std::string_view backend) {
  if (backend == "openvino") {
    return "it is part of torch_tensorrt's package: reinstall it, or set TORCHTRT_BACKEND_PATH to the folder with the "
           "module and its openvino/ folder (OpenVINO's libraries are those of the wheel openvino==2026.4.1)";
  }
  if (backend == "tensorrt") {
    return "install TensorRT (the wheel tensorrt) and the torch_tensorrt package for it, or set TORCHTRT_BACKEND_PATH";
  }
  if (backend == "tensorrt_rtx") {
    return "install TensorRT-RTX (the wheel tensorrt-rtx) and the torch_tensorrt package for it, or set "
           "TORCHTRT_BACKEND_PATH";
  }
  return "set TORCHTRT_BACKEND_PATH to the folder with the module";
}

void check_name(const std::string& backend) {
  const bool valid = !backend.empty() && backend.size() <= 64 &&
                     std::all_of(backend.begin(), backend.end(),
                                 [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
  TORCHTRT_CHECK(valid, kDataLoss, "\"", backend.substr(0, 64),
                 "\" is not the name of a backend: the engine is damaged");
}

backend::Executor& open_module(const std::string& backend) {
  const std::string file = "libtorchtrt_" + backend + "_executor.so";
  const std::string what_to_do = detail::concat("it runs engines of the backend \"", backend, "\"; ", remedy(backend));
  const auto entry = reinterpret_cast<backend::ExecutorEntry>(module_entry(file, backend::kExecutorSymbol, what_to_do));
  backend::Executor* executor = entry(backend::kExecutorInterfaceVersion);
  TORCHTRT_CHECK(executor != nullptr, kVersionMismatch, file, " is not a module for interface version ",
                 backend::kExecutorInterfaceVersion,
                 " of this runtime: install modules and runtime from the same release");
  return *executor;
}

struct Registry {
  std::mutex mutex;
  std::map<std::string, backend::Executor*> executors;
};

}  // namespace

backend::Executor& load_executor(const std::string& backend) {
  // Never destroyed: engines may outlive static objects.
  static auto* registry = new Registry;
  const std::lock_guard lock(registry->mutex);
  if (const auto found = registry->executors.find(backend); found != registry->executors.end()) {
    return *found->second;
  }
  check_name(backend);
  backend::Executor& executor = open_module(backend);
  registry->executors.emplace(backend, &executor);
  return executor;
}

}  // namespace torchtrt::runtime
