// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/library.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/logger.h"

namespace torchtrt::tensorrt {

namespace {

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

std::string advice() {
  return detail::concat("install ", compat::kPackage, ", or set ", compat::kLibraryVariable, " to the path of ",
                        compat::kLibraryName);
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
                 compat::kVersionText, ", it has no function ", name, ": ", advice());
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
  TORCHTRT_CHECK(handle_ != nullptr, kNotFound, "no ", compat::kProductName, " library: ", advice(), ". Tried:", tried);
  try {
    const int number = symbol<int()>(handle_, "getInferLibVersion")();
    const compat::Version found = compat::split(number);
    version_ = std::to_string(found.major) + "." + std::to_string(found.minor) + "." + std::to_string(found.patch);
    TORCHTRT_CHECK(found.major == compat::kCompiled.major, kVersionMismatch, path_of(handle_), " is ",
                   compat::kProductName, " ", version_, ", another major version than this module is for, which needs ",
                   compat::kVersionText, ": ", advice());
    TORCHTRT_CHECK(compat::is_compatible(found), kVersionMismatch, path_of(handle_), " is ", compat::kProductName, " ",
                   version_, ", which this module cannot call: it needs ", compat::kVersionText, ": ", advice());
    functions_ = compat::functions_of(found);
  } catch (...) {
    dlclose(handle_);  // nothing of it was called but its version
    throw;
  }
}

const Library& Library::get() {
  static const Library* library = new Library;  // a failure throws and is tried again at the next call
  return *library;
}

template <typename Interface>
std::unique_ptr<Interface> Library::create(const char* function, const char* what) const {
  auto* entry = symbol<void*(void*, std::int32_t)>(handle_, function);
  Logger::take_errors();
  void* created = entry(&Logger::get(), NV_TENSORRT_VERSION);
  // Some releases return a small number instead of null if CUDA does not start.
  TORCHTRT_CHECK(reinterpret_cast<std::uintptr_t>(created) >= 65536, kUnsupported, compat::kProductName, " ", version_,
                 " gives no ", what, " on this machine: ", Logger::take_errors());
  return std::unique_ptr<Interface>(static_cast<Interface*>(created));
}

std::unique_ptr<nvinfer1::IBuilder> Library::create_builder(bool without_gpu) const {
  if (!without_gpu) Driver::get();
  if (void* set_path = dlsym(handle_, "setInternalLibraryPath"); set_path != nullptr && !compat::kIsRtx) {
    // The builder opens libraries of its own, which are where this one is and not always on the loader's path.
    const std::string folder = std::filesystem::path(path_of(handle_)).parent_path().string();
    if (!folder.empty()) reinterpret_cast<bool (*)(const char*)>(set_path)(folder.c_str());
  }
  if constexpr (!compat::kIsRtx) {
    // With its last builder TensorRT lets go of what builders need, and takes seconds to load it again: one stays.
    static nvinfer1::IBuilder* const last =
        create<nvinfer1::IBuilder>("createInferBuilder_INTERNAL", "builder").release();
    static_cast<void>(last);
  }
  return create<nvinfer1::IBuilder>("createInferBuilder_INTERNAL", "builder");
}

std::unique_ptr<nvinfer1::IRuntime> Library::create_runtime() const {
  if (!compat::kIsRtx) Driver::get();
  return create<nvinfer1::IRuntime>("createInferRuntime_INTERNAL", "runtime");
}

std::unique_ptr<nvinfer1::IRefitter> Library::create_refitter(nvinfer1::ICudaEngine& engine) const {
  auto* entry = symbol<void*(void*, void*, std::int32_t)>(handle_, "createInferRefitter_INTERNAL");
  return std::unique_ptr<nvinfer1::IRefitter>(
      static_cast<nvinfer1::IRefitter*>(entry(&engine, &Logger::get(), NV_TENSORRT_VERSION)));
}

}  // namespace torchtrt::tensorrt
