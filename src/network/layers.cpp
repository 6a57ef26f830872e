// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/network/layers.h>

#include <array>
#include <torchtrt/base/error.h>

namespace torchtrt::network {

std::string_view kind_name(const Op& op) {
  static constexpr std::array<std::string_view, std::variant_size_v<Op>> kNames{
      "constant",  "activation", "unary",         "elementwise", "matrix_multiply", "convolution", "deconvolution",
      "pooling",   "reduce",     "softmax",       "topk",        "gather",          "scatter",     "slice",
      "shuffle",   "broadcast",  "concatenation", "select",      "cast",            "identity",    "resize",
      "normalization", "fill",   "shape_of",      "attention",   "cumulative_sum",  "non_zero"};
  return kNames[op.index()];
}

#define TORCHTRT_NAME(name, text) text,
std::string_view to_string(ActivationType type) {
  static constexpr std::string_view kNames[]{TORCHTRT_ACTIVATIONS(TORCHTRT_NAME)};
  return kNames[static_cast<std::size_t>(type)];
}
std::string_view to_string(UnaryOperation operation) {
  static constexpr std::string_view kNames[]{TORCHTRT_UNARIES(TORCHTRT_NAME)};
  return kNames[static_cast<std::size_t>(operation)];
}
std::string_view to_string(ElementWiseOperation operation) {
  static constexpr std::string_view kNames[]{TORCHTRT_ELEMENTWISES(TORCHTRT_NAME)};
  return kNames[static_cast<std::size_t>(operation)];
}
std::string_view to_string(ReduceOperation operation) {
  static constexpr std::string_view kNames[]{TORCHTRT_REDUCES(TORCHTRT_NAME)};
  return kNames[static_cast<std::size_t>(operation)];
}
#undef TORCHTRT_NAME

}  // namespace torchtrt::network
