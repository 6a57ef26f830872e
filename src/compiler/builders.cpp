// SPDX-License-Identifier: Apache-2.0
#include "compiler/builders.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

namespace torchtrt::compiler {
namespace {

struct Target {
  std::string_view name;
  std::string_view needs;  // what the user installs
};
constexpr std::array<Target, 3> kTargets{{
    {"openvino", "the Python package openvino (`pip install openvino==2026.4.1`)"},
    {"tensorrt_rtx", "the Python package tensorrt-rtx-cu13-libs (`pip install tensorrt-rtx-cu13-libs`)"},
    {"tensorrt", "TensorRT from NVIDIA (set TensorRT_ROOT to its folder)"},
}};

std::vector<std::filesystem::path> search_path() {
  std::vector<std::filesystem::path> folders;
  if (const char* variable = std::getenv("TORCHTRT_BACKEND_PATH")) {
    std::string_view rest = variable;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      if (end > 0) folders.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&builder), &info) != 0 && info.dli_fname != nullptr) {
    folders.push_back(std::filesystem::absolute(info.dli_fname).parent_path());
  }
  return folders;
}

backend::Builder* open(const Target& target) {
  const std::string file = detail::concat("libtorchtrt_", target.name, "_builder.so");
  std::string tried;
  for (const std::filesystem::path& folder : search_path()) {
    const std::filesystem::path path = folder / file;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) {
      tried += detail::concat("\n  ", path.string(), ": no such file");
      continue;
    }
    // RTLD_LOCAL: the vendors' libraries stay invisible to each other. Never closed: vendor objects live on.
    void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) {
      tried += detail::concat("\n  ", dlerror());
      continue;
    }
    const auto entry = reinterpret_cast<backend::BuilderEntry>(dlsym(module, backend::kBuilderSymbol));
    backend::Builder* result = entry == nullptr ? nullptr : entry(backend::kBuilderInterfaceVersion);
    TORCHTRT_CHECK(result != nullptr, kVersionMismatch, path.string(),
                   " was built for another release of torchtrt (interface ", backend::kBuilderInterfaceVersion,
                   " is needed): install libtorchtrt and its modules from one release");
    TORCHTRT_LOG(kDebug, "opened ", path.string());
    return result;
  }
  fail(ErrorCode::kNotFound, "no builder for target \"", target.name, "\": it needs ", target.needs,
       " and a torchtrt that was built with it. Tried:", tried);
}

}  // namespace

backend::Builder& builder(std::string_view name) {
  static std::mutex mutex;
  static auto* opened = new std::map<std::string, backend::Builder*, std::less<>>;
  const std::lock_guard lock(mutex);
  if (const auto found = opened->find(name); found != opened->end()) return *found->second;
  for (const Target& target : kTargets) {
    if (target.name == name) {
      backend::Builder* result = open(target);  // a failure is not remembered: the user may install what is missing
      opened->emplace(name, result);
      return *result;
    }
  }
  fail(ErrorCode::kInvalidArgument, "unknown target \"", name,
       "\": expected \"openvino\", \"tensorrt_rtx\" or \"tensorrt\"");
}

}  // namespace torchtrt::compiler
