// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/library.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {

const char* const kBackendName = compat::kBackendName;
const char* const kProductName = compat::kProductName;

namespace {

thread_local std::string errors;

// Paths to try, in order; a bare file name leaves the search to the loader. A path that the user gave is the only one:
// another library than the one asked for would be a surprise.
std::vector<std::string> candidates() {
  if (const char* exact = std::getenv(compat::kLibraryVariable)) return {exact};
  std::vector<std::string> paths;
  if (const char* root = std::getenv("TensorRT_ROOT")) {
    paths.push_back(std::string(root) + "/lib/" + compat::kLibraryName);
  }
  // The wheel's folder in each folder above this module: site-packages/torch_tensorrt/lib/ has it two levels up.
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&candidates), &info) != 0 && info.dli_fname != nullptr) {
    std::filesystem::path folder = std::filesystem::absolute(info.dli_fname).parent_path();
    for (int level = 0; level < 3 && folder.has_relative_path(); ++level, folder = folder.parent_path()) {
      paths.push_back((folder / compat::kWheelFolder / compat::kLibraryName).string());
    }
  }
  paths.emplace_back(compat::kLibraryName);
  return paths;
}

// Where the loader found it, for messages.
std::string path_of(void* handle) {
  link_map* map = nullptr;
  return dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 ? map->l_name : "the library";
}

template <typename Function>
Function* symbol(void* handle, const char* name) {
  auto* found = reinterpret_cast<Function*>(dlsym(handle, name));
  TORCHTRT_CHECK(found != nullptr, kVersionMismatch, path_of(handle), " is no ", compat::kProductName, " library ",
                 compat::kVersionText, ", it has no function ", name, ": install ", compat::kPackage, ", or set ",
                 compat::kLibraryVariable, " to the path of ", compat::kLibraryName);
  return found;
}

}  // namespace

Library::Library() {
  std::string tried;
  for (const std::string& path : candidates()) {
    // A path that does not exist is not worth the loader's message.
    if (path.find('/') != std::string::npos && !std::filesystem::exists(path)) {
      tried += "\n  " + path + ": no such file";
      continue;
    }
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) break;
    tried += std::string("\n  ") + dlerror();
  }
  TORCHTRT_CHECK(handle_ != nullptr, kNotFound, "no ", compat::kProductName, " library: install ", compat::kPackage,
                 ", or set ", compat::kLibraryVariable, " to the path of ", compat::kLibraryName, ". Tried:", tried);
  const int number = symbol<int()>(handle_, "getInferLibVersion")();
  const compat::Version found = compat::split(number);
  version_ = std::to_string(found.major) + "." + std::to_string(found.minor) + "." + std::to_string(found.patch);
  TORCHTRT_CHECK(compat::is_compatible(found), kVersionMismatch, path_of(handle_), " is ", compat::kProductName, " ",
                 version_, ", this module needs ", compat::kVersionText, ": install ", compat::kPackage);
}

const Library& Library::get() {
  static const Library* library = new Library;  // a failure throws and is tried again at the next call
  return *library;
}

std::unique_ptr<nvinfer1::IBuilder> Library::create_builder() const {
  auto* create = symbol<void*(void*, std::int32_t)>(handle_, "createInferBuilder_INTERNAL");
  void* builder = create(&Logger::get(), NV_TENSORRT_VERSION);
  // Without a GPU some releases return a small number instead of null.
  TORCHTRT_CHECK(reinterpret_cast<std::uintptr_t>(builder) >= 65536, kUnsupported, kProductName, " ", version_,
                 " gives no builder on this machine (is there an NVIDIA GPU and a driver?): ", Logger::take_errors());
  return std::unique_ptr<nvinfer1::IBuilder>(static_cast<nvinfer1::IBuilder*>(builder));
}

Logger& Logger::get() {
  static auto* logger = new Logger;
  return *logger;
}

void Logger::log(Severity severity, const char* message) noexcept {
  try {
    switch (severity) {
      case Severity::kINTERNAL_ERROR:
      case Severity::kERROR:
        // Errors become exceptions, whose readers must not look for them in a log.
        errors += (errors.empty() ? "" : "; ") + std::string(message);
        TORCHTRT_LOG(kInfo, kProductName, ": ", message);
        break;
      case Severity::kWARNING: TORCHTRT_LOG(kInfo, kProductName, ": ", message); break;
      case Severity::kINFO: TORCHTRT_LOG(kDebug, kProductName, ": ", message); break;
      default: TORCHTRT_LOG(kGraph, kProductName, ": ", message);
    }
  } catch (...) {
    // A message that cannot be written is lost; TensorRT must not see an exception.
  }
}

std::string Logger::take_errors() { return std::exchange(errors, std::string()); }

}  // namespace torchtrt::tensorrt
