// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <torchtrt/backend/builder.h>

#include <torchtrt/graph/graph.h>
#include "compiler/convert.h"

/// From a captured graph to an engine package: convert -> network -> build for every target -> package.
namespace torchtrt::compiler {

/// Everything that decides what an engine is. Partitioning settings (min_block_size, torch_executed_ops, ..) are not
/// here: they are over by the time a graph comes.
struct CompileSettings {
  /// One engine for each is packed. Of several, those that this machine cannot build are left out. Engines for the CPU
  /// have the exact form ("aten") as well, named or not, unless their weights are stripped.
  std::vector<std::string> targets{"openvino"};
  std::string device = "cpu";  ///< "cpu" or "cuda": where the engine will run.
  bool use_plugins = false;    ///< Operators that no layer expresses may become plugins.
  backend::BuildSettings build;
  std::string torch_version;  ///< For the package's producer note.
  /// Pack the network as well, so that targets can be built again without the model. The weights are in the package once
  /// more, and int64 inputs have to hold 32-bit values, as some target may want.
  bool rebuildable = false;
};

struct CompiledEngine {
  std::string metadata;            ///< JSON text (format/README.md).
  std::vector<std::byte> payload;  ///< The engines' sections, aligned to 64 bytes.
  std::string network;             ///< Text form of the network, for reports.
  std::size_t layer_count = 0;
  bool requires_output_allocator = false;
};

/// Which nodes of the graph stay in PyTorch, for these targets. All builders that are there are asked, with or without
/// their library: the answer, and with it the program, is the same on every machine.
std::vector<NodeRefusal> query(const graph::Graph& graph, const CompileSettings& settings);

/// A package that was compiled before.
struct Package {
  std::string_view metadata;
  std::span<const std::byte> payload;
};

/// ConversionError for a node that cannot be converted; Error(kUnsupported) when a builder fails. Error(kNotFound) if no
/// target can be built on this machine; if some can, a warning names the others and why. `former`: an engine of a graph
/// that may differ from this one in weights only; targets whose builder can are refitted instead of built.
CompiledEngine compile(const graph::Graph& graph, const CompileSettings& settings,
                       const std::optional<Package>& former = std::nullopt);

/// The package with engines for these targets (empty: those that it has) instead of its own, built from the network that
/// it carries and goes on carrying. Errors: those of unpack_network() and compile(); Error(kUnsupported) that names the
/// layer which a target refuses.
CompiledEngine rebuild(std::string_view metadata, std::span<const std::byte> payload, std::vector<std::string> targets);

}  // namespace torchtrt::compiler
