// SPDX-License-Identifier: Apache-2.0
// The text form of a network (README.md has the grammar); parse.cpp reads it back.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <type_traits>

#include <torchtrt/base/error.h>

#include "base/scanner.h"
#include "network/attributes.h"
#include "network/digest.h"
#include "network/elements.h"
#include "network/infer.h"

namespace torchtrt::network {
namespace {

// --- words
// ------------------------------------------------------------------------------------------------------------

// Quoted where it is not one word.
std::string word(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '$';
  });
  return plain ? text : quoted(text);
}

std::string reference(const std::string& name) { return '%' + word(name); }

std::string limit(std::int64_t value, std::int64_t unknown) {
  return value == unknown ? (unknown < 0 ? "-inf" : "inf") : std::to_string(value);
}
std::string interval(const Interval& range) {
  return "[" + limit(range.min, INT64_MIN) + ", " + limit(range.max, INT64_MAX) + "]";
}

// --- attributes
// -------------------------------------------------------------------------------------------------------

template <typename T>
std::string attribute_text(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_same_v<T, DataType>) {
    return std::string(to_string(value));
  } else if constexpr (std::is_enum_v<T>) {
    return std::string(EnumNames<T>::kNames[static_cast<std::size_t>(value)]);
  } else if constexpr (std::is_arithmetic_v<T>) {
    char buffer[40];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};  // the shortest that reads back the same
  } else if constexpr (std::is_same_v<T, Expr>) {
    return value.str();
  } else if constexpr (std::is_same_v<T, std::string>) {
    return word(value);
  } else if constexpr (std::is_same_v<T, std::optional<Dims>>) {
    return to_string(*value);  // printed only where it has a value
  } else {
    std::string text;
    for (const auto& item : value) text += (text.empty() ? "" : ", ") + attribute_text(item);
    return "[" + text + "]";
  }
}

class AttributePrinter {
 public:
  template <typename T>
  void operator()(const char* name, const T& value) {
    add(name, attribute_text(value));
  }
  template <typename T>
  void optional(const char* name, const T& value, const T& standard) {
    if constexpr (std::is_same_v<T, double>) {
      // By bits: -0 and NaN are values like any other.
      if (std::memcmp(&value, &standard, sizeof value) == 0) return;
    } else {
      if (value == standard) return;
    }
    add(name, attribute_text(value));
  }
  void add(const char* name, const std::string& text) {
    text_ += std::string(text_.empty() ? "" : ", ") + name + " = " + text;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string hexadecimal(std::uint64_t bits) {
  char buffer[24];
  return "0x" + std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, bits, 16).ptr);
}

bool has_printed_elements(const Constant& op) {
  return op.weights->bytes / size_of(op.dtype) <= kMaxPrintedElements && !op.weights->digest;
}

void print_elements(const Constant& op, AttributePrinter& printer) {
  if (!has_printed_elements(op)) {
    printer.add("digest", hexadecimal(digest_of(*op.weights)));
    return;
  }
  const auto* bytes = static_cast<const unsigned char*>(op.weights->data.get());
  std::string text;
  for (std::size_t i = 0; i < op.weights->bytes; i += size_of(op.dtype)) {
    text += (i == 0 ? "" : ", ") + element_text(op.dtype, bytes + i);
  }
  printer.add("elements", "[" + text + "]");
}

// --- lines
// --------------------------------------------------------------------------------------------------------------

// The text form, or what structure_digest() reads.
struct Form {
  const Network& network;
  const HidesElements* hides = nullptr;  // null: the text form

  [[nodiscard]] std::string reference(ValueId id) const {
    return hides == nullptr ? network::reference(network.value(id).name) : '%' + std::to_string(id.index);
  }
  [[nodiscard]] std::string typed(ValueId id) const {
    const Value& value = network.value(id);
    return reference(id) + ": " + std::string(to_string(value.dtype)) + to_string(value.dims);
  }
  void print_elements(const Layer& layer, AttributePrinter& printer) const;
  [[nodiscard]] std::string attributes(const Layer& layer) const {
    AttributePrinter printer;
    std::visit([&](const auto& kind) { visit_attributes(kind, printer); }, layer.op);
    if (std::holds_alternative<Constant>(layer.op)) print_elements(layer, printer);
    return printer.text();
  }
};

