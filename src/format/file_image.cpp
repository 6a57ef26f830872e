// SPDX-License-Identifier: Apache-2.0
// The package as one file. Header, little-endian, 64 bytes:
//
//   offset size
//        0    8  magic "TRCHTRT\n"; the line feed shows a transfer that changed line ends
//        8    4  format version
//       12    4  minimum reader version
//       16    8  total length
//       24    8  metadata offset (64)
//       32    8  metadata length
//       40    8  payload offset, a multiple of 64
//       48    8  payload length
//       56    4  zero
//       60    4  CRC-32C of bytes 0..59 and of the metadata
#include <array>
#include <bit>
#include <cstring>

#include <torchtrt/base/error.h>

#include "format/package.h"

namespace torchtrt::format {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the package is little-endian and so are the machines we run on");

constexpr std::size_t kHeaderSize = 64;
constexpr std::size_t kAlignment = 64;
constexpr std::array<char, 8> kMagic{'T', 'R', 'C', 'H', 'T', 'R', 'T', '\n'};

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kFormatVersion;
  std::uint32_t minimum_reader = kMinimumReader;
  std::uint64_t total = 0;
  std::uint64_t metadata_offset = kHeaderSize, metadata_size = 0;
  std::uint64_t payload_offset = 0, payload_size = 0;
  std::uint32_t reserved = 0;
  std::uint32_t checksum = 0;
};
static_assert(sizeof(Header) == kHeaderSize);

std::uint32_t checksum_of(const Header& header, std::span<const std::byte> metadata) {
  const auto covered = std::as_bytes(std::span(&header, 1)).first(offsetof(Header, checksum));
  return crc32c(metadata, crc32c(covered));
}

std::size_t aligned(std::size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

SectionSpec PayloadWriter::append(std::string name, std::span<const std::byte> bytes) {
  const std::size_t offset = aligned(bytes_.size());
  bytes_.resize(offset);
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return {std::move(name), offset, bytes.size(), crc32c(bytes)};
}

SectionSpec PayloadWriter::append_parts(std::string name, std::span<const std::span<const std::byte>> parts) {
  const std::size_t offset = aligned(bytes_.size());
  std::size_t end = offset;
  for (const auto part : parts) end = aligned(end) + part.size();
  bytes_.reserve(end);
  bytes_.resize(offset);
  for (const auto part : parts) {
    bytes_.resize(aligned(bytes_.size()));
    bytes_.insert(bytes_.end(), part.begin(), part.end());
  }
  return {std::move(name), offset, end - offset, crc32c(std::span(bytes_).subspan(offset))};
}

std::span<const std::byte> section_bytes(const SectionSpec& section, std::span<const std::byte> payload) {
  TORCHTRT_CHECK(section.offset <= payload.size() && section.size <= payload.size() - section.offset, kDataLoss,
                 "section \"", section.name, "\" occupies bytes ", section.offset, "..+", section.size,
                 " of a payload that has only ", payload.size(), ": the file is truncated or damaged");
  return payload.subspan(section.offset, section.size);
}

void verify_checksum(const SectionSpec& section, std::span<const std::byte> payload, std::string_view engine_name) {
  const std::uint32_t found = crc32c(section_bytes(section, payload));
  TORCHTRT_CHECK(found == section.crc32c, kDataLoss, "engine \"", engine_name, "\": section \"", section.name,
                 "\" has the checksum ", found, " instead of ", section.crc32c,
                 ": its bytes are not those that were saved; save the model again or copy the file again");
}

std::vector<std::byte> write_file_image(const std::string& metadata, std::span<const std::byte> payload) {
  Header header;
  header.metadata_size = metadata.size();
  header.payload_offset = aligned(kHeaderSize + metadata.size());
  header.payload_size = payload.size();
  header.total = header.payload_offset + payload.size();
  header.checksum = checksum_of(header, std::as_bytes(std::span(metadata)));
  std::vector<std::byte> image;
  image.reserve(header.total);
  const auto header_bytes = std::as_bytes(std::span(&header, 1));
  const auto metadata_bytes = std::as_bytes(std::span(metadata));
  image.insert(image.end(), header_bytes.begin(), header_bytes.end());
  image.insert(image.end(), metadata_bytes.begin(), metadata_bytes.end());
  image.resize(header.payload_offset);
  image.insert(image.end(), payload.begin(), payload.end());
  return image;
}

FileImage read_file_image(std::span<const std::byte> image) {
  TORCHTRT_CHECK(image.size() >= kMagic.size() && std::memcmp(image.data(), kMagic.data(), kMagic.size()) == 0,
                 kDataLoss, "not an engine package: it does not begin with the magic bytes \"TRCHTRT\\n\"");
  TORCHTRT_CHECK(image.size() >= kHeaderSize, kDataLoss, "engine package truncated: ", image.size(),
                 " bytes, shorter than its header of ", kHeaderSize);
  Header header;
  std::memcpy(&header, image.data(), kHeaderSize);
  TORCHTRT_CHECK(header.minimum_reader <= static_cast<std::uint32_t>(kFormatVersion), kVersionMismatch,
                 "engine package of format ", header.version, ", which needs a reader of format ",
                 header.minimum_reader, "; this library reads up to format ", kFormatVersion,
                 ": update torch_tensorrt's runtime");
  TORCHTRT_CHECK(header.total == image.size(), kDataLoss, "engine package of ", header.total, " bytes, but ",
                 image.size(), " are there: it is truncated or damaged");
  // Every sum below is of values already known to be at most the image's size.
  TORCHTRT_CHECK(
      header.metadata_offset == kHeaderSize && header.metadata_size <= image.size() - kHeaderSize &&
          header.payload_offset >= kHeaderSize + header.metadata_size && header.payload_offset <= image.size() &&
          header.payload_offset % kAlignment == 0 && header.payload_size == image.size() - header.payload_offset,
      kDataLoss, "engine package damaged: its header names parts that do not fit into ", image.size(), " bytes");
  const auto metadata = image.subspan(kHeaderSize, header.metadata_size);
  TORCHTRT_CHECK(checksum_of(header, metadata) == header.checksum, kDataLoss,
                 "engine package damaged: the checksum of its header and metadata does not match");
  FileImage result;
  result.metadata.assign(reinterpret_cast<const char*>(metadata.data()), metadata.size());
  result.payload = image.subspan(header.payload_offset);
  return result;
}

}  // namespace torchtrt::format
