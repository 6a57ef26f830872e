// SPDX-License-Identifier: Apache-2.0
// Layers with weights, pooling, normalization, attention and resizing.
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

std::shared_ptr<ov::Node> number(const ov::Output<ov::Node>& like, double value) {
  return op::Constant::create(like.get_element_type(), ov::Shape{}, {value});
}

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

}  // namespace

ov::OutputVector Lowering::lower(const Layer& layer, const network::MatrixMultiply& product) {
  return {std::make_shared<op::MatMul>(operand(layer, 0), operand(layer, 1),
                                       product.op_a == network::MatrixOperation::kTranspose,
                                       product.op_b == network::MatrixOperation::kTranspose)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Convolution& convolution) {
  const Output x = operand(layer, 0);
  const Output weights = operand(layer, 1);
  Output result;
  if (convolution.groups == 1) {
    result = std::make_shared<op::Convolution>(x, weights, strides(convolution.stride), padding(convolution.pre_padding),
                                               padding(convolution.post_padding), strides(convolution.dilation));
  } else {
    result = std::make_shared<op::GroupConvolution>(x, split_groups(weights, convolution.groups),
                                                    strides(convolution.stride), padding(convolution.pre_padding),
                                                    padding(convolution.post_padding), strides(convolution.dilation));
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
        x, split_groups(weights, deconvolution.groups), strides(deconvolution.stride), padding(deconvolution.pre_padding),
        padding(deconvolution.post_padding), strides(deconvolution.dilation), ov::op::PadType::EXPLICIT,
        padding(deconvolution.output_padding));
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
  return {std::make_shared<ov::op::v14::AvgPool>(operand(layer, 0), strides(pooling.stride), shape_of(pooling.pre_padding),
                                                 shape_of(pooling.post_padding), shape_of(pooling.window),
                                                 !pooling.count_include_pad, rounding, ov::op::PadType::EXPLICIT)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Normalization& normalization) {
  const Output x = operand(layer, 0);
  if (normalization.kind == network::NormalizationKind::kGroup) {
    const Output channels = materialize(value_of(layer, 0).dims[1]);
    const auto filled = [&](double value) -> Output {
      return std::make_shared<op::Broadcast>(number(x, value), channels);
    };
    return {std::make_shared<op::GroupNormalization>(x, has_operand(layer, 1) ? operand(layer, 1) : filled(1),
                                                     has_operand(layer, 2) ? operand(layer, 2) : filled(0),
                                                     normalization.groups, normalization.epsilon)};
  }
  Output result;
  if (normalization.kind == network::NormalizationKind::kLayer) {
    result = std::make_shared<op::MVN>(x, int_constant(normalization.axes), /*normalize_variance=*/true,
                                       static_cast<float>(normalization.epsilon), ov::op::MVNEpsMode::INSIDE_SQRT);
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
  const Output q = operand(layer, 0);
  Output k = operand(layer, 1);
  Output v = operand(layer, 2);
  const Dims& query_dims = value_of(layer, 0).dims;
  const Dims& key_dims = value_of(layer, 1).dims;
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
  const Output scale = number(q, attention.scale);
  if (has_operand(layer, 3)) {
    return {std::make_shared<op::ScaledDotProductAttention>(q, k, v, operand(layer, 3), scale, attention.is_causal)};
  }
  // Without a mask the operation still wants a place for one before the scale: a 0-d zero is neutral.
  return {std::make_shared<op::ScaledDotProductAttention>(q, k, v, number(q, 0), scale, attention.is_causal)};
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
  attributes.nearest_mode = Interpolate::NearestMode::FLOOR;
  attributes.cube_coeff = resize.cubic_coeff;
  attributes.antialias = false;
  std::vector<std::int64_t> axes(resize.size.size());
  std::iota(axes.begin(), axes.end(), 2);
  if (resize.scales.empty()) {
    attributes.shape_calculation_mode = Interpolate::ShapeCalcMode::SIZES;
    return {std::make_shared<Interpolate>(operand(layer, 0), materialize(resize.size), int_constant(axes), attributes)};
  }
  attributes.shape_calculation_mode = Interpolate::ShapeCalcMode::SCALES;
  const std::vector<float> scales(resize.scales.begin(), resize.scales.end());
  const auto factors = op::Constant::create(ov::element::f32, ov::Shape{scales.size()}, scales);
  return {std::make_shared<Interpolate>(operand(layer, 0), factors, int_constant(axes), attributes)};
}

}  // namespace torchtrt::openvino
