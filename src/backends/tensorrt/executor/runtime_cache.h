// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backends/tensorrt/compat/native_cache.h"

namespace torchtrt::tensorrt {

/// Kernels that TensorRT-RTX compiled for this machine, in memory and in a file: one per file and process, shared by its
/// engines. The file says what it is for and has a checksum; it is only ever replaced as a whole (written beside, then
/// renamed), so that several processes may use it. Of two that write, the larger cache stays. Thread-safe.
class RuntimeCache {
 public:
  /// The process's cache in file `path`, made by `create` if there is none. `identity`: what compiled it, and for what
  /// ("TensorRT-RTX 1.7.1, NVIDIA ..."). A file for another identity, or one that is damaged, is not used (the latter
  /// with a warning) and will be replaced. Error(kInvalidArgument) for a file that was never a cache.
  static std::shared_ptr<RuntimeCache> open(const std::string& path, const std::string& identity,
                                            const std::function<std::unique_ptr<NativeCache>()>& create);
  RuntimeCache(std::string path, std::string identity, std::unique_ptr<NativeCache> native);

  /// Writes the file if the cache holds more than it. Error(kNotFound) where that is impossible, with the file as it was.
  void save();
  [[nodiscard]] NativeCache& native() { return *native_; }

 private:
  /// What of a file is the library's; nullopt where the file is missing, damaged or for another identity.
  [[nodiscard]] std::optional<std::vector<std::byte>> read(bool warns) const;

  const std::string path_, identity_;
  const std::unique_ptr<NativeCache> native_;
  std::mutex mutex_;
  bool replaces_ = false;  // the file holds what the library refused
};

}  // namespace torchtrt::tensorrt
