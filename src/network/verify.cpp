// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include <torchtrt/base/error.h>
#include <torchtrt/network/network.h>

#include "network/infer.h"

namespace torchtrt::network {
namespace {

bool may_be_equal(const Dims& a, const Dims& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Expr& x, const Expr& y) {
    return !(x.is_constant() && y.is_constant()) || x == y;
  });
}

}  // namespace

void Network::verify() const {
  std::set<std::uint32_t> defined;
  std::set<std::string> names;
  const auto define = [&](ValueId id) {
    const Value& defined_value = value(id);
    TORCHTRT_CHECK(defined.insert(id.index).second, kInternal, "value \"", defined_value.name, "\" is defined twice");
    TORCHTRT_CHECK(!defined_value.name.empty() && names.insert(defined_value.name).second, kInternal, "two values are named \"",
                   defined_value.name, "\"");
  };
  std::set<std::string> known_symbols;
  for (const auto& [symbol, range] : symbols()) known_symbols.insert(symbol);
  for (const Input& input : inputs()) {
    define(input.value);
    std::set<std::string> used;
    for (const Expr& dim : value(input.value).dims) dim.collect_symbols(used);
    for (const std::string& symbol : used) {
      TORCHTRT_CHECK(known_symbols.count(symbol) == 1, kInternal, "input \"", value(input.value).name, "\" uses symbol ",
                     symbol, ", which is not declared");
    }
  }
  for (const Layer& layer : layers()) {
    for (const ValueId operand : layer.inputs) {
      TORCHTRT_CHECK(defined.count(operand.index) == 1, kInternal, "layer \"", layer.name, "\" reads value \"",
                     value(operand).name, "\" before it is defined");
    }
    const std::vector<ValueType> types = infer(*this, layer);
    TORCHTRT_CHECK(types.size() == layer.outputs.size(), kInternal, "layer \"", layer.name, "\" has ", layer.outputs.size(),
                   " outputs, its kind has ", types.size());
    for (std::size_t i = 0; i < types.size(); ++i) {
      define(layer.outputs[i]);
      const Value& result = value(layer.outputs[i]);
      TORCHTRT_CHECK(result.dtype == types[i].dtype && may_be_equal(result.dims, types[i].dims), kInternal, "value \"",
                     result.name, "\" is ", to_string(result.dtype), to_string(result.dims), ", but its layer gives ",
                     to_string(types[i].dtype), to_string(types[i].dims));
    }
  }
  TORCHTRT_CHECK(!outputs().empty(), kInternal, "network \"", name(), "\" has no output");
  for (const Output& output : outputs()) {
    TORCHTRT_CHECK(defined.count(output.value.index) == 1, kInternal, "output \"", output.name, "\" is not defined");
  }
}

}  // namespace torchtrt::network
