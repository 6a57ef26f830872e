// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/network/network.h>

#include "network/attributes.h"
#include "network/infer.h"

namespace torchtrt::network {
namespace {

bool may_be_equal(const Dims& a, const Dims& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Expr& x, const Expr& y) { return !(x.is_constant() && y.is_constant()) || x == y; });
}

std::string type_text(DataType dtype, const Dims& dims) { return std::string(to_string(dtype)) + to_string(dims); }

// The symbols in a layer's attributes.
class SymbolCollector {
 public:
  template <typename T>
  void operator()(const char*, const T& field) {
    if constexpr (std::is_same_v<T, Expr>) {
      field.collect_symbols(symbols_);
    } else if constexpr (std::is_same_v<T, Dims>) {
      for (const Expr& expr : field) expr.collect_symbols(symbols_);
    } else if constexpr (std::is_same_v<T, std::optional<Dims>>) {
      if (field) (*this)("", *field);
    } else if constexpr (std::is_same_v<T, std::vector<Dims>>) {
      for (const Dims& dims : field) (*this)("", dims);
    }
  }
  template <typename T>
  void optional(const char* name, const T& field, const T&) {
    (*this)(name, field);
  }
  [[nodiscard]] const std::set<std::string>& symbols() const { return symbols_; }

 private:
  std::set<std::string> symbols_;
};

class Verifier {
 public:
  explicit Verifier(const Network& network) : network_(network) {
    for (const auto& [symbol, range] : network.symbols()) symbols_.insert(symbol);
  }

  void run() {
    for (const Input& input : network_.inputs()) {
      define(input.value);
      if (input.is_shape_tensor) check_symbols({input.symbol}, network_.value(input.value).name);
    }
    for (const Layer& layer : network_.layers()) check_layer(layer);
    TORCHTRT_CHECK(!network_.outputs().empty(), kInternal, "network \"", network_.name(), "\" has no output");
    std::set<std::string> names;
    for (const Network::Output& output : network_.outputs()) {
      TORCHTRT_CHECK(defined_.count(output.value.index) == 1, kInternal, "output \"", output.name, "\" is not defined");
      TORCHTRT_CHECK(names.insert(output.name).second, kInternal, "two outputs are named \"", output.name, "\"");
    }
    for (const ValueId guard : network_.guards()) {
      const Value& value = network_.value(guard);
      TORCHTRT_CHECK(defined_.count(guard.index) == 1, kInternal, "guard \"", value.name, "\" is not defined");
      TORCHTRT_CHECK(value.dtype == DataType::kBool && value.dims.empty(), kInternal, "guard \"", value.name,
                     "\" is no 0-d bool");
    }
  }

 private:
  void define(ValueId id) {
    const Value& value = network_.value(id);
    TORCHTRT_CHECK(defined_.insert(id.index).second, kInternal, "value \"", value.name, "\" is defined twice");
    TORCHTRT_CHECK(!value.name.empty() && names_.insert(value.name).second, kInternal, "two values are named \"",
                   value.name, "\"");
    std::set<std::string> used;
    for (const Expr& dim : value.dims) {
      dim.collect_symbols(used);
      TORCHTRT_CHECK(!dim.is_constant() || dim.value() >= 0, kInternal, "value \"", value.name, "\" has shape ",
                     to_string(value.dims));
    }
    check_symbols(used, value.name);
    TORCHTRT_CHECK(value.range.min <= value.range.max, kInternal, "value \"", value.name, "\" has the empty range [",
                   value.range.min, ", ", value.range.max, "]");
  }

  void check_symbols(const std::set<std::string>& used, const std::string& name) const {
    for (const std::string& symbol : used) {
      TORCHTRT_CHECK(symbols_.count(symbol) == 1, kInternal, "\"", name, "\" uses symbol ", symbol,
                     ", which is not declared");
    }
  }

  void check_layer(const Layer& layer) {
    for (const ValueId operand : layer.inputs) {
      TORCHTRT_CHECK(defined_.count(operand.index) == 1, kInternal, "layer \"", layer.name, "\" reads value \"",
                     network_.value(operand).name, "\" before it is defined");
    }
    if (const std::string* symbol = count_symbol(layer.op)) symbols_.insert(*symbol);
    SymbolCollector collector;
    std::visit([&](const auto& op) { visit_attributes(op, collector); }, layer.op);
    check_symbols(collector.symbols(), layer.name);
    const std::vector<ValueType> types = infer(network_, layer);
    TORCHTRT_CHECK(types.size() == layer.outputs.size(), kInternal, "layer \"", layer.name, "\" has ",
                   layer.outputs.size(), " outputs, its kind has ", types.size());
    for (std::size_t i = 0; i < types.size(); ++i) {
      define(layer.outputs[i]);
      const Value& result = network_.value(layer.outputs[i]);
      TORCHTRT_CHECK(result.dtype == types[i].dtype && may_be_equal(result.dims, types[i].dims), kInternal, "value \"",
                     result.name, "\" is ", type_text(result.dtype, result.dims), ", but its layer gives ",
                     type_text(types[i].dtype, types[i].dims));
    }
  }

  const Network& network_;
  std::set<std::string> symbols_, names_;  // that may be used; of values
  std::set<std::uint32_t> defined_;
};

}  // namespace

void Network::verify() const {
  try {
    Verifier(*this).run();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) throw;
    fail(ErrorCode::kInternal, error.what());  // a rule of inference that held when the layer was added
  }
}

}  // namespace torchtrt::network
