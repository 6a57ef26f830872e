// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include <torchtrt/backend/builder.h>
#include <torchtrt/base/error.h>
#include <torchtrt/network/network.h>

#include <torchtrt/graph/graph.h>

namespace torchtrt::compiler {

/// A node that stays in PyTorch, and why.
struct NodeRefusal {
  std::string node;
  std::string target;
  backend::Refusal refusal;
  std::string source;
};

/// What convert() throws: kUnsupported with the node, its source line and the reason.
class TORCHTRT_API ConversionError : public Error {
 public:
  explicit ConversionError(NodeRefusal refusal);
  [[nodiscard]] const NodeRefusal& refusal() const noexcept { return refusal_; }

 private:
  NodeRefusal refusal_;
};

/// Whether engines may assume what cannot be proven (small integers, indices in range), because their exact form runs
/// where it does not hold: guards that the engine computes, ranges of inputs that the runtime checks.
enum class Assume : bool { kNothing, kWhatIsChecked };

/// Dry run of the converters over the whole graph: the nodes that cannot go to an engine of every one of `backends`, in
/// order. A refused node's results enter the rest of the dry run as fresh inputs. `use_plugins`: operators that no layer
/// expresses may become plugins (torchtrt/converters/plugin.h).
std::vector<NodeRefusal> query(const graph::Graph& graph, std::span<backend::Builder* const> backends,
                               bool use_plugins = false, Assume assume = Assume::kWhatIsChecked);

struct Converted {
  network::Network network;
  /// Some output's shape is known only after a run, or a user's converter asked for the output allocator.
  bool requires_output_allocator = false;
  /// The name of the graph's node that a layer was made for, by the layer's name.
  std::unordered_map<std::string, std::string> nodes{};
};
/// Converts a graph of which every node is supported by every one of `backends`; ConversionError for the first that is
/// not. The result is verified and has no dead layers. `narrow_int64_inputs`: require 32-bit values of int64 inputs even
/// if none of `backends` does, for one that may come later.
Converted convert(const graph::Graph& graph, std::span<backend::Builder* const> backends, bool use_plugins = false,
                  bool narrow_int64_inputs = false, Assume assume = Assume::kWhatIsChecked);

}  // namespace torchtrt::compiler
