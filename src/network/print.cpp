// SPDX-License-Identifier: Apache-2.0
// The text form of a network (README.md has the grammar); parse.cpp reads it back.
#include <cstdio>
#include <cstring>
#include <sstream>

#include "network/attributes.h"

namespace torchtrt::network {
namespace {

// Weights beyond this many elements are printed as a digest.
constexpr std::size_t kMaxPrintedElements = 16;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result + "\"";
}

std::string elements(const Constant& op) {
  const std::size_t size = size_of(op.dtype);
  const std::size_t count = op.weights->bytes / size;
  const auto* bytes = static_cast<const unsigned char*>(op.weights->data.get());
  std::string text;
  if (count <= kMaxPrintedElements) {
    // Little-endian bit patterns, which say every NaN and rounding exactly.
    for (std::size_t i = 0; i < count; ++i) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, bytes + i * size, size);
      char buffer[24];
      std::snprintf(buffer, sizeof buffer, "%s0x%llx", i == 0 ? "" : ", ", static_cast<unsigned long long>(bits));
      text += buffer;
    }
    return "[" + text + "]";
  }
  std::uint64_t digest = 14695981039346656037ULL;  // FNV-1a
  for (std::size_t i = 0; i < op.weights->bytes; ++i) digest = (digest ^ bytes[i]) * 1099511628211ULL;
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "digest 0x%016llx", static_cast<unsigned long long>(digest));
  return buffer;
}

class AttributePrinter {
 public:
  template <typename T>
  void operator()(const char* name, const T& value) {
    out_ << (empty_ ? "" : ", ") << name << " = " << attribute_text(value);
    empty_ = false;
  }
  [[nodiscard]] std::string str() const { return out_.str(); }

 private:
  std::ostringstream out_;
  bool empty_ = true;
};

std::string attributes(const Op& op) {
  AttributePrinter printer;
  std::visit([&](const auto& kind) { visit_attributes(const_cast<std::decay_t<decltype(kind)>&>(kind), printer); }, op);
  std::string text = printer.str();
  if (const auto* constant = std::get_if<Constant>(&op)) text += ", elements = " + elements(*constant);
  return text;
}

std::string type_text(const Value& value) {
  return std::string(to_string(value.dtype)) + to_string(value.dims);
}

}  // namespace

std::string print(const Network& network) {
  std::ostringstream out;
  out << "network " << quoted(network.name()) << "\n";
  for (const auto& [name, range] : network.symbols()) {
    out << "symbol " << name << " = [" << range.min << ", " << range.opt << ", ";
    if (range.max == Interval::kUnbounded) {
      out << "inf]\n";
    } else {
      out << range.max << "]\n";
    }
  }
  for (const Input& input : network.inputs()) {
    const Value& value = network.value(input.value);
    out << "input %" << value.name << ": " << type_text(value);
    if (input.is_shape_tensor) out << " = " << input.symbol;
    if (is_integral(value.dtype) && !input.is_shape_tensor && value.range != range_of(value.dtype)) {
      out << " in [" << value.range.min << ", " << value.range.max << "]";
    }
    out << "\n";
  }
  for (const Layer& layer : network.layers()) {
    const char* separator = "";
    for (const ValueId output : layer.outputs) {
      out << separator << "%" << network.value(output).name << ": " << type_text(network.value(output));
      separator = ", ";
    }
    out << " = " << kind_name(layer.op) << "(";
    separator = "";
    for (const ValueId operand : layer.inputs) {
      out << separator << "%" << network.value(operand).name;
      separator = ", ";
    }
    out << ")";
    if (const std::string text = attributes(layer.op); !text.empty()) out << " {" << text << "}";
    if (!layer.source.empty()) out << "  # " << layer.source;
    out << "\n";
  }
  for (const Network::Output& output : network.outputs()) {
    out << "output %" << network.value(output.value).name << " as " << quoted(output.name) << "\n";
  }
  return out.str();
}

}  // namespace torchtrt::network
