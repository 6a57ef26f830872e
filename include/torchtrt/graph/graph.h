// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/expr.h>
#include <torchtrt/network/network.h>

/// The ATen graph as torch.export captured it: nodes in execution order over named values. Plain data; Python fills it
/// (src/python), tests write it as text.
namespace torchtrt::graph {

/// What is known of a tensor without running: PyTorch's own fake-tensor metadata.
struct TensorMeta {
  DataType dtype = DataType::kFloat32;
  Dims dims;
  bool operator==(const TensorMeta&) const = default;
};

/// Use of another value by name.
struct Ref {
  std::string name;
  bool operator==(const Ref&) const = default;
};

/// One argument of a node. A symbolic integer (SymInt) arrives as an Expr, already free of graph nodes: sym_size and
/// the arithmetic on it never become nodes of this graph. None is std::monostate. A torch.dtype is a DataType; memory
/// format, layout and device arrive as Str.
struct Argument;
using List = std::vector<Argument>;
struct Argument {
  std::variant<std::monostate, bool, std::int64_t, double, std::string, DataType, Expr, Ref, List> value;
  bool operator==(const Argument&) const = default;
};

/// A call of one ATen overload. `outputs` names one value per returned tensor (aten.topk: two), with its metadata.
struct Node {
  std::string name;
  std::string target;  ///< "aten.add.Tensor"
  std::vector<Argument> args;
  std::map<std::string, Argument> kwargs;
  struct Output {
    std::string name;
    std::optional<TensorMeta> meta;  ///< Absent where the schema returns nothing or an unused non-tensor.
    bool operator==(const Output&) const = default;
  };
  std::vector<Output> outputs;
  std::string source;  ///< "model.py:31 in forward: x = self.fc(x)"; may be empty.
};

struct Input {
  std::string name;
  TensorMeta meta;
  /// A 0-d int64 host tensor holding the value of this symbol (empty: an ordinary tensor).
  std::string shape_symbol;
};

/// A parameter, buffer or lifted constant. Elements row-major contiguous; storage shared with its owner.
struct Constant {
  std::string name;
  TensorMeta meta;
  network::Weights weights;
};

struct Graph {
  std::string name = "graph";
  std::map<std::string, network::SymbolRange> symbols;
  std::vector<Input> inputs;
  std::vector<Constant> constants;
  std::vector<Node> nodes;
  std::vector<std::string> outputs;

  /// Error(kInvalidArgument) naming the first violation: unknown or repeated names, use before definition, symbols that
  /// are not declared, missing outputs.
  void verify() const;
};

/// How often each value is read, by nodes and as an output of the graph.
std::unordered_map<std::string, std::size_t> use_counts(const Graph& graph);

/// Text form (grammar in src/graph/README.md); parse(print(g)) prints the same. Constants' elements are not printed.
std::string print(const Graph& graph);
Graph parse(std::string_view text);

}  // namespace torchtrt::graph
