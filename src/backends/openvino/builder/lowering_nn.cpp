// SPDX-License-Identifier: Apache-2.0
// Layers with weights, pooling, normalization, attention and resizing.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <openvino/opsets/opset14.hpp>

#include <torchtrt/base/error.h>

#include "backends/openvino/builder/lowering.h"

namespace torchtrt::openvino {

using network::Layer;
namespace op = ov::opset14;

namespace {

ov::Strides strides(const std::vector<std::int64_t>& values) { return {values.begin(), values.end()}; }
ov::CoordinateDiff padding(const std::vector<std::int64_t>& values) { return {values.begin(), values.end()}; }
ov::Shape shape_of(const std::vector<std::int64_t>& values) { return {values.begin(), values.end()}; }

// [c] -> [1, c, 1, ..], to be added to or multiplied with [n, c, spatial..].
ov::Output<ov::Node> per_channel(const ov::Output<ov::Node>& values, std::size_t spatial) {
  std::vector<std::int64_t> shape(spatial + 2, 1);
  shape[1] = -1;
  return std::make_shared<op::Reshape>(values, int_constant(shape), false);
}

// w[a, b, kernel..] -> [groups, a / groups, b, kernel..]
ov::Output<ov::Node> split_groups(const ov::Output<ov::Node>& weights, std::int64_t groups) {
  const ov::Shape shape = weights.get_shape();
  std::vector<std::int64_t> split{groups, static_cast<std::int64_t>(shape[0]) / groups};
  for (std::size_t i = 1; i < shape.size(); ++i) split.push_back(static_cast<std::int64_t>(shape[i]));
  if (const auto* constant = dynamic_cast<const op::Constant*>(weights.get_node())) {
    return std::make_shared<op::Constant>(*constant, shape_of(split));  // the same elements under another shape
  }
  return std::make_shared<op::Reshape>(weights, int_constant(split), false);
}

// Whether `mask` is a constant (a causal mask, as a rule) that leaves every row something to attend to.
bool every_row_takes_part(const ov::Output<ov::Node>& mask) {
  const auto* constant = dynamic_cast<const op::Constant*>(mask.get_node());
  if (constant == nullptr || constant->get_shape().empty() || constant->get_shape().back() == 0) return false;
  const std::vector<float> values = constant->cast_vector<float>();
  const auto row = static_cast<std::ptrdiff_t>(constant->get_shape().back());
  const bool added = constant->get_element_type() != ov::element::boolean;
  for (auto begin = values.begin(); begin != values.end(); begin += row) {
    const bool any =
        std::any_of(begin, begin + row, [&](float value) { return added ? value > -INFINITY : value != 0; });
    if (!any) return false;
  }
  return true;
}

// The plugin (2026.4.1) makes one kernel of an attention and the transposes around it, and takes a layout [b, h, l, e] for
// [b, l, h, e] where some of them are transposed and others are not. Shapes tell the two apart, unless h = l.
bool has_ambiguous_heads(const Dims& dims) {
  return dims.size() == 4 && is_static(dims) && dims[1] == dims[2] && dims[1] != Expr(1);
}

}  // namespace

ov::OutputVector Lowering::lower(const Layer& layer, const network::MatrixMultiply& product) {
  Output a = operand(layer, 0);
  Output b = operand(layer, 1);
  const bool is_constant = net_.constant(layer.inputs[0]) != nullptr || net_.constant(layer.inputs[1]) != nullptr;
  const bool apart =
      !is_constant && (has_ambiguous_heads(value_of(layer, 0).dims) || has_ambiguous_heads(value_of(layer, 1).dims) ||
                       has_ambiguous_heads(net_.value(layer.outputs[0]).dims));
  if (apart) {
    a = copied(a);
    b = copied(b);
  }
  const auto result = std::make_shared<op::MatMul>(a, b, product.op_a == network::MatrixOperation::kTranspose,
                                                   product.op_b == network::MatrixOperation::kTranspose);
  return {apart ? copied(result)->output(0) : result->output(0)};
}

namespace {

// Whether the plugin's bfloat16 kernels (2026.4.1) may take memory that was never written for padding: those of three
// dimensions, and dilated ones, where a window begins or ends outside.
bool reads_beyond_padding(const network::Convolution& convolution) {
  const auto is_one = [](std::int64_t value) { return value == 1; };
  const auto is_nothing = [](std::int64_t value) { return value == 0; };
  const bool is_padded = !std::all_of(convolution.pre_padding.begin(), convolution.pre_padding.end(), is_nothing) ||
                         !std::all_of(convolution.post_padding.begin(), convolution.post_padding.end(), is_nothing);
  const bool is_dilated = !std::all_of(convolution.dilation.begin(), convolution.dilation.end(), is_one);
  return is_padded && (convolution.stride.size() > 2 || is_dilated);
}

// x[n, c, spatial..] with the convolution's padding as elements.
ov::Output<ov::Node> with_zeros_around(const ov::Output<ov::Node>& x, const network::Convolution& convolution) {
  std::vector<std::int64_t> begin(2, 0);
  std::vector<std::int64_t> end(2, 0);
  begin.insert(begin.end(), convolution.pre_padding.begin(), convolution.pre_padding.end());
  end.insert(end.end(), convolution.post_padding.begin(), convolution.post_padding.end());
  return std::make_shared<op::Pad>(x, int_constant(begin), int_constant(end), number(x, 0), ov::op::PadMode::CONSTANT);
}

// x[n, c, spatial..] with each channel `times` times, one behind the other.
ov::Output<ov::Node> with_channels_repeated(const ov::Output<ov::Node>& x, std::int64_t channels, std::int64_t times) {
  std::vector<std::int64_t> from;
  for (std::int64_t i = 0; i < channels * times; ++i) from.push_back(i / times);
  return std::make_shared<ov::op::v8::Gather>(x, int_constant(from), int_constant({1}));
}

}  // namespace

ov::OutputVector Lowering::lower(const Layer& layer, const network::Convolution& convolution) {
  Output x = operand(layer, 0);
  const Output weights = operand(layer, 1);
  std::int64_t groups = convolution.groups;
  ov::CoordinateDiff before = padding(convolution.pre_padding);
  ov::CoordinateDiff after = padding(convolution.post_padding);
  const bool is_bfloat16 = x.get_element_type() == ov::element::bf16;  // its kernels run whatever the rest computes in
  if (is_bfloat16 && reads_beyond_padding(convolution)) {
    x = with_zeros_around(x, convolution);
    before.assign(before.size(), 0);
    after.assign(after.size(), 0);
  }
  // The plugin's bfloat16 kernels (2026.4.1, seen with AVX512-BF16) add the bias of the first group to all groups of one channel
  // that make several, for some shapes. Those of one channel to one are right.
  const Dims& filters = value_of(layer, 1).dims;
  if (is_bfloat16 && groups > 1 && filters[1] == Expr(1) && filters[0].is_constant() && filters[0] != Expr(groups)) {
    const std::int64_t results = filters[0].value();
    x = with_channels_repeated(x, groups, results / groups);
    groups = results;
  }
  Output result;
  if (groups == 1) {
    result = std::make_shared<op::Convolution>(x, weights, strides(convolution.stride), before, after,
                                               strides(convolution.dilation));
  } else {
    result = std::make_shared<op::GroupConvolution>(x, split_groups(weights, groups), strides(convolution.stride),
                                                    before, after, strides(convolution.dilation));
  }
  if (has_operand(layer, 2)) {
    result = std::make_shared<op::Add>(result, per_channel(operand(layer, 2), convolution.stride.size()));
  }
  return {result};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Deconvolution& deconvolution) {
  const Output x = operand(layer, 0);
  const Output weights = operand(layer, 1);
  Output result;
  if (deconvolution.groups == 1) {
    result = std::make_shared<op::ConvolutionBackpropData>(
        x, weights, strides(deconvolution.stride), padding(deconvolution.pre_padding),
        padding(deconvolution.post_padding), strides(deconvolution.dilation), ov::op::PadType::EXPLICIT,
        padding(deconvolution.output_padding));
  } else {
    result = std::make_shared<op::GroupConvolutionBackpropData>(
        x, split_groups(weights, deconvolution.groups), strides(deconvolution.stride),
        padding(deconvolution.pre_padding), padding(deconvolution.post_padding), strides(deconvolution.dilation),
        ov::op::PadType::EXPLICIT, padding(deconvolution.output_padding));
  }
  if (has_operand(layer, 2)) {
    result = std::make_shared<op::Add>(result, per_channel(operand(layer, 2), deconvolution.stride.size()));
  }
  return {result};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Pooling& pooling) {
  const auto rounding = pooling.ceil_mode ? ov::op::RoundingType::CEIL_TORCH : ov::op::RoundingType::FLOOR;
  if (pooling.type == network::PoolingType::kMax) {
    const auto node = std::make_shared<ov::op::v14::MaxPool>(
        operand(layer, 0), strides(pooling.stride), strides(pooling.dilation), shape_of(pooling.pre_padding),
        shape_of(pooling.post_padding), shape_of(pooling.window), rounding, ov::op::PadType::EXPLICIT);
    return {node->output(0)};
  }
  return {std::make_shared<ov::op::v14::AvgPool>(
      operand(layer, 0), strides(pooling.stride), shape_of(pooling.pre_padding), shape_of(pooling.post_padding),
      shape_of(pooling.window), !pooling.count_include_pad, rounding, ov::op::PadType::EXPLICIT)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Normalization& normalization) {
  const Output x = operand(layer, 0);
  Output result;
  if (normalization.kind == network::NormalizationKind::kGroup) {
    // Not the plugin's GroupNormalization: two of them with residual sums end the process (2026.4.1), it has no bfloat16
    // kernel where other values are float32, and it is not faster.
    const Dims& dims = value_of(layer, 0).dims;
    Dims grouped{dims[0], Expr(normalization.groups), floor_div(dims[1], Expr(normalization.groups))};
    for (std::size_t i = 2; i < dims.size(); ++i) grouped[2] = grouped[2] * dims[i];
    result = std::make_shared<op::MVN>(reshape(x, dims, grouped), int_constant({2}), /*normalize_variance=*/true,
                                       static_cast<float>(normalization.epsilon), ov::op::MVNEpsMode::INSIDE_SQRT);
    result = reshape(result, grouped, dims);
    const std::size_t spatial = dims.size() - 2;
    if (has_operand(layer, 1)) result = std::make_shared<op::Multiply>(result, per_channel(operand(layer, 1), spatial));
    if (has_operand(layer, 2)) result = std::make_shared<op::Add>(result, per_channel(operand(layer, 2), spatial));
    return {result};
  }
  if (normalization.kind == network::NormalizationKind::kLayer) {
    // As rows wherever the plugin would take it apart: in bfloat16 the mean would be rounded before it is subtracted, so that
    // numbers near 100 come out wrong in the first digit; in float32 its own node is four times as fast.
    const Dims& dims = value_of(layer, 0).dims;
    const auto outer = static_cast<std::ptrdiff_t>(dims.size() - normalization.axes.size());
    const bool as_rows = outer > 2 || dims.size() > 5;
    const Dims rows{Expr(1), volume({dims.begin(), dims.begin() + outer}), volume({dims.begin() + outer, dims.end()})};
    result = std::make_shared<op::MVN>(
        as_rows ? reshape(x, dims, rows) : x, int_constant(as_rows ? std::vector<std::int64_t>{2} : normalization.axes),
        /*normalize_variance=*/true, static_cast<float>(normalization.epsilon), ov::op::MVNEpsMode::INSIDE_SQRT);
    if (as_rows) result = reshape(result, rows, dims);
  } else {
    // In float32, as PyTorch computes the statistics of half-precision inputs; the plugin makes one node of it.
    const ov::element::Type type = x.get_element_type();
    const Output wide = type == ov::element::f32 ? x : std::make_shared<op::Convert>(x, ov::element::f32)->output(0);
    const auto squares = std::make_shared<op::Power>(wide, number(wide, 2));
    const auto mean = std::make_shared<op::ReduceMean>(squares, int_constant(normalization.axes), true);
    const auto shifted = std::make_shared<op::Add>(mean, number(wide, normalization.epsilon));
    const auto root = std::make_shared<op::Sqrt>(shifted);
    result = std::make_shared<op::Multiply>(wide, std::make_shared<op::Divide>(number(wide, 1), root));
    if (type != ov::element::f32) result = std::make_shared<op::Convert>(result, type);
  }
  if (has_operand(layer, 1)) result = std::make_shared<op::Multiply>(result, operand(layer, 1));
  if (has_operand(layer, 2)) result = std::make_shared<op::Add>(result, operand(layer, 2));
  return {result};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Attention& attention) {
  Output q = operand(layer, 0);
  Output k = operand(layer, 1);
  Output v = operand(layer, 2);
  const Dims& query_dims = value_of(layer, 0).dims;
  const Dims& key_dims = value_of(layer, 1).dims;
  const bool apart = has_ambiguous_heads(query_dims) || has_ambiguous_heads(key_dims);
  if (apart) {
    q = copied(q);
    k = copied(k);
    v = copied(v);
  }
  if (query_dims[1] != key_dims[1]) {
    // Grouped queries: each key and value head serves h / hk query heads.
    const Expr repeat = floor_div(query_dims[1], key_dims[1]);
    const auto expand = [&](const Output& x, const Dims& dims) -> Output {
      const Dims wide{dims[0], dims[1], Expr(1), dims[2], dims[3]};
      const Dims repeated{dims[0], dims[1], repeat, dims[2], dims[3]};
      const Output broadcast = std::make_shared<op::Broadcast>(reshape(x, dims, wide), materialize(repeated));
      return reshape(broadcast, repeated, {dims[0], query_dims[1], dims[2], dims[3]});
    };
    k = expand(k, key_dims);
    v = expand(v, value_of(layer, 2).dims);
  }
  // The plugin computes attention in the operands' type even where the rest runs in float32. And the scale is of that type:
  // one that it does not hold is applied to the query.
  const ov::element::Type type = q.get_element_type();
  const bool widen = type != ov::element::f32 && !in_bfloat16_;
  double scale = attention.scale;
  if (type == ov::element::bf16 && in_bfloat16_ &&
      static_cast<double>(ov::bfloat16(static_cast<float>(scale))) != scale) {
    q = scaled(q, scale);
    scale = 1;
  }
  const auto wide = [&](const Output& x) -> Output {
    return widen && x.get_element_type() == type ? std::make_shared<op::Convert>(x, ov::element::f32)->output(0) : x;
  };
  q = wide(q);
  // Without a mask the operation still wants a place for one before the scale: a 0-d zero is neutral.
  Output mask = number(q, 0);
  Output row_takes_part;  // [b or 1, h or 1, l or 1, 1]: whether the mask leaves the row anything
  if (has_operand(layer, 3)) {
    const Output given = operand(layer, 3);
    Dims dims = value_of(layer, 3).dims;
    const Dims from = dims;
    dims.insert(dims.begin(), 4 - dims.size(), Expr(1));
    mask = from.size() == 4 ? given : reshape(given, from, dims);
    Output takes_part = mask;
    if (mask.get_element_type() != ov::element::boolean) {
      takes_part = std::make_shared<op::Less>(number(mask, -INFINITY), mask);
    }
    if (!every_row_takes_part(given)) {
      row_takes_part = std::make_shared<op::ReduceLogicalOr>(takes_part, int_constant({3}), true);
    }
    mask = wide(mask);
  }
  Output result =
      std::make_shared<op::ScaledDotProductAttention>(q, wide(k), wide(v), mask, number(q, scale), attention.is_causal);
  // Softmax of a row of -inf is NaN; PyTorch's attention gives zeros there.
  if (row_takes_part.get_node() != nullptr) {
    result = std::make_shared<op::Select>(row_takes_part, result, number(q, 0));
  }
  if (widen) result = std::make_shared<op::Convert>(result, type);
  return {apart ? copied(result)->output(0) : result};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Resize& resize) {
  using Interpolate = ov::op::v11::Interpolate;
  Interpolate::InterpolateAttrs attributes;
  switch (resize.mode) {
    case network::InterpolationMode::kNearest: attributes.mode = Interpolate::InterpolateMode::NEAREST; break;
    case network::InterpolationMode::kLinear: attributes.mode = Interpolate::InterpolateMode::LINEAR_ONNX; break;
    case network::InterpolationMode::kCubic: attributes.mode = Interpolate::InterpolateMode::CUBIC; break;
  }
  switch (resize.transformation) {
    case network::CoordinateTransformation::kAlignCorners:
      attributes.coordinate_transformation_mode = Interpolate::CoordinateTransformMode::ALIGN_CORNERS;
      break;
    case network::CoordinateTransformation::kAsymmetric:
      attributes.coordinate_transformation_mode = Interpolate::CoordinateTransformMode::ASYMMETRIC;
      break;
    case network::CoordinateTransformation::kHalfPixel:
      attributes.coordinate_transformation_mode = Interpolate::CoordinateTransformMode::HALF_PIXEL;
      break;
  }
  // floor((i + 0.5) * scale) of PyTorch's "nearest-exact" is the half pixel coordinate, rounded up where it is halfway.
  attributes.nearest_mode = resize.transformation == network::CoordinateTransformation::kHalfPixel
                                ? Interpolate::NearestMode::ROUND_PREFER_CEIL
                                : Interpolate::NearestMode::FLOOR;
  attributes.cube_coeff = resize.cubic_coeff;
  attributes.antialias = false;
  // By the sizes also where scales are given: check() lets only those pass that say the same.
  attributes.shape_calculation_mode = Interpolate::ShapeCalcMode::SIZES;
  std::vector<std::int64_t> axes(resize.size.size());
  std::iota(axes.begin(), axes.end(), 2);
  return {std::make_shared<Interpolate>(operand(layer, 0), materialize(resize.size), int_constant(axes), attributes)};
}

}  // namespace torchtrt::openvino
