// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

#include <torchtrt/network/layers.h>

/// The attributes of every layer kind, listed once: the printer and the parser both visit them.
namespace torchtrt::network {

// --- names of enumerators -------------------------------------------------------------------------------------------

/// EnumNames<E>::kNames: the text of each enumerator, in order.
template <typename Enum>
struct EnumNames;
#define TORCHTRT_ENUM_NAMES(type, ...)                       \
  template <>                                                \
  struct EnumNames<type> {                                   \
    static constexpr std::string_view kNames[]{__VA_ARGS__}; \
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
TORCHTRT_ENUM_NAMES(TopKTies, "lower_index", "sort", "topk", "topk_unsorted")
TORCHTRT_ENUM_NAMES(SliceMode, "strict", "fill", "reflect", "clamp")
TORCHTRT_ENUM_NAMES(InterpolationMode, "nearest", "linear", "cubic")
TORCHTRT_ENUM_NAMES(CoordinateTransformation, "align_corners", "asymmetric", "half_pixel")
TORCHTRT_ENUM_NAMES(NormalizationKind, "layer", "rms", "group")
TORCHTRT_ENUM_NAMES(FillOperation, "linspace")
#undef TORCHTRT_TEXT
#undef TORCHTRT_ENUM_NAMES

// --- the attributes -------------------------------------------------------------------------------------------------
// `visit(name, field)` for a field that the text always has; `visit.optional(name, field, standard)` for one that it
// leaves out where it is `standard`, which is what a default-constructed layer has. A Constant's dtype and dims are
// those of its result, and its elements have a syntax of their own.

/// Layer, or const Layer.
template <typename T, typename Kind>
concept Is = std::same_as<std::remove_const_t<T>, Kind>;
using Integers = std::vector<std::int64_t>;

template <typename V, Is<Constant> T>
void visit_attributes(T&, V&) {}
template <typename V, Is<Activation> T>
void visit_attributes(T& op, V& visit) {
  visit("type", op.type);
  visit.optional("alpha", op.alpha, 0.0);
  visit.optional("beta", op.beta, 0.0);
}
template <typename V, Is<Unary> T>
void visit_attributes(T& op, V& visit) {
  visit("operation", op.operation);
}
template <typename V, Is<ElementWise> T>
void visit_attributes(T& op, V& visit) {
  visit("operation", op.operation);
}
template <typename V, Is<MatrixMultiply> T>
void visit_attributes(T& op, V& visit) {
  visit.optional("op_a", op.op_a, MatrixOperation::kNone);
  visit.optional("op_b", op.op_b, MatrixOperation::kNone);
}
template <typename V, Is<Convolution> T>
void visit_attributes(T& op, V& visit) {
  visit("stride", op.stride);
  visit("dilation", op.dilation);
  visit("pre_padding", op.pre_padding);
  visit("post_padding", op.post_padding);
  visit.optional("groups", op.groups, std::int64_t{1});
}
template <typename V, Is<Deconvolution> T>
void visit_attributes(T& op, V& visit) {
  visit("stride", op.stride);
  visit("dilation", op.dilation);
  visit("pre_padding", op.pre_padding);
  visit("post_padding", op.post_padding);
  visit("output_padding", op.output_padding);
  visit.optional("groups", op.groups, std::int64_t{1});
}
template <typename V, Is<Pooling> T>
void visit_attributes(T& op, V& visit) {
  visit("type", op.type);
  visit("window", op.window);
  visit("stride", op.stride);
  visit("dilation", op.dilation);
  visit("pre_padding", op.pre_padding);
  visit("post_padding", op.post_padding);
  visit.optional("ceil_mode", op.ceil_mode, false);
  visit.optional("count_include_pad", op.count_include_pad, true);
}
template <typename V, Is<Reduce> T>
void visit_attributes(T& op, V& visit) {
  visit("operation", op.operation);
  visit("axes", op.axes);
  visit.optional("keep_dims", op.keep_dims, false);
}
template <typename V, Is<Softmax> T>
void visit_attributes(T& op, V& visit) {
  visit("axis", op.axis);
}
template <typename V, Is<TopK> T>
void visit_attributes(T& op, V& visit) {
  visit("operation", op.operation);
  visit("k", op.k);
  visit("axis", op.axis);
  visit.optional("ties", op.ties, TopKTies::kLowerIndex);
}
template <typename V, Is<Gather> T>
void visit_attributes(T& op, V& visit) {
  visit.optional("mode", op.mode, GatherMode::kDefault);
  visit("axis", op.axis);
}
template <typename V, Is<Scatter> T>
void visit_attributes(T& op, V& visit) {
  visit("mode", op.mode);
  visit("axis", op.axis);
}
template <typename V, Is<Slice> T>
void visit_attributes(T& op, V& visit) {
  visit("start", op.start);
  visit("size", op.size);
  visit("stride", op.stride);
  visit.optional("mode", op.mode, SliceMode::kStrict);
}
template <typename V, Is<Shuffle> T>
void visit_attributes(T& op, V& visit) {
  visit.optional("first_transpose", op.first_transpose, Integers{});
  visit.optional("reshape", op.reshape, std::optional<Dims>{});
  visit.optional("second_transpose", op.second_transpose, Integers{});
}
template <typename V, Is<Broadcast> T>
void visit_attributes(T& op, V& visit) {
  visit("dims", op.dims);
}
template <typename V, Is<Concatenation> T>
void visit_attributes(T& op, V& visit) {
  visit("axis", op.axis);
}
template <typename V, Is<Select> T>
void visit_attributes(T&, V&) {}
template <typename V, Is<Cast> T>
void visit_attributes(T& op, V& visit) {
  visit("to", op.to);
}
template <typename V, Is<Identity> T>
void visit_attributes(T&, V&) {}
template <typename V, Is<Resize> T>
void visit_attributes(T& op, V& visit) {
  visit("mode", op.mode);
  visit("transformation", op.transformation);
  visit("size", op.size);
  visit.optional("scales", op.scales, std::vector<double>{});
  visit.optional("cubic_coeff", op.cubic_coeff, -0.75);
}
template <typename V, Is<Normalization> T>
void visit_attributes(T& op, V& visit) {
  visit("kind", op.kind);
  visit.optional("axes", op.axes, Integers{});
  visit.optional("groups", op.groups, std::int64_t{1});
  visit("epsilon", op.epsilon);
}
template <typename V, Is<Fill> T>
void visit_attributes(T& op, V& visit) {
  visit.optional("operation", op.operation, FillOperation::kLinspace);
  visit("dtype", op.dtype);
  visit("length", op.length);
  visit.optional("start", op.start, 0.0);
  visit.optional("step", op.step, 1.0);
}
template <typename V, Is<ShapeOf> T>
void visit_attributes(T& op, V& visit) {
  visit("values", op.values);
  visit.optional("scalar", op.scalar, false);
}
template <typename V, Is<Attention> T>
void visit_attributes(T& op, V& visit) {
  visit("scale", op.scale);
  visit.optional("is_causal", op.is_causal, false);
}
template <typename V, Is<CumulativeSum> T>
void visit_attributes(T& op, V& visit) {
  visit("axis", op.axis);
  visit.optional("exclusive", op.exclusive, false);
  visit.optional("reverse", op.reverse, false);
}
template <typename V, Is<NonZero> T>
void visit_attributes(T& op, V& visit) {
  visit("count_symbol", op.count_symbol);
}
template <typename V, Is<Plugin> T>
void visit_attributes(T& op, V& visit) {
  visit("name", op.name);
  visit.optional("attributes", op.attributes, std::string{});
  visit.optional("library", op.library, std::string{});
  visit("dtypes", op.dtypes);
  visit("dims", op.dims);
}

template <typename V, Is<NonMaxSuppression> T>
void visit_attributes(T& op, V& visit) {
  visit("iou_threshold", op.iou_threshold);
  visit("count_symbol", op.count_symbol);
}

}  // namespace torchtrt::network
