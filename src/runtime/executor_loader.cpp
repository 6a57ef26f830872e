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
std::string_view remedy(std::string_view module) {
  if (module == "openvino") {
    return "it is part of torch_tensorrt's package: reinstall it, or set TORCHTRT_BACKEND_PATH to the folder with the "
           "module and its openvino/ folder (OpenVINO's libraries are those of the wheel openvino==2026.4.1)";
  }
  if (module == "tensorrt10" || module == "tensorrt11") {
    return "this installation was built without that major version of TensorRT: build it with -DTensorRT_ROOT=<the "
           "SDK's "
           "folder>, or set TORCHTRT_BACKEND_PATH to the folder with the module";
  }
  if (module == "tensorrt_rtx") {
    return "this installation was built without TensorRT-RTX: build it with -DTensorRT_ROOT=<the SDK's folder>, or set "
           "TORCHTRT_BACKEND_PATH to the folder with the module";
  }
  return "set TORCHTRT_BACKEND_PATH to the folder with the module";
}

void check_name(const std::string& module) {
  const bool valid = !module.empty() && module.size() <= 64 && std::all_of(module.begin(), module.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  TORCHTRT_CHECK(valid, kDataLoss, "\"", module.substr(0, 64),
                 "\" is not the name of a backend: the engine is damaged");
}

backend::Executor& open_module(const std::string& module) {
  const std::string file = "libtorchtrt_" + module + "_executor.so";
  const std::string what_to_do = detail::concat("it runs engines of the backend \"", module, "\"; ", remedy(module));
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

// Never destroyed: engines may outlive static objects.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

}  // namespace

backend::Executor& load_executor(const std::string& module) {
  auto& [mutex, executors] = registry();
  const std::lock_guard lock(mutex);
  if (const auto found = executors.find(module); found != executors.end()) {
    return *found->second;
  }
  check_name(module);
  backend::Executor& executor = open_module(module);
  executors.emplace(module, &executor);
  return executor;
}

void register_executor(backend::Executor& executor) {
  const std::lock_guard lock(registry().mutex);
  registry().executors.insert_or_assign(std::string(executor.name()), &executor);
}

}  // namespace torchtrt::runtime
