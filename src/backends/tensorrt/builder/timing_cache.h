// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/file.h>
#include <unistd.h>

#include <fcntl.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <torchtrt/base/log.h>

#include "backends/tensorrt/replace_file.h"

/// The file behind BuildSettings::timing_cache_path. A cache only saves time: whatever is wrong with the file is a
/// warning, and the build goes on. Processes and threads may share a file: what one adds the others keep, and readers never
/// see half of it.
namespace torchtrt::tensorrt {

/// The file that a path names: itself, or where it is a folder (it ends with '/', or there is one) the file in it for
/// this library ("TensorRT 10.6.0") and GPU ("NVIDIA H200"), since timings are of no use to others.
inline std::string timing_cache_file(const std::string& path, const std::string& library, const std::string& gpu) {
  std::error_code ignored;
  if (path.empty() || (path.back() != '/' && !std::filesystem::is_directory(path, ignored))) return path;
  std::string name = library + "-" + gpu + ".timings";
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '-'; }, '_');
  return (std::filesystem::path(path) / name).string();
}

/// The file's contents; nothing where it cannot be read.
inline std::vector<std::byte> timings_in(const std::string& path) {
  std::error_code ignored;
  const std::uintmax_t size =
      std::filesystem::is_regular_file(path, ignored) ? std::filesystem::file_size(path, ignored) : 0;
  if (ignored || size == 0) return {};
  std::vector<std::byte> bytes(size);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  return bytes;
}

/// `attach` makes the builder use a cache with these bytes (none: a fresh one); false: they are no cache that it takes.
/// The bytes that it took.
inline std::vector<std::byte> read_timing_cache(const std::string& path,
                                                const std::function<bool(std::span<const std::byte> bytes)>& attach) {
  std::vector<std::byte> bytes = timings_in(path);
  std::error_code error;
  if (!bytes.empty()) {
    if (attach(bytes)) return bytes;
    TORCHTRT_LOG(kWarning, "the timing cache \"", path,
                 "\" is damaged, or of another GPU or release: a fresh one takes its place");
  } else if (std::filesystem::exists(path, error) && ::access(path.c_str(), R_OK) != 0) {
    TORCHTRT_LOG(kWarning, "the timing cache \"", path, "\" cannot be read");
  }
  if (!attach({})) TORCHTRT_LOG(kWarning, "the build goes on without a timing cache: the library gives none");
  return {};
}

/// Held by one builder at a time, of all processes, while it replaces the file. Without a lock (some file systems have
/// none) the last writer's timings are what remains.
class TimingCacheLock {
 public:
  explicit TimingCacheLock(const std::string& path)
      : file_(::open((path + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (file_ >= 0) static_cast<void>(::flock(file_, LOCK_EX));
  }
  ~TimingCacheLock() {
    if (file_ >= 0) ::close(file_);
  }
  TimingCacheLock(const TimingCacheLock&) = delete;
  TimingCacheLock& operator=(const TimingCacheLock&) = delete;

 private:
  int file_;
};

/// Writes `known()`. Where the file is no longer `read`, other builders have been there: `add` gets its contents first, so
/// that theirs stay. Makes the folder if need be.
inline void write_timing_cache(const std::string& path, std::span<const std::byte> read,
                               const std::function<void(std::span<const std::byte>)>& add,
                               const std::function<std::vector<std::byte>()>& known) {
  const std::filesystem::path target(path);
  std::error_code error;
  if (target.has_parent_path()) std::filesystem::create_directories(target.parent_path(), error);
  if (!error) {
    const TimingCacheLock lock(path);
    const std::vector<std::byte> now = timings_in(path);
    if (!now.empty() && !std::ranges::equal(now, read)) add(now);
    const std::vector<std::byte> bytes = known();
    if (bytes.empty() || std::ranges::equal(bytes, now)) return;
    error = replace_file(path, bytes);
  }
  if (error) TORCHTRT_LOG(kWarning, "the timing cache \"", path, "\" cannot be written: ", error.message());
}

}  // namespace torchtrt::tensorrt
