// SPDX-License-Identifier: Apache-2.0
// Reads the text form that print.cpp writes. The printed dims of a value refine the inferred ones, and contradictions
// are errors, so that a text is checked by the very rules that made it.
#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <torchtrt/network/network.h>

#include "base/expr_budget.h"
#include "base/scanner.h"
#include "network/attributes.h"
#include "network/elements.h"

namespace torchtrt::network {
namespace {

// --- values from text
// -------------------------------------------------------------------------------------------------

std::string trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == std::string_view::npos ? ""
                                         : std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

// The items of "[a, b, ..]", split at the commas that are in no bracket.
std::vector<std::string> split_list(const std::string& text) {
  TORCHTRT_CHECK(text.size() >= 2 && text.front() == '[' && text.back() == ']', kInvalidArgument,
                 "expected a list, not \"", text, "\"");
  const std::string_view inside = std::string_view(text).substr(1, text.size() - 2);
  std::vector<std::string> items;
  if (trimmed(inside).empty()) return items;
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] == '(' || inside[i] == '[') ++depth;
    if (inside[i] == ')' || inside[i] == ']') --depth;
    if (inside[i] == ',' && depth == 0) {
      items.push_back(trimmed(inside.substr(start, i - start)));
      start = i + 1;
    }
  }
  items.push_back(trimmed(inside.substr(start)));
  return items;
}

template <typename T>
T number(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  TORCHTRT_CHECK(error == std::errc() && stop == end, kInvalidArgument, "\"", text, "\" is no ",
                 std::is_integral_v<T> ? "64-bit integer" : "number");
  return value;
}

// An end of an interval.
std::int64_t limit(const std::string& text) {
  return text == "inf" ? INT64_MAX : text == "-inf" ? INT64_MIN : number<std::int64_t>(text);
}

// Of whatever type an attribute has.
template <typename T>
T read(const std::string& text) {
  if constexpr (std::is_same_v<T, bool>) {
    TORCHTRT_CHECK(text == "true" || text == "false", kInvalidArgument, "expected true or false, not \"", text, "\"");
    return text == "true";
  } else if constexpr (std::is_same_v<T, DataType>) {
    const std::optional<DataType> dtype = parse_dtype(text);
    TORCHTRT_CHECK(dtype, kInvalidArgument, "\"", text, "\" is no dtype");
    return *dtype;
  } else if constexpr (std::is_enum_v<T>) {
    const auto& names = EnumNames<T>::kNames;
    const auto found = std::find(std::begin(names), std::end(names), text);
    if (found != std::end(names)) return static_cast<T>(found - std::begin(names));
    std::string known;
    for (const std::string_view name : names) known += (known.empty() ? "" : ", ") + std::string(name);
    fail(ErrorCode::kInvalidArgument, "\"", text, "\" is none of ", known);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return number<T>(text);
  } else if constexpr (std::is_same_v<T, Expr>) {
    return Expr::parse(text);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return text.starts_with('"') ? Scanner(text).whole_string() : text;
  } else if constexpr (std::is_same_v<T, std::optional<Dims>>) {
    return read<Dims>(text);
  } else {
    T items;
    for (const std::string& item : split_list(text)) items.push_back(read<typename T::value_type>(item));
    return items;
  }
}

// Takes what a layer kind has out of the attributes that were written.
class AttributeReader {
 public:
  explicit AttributeReader(std::map<std::string, std::string> texts) : texts_(std::move(texts)) {}

  template <typename T>
  void operator()(const char* name, T& field) {
    TORCHTRT_CHECK(take(name, field), kInvalidArgument, "the layer needs attribute \"", name, "\"");
  }
  template <typename T>
  void optional(const char* name, T& field, const T& standard) {
    if (!take(name, field)) field = standard;
  }
  void finish() const {
    TORCHTRT_CHECK(texts_.empty(), kInvalidArgument, "the layer has no attribute \"", texts_.begin()->first, "\"");
  }

 private:
  template <typename T>
  bool take(const char* name, T& field) {
    const auto found = texts_.find(name);
    if (found == texts_.end()) return false;
    try {
      field = read<T>(found->second);
    } catch (const Error& error) {
      fail(ErrorCode::kInvalidArgument, "attribute \"", name, "\": ", error.what());
    }
    texts_.erase(found);
    return true;
  }

  std::map<std::string, std::string> texts_;
};

template <std::size_t index = 0>
Op make_op(std::string_view kind) {
  if constexpr (index == std::variant_size_v<Op>) {
    fail(ErrorCode::kInvalidArgument, "there is no layer kind \"", kind, "\"");
  } else {
    Op op = std::variant_alternative_t<index, Op>{};
    return kind_name(op) == kind ? op : make_op<index + 1>(kind);
  }
}

