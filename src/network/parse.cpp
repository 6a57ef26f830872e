// SPDX-License-Identifier: Apache-2.0
// Reads the text form that print.cpp writes. The printed dims of a value refine the inferred ones, and contradictions are
// errors, so that a text is checked by the very rules that made it.
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/scanner.h"
#include "network/attributes.h"

namespace torchtrt::network {
namespace {

// --- attribute values from text ---------------------------------------------------------------------------------------
std::vector<std::string> split_list(const std::string& text) {
  TORCHTRT_CHECK(text.size() >= 2 && text.front() == '[' && text.back() == ']', kInvalidArgument, "expected a list, not \"",
                 text, "\"");
  std::vector<std::string> items;
  int depth = 0;
  std::string item;
  for (const char c : text.substr(1, text.size() - 2)) {
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') --depth;
    if (c == ',' && depth == 0) {
      items.push_back(std::exchange(item, ""));
    } else if (c != ' ' || depth > 0 || !item.empty()) {
      item += c;
    }
  }
  if (!item.empty()) items.push_back(item);
  return items;
}

template <typename T>
T number(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  TORCHTRT_CHECK(error == std::errc() && end == text.data() + text.size(), kInvalidArgument, "\"", text, "\" is not a number");
  return value;
}

void read(const std::string& text, bool& value) {
  TORCHTRT_CHECK(text == "true" || text == "false", kInvalidArgument, "expected true or false, not \"", text, "\"");
  value = text == "true";
}
void read(const std::string& text, std::int64_t& value) { value = number<std::int64_t>(text); }
void read(const std::string& text, double& value) { value = number<double>(text); }
void read(const std::string& text, std::string& value) { value = text; }
void read(const std::string& text, Expr& value) { value = Expr::parse(text); }
void read(const std::string& text, DataType& value) {
  const std::optional<DataType> dtype = parse_dtype(text);
  TORCHTRT_CHECK(dtype, kInvalidArgument, "\"", text, "\" is no dtype");
  value = *dtype;
}
void read(const std::string& text, Dims& value) {
  value.clear();
  for (const std::string& item : split_list(text)) value.push_back(Expr::parse(item));
}
void read(const std::string& text, std::optional<Dims>& value) {
  value.reset();
  if (text != "none") read(text, value.emplace());
}
template <typename T>
  requires std::is_arithmetic_v<T>
void read(const std::string& text, std::vector<T>& value) {
  value.clear();
  for (const std::string& item : split_list(text)) value.push_back(number<T>(item));
}
template <typename Enum>
  requires std::is_enum_v<Enum>
void read(const std::string& text, Enum& value) {
  std::size_t index = 0;
  for (const std::string_view name : EnumNames<Enum>::kNames) {
    if (name == text) {
      value = static_cast<Enum>(index);
      return;
    }
    ++index;
  }
  fail(ErrorCode::kInvalidArgument, "unknown value \"", text, "\"");
}

// Takes what it is asked for out of a map of texts.
class AttributeReader {
 public:
  explicit AttributeReader(std::map<std::string, std::string> texts) : texts_(std::move(texts)) {}

  template <typename T>
  void operator()(const char* name, T& value) {
    const auto found = texts_.find(name);
    if (found == texts_.end()) return;  // keeps its default
    read(found->second, value);
    texts_.erase(found);
  }
  void finish() const {
    TORCHTRT_CHECK(texts_.empty(), kInvalidArgument, "unknown attribute \"", texts_.begin()->first, "\"");
  }

 private:
  std::map<std::string, std::string> texts_;
};

template <std::size_t index = 0>
Op make_op(std::string_view kind) {
  if constexpr (index == std::variant_size_v<Op>) {
    fail(ErrorCode::kInvalidArgument, "unknown layer kind \"", kind, "\"");
  } else {
    Op op = std::variant_alternative_t<index, Op>{};
    return kind_name(op) == kind ? op : make_op<index + 1>(kind);
  }
}

struct Typed {
  std::string name;
  DataType dtype{};
  Dims dims;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : scanner_(text) {}

  Network run() {
    std::string name = "network";
    if (!scanner_.next_line()) fail(ErrorCode::kInvalidArgument, "line 1, column 1: the text is empty");
    bool line_left = true;
    if (scanner_.accept("network")) {
      name = scanner_.quoted();
      line_left = scanner_.next_line();
    }
    Network net(name);
    for (; line_left; line_left = scanner_.next_line()) {
      try {
        parse_line(net);
      } catch (const Error& error) {
        // Errors of the network's own rules say nothing of the place; those of the scanner do already.
        if (std::string_view(error.what()).substr(0, 5) == "line ") throw;
        scanner_.fail_here(error.what());
      }
    }
    return net;
  }

 private:
  void parse_line(Network& net) {
    if (scanner_.accept("symbol ")) {
      const std::string symbol = scanner_.word("a symbol");
      scanner_.expect("=");
      const std::vector<std::string> range = split_list(scanner_.balanced());
      if (range.size() != 3) scanner_.fail_here("expected [min, opt, max]");
      net.add_symbol(symbol, {number<std::int64_t>(range[0]), number<std::int64_t>(range[1]),
                              range[2] == "inf" ? Interval::kUnbounded : number<std::int64_t>(range[2])});
    } else if (scanner_.accept("input ")) {
      parse_input(net);
    } else if (scanner_.accept("output ")) {
      scanner_.expect("%");
      const ValueId value = lookup(scanner_.word("a name"));
      scanner_.expect("as");
      net.mark_output(value, scanner_.quoted());
    } else {
      parse_layer(net);
    }
    if (!scanner_.at_end()) scanner_.fail_here("expected the end of the line");
  }

