// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <torchtrt/backend/builder.h>

#include <torchtrt/graph/graph.h>
#include "compiler/convert.h"

/// From a captured graph to an engine package: convert -> network -> build for every target -> package.
namespace torchtrt::compiler {

/// Everything that decides what an engine is. Partitioning settings (min_block_size, torch_executed_ops, ..) are not
/// here: they are over by the time a graph comes.
struct CompileSettings {
  std::vector<std::string> targets{"openvino"};  ///< One engine for each is packed.
  std::string device = "cpu";                    ///< "cpu" or "cuda": where the engine will run.
  bool use_plugins = false;                      ///< Operators that no layer expresses may become plugins.
  backend::BuildSettings build;
  std::string torch_version;  ///< For the package's producer note.
};

struct CompiledEngine {
  std::string metadata;            ///< JSON text (format/README.md).
  std::vector<std::byte> payload;  ///< The engines' sections, aligned to 64 bytes.
  std::string network;             ///< Text form of the network, for reports.
  std::size_t layer_count = 0;
  bool requires_output_allocator = false;
};

/// Which nodes of the graph stay in PyTorch, for these targets.
std::vector<NodeRefusal> query(const graph::Graph& graph, const CompileSettings& settings);

/// ConversionError for a node that cannot be converted; Error(kUnsupported) when a builder fails.
CompiledEngine compile(const graph::Graph& graph, const CompileSettings& settings);

}  // namespace torchtrt::compiler
