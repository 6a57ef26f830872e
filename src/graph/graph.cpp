// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/graph/graph.h>

#include <set>

#include <torchtrt/base/error.h>

namespace torchtrt::graph {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph) {}

  void run() {
    for (const Input& input : graph_.inputs) {
      define(input.name);
      check_dims(input.name, input.meta.dims);
      check(input.shape_symbol.empty() || graph_.symbols.count(input.shape_symbol) == 1, "input %", input.name,
            " carries symbol ", input.shape_symbol, ", which is not declared");
    }
    for (const Constant& constant : graph_.constants) {
      define(constant.name);
      check(is_static(constant.meta.dims), "constant %", constant.name, " has the shape ",
            to_string(constant.meta.dims));
      const auto bytes = static_cast<std::size_t>(volume(constant.meta.dims).value()) * size_of(constant.meta.dtype);
      check(constant.weights.bytes == bytes, "constant %", constant.name, " has ", constant.weights.bytes,
            " bytes, its shape and dtype need ", bytes);
    }
    for (const Node& node : graph_.nodes) {
      for (const Argument& argument : node.args) check_argument(node, argument);
      for (const auto& [name, argument] : node.kwargs) check_argument(node, argument);
      for (const Node::Output& output : node.outputs) {
        define(output.name);
        if (output.meta) check_dims(output.name, output.meta->dims);
      }
    }
    check(!graph_.outputs.empty(), "there is no output");
    for (const std::string& output : graph_.outputs) {
      check(defined_.count(output) == 1, "output %", output, " is not defined");
    }
  }

 private:
  template <typename... Parts>
  void check(bool condition, const Parts&... parts) const {
    TORCHTRT_CHECK(condition, kInvalidArgument, "graph ", graph_.name, ": ", detail::concat(parts...));
  }
  void define(const std::string& name) {
    check(!name.empty(), "a value has no name");
    check(defined_.insert(name).second, "two values are named %", name);
  }
  void check_dims(const std::string& name, const Dims& dims) const {
    std::set<std::string> used;
    for (const Expr& dim : dims) dim.collect_symbols(used);
    for (const std::string& symbol : used) {
      check(graph_.symbols.count(symbol) == 1, "%", name, " uses symbol ", symbol, ", which is not declared");
    }
  }
  void check_argument(const Node& node, const Argument& argument) const {
    if (const auto* ref = std::get_if<Ref>(&argument.value)) {
      check(defined_.count(ref->name) == 1, "node ", node.name, " reads %", ref->name, " before it is defined");
    } else if (const auto* expr = std::get_if<Expr>(&argument.value)) {
      check_dims(node.name, {*expr});
    } else if (const auto* list = std::get_if<List>(&argument.value)) {
      for (const Argument& item : *list) check_argument(node, item);
    }
  }

  const Graph& graph_;
  std::set<std::string> defined_;
};

}  // namespace

void Graph::verify() const { Verifier(*this).run(); }

namespace {

void count_uses(const Argument& argument, std::unordered_map<std::string, std::size_t>& counts) {
  if (const auto* ref = std::get_if<Ref>(&argument.value)) {
    ++counts[ref->name];
  } else if (const auto* list = std::get_if<List>(&argument.value)) {
    for (const Argument& item : *list) count_uses(item, counts);
  }
}

}  // namespace

std::unordered_map<std::string, std::size_t> use_counts(const Graph& graph) {
  std::unordered_map<std::string, std::size_t> counts;
  for (const std::string& name : graph.outputs) ++counts[name];
  for (const Node& node : graph.nodes) {
    for (const Argument& argument : node.args) count_uses(argument, counts);
    for (const auto& [key, argument] : node.kwargs) count_uses(argument, counts);
  }
  return counts;
}

}  // namespace torchtrt::graph