  Typed typed() {
    scanner_.expect("%");
    Typed result;
    result.name = scanner_.word("a name");
    scanner_.expect(":");
    std::string dtype = scanner_.word("a dtype");
    read(dtype, result.dtype);
    scanner_.expect("[");
    std::string dims = "[";
    while (!scanner_.accept("]")) {
      dims += (dims.size() == 1 ? "" : ",") + scanner_.balanced();
      if (!scanner_.accept(",") && scanner_.peek() != ']') scanner_.fail_here("expected ',' or ']'");
    }
    read(dims + "]", result.dims);
    return result;
  }

  ValueId lookup(const std::string& name) {
    const auto found = values_.find(name);
    if (found == values_.end()) scanner_.fail_here("%", name, " is not defined");
    return found->second;
  }

  void parse_input(Network& net) {
    const Typed input = typed();
    if (scanner_.accept("=")) {
      values_[input.name] = net.add_shape_input(input.name, scanner_.word("a symbol"));
      return;
    }
    const ValueId value = net.add_input(input.name, input.dtype, input.dims);
    values_[input.name] = value;
    if (scanner_.accept("in")) {
      const std::vector<std::string> range = split_list(scanner_.balanced());
      if (range.size() != 2) scanner_.fail_here("expected [min, max]");
      net.refine_range(value, {number<std::int64_t>(range[0]), number<std::int64_t>(range[1])});
    }
  }

  void parse_layer(Network& net) {
    std::vector<Typed> results{typed()};
    while (scanner_.accept(",")) results.push_back(typed());
    scanner_.expect("=");
    Op op = make_op(scanner_.word("a layer kind"));
    scanner_.expect("(");
    std::vector<ValueId> operands;
    while (!scanner_.accept(")")) {
      scanner_.expect("%");
      operands.push_back(lookup(scanner_.word("a name")));
      if (!scanner_.accept(",") && scanner_.peek() != ')') scanner_.fail_here("expected ',' or ')'");
    }
    std::map<std::string, std::string> texts;
    if (scanner_.accept("{")) {
      while (!scanner_.accept("}")) {
        const std::string name = scanner_.word("an attribute");
        scanner_.expect("=");
        texts[name] = scanner_.balanced();
        if (!scanner_.accept(",") && scanner_.peek() != '}') scanner_.fail_here("expected ',' or '}'");
      }
    }
    if (auto* constant = std::get_if<Constant>(&op)) {
      fill_constant(*constant, results[0], texts["elements"]);
      texts.erase("elements");
    }
    AttributeReader reader(std::move(texts));
    std::visit([&](auto& kind) { visit_attributes(kind, reader); }, op);
    reader.finish();
    // The layer's name is its first value's, up to the number that tells several results apart.
    std::string name = results[0].name;
    if (results.size() > 1 && name.ends_with(".0")) name.resize(name.size() - 2);
    net.set_origin("", scanner_.comment());
    const std::vector<ValueId> outputs = net.add_layer(std::move(op), std::move(operands), name);
    if (outputs.size() != results.size()) scanner_.fail_here("the layer has ", outputs.size(), " results");
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const Value& value = net.value(outputs[i]);
      if (value.dtype != results[i].dtype) scanner_.fail_here("the layer gives ", to_string(value.dtype), to_string(value.dims));
      if (value.name != results[i].name) scanner_.fail_here("the name %", results[i].name, " is taken");
      net.refine_dims(outputs[i], results[i].dims);
      values_[results[i].name] = outputs[i];
    }
  }

  void fill_constant(Constant& constant, const Typed& type, const std::string& text) {
    constant.dtype = type.dtype;
    constant.dims = type.dims;
    if (!is_static(type.dims)) scanner_.fail_here("a constant's shape is static");
    const std::int64_t count = volume(type.dims).value();
    if (count < 0 || count > (std::int64_t{1} << 32)) scanner_.fail_here("a constant of ", count, " elements");
    const std::size_t size = size_of(type.dtype);
    // A digest says nothing of the elements: they are zeros.
    auto storage = std::make_shared<std::vector<unsigned char>>(static_cast<std::size_t>(count) * size);
    if (!text.empty() && text.front() == '[') {
      const std::vector<std::string> items = split_list(text);
      if (items.size() != static_cast<std::size_t>(count)) scanner_.fail_here("expected ", count, " elements");
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (!items[i].starts_with("0x")) scanner_.fail_here("expected elements as bit patterns, 0x..");
        std::uint64_t bits = 0;
        const char* end = items[i].data() + items[i].size();
        if (std::from_chars(items[i].data() + 2, end, bits, 16).ptr != end) scanner_.fail_here("not a bit pattern: ", items[i]);
        std::memcpy(storage->data() + i * size, &bits, size);
      }
    }
    constant.weights = std::make_shared<const Weights>(Weights{std::shared_ptr<const void>(storage, storage->data()), storage->size()});
  }

  Scanner scanner_;
  std::map<std::string, ValueId> values_;
};

}  // namespace

Network parse(std::string_view text) {
  return Parser(text).run();
}

}  // namespace torchtrt::network
