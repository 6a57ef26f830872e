// SPDX-License-Identifier: Apache-2.0
// The text form of a graph (README.md has the grammar); parse.cpp reads it back.
#include <charconv>
#include <ostream>

#include <torchtrt/base/error.h>
#include <torchtrt/graph/graph.h>
#include "base/scanner.h"

namespace torchtrt::graph {
namespace {

std::string argument_text(const Argument& argument) {
  struct Visitor {
    std::string operator()(std::monostate) const { return "None"; }
    std::string operator()(bool value) const { return value ? "True" : "False"; }
    std::string operator()(std::int64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const {
      char buffer[40];
      const std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
      // Always recognizable as a float.
      return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
    }
    std::string operator()(const std::string& value) const { return quoted(value); }
    std::string operator()(DataType value) const { return "torch." + std::string(to_string(value)); }
    std::string operator()(const Expr& value) const { return "<" + value.str() + ">"; }
    std::string operator()(const Ref& value) const { return "%" + value.name; }
    std::string operator()(const List& value) const {
      std::string text = "[";
      for (const Argument& item : value) text += (text.size() == 1 ? "" : ", ") + argument_text(item);
      return text + "]";
    }
  };
  return std::visit(Visitor{}, argument.value);
}

std::string type_text(const TensorMeta& meta) { return std::string(to_string(meta.dtype)) + to_string(meta.dims); }

}  // namespace

std::string print(const Graph& graph) {
  detail::TextStream out;
  out << "graph " << quoted(graph.name) << "\n";
  for (const auto& [name, range] : graph.symbols) {
    out << "symbol " << name << " = [" << range.min << ", " << range.opt << ", ";
    out << (range.max == Interval::kUnbounded ? "inf" : std::to_string(range.max)) << "]\n";
  }
  for (const Input& input : graph.inputs) {
    out << "input %" << input.name << ": " << type_text(input.meta);
    if (!input.shape_symbol.empty()) out << " = " << input.shape_symbol;
    out << "\n";
  }
  for (const Constant& constant : graph.constants) {
    out << "constant %" << constant.name << ": " << type_text(constant.meta) << "\n";
  }
  for (const Node& node : graph.nodes) {
    const char* separator = "";
    for (const Node::Output& output : node.outputs) {
      out << separator << "%" << output.name;
      if (output.meta) out << ": " << type_text(*output.meta);
      separator = ", ";
    }
    out << (node.outputs.empty() ? "" : " = ") << node.target << "(";
    separator = "";
    for (const Argument& argument : node.args) {
      out << separator << argument_text(argument);
      separator = ", ";
    }
    for (const auto& [name, argument] : node.kwargs) {
      out << separator << name << "=" << argument_text(argument);
      separator = ", ";
    }
    out << ")";
    if (!node.source.empty()) out << "  # " << escaped(node.source, false);
    out << "\n";
  }
  for (const std::string& output : graph.outputs) out << "output %" << output << "\n";
  return out.str();
}

}  // namespace torchtrt::graph