void Form::print_elements(const Layer& layer, AttributePrinter& printer) const {
  const auto& constant = std::get<Constant>(layer.op);
  if (hides == nullptr || !(*hides)(layer.outputs[0])) {
    network::print_elements(constant, printer);
    return;
  }
  // Whose storage it is: constants that share theirs have one and the same elements.
  for (const Layer& other : network.layers()) {
    const auto* owner = std::get_if<Constant>(&other.op);
    if (owner == nullptr || owner->weights->data.get() != constant.weights->data.get()) continue;
    printer.add("elements_of", reference(other.outputs[0]));
    return;
  }
}

// " in [0, 9]" where more is known of a result's elements than its layer says.
std::string known_range(const Network& network, const Layer& layer, std::size_t output) {
  const Value& value = network.value(layer.outputs[output]);
  if (!is_integral(value.dtype)) return "";
  const auto* constant = std::get_if<Constant>(&layer.op);
  const Interval inferred = constant != nullptr && !has_printed_elements(*constant)
                                ? range_of(value.dtype)
                                : infer_range(network, layer, output, value.dtype);
  const Interval known{std::max(value.range.min, inferred.min), std::min(value.range.max, inferred.max)};
  return known == inferred ? "" : " in " + interval(known);
}

void print_layer(const Form& form, const Layer& layer, std::ostream& out) {
  const char* separator = "";
  for (std::size_t i = 0; i < layer.outputs.size(); ++i) {
    out << separator << form.typed(layer.outputs[i]) << known_range(form.network, layer, i);
    separator = ", ";
  }
  out << " = " << kind_name(layer.op) << "(";
  separator = "";
  for (const ValueId operand : layer.inputs) {
    out << separator << form.reference(operand);
    separator = ", ";
  }
  out << ")";
  if (const std::string text = form.attributes(layer); !text.empty()) out << " {" << text << "}";
  // Blanks before the source would be lost with those before the "#".
  if (const std::size_t start = layer.source.find_first_not_of(" \t\r");
      form.hides == nullptr && start != std::string::npos) {
    out << "  # " << escaped(layer.source.substr(start), false);
  }
  out << "\n";
}

void print_body(const Form& form, std::ostream& out) {
  const Network& network = form.network;
  for (const Input& input : network.inputs()) {
    const Value& value = network.value(input.value);
    out << "input " << form.typed(input.value);
    if (form.hides != nullptr) out << " as " << quoted(value.name);  // as it is called by
    if (input.is_shape_tensor) {
      out << " = " << input.symbol;
    } else if (is_integral(value.dtype) && value.range != range_of(value.dtype)) {
      out << " in " << interval(value.range);
    }
    out << "\n";
  }
  for (const Layer& layer : network.layers()) print_layer(form, layer, out);
  for (const Network::Output& output : network.outputs()) {
    out << "output " << form.reference(output.value) << " as " << quoted(output.name) << "\n";
  }
  for (const ValueId guard : network.guards()) out << "guard " << form.reference(guard) << "\n";
}

std::string range_text(const SymbolRange& range) {
  return detail::concat("=[", range.min, ",", range.opt, ",", limit(range.max, Interval::kUnbounded), "]");
}

// The text with symbols numbered as they come, and behind it what is known of each.
std::string with_numbered_symbols(const Network& network, const std::string& text) {
  const auto in_word = [](char c) {  // of a symbol's name
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  std::map<std::string, std::string, std::less<>> numbers;
  std::string result;
  std::string ranges;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    while (end < text.size() && in_word(text[end])) ++end;
    end = std::max(end, i + 1);
    const std::string token = text.substr(i, end - i);
    i = end;
    const auto symbol = network.symbols().find(token);
    if (symbol == network.symbols().end()) {
      result += token;
      continue;
    }
    const auto [number, is_new] = numbers.try_emplace(token, "$" + std::to_string(numbers.size()));
    result += number->second;
    if (is_new) ranges += number->second + range_text(symbol->second) + "\n";
  }
  return result + ranges;
}

}  // namespace

std::string print(const Network& network) {
  detail::TextStream out;
  out << "network " << quoted(network.name()) << "\n";
  const char* separator = "symbols ";
  for (const auto& [name, range] : network.symbols()) {
    out << separator << name << range_text(range);
    separator = ", ";
  }
  if (!network.symbols().empty()) out << "\n";
  print_body({network}, out);
  return out.str();
}

std::uint64_t structure_digest(const Network& network, const HidesElements& hides) {
  detail::TextStream out;
  print_body({network, &hides}, out);
  const std::string text = with_numbered_symbols(network, out.str());
  return digest_of({std::shared_ptr<const void>(text.data(), [](const void*) {}), text.size()});
}

}  // namespace torchtrt::network
