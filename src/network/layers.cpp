// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/network/layers.h>

#include <array>
#include "network/attributes.h"

namespace torchtrt::network {

std::string_view kind_name(const Op& op) {
  static constexpr std::array<std::string_view, std::variant_size_v<Op>> kNames{
      "constant",        "activation",     "unary",         "elementwise",
      "matrix_multiply", "convolution",    "deconvolution", "pooling",
      "reduce",          "softmax",        "topk",          "gather",
      "scatter",         "slice",          "shuffle",       "broadcast",
      "concatenation",   "select",         "cast",          "identity",
      "resize",          "normalization",  "fill",          "shape_of",
      "attention",       "cumulative_sum", "non_zero",      "non_max_suppression",
      "plugin"};
  return kNames[op.index()];
}

const std::string* count_symbol(const Op& op) {
  if (const auto* non_zero = std::get_if<NonZero>(&op)) return &non_zero->count_symbol;
  if (const auto* selection = std::get_if<NonMaxSuppression>(&op)) return &selection->count_symbol;
  return nullptr;
}

namespace {

template <typename Enum>
std::string_view name_of(Enum value) {
  return EnumNames<Enum>::kNames[static_cast<std::size_t>(value)];
}

}  // namespace

std::string_view to_string(ActivationType type) { return name_of(type); }
std::string_view to_string(UnaryOperation operation) { return name_of(operation); }
std::string_view to_string(ElementWiseOperation operation) { return name_of(operation); }
std::string_view to_string(ReduceOperation operation) { return name_of(operation); }

}  // namespace torchtrt::network
