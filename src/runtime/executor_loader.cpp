// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor_loader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <string_view>
#include <vector>

namespace torchtrt::runtime {
namespace {

/// The folder of the library that holds this function, links resolved.
std::string own_folder() {
  Dl_info info{};
  char resolved[PATH_MAX];
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || info.dli_fname == nullptr ||
      realpath(info.dli_fname, resolved) == nullptr) {
    return ".";
  }
  const std::string path = resolved;
  return path.substr(0, path.rfind('/'));
}

std::vector<std::string> search_folders() {
  const char* configured = std::getenv("TORCHTRT_BACKEND_PATH");
  if (configured == nullptr || *configured == '\0') {
    return {own_folder()};
  }
  std::vector<std::string> folders;
  std::istringstream list(configured);
  for (std::string folder; std::getline(list, folder, ':');) {
    if (!folder.empty()) {
      folders.push_back(folder);
    }
  }
  return folders;
}

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
  const std::vector<std::string> folders = search_folders();
  std::string searched;
  for (const std::string& folder : folders) {
    const std::string path = folder + "/" + file;
    if (access(path.c_str(), F_OK) != 0) {
      searched += (searched.empty() ? "" : ", ") + folder;
      continue;
    }
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* reason = dlerror();
      fail(ErrorCode::kNotFound, "cannot open ", path, " (", reason != nullptr ? reason : "unknown reason",
           "), which runs engines of the backend \"", backend, "\": ", remedy(backend));
    }
    const auto entry = reinterpret_cast<backend::ExecutorEntry>(dlsym(handle, backend::kExecutorSymbol));
    backend::Executor* executor = entry != nullptr ? entry(backend::kExecutorInterfaceVersion) : nullptr;
    if (executor == nullptr) {
      dlclose(handle);
      fail(ErrorCode::kVersionMismatch, path, " is not a module for interface version ",
           backend::kExecutorInterfaceVersion, " of this runtime: install modules and runtime from the same release");
    }
    return *executor;
  }
  fail(ErrorCode::kNotFound, "the engine runs on the backend \"", backend, "\", but its module ", file, " is not in ",
       searched, ": ", remedy(backend));
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