// --- lines
// ------------------------------------------------------------------------------------------------------------

// A text that stands alone with more bytes of constants than this is a mistake.
constexpr std::size_t kMaxConstantBytes = std::size_t{1} << 31;

// What stands left of "=": %name: dtype[dims] in [min, max].
struct Typed {
  std::string name;
  DataType dtype{};
  Dims dims;
  std::optional<Interval> range;
};

class Parser {
 public:
  /// `constants`: null for zeros.
  Parser(std::string_view text, const ConstantSource* constants) : scanner_(text), constants_(constants) {}

  Network run() {
    const ExprBudget budget(scanner_.size());
    if (!scanner_.next_line()) fail(ErrorCode::kInvalidArgument, "line 1, column 1: the text of a network is empty");
    scanner_.expect("network");
    Network net(scanner_.quoted());
    expect_end();
    while (scanner_.next_line()) {
      try {
        parse_line(net);
      } catch (const Error& error) {
        // Errors of the network's own rules say nothing of the place; those of the scanner do already.
        if (std::string_view(error.what()).starts_with("line ")) throw;
        scanner_.fail_here(error.what());
      }
    }
    return net;
  }

 private:
  void parse_line(Network& net) {
    if (scanner_.accept("symbols ")) {
      do parse_symbol(net);
      while (scanner_.accept(","));
    } else if (scanner_.accept("input ")) {
      parse_input(net);
    } else if (scanner_.accept("output ")) {
      const ValueId value = operand();
      scanner_.expect("as");
      net.mark_output(value, scanner_.quoted());
    } else if (scanner_.accept("guard ")) {
      net.add_guard(operand());
    } else {
      parse_layer(net);
    }
    expect_end();
  }
  void expect_end() {
    if (!scanner_.at_end()) scanner_.fail_here("expected the end of the line");
  }

  void parse_symbol(Network& net) {
    const std::string symbol = scanner_.word("a symbol");
    scanner_.expect("=");
    const std::vector<std::string> range = list();
    if (range.size() != 3) scanner_.fail_here("expected [min, opt, max]");
    net.add_symbol(symbol, {number<std::int64_t>(range[0]), number<std::int64_t>(range[1]), limit(range[2])});
  }

  // [a, b, ..]
  std::vector<std::string> list() {
    std::vector<std::string> items;
    scanner_.expect("[");
    while (!scanner_.accept("]")) {
      if (!items.empty()) scanner_.expect(",");
      items.push_back(scanner_.balanced());
    }
    return items;
  }
  // %name or %"name"
  std::string reference() {
    scanner_.expect("%");
    return scanner_.peek() == '"' ? scanner_.quoted() : scanner_.word("a name");
  }
  ValueId operand() {
    const std::string name = reference();
    const auto found = values_.find(name);
    if (found == values_.end()) scanner_.fail_here("%", name, " is not defined");
    return found->second;
  }

  Typed typed() {
    Typed result;
    result.name = reference();
    scanner_.expect(":");
    result.dtype = read<DataType>(scanner_.word("a dtype"));
    for (const std::string& dim : list()) result.dims.push_back(Expr::parse(dim));
    if (scanner_.accept("in ")) {
      const std::vector<std::string> range = list();
      if (range.size() != 2) scanner_.fail_here("expected [min, max]");
      if (!is_integral(result.dtype)) scanner_.fail_here("only integers have a range");
      result.range = Interval{limit(range[0]), limit(range[1])};
    }
    return result;
  }

  void parse_input(Network& net) {
    const Typed input = typed();
    ValueId value;
    if (scanner_.accept("=")) {
      if (input.dtype != DataType::kInt64 || !input.dims.empty()) scanner_.fail_here("a shape input is int64[]");
      value = net.add_shape_input(input.name, scanner_.word("a symbol"));
    } else {
      value = net.add_input(input.name, input.dtype, input.dims);
    }
    if (input.range) net.refine_range(value, *input.range);
    values_[input.name] = value;
  }

