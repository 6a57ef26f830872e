// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/expr.h>

/// The engine package: the only thing that the compiler and the runtime share. Rules of its evolution: README.md.
///
/// In a torch container it is a pair (metadata: JSON text, payload: bytes); as a file, header + metadata + payload.
namespace torchtrt::format {

struct InputSpec {
  std::string name;
  DataType dtype{};
  Dims dims;
  /// A 0-d int64 host tensor with this symbol's value; empty for ordinary inputs.
  std::string shape_symbol;
  /// Integer inputs whose elements the engine can only take within this range (checked before each run on a CPU).
  std::optional<Interval> value_range;
  bool operator==(const InputSpec&) const = default;
};
struct OutputSpec {
  std::string name;
  DataType dtype{};
  Dims dims;  ///< Over the inputs' symbols; a symbol that no input binds is known only after the run.
  bool operator==(const OutputSpec&) const = default;
};
struct SymbolSpec {
  std::int64_t min = 0, opt = 1, max = Interval::kUnbounded;
  bool operator==(const SymbolSpec&) const = default;
};
/// What the sizes of one call must be like, beyond the range of each: of these comparisons with 0 one must hold. The
/// model's Python code branched on it while it was captured, and the program has the one branch.
struct GuardSpec {
  enum class Sign { kZero, kNonzero, kNotNegative };
  struct Comparison {
    Expr value;
    Sign sign{};
  };
  std::vector<Comparison> any;
  std::string text;  ///< For messages: "x.size(1) % 2 != 0".
};
struct SectionSpec {
  std::string name;
  std::uint64_t offset = 0, size = 0;  ///< Within the payload; offset is a multiple of 64.
  std::uint32_t crc32c = 0;
};
struct TargetSpec {
  std::string backend;   ///< "openvino", "tensorrt", "tensorrt_rtx"
  std::string producer;  ///< "OpenVINO 2026.4.1"
  std::map<std::string, std::string> properties;
  std::vector<SectionSpec> sections;
};

/// The network that the targets were built from, for those who build it again (src/compiler/packed_network.h).
struct NetworkSpec {
  std::map<std::string, std::string> settings;  ///< Of the compiler: how the engine was built.
  std::vector<SectionSpec> sections;
};

/// Everything about an engine but its bytes.
struct Metadata {
  std::string name;
  std::vector<InputSpec> inputs;
  std::vector<OutputSpec> outputs;
  std::map<std::string, SymbolSpec> symbols;
  std::vector<GuardSpec> guards;  ///< Of a program's inputs; engines have none.
  std::vector<TargetSpec> targets;
  bool requires_output_allocator = false;
  std::string device = "cpu";                   ///< Device type the engine was compiled for: "cpu" or "cuda".
  std::map<std::string, std::string> producer;  ///< "torchtrt", "torch": versions, for messages.
  std::optional<NetworkSpec> network;           ///< Only where rebuilding was asked for.
};

/// Version written by this library, and the oldest reader that can use what it writes.
inline constexpr int kFormatVersion = 2;
inline constexpr int kMinimumReader = 1;

/// Error(kInvalidArgument) if the metadata contradicts itself (see read_metadata) or a string is not UTF-8.
std::string write_metadata(const Metadata& metadata);
/// Error(kDataLoss) for text that is not metadata (says where), Error(kVersionMismatch) for a newer format. Every bound
/// is checked against `payload_size`; unknown fields are ignored. What it returns is consistent: every symbol of an
/// input's dims is declared with a range and bound by some input (a dim that is that symbol alone, or a shape input).
Metadata read_metadata(std::string_view text, std::uint64_t payload_size);
/// The fields of metadata that say what inputs must be ("name", "device", "inputs", "symbols", and "guards", which need
/// not be there), as plain JSON: a program that takes inputs besides those of engines carries them in
/// `tensorrt::check_inputs`. Error(kDataLoss) as above.
Metadata read_inputs(std::string_view text);

/// The section's bytes within the whole payload; Error(kDataLoss) if it does not lie inside it.
std::span<const std::byte> section_bytes(const SectionSpec& section, std::span<const std::byte> payload);
/// Error(kDataLoss) naming the section if its bytes, found at its offset in the whole payload, are not those that were
/// written.
void verify_checksum(const SectionSpec& section, std::span<const std::byte> payload, std::string_view engine_name);

/// CRC-32C (Castagnoli), with the processor's instruction where it has one. `seed` is the checksum of the bytes before.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

/// Sections begin at multiples of this.
inline constexpr std::size_t kSectionAlignment = 64;

/// Lays out sections: appends `size` bytes at the next multiple of 64 and records offset, size and checksum.
class PayloadWriter {
 public:
  SectionSpec append(std::string name, std::span<const std::byte> bytes);
  /// One section of several parts, each at the next multiple of 64 after the one before.
  SectionSpec append_parts(std::string name, std::span<const std::span<const std::byte>> parts);
  /// What was appended so far; valid until the next append.
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

/// A whole package as one file: 64-byte header (magic, version, lengths, checksum), metadata, payload.
std::vector<std::byte> write_file_image(const std::string& metadata, std::span<const std::byte> payload);
struct FileImage {
  std::string metadata;
  std::span<const std::byte> payload;
};
/// Error(kDataLoss) for bytes that are not a whole, undamaged package, Error(kVersionMismatch) for a newer one. The
/// payload points into `image`. The header's checksum covers header and metadata; the sections carry their own.
FileImage read_file_image(std::span<const std::byte> image);

}  // namespace torchtrt::format
