// SPDX-License-Identifier: Apache-2.0
// Reads the text form that print.cpp writes. A node is named by its first result; constants get zeros.
#include <charconv>
#include <limits>
#include <vector>

#include <torchtrt/graph/graph.h>
#include "base/expr_budget.h"
#include "base/scanner.h"
#include "network/elements.h"

namespace torchtrt::graph {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : scanner_(text) {}

  Graph run() {
    const ExprBudget budget(scanner_.size());
    while (scanner_.next_line()) {
      try {
        parse_line();
      } catch (const Error& error) {
        if (std::string_view(error.what()).substr(0, 5) == "line ") throw;
        scanner_.fail_here(error.what());
      }
    }
    graph_.verify();
    return std::move(graph_);
  }

 private:
  void parse_line() {
    if (scanner_.accept("graph ")) {
      graph_.name = scanner_.quoted();
    } else if (scanner_.accept("symbol ")) {
      parse_symbol();
    } else if (scanner_.accept("input ")) {
      const std::string name = reference();
      scanner_.expect(":");
      Input input{name, type(), ""};
      if (scanner_.accept("=")) input.shape_symbol = scanner_.word("a symbol");
      graph_.inputs.push_back(std::move(input));
    } else if (scanner_.accept("constant ")) {
      const std::string name = reference();
      scanner_.expect(":");
      Constant constant{name, type(), {}};
      if (!is_static(constant.meta.dims)) scanner_.fail_here("a constant's shape is static");
      const auto size = static_cast<std::int64_t>(size_of(constant.meta.dtype));
      const std::int64_t bytes = (volume(constant.meta.dims) * Expr(size)).value();
      if (bytes < 0 || bytes > free_bytes_) {
        scanner_.fail_here("expected constants of 0 to ", kMaxConstantBytes, " bytes, all together");
      }
      free_bytes_ -= bytes;
      constant.weights = network::zero_weights(static_cast<std::size_t>(bytes));
      graph_.constants.push_back(std::move(constant));
    } else if (scanner_.accept("output ")) {
      graph_.outputs.push_back(reference());
    } else {
      parse_node();
    }
    if (!scanner_.at_end()) scanner_.fail_here("expected the end of the line");
  }

  void parse_symbol() {
    const std::string name = scanner_.word("a symbol");
    scanner_.expect("=");
    scanner_.expect("[");
    const std::int64_t min = integer(scanner_.balanced());
    scanner_.expect(",");
    const std::int64_t opt = integer(scanner_.balanced());
    scanner_.expect(",");
    const std::string max = scanner_.balanced();
    scanner_.expect("]");
    graph_.symbols[name] = {min, opt, max == "inf" ? Interval::kUnbounded : integer(max)};
  }

  std::int64_t integer(const std::string& text) {
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data(), end, value);
    if (last != end || error != std::errc()) scanner_.fail_here("\"", text, "\" is not an integer of 64 bits");
    return value;
  }

  std::string reference() {
    scanner_.expect("%");
    return scanner_.word("a name");
  }

  TensorMeta type() {
    TensorMeta meta;
    const std::string name = scanner_.word("a dtype");
    const std::optional<DataType> dtype = parse_dtype(name);
    if (!dtype) scanner_.fail_here("\"", name, "\" is no dtype");
    meta.dtype = *dtype;
    scanner_.expect("[");
    while (!scanner_.accept("]")) {
      meta.dims.push_back(Expr::parse(scanner_.balanced()));
      if (!scanner_.accept(",") && scanner_.peek() != ']') scanner_.fail_here("expected ',' or ']'");
    }
    return meta;
  }

  void parse_node() {
    Node node;
    if (scanner_.peek() == '%') {
      do {
        Node::Output output{reference(), std::nullopt};
        if (scanner_.accept(":")) output.meta = type();
        node.outputs.push_back(std::move(output));
      } while (scanner_.accept(","));
      scanner_.expect("=");
      node.name = node.outputs[0].name;
    }
    node.target = scanner_.word("an operator");
    scanner_.expect("(");
    while (!scanner_.accept(")")) {
      parse_argument_of(node);
      if (!scanner_.accept(",") && scanner_.peek() != ')') scanner_.fail_here("expected ',' or ')'");
    }
    node.source = scanner_.comment();
    graph_.nodes.push_back(std::move(node));
  }

  void parse_argument_of(Node& node) {
    const char c = scanner_.peek();
    if ((c >= 'a' && c <= 'z') || c == '_') {
      const std::string word = scanner_.word("an argument");
      if (word.rfind("torch.", 0) == 0) {
        node.args.push_back(dtype(word));
      } else if (word == "inf" || word == "nan") {
        using Limits = std::numeric_limits<double>;
        node.args.emplace_back().value = word == "inf" ? Limits::infinity() : Limits::quiet_NaN();
      } else {
        scanner_.expect("=");
        node.kwargs[word] = argument();
      }
      return;
    }
    node.args.push_back(argument());
  }

  Argument dtype(const std::string& word) {
    const std::optional<DataType> parsed = parse_dtype(word.substr(6));
    if (!parsed) scanner_.fail_here("\"", word, "\" is no dtype");
    return {*parsed};
  }

  Argument argument() {
    const char c = scanner_.peek();
    if (c == '%') return {Ref{reference()}};
    if (c == '"') return {scanner_.quoted()};
    if (scanner_.accept("<")) {
      // An expression has neither '<' nor '>': it goes to the next one.
      std::string text;
      while (scanner_.peek() != '>' && scanner_.peek() != 0) text += scanner_.take();
      scanner_.expect(">");
      return {Expr::parse(text)};
    }
    if (scanner_.accept("[")) {
      if (++depth_ > 50) scanner_.fail_here("lists nested too deeply");
      List list;
      while (!scanner_.accept("]")) {
        list.push_back(argument());
        if (!scanner_.accept(",") && scanner_.peek() != ']') scanner_.fail_here("expected ',' or ']'");
      }
      --depth_;
      return {std::move(list)};
    }
    const std::string text = scanner_.balanced();
    if (text == "None") return {std::monostate{}};
    if (text == "True" || text == "False") return {text == "True"};
    if (text.rfind("torch.", 0) == 0) return dtype(text);
    if (text.find_first_of(".en") == std::string::npos) return {integer(text)};
    double value = 0;
    const char* end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data(), end, value);
    if (last != end || error != std::errc()) scanner_.fail_here("\"", text, "\" is no argument");
    return {value};
  }

  static constexpr std::int64_t kMaxConstantBytes = std::int64_t{1} << 31;

  Scanner scanner_;
  std::int64_t free_bytes_ = kMaxConstantBytes;
  Graph graph_;
  int depth_ = 0;
};

}  // namespace

Graph parse(std::string_view text) { return Parser(text).run(); }

}  // namespace torchtrt::graph