  void parse_layer(Network& net) {
    std::vector<Typed> results{typed()};
    while (scanner_.accept(",")) results.push_back(typed());
    scanner_.expect("=");
    const std::string kind = scanner_.word("a layer kind");
    (void)make_op(kind);  // so that the error of an unknown one points at it
    scanner_.expect("(");
    std::vector<ValueId> operands;
    while (!scanner_.accept(")")) {
      if (!operands.empty()) scanner_.expect(",");
      operands.push_back(operand());
    }
    std::map<std::string, std::string> texts = attribute_texts();
    Op op;
    if (kind == kind_name(Op(Constant{}))) {
      Constant constant;
      fill_constant(constant, results[0], texts);
      op = std::move(constant);
      if (!texts.empty()) scanner_.fail_here("a constant has no attribute \"", texts.begin()->first, "\"");
    } else {
      op = make_layer(kind, std::move(texts));
    }
    // The layer's name is its result's; of several results ("top.0", "top.1"), what they have in common.
    std::string name = results[0].name;
    if (results.size() > 1) {
      if (name.ends_with(".0")) {
        name.resize(name.size() - 2);
      } else {
        name += ".layer";
      }
    }
    net.set_origin("", scanner_.comment());
    const std::vector<ValueId> outputs = net.add_layer(std::move(op), std::move(operands), name);
    if (outputs.size() != results.size()) scanner_.fail_here("the layer has ", outputs.size(), " results");
    for (std::size_t i = 0; i < outputs.size(); ++i) define(net, outputs[i], results[i]);
  }

  std::map<std::string, std::string> attribute_texts() {
    std::map<std::string, std::string> texts;
    if (!scanner_.accept("{")) return texts;
    while (!scanner_.accept("}")) {
      if (!texts.empty()) scanner_.expect(",");
      const std::string name = scanner_.word("an attribute");
      scanner_.expect("=");
      if (!texts.emplace(name, scanner_.balanced()).second) scanner_.fail_here("attribute \"", name, "\" comes twice");
    }
    return texts;
  }

  // What the text says of a result against what the layer gives.
  void define(Network& net, ValueId id, const Typed& result) {
    const Value& value = net.value(id);
    if (value.dtype != result.dtype) {
      scanner_.fail_here("the layer gives ", to_string(value.dtype), to_string(value.dims), ", not ",
                         to_string(result.dtype), to_string(result.dims));
    }
    net.refine_dims(id, result.dims);
    if (result.range) net.refine_range(id, *result.range);
    if (value.name != result.name) net.rename(id, result.name);
    values_[result.name] = id;
  }

  void fill_constant(Constant& constant, const Typed& type, std::map<std::string, std::string>& texts) {
    constant.dtype = type.dtype;
    constant.dims = type.dims;
    if (!is_static(type.dims)) scanner_.fail_here("a constant's shape is static, not ", to_string(type.dims));
    const std::int64_t bytes = (volume(type.dims) * Expr(static_cast<std::int64_t>(size_of(type.dtype)))).value();
    const bool has_source = constants_ != nullptr && texts.contains("digest");
    if (bytes < 0) scanner_.fail_here("a constant of ", bytes, " bytes");
    const auto elements = texts.extract("elements");
    const auto digest = texts.extract("digest");
    if (elements.empty() == digest.empty()) scanner_.fail_here("a constant has elements or a digest");
    if (digest.empty()) {
      constant.weights = read_elements(type, static_cast<std::size_t>(bytes), elements.mapped());
    } else {
      std::uint64_t bits = 0;
      read_element(DataType::kInt64, digest.mapped(), &bits);
      const auto size = static_cast<std::size_t>(bytes);
      constant.weights =
          std::make_shared<const Weights>(has_source ? (*constants_)(type.name, size, bits) : zeros(size, bits));
    }
  }

  Weights zeros(std::size_t bytes, std::uint64_t digest) {
    if (bytes > free_bytes_) scanner_.fail_here("constants of more than ", kMaxConstantBytes, " bytes");
    free_bytes_ -= bytes;
    Weights weights = zero_weights(bytes);
    weights.digest = digest;
    return weights;
  }

  std::shared_ptr<const Weights> read_elements(const Typed& type, std::size_t bytes, const std::string& text) {
    const std::vector<std::string> items = split_list(text);
    const std::size_t size = size_of(type.dtype);
    if (items.size() != bytes / size) scanner_.fail_here("expected ", bytes / size, " elements, not ", items.size());
    const auto storage = std::make_shared<std::vector<unsigned char>>(bytes);
    for (std::size_t i = 0; i < items.size(); ++i) read_element(type.dtype, items[i], storage->data() + i * size);
    return std::make_shared<const Weights>(
        Weights{std::shared_ptr<const void>(storage, storage->data()), bytes, std::nullopt});
  }

  Scanner scanner_;
  const ConstantSource* constants_;
  std::size_t free_bytes_ = kMaxConstantBytes;
  std::map<std::string, ValueId> values_;
};

}  // namespace

Op make_layer(std::string_view kind, std::map<std::string, std::string> attributes) {
  Op op = make_op(kind);
  AttributeReader reader(std::move(attributes));
  std::visit([&](auto& layer) { visit_attributes(layer, reader); }, op);
  reader.finish();
  return op;
}

Network parse(std::string_view text) { return Parser(text, nullptr).run(); }
Network parse(std::string_view text, const ConstantSource& constants) { return Parser(text, &constants).run(); }

}  // namespace torchtrt::network
