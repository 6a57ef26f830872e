// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <ios>
#include <span>
#include <string>
#include <system_error>

namespace torchtrt::tensorrt {

/// Makes `bytes` the contents of the file: written beside it and renamed, since a rename does not cross file systems.
/// Readers see the former contents or these, never half; of several writers (threads, processes) the last wins. Gives
/// the reason where it fails; then the file is as it was.
[[nodiscard]] inline std::error_code replace_file(const std::string& path, std::span<const std::byte> bytes) {
  static std::atomic<int> number{0};
  const std::filesystem::path beside =
      path + "." + std::to_string(::getpid()) + "." + std::to_string(++number) + ".tmp";
  std::error_code error;
  {
    std::ofstream file(beside, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) error = std::make_error_code(std::errc::io_error);
  }
  if (!error) std::filesystem::rename(beside, path, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
  }
  return error;
}

}  // namespace torchtrt::tensorrt
