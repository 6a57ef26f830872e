// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <torchtrt/base/log.h>

#include "backends/tensorrt/replace_file.h"

/// The file behind BuildSettings::timing_cache_path. A cache only saves time: whatever is wrong with the file is a
/// warning, and the build goes on. Processes and threads may share a file: the one that writes last wins, and readers never see half
/// of it.
namespace torchtrt::tensorrt {

/// `attach` makes the builder use a cache with these bytes (none: a fresh one); false: they are no cache that it takes.
inline void read_timing_cache(const std::string& path,
                              const std::function<bool(std::span<const std::byte> bytes)>& attach) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::error_code error;
  if (!bytes.empty()) {
    if (attach(std::as_bytes(std::span(bytes)))) return;
    TORCHTRT_LOG(kWarning, "the timing cache \"", path,
                 "\" is damaged, or of another GPU or release: a fresh one takes its place");
  } else if (std::filesystem::exists(path, error) && !file.good() && !file.eof()) {
    TORCHTRT_LOG(kWarning, "the timing cache \"", path, "\" cannot be read");
  }
  if (!attach({})) TORCHTRT_LOG(kWarning, "the build goes on without a timing cache: the library gives none");
}

/// Makes the folder if need be.
inline void write_timing_cache(const std::string& path, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::filesystem::path target(path);
  std::error_code error;
  if (target.has_parent_path()) std::filesystem::create_directories(target.parent_path(), error);
  if (!error) error = replace_file(path, bytes);
  if (error) TORCHTRT_LOG(kWarning, "the timing cache \"", path, "\" cannot be written: ", error.message());
}

}  // namespace torchtrt::tensorrt
