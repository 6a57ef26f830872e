// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include <torchtrt/backend/builder.h>
#include <torchtrt/network/network.h>

#include "graph/graph.h"

namespace torchtrt::compiler {

/// A node that stays in PyTorch, and why.
struct NodeRefusal {
  std::string node;
  std::string target;
  backend::Refusal refusal;
  std::string source;
};

/// Dry run of the converters over the whole graph for every one of `backends`: which nodes cannot go to an engine. A
/// refused node's results enter the rest of the dry run as fresh inputs.
std::vector<NodeRefusal> query(const graph::Graph& graph, const std::vector<backend::Builder*>& backends);

/// Converts a graph of which every node is supported; Error(kUnsupported) naming the node, its source line and the
/// reason otherwise. The result is verified.
network::Network convert(const graph::Graph& graph);

}  // namespace torchtrt::compiler
