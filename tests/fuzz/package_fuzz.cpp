// SPDX-License-Identifier: Apache-2.0
// The input is metadata (text) and, at the same time, a whole file. What the reader accepts must survive being written
// and read again.
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include <torchtrt/base/error.h>

#include "format/package.h"

namespace {

/// Metadata begins with its own checksum; it is put right, or no mutation would get past it.
void mend_checksum(std::string& text) {
  constexpr std::string_view kPrefix = R"({"crc32c":")";
  constexpr std::size_t kDigits = 8;
  if (!text.starts_with(kPrefix) || text.size() < kPrefix.size() + kDigits) return;
  const auto covered = std::span(text).subspan(kPrefix.size() + kDigits);
  char digits[kDigits + 1];
  std::snprintf(digits, sizeof digits, "%08x", torchtrt::format::crc32c(std::as_bytes(covered)));
  text.replace(kPrefix.size(), kDigits, digits);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace torchtrt;
  try {
    std::string text(reinterpret_cast<const char*>(data), size);
    mend_checksum(text);
    const std::string written = format::write_metadata(format::read_metadata(text, 1 << 20));
    if (format::write_metadata(format::read_metadata(written, 1 << 20)) != written) std::abort();
  } catch (const Error&) {
  }
  try {
    format::read_file_image(std::as_bytes(std::span(data, size)));
  } catch (const Error&) {
  }
  return 0;
}
