// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/runtime_cache.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "backends/tensorrt/replace_file.h"

namespace torchtrt::tensorrt {
namespace {

// The file: magic, sizes of identity and bytes, their checksum (little-endian 64-bit numbers), identity, bytes.
constexpr std::string_view kMagic = "TRTRTXC1";
constexpr std::size_t kHeaderSize = 8 + 3 * sizeof(std::uint64_t);

// FNV-1a: against damage, not against malice; who can write the file can run code as well.
std::uint64_t checksum(std::string_view identity, std::span<const std::byte> bytes) {
  std::uint64_t hash = 14695981039346656037U;
  const auto take = [&hash](unsigned char byte) { hash = (hash ^ byte) * 1099511628211U; };
  for (const char character : identity) take(static_cast<unsigned char>(character));
  for (const std::byte byte : bytes) take(static_cast<unsigned char>(byte));
  return hash;
}

std::vector<std::byte> image_of(std::string_view identity, std::span<const std::byte> bytes) {
  const std::uint64_t numbers[]{identity.size(), bytes.size(), checksum(identity, bytes)};
  std::vector<std::byte> image(kHeaderSize + identity.size() + bytes.size());
  std::memcpy(image.data(), kMagic.data(), kMagic.size());
  std::memcpy(image.data() + kMagic.size(), numbers, sizeof(numbers));
  std::memcpy(image.data() + kHeaderSize, identity.data(), identity.size());
  if (!bytes.empty()) std::memcpy(image.data() + kHeaderSize + identity.size(), bytes.data(), bytes.size());
  return image;
}

std::optional<std::vector<std::byte>> contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return std::vector<std::byte>(first, first + text.size());
}

}  // namespace

std::shared_ptr<RuntimeCache> RuntimeCache::open(const std::string& path, const std::string& identity,
                                                 const std::function<std::unique_ptr<NativeCache>()>& create) {
  static auto* mutex = new std::mutex;
  static auto* caches = new std::map<std::pair<std::string, std::string>, std::weak_ptr<RuntimeCache>>;
  std::error_code ignored;
  const std::filesystem::path full = std::filesystem::absolute(path, ignored);
  const std::string key = (full.empty() ? std::filesystem::path(path) : full).lexically_normal().string();
  const std::lock_guard lock(*mutex);
  std::weak_ptr<RuntimeCache>& known = (*caches)[{key, identity}];
  std::shared_ptr<RuntimeCache> cache = known.lock();
  if (cache == nullptr) {
    cache = std::make_shared<RuntimeCache>(key, identity, create());
    known = cache;
  }
  return cache;
}

RuntimeCache::RuntimeCache(std::string path, std::string identity, std::unique_ptr<NativeCache> native)
    : path_(std::move(path)), identity_(std::move(identity)), native_(std::move(native)) {
  const std::optional<std::vector<std::byte>> bytes = read(/*warns=*/true);
  if (!bytes) return;
  replaces_ = !native_->load(*bytes);
  if (replaces_) {
    TORCHTRT_LOG(kWarning, "the runtime cache \"", path_, "\" is not taken by ", identity_,
                 " (another driver, or damaged); a fresh one will replace it");
  }
}

std::optional<std::vector<std::byte>> RuntimeCache::read(bool warns) const {
  std::optional<std::vector<std::byte>> image = contents_of(path_);
  if (!image || image->empty()) return std::nullopt;
  const std::string_view text(reinterpret_cast<const char*>(image->data()), image->size());
  // What is no cache is something of the user's, not to be replaced.
  TORCHTRT_CHECK(kMagic.starts_with(text.substr(0, kMagic.size())), kInvalidArgument, "\"", path_,
                 "\" is no runtime cache: give the path of one, or of a file that does not exist");
  std::uint64_t numbers[3]{};
  if (text.size() >= kHeaderSize) std::memcpy(numbers, text.data() + kMagic.size(), sizeof(numbers));
  const auto [identity_size, size, expected] = numbers;
  const std::uint64_t left = text.size() - std::min(text.size(), kHeaderSize);
  const bool complete = text.size() >= kHeaderSize && identity_size <= left && size == left - identity_size;
  const std::string_view identity = complete ? text.substr(kHeaderSize, identity_size) : "";
  const auto first = image->begin() + static_cast<std::ptrdiff_t>(complete ? kHeaderSize + identity_size : 0);
  std::vector<std::byte> bytes(first, image->end());
  if (!complete || checksum(identity, bytes) != expected) {
    if (warns) TORCHTRT_LOG(kWarning, "the runtime cache \"", path_, "\" is damaged; a fresh one will replace it");
    return std::nullopt;
  }
  if (identity != identity_) {
    if (warns) {
      TORCHTRT_LOG(kInfo, "the runtime cache \"", path_, "\" is of ", identity, ", this is ", identity_,
                   "; a fresh one will replace it");
    }
    return std::nullopt;
  }
  return bytes;
}

void RuntimeCache::save() {
  const std::lock_guard lock(mutex_);
  const std::vector<std::byte> bytes = native_->serialize();
  if (bytes.empty()) return;
  if (!replaces_) {
    // Another process may have written meanwhile.
    const std::optional<std::vector<std::byte>> present = read(/*warns=*/false);
    if (present && present->size() >= bytes.size()) return;
  }
  const std::vector<std::byte> image = image_of(identity_, bytes);
  if (const std::error_code error = replace_file(path_, image)) {
    fail(ErrorCode::kNotFound, "the runtime cache \"", path_, "\" cannot be written (", error.message(),
         "): its folder has to exist and to be writable");
  }
  replaces_ = false;
}

}  // namespace torchtrt::tensorrt
