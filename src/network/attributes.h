// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torchtrt/network/network.h>

/// The attributes of every layer kind, listed once: the printer and the parser both visit them.
namespace torchtrt::network {

// --- names of enumerators (those of the operation lists are in layers.h) --------------------------------------------------
template <typename Enum>
struct EnumNames;
#define TORCHTRT_ENUM_NAMES(type, ...)                               \
  template <>                                                        \
  struct EnumNames<type> {                                           \
    static constexpr std::string_view kNames[]{__VA_ARGS__};         \
  };
#define TORCHTRT_TEXT(name, text) text,
TORCHTRT_ENUM_NAMES(ActivationType, TORCHTRT_ACTIVATIONS(TORCHTRT_TEXT))
TORCHTRT_ENUM_NAMES(UnaryOperation, TORCHTRT_UNARIES(TORCHTRT_TEXT))
TORCHTRT_ENUM_NAMES(ElementWiseOperation, TORCHTRT_ELEMENTWISES(TORCHTRT_TEXT))
TORCHTRT_ENUM_NAMES(ReduceOperation, TORCHTRT_REDUCES(TORCHTRT_TEXT))
TORCHTRT_ENUM_NAMES(MatrixOperation, "none", "transpose")
TORCHTRT_ENUM_NAMES(PoolingType, "max", "average")
TORCHTRT_ENUM_NAMES(GatherMode, "default", "element", "nd")
TORCHTRT_ENUM_NAMES(ScatterMode, "element", "nd")
TORCHTRT_ENUM_NAMES(TopKOperation, "max", "min")
TORCHTRT_ENUM_NAMES(SliceMode, "strict", "fill", "reflect", "clamp")
TORCHTRT_ENUM_NAMES(InterpolationMode, "nearest", "linear", "cubic")
TORCHTRT_ENUM_NAMES(CoordinateTransformation, "align_corners", "asymmetric", "half_pixel")
TORCHTRT_ENUM_NAMES(NormalizationKind, "layer", "rms", "group")
TORCHTRT_ENUM_NAMES(FillOperation, "linspace")
#undef TORCHTRT_TEXT
#undef TORCHTRT_ENUM_NAMES

// --- the attributes -------------------------------------------------------------------------------------------------------
// visit(name, field) for every field of the layer kind. A Constant's elements are not attributes: its text is its own.
template <typename V> void visit_attributes(Constant&, V&) {}
template <typename V> void visit_attributes(Activation& op, V& visit) { visit("type", op.type), visit("alpha", op.alpha), visit("beta", op.beta); }
template <typename V> void visit_attributes(Unary& op, V& visit) { visit("operation", op.operation); }
template <typename V> void visit_attributes(ElementWise& op, V& visit) { visit("operation", op.operation); }
template <typename V> void visit_attributes(MatrixMultiply& op, V& visit) { visit("op_a", op.op_a), visit("op_b", op.op_b); }
template <typename V> void visit_attributes(Convolution& op, V& visit) {
  visit("stride", op.stride), visit("dilation", op.dilation), visit("pre_padding", op.pre_padding);
  visit("post_padding", op.post_padding), visit("groups", op.groups);
}
template <typename V> void visit_attributes(Deconvolution& op, V& visit) {
  visit("stride", op.stride), visit("dilation", op.dilation), visit("pre_padding", op.pre_padding);
  visit("post_padding", op.post_padding), visit("output_padding", op.output_padding), visit("groups", op.groups);
}
template <typename V> void visit_attributes(Pooling& op, V& visit) {
  visit("type", op.type), visit("window", op.window), visit("stride", op.stride), visit("dilation", op.dilation);
  visit("pre_padding", op.pre_padding), visit("post_padding", op.post_padding), visit("ceil_mode", op.ceil_mode);
  visit("count_include_pad", op.count_include_pad);
}
template <typename V> void visit_attributes(Reduce& op, V& visit) { visit("operation", op.operation), visit("axes", op.axes), visit("keep_dims", op.keep_dims); }
template <typename V> void visit_attributes(Softmax& op, V& visit) { visit("axis", op.axis); }
template <typename V> void visit_attributes(TopK& op, V& visit) { visit("operation", op.operation), visit("k", op.k), visit("axis", op.axis); }
template <typename V> void visit_attributes(Gather& op, V& visit) { visit("mode", op.mode), visit("axis", op.axis); }
template <typename V> void visit_attributes(Scatter& op, V& visit) { visit("mode", op.mode), visit("axis", op.axis); }
template <typename V> void visit_attributes(Slice& op, V& visit) { visit("start", op.start), visit("size", op.size), visit("stride", op.stride), visit("mode", op.mode); }
template <typename V> void visit_attributes(Shuffle& op, V& visit) {
  visit("first_transpose", op.first_transpose), visit("reshape", op.reshape), visit("second_transpose", op.second_transpose);
}
template <typename V> void visit_attributes(Broadcast& op, V& visit) { visit("dims", op.dims); }
template <typename V> void visit_attributes(Concatenation& op, V& visit) { visit("axis", op.axis); }
template <typename V> void visit_attributes(Select&, V&) {}
template <typename V> void visit_attributes(Cast& op, V& visit) { visit("to", op.to); }
template <typename V> void visit_attributes(Identity&, V&) {}
template <typename V> void visit_attributes(Resize& op, V& visit) {
  visit("mode", op.mode), visit("transformation", op.transformation), visit("size", op.size), visit("scales", op.scales);
  visit("cubic_coeff", op.cubic_coeff);
}
template <typename V> void visit_attributes(Normalization& op, V& visit) {
  visit("kind", op.kind), visit("axes", op.axes), visit("groups", op.groups), visit("epsilon", op.epsilon);
}
template <typename V> void visit_attributes(Fill& op, V& visit) {
  visit("operation", op.operation), visit("dtype", op.dtype), visit("length", op.length), visit("start", op.start), visit("step", op.step);
}
template <typename V> void visit_attributes(ShapeOf& op, V& visit) { visit("values", op.values), visit("scalar", op.scalar); }
template <typename V> void visit_attributes(Attention& op, V& visit) { visit("scale", op.scale), visit("is_causal", op.is_causal); }
template <typename V> void visit_attributes(CumulativeSum& op, V& visit) { visit("axis", op.axis), visit("exclusive", op.exclusive), visit("reverse", op.reverse); }
template <typename V> void visit_attributes(NonZero& op, V& visit) { visit("count_symbol", op.count_symbol); }

// --- an attribute's text -----------------------------------------------------------------------------------------------------
inline std::string attribute_text(bool value) { return value ? "true" : "false"; }
inline std::string attribute_text(std::int64_t value) { return std::to_string(value); }
inline std::string attribute_text(double value) {
  char buffer[40];
  // The shortest text that reads back as the same double.
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
inline std::string attribute_text(DataType value) { return std::string(to_string(value)); }
inline std::string attribute_text(const Expr& value) { return value.str(); }
inline std::string attribute_text(const std::string& value) { return value; }
inline std::string attribute_text(const Dims& value) { return to_string(value); }
inline std::string attribute_text(const std::optional<Dims>& value) { return value ? to_string(*value) : "none"; }
template <typename T>
std::string attribute_text(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += (text.size() == 1 ? "" : ", ") + attribute_text(value);
  return text + "]";
}
template <typename Enum>
  requires std::is_enum_v<Enum>
std::string attribute_text(Enum value) {
  return std::string(EnumNames<Enum>::kNames[static_cast<std::size_t>(value)]);
}

}  // namespace torchtrt::network
