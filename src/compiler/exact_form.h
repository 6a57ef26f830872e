// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <torchtrt/backend/builder.h>

#include <torchtrt/graph/graph.h>
#include "format/package.h"

/// The target "aten" of an engine package: the engine's ATen graph, for PyTorch's own operators to execute where a vendor's
/// engine cannot answer (src/format/README.md has the text form, src/torch/aten_program.h the reader).
namespace torchtrt::compiler {

/// Constants' elements that a target of the package holds already.
struct StoredConstants {
  std::string target;
  format::SectionSpec section;
  struct Place {
    std::uint64_t offset = 0, size = 0;  ///< Within the section.
  };
  std::vector<Place> places;
};

class ExactForm {
 public:
  /// Of a graph. nullopt, with the reason in the log, for one that needs a size which nothing in it determines.
  static std::optional<ExactForm> of(const graph::Graph& graph, const std::string& torch_version);
  /// Of a package that was compiled before; nullopt if it has none. Error(kDataLoss) for a damaged one.
  static std::optional<ExactForm> of(const format::Metadata& metadata, std::span<const std::byte> payload);

  /// Appends its sections. Constants whose elements are among those that are stored are referred to there; the target lists
  /// that section as its own.
  [[nodiscard]] format::TargetSpec write(format::PayloadWriter& payload,
                                         const std::vector<StoredConstants>& stored) const;

 private:
  struct Constant {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes;
  };
  std::string program_;  // JSON without the constants' places
  std::string producer_;
  std::vector<Constant> constants_;
};

}  // namespace torchtrt::compiler
