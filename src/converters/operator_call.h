// SPDX-License-Identifier: Apache-2.0
// How a package writes down a call of one of PyTorch's operators, for plugins and for exact forms. src/torch/operator_call.h
// reads it; src/plugins/README.md has the format.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/expr.h>
#include <torchtrt/graph/graph.h>

namespace torchtrt::converters {

/// The dispatcher's name of a node's target: "aten::scatter_reduce.two" of "aten.scatter_reduce.two"; the overload
/// "default" has no name. Nothing for what is no overload of an operator.
inline std::optional<std::string> operator_name(std::string_view target) {
  const std::size_t space = target.find('.');
  const std::size_t overload = target.rfind('.');
  if (space == std::string_view::npos || overload == space) return std::nullopt;
  std::string name(target.substr(0, space));
  name.append("::").append(target.substr(space + 1, overload - space - 1));
  if (!target.ends_with(".default")) name.append(target.substr(overload));
  return name;
}

/// The argument as JSON. `number_of`: the number of a tensor (graph::Ref) or of a symbolic size (Expr).
template <typename Json, typename NumberOf>
Json write_argument(const graph::Argument& argument, const NumberOf& number_of) {
  return std::visit(
      [&](const auto& value) -> Json {
        using Value = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::monostate>) {
          return nullptr;
        } else if constexpr (std::is_same_v<Value, double>) {
          // As text: JSON has no infinities, and a plain 2 would read back as an integer.
          std::array<char, 40> buffer{};
          const char* end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
          return {{"number", std::string_view(buffer.data(), static_cast<std::size_t>(end - buffer.data()))}};
        } else if constexpr (std::is_same_v<Value, DataType>) {
          return {{"dtype", to_string(value)}};
        } else if constexpr (std::is_same_v<Value, Expr>) {
          return {{"size", number_of(value)}};
        } else if constexpr (std::is_same_v<Value, graph::Ref>) {
          return {{"tensor", number_of(value)}};
        } else if constexpr (std::is_same_v<Value, graph::List>) {
          Json items = Json::array();
          for (const graph::Argument& item : value) items.push_back(write_argument<Json>(item, number_of));
          return items;
        } else {
          return value;
        }
      },
      argument.value);
}

}  // namespace torchtrt::converters
