// SPDX-License-Identifier: Apache-2.0
#include "base/module.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <sstream>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

namespace torchtrt {
namespace {

// The folder of the library that holds this function, links resolved.
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
  if (configured == nullptr || *configured == '\0') return {own_folder()};
  std::vector<std::string> folders;
  std::istringstream list(configured);
  for (std::string folder; std::getline(list, folder, ':');) {
    if (!folder.empty()) folders.push_back(folder);
  }
  return folders;
}

}  // namespace

void* module_entry(const std::string& file, const char* symbol, std::string_view remedy) {
  std::string searched;
  for (const std::string& folder : search_folders()) {
    const std::string path = folder + "/" + file;
    if (access(path.c_str(), F_OK) != 0) {
      searched += (searched.empty() ? "" : ", ") + folder;
      continue;
    }
    void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) {
      const char* reason = dlerror();
      fail(ErrorCode::kNotFound, "cannot open ", path, " (", reason != nullptr ? reason : "unknown reason",
           "): ", remedy);
    }
    void* entry = dlsym(module, symbol);
    if (entry == nullptr) {
      dlclose(module);
      fail(ErrorCode::kVersionMismatch, path, " is not a module of this release (no function ", symbol,
           "): install libtorchtrt and its modules from one release");
    }
    TORCHTRT_LOG(kDebug, "opened ", path);
    return entry;
  }
  fail(ErrorCode::kNotFound, "the module ", file, " is not in ", searched, ": ", remedy);
}

}  // namespace torchtrt
