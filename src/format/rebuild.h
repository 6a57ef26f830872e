// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/package.h"

/// How the runtime asks the compiler for an engine that the package does not have. Neither links the other: the runtime
/// opens libtorchtrt.so only when it rebuilds.
namespace torchtrt::format {

struct RebuiltSection {
  std::string name;
  std::shared_ptr<const void> owner;  ///< Keeps the bytes alive.
  std::span<const std::byte> bytes;   ///< Of any alignment.
};

/// One target, built again.
struct RebuiltTarget {
  std::string backend, producer;
  std::map<std::string, std::string> properties;
  std::vector<RebuiltSection> sections;
};

/// The compiler as the runtime sees it. Thread-safe; one per process, never destroyed.
class Rebuilder {
 public:
  virtual ~Rebuilder() = default;
  /// Builds the packed network for a target. Errors: kDataLoss for a damaged network, kNotFound where the builder or its
  /// library is missing, kUnsupported that names the layer which the target refuses, kInvalidArgument for a name that is
  /// no target or for a package without a network.
  virtual RebuiltTarget rebuild(const Metadata& metadata, std::span<const std::byte> payload,
                                std::string_view target) = 0;
};

/// `Rebuilder* torchtrt_rebuilder(std::uint32_t interface_version)`, a C symbol of libtorchtrt.so: nullptr if the version
/// is not the one it was built for.
using RebuilderEntry = Rebuilder* (*)(std::uint32_t interface_version);
inline constexpr std::uint32_t kRebuilderInterfaceVersion = 1;
inline constexpr const char* kRebuilderSymbol = "torchtrt_rebuilder";
inline constexpr const char* kCompilerLibrary = "libtorchtrt.so";

}  // namespace torchtrt::format
