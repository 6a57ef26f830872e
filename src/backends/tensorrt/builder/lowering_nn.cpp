// SPDX-License-Identifier: Apache-2.0
// Convolution, pooling, resampling, normalization and attention.
#include <limits>

#include "backends/tensorrt/builder/lowering_inl.h"
#include "backends/tensorrt/compat/attention.h"

namespace torchtrt::tensorrt {

using network::Layer;
using nvinfer1::ElementWiseOperation;
using nvinfer1::UnaryOperation;

namespace {

std::vector<std::int64_t> with_leading(std::vector<std::int64_t> values, std::int64_t leading) {
  values.insert(values.begin(), leading);
  return values;
}

Dims insert_dim(Dims dims, std::size_t at) {
  dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(at), Expr(1));
  return dims;
}

}  // namespace

// One spatial dimension becomes two, the first of size 1: there is no 1-d convolution or pooling.
std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Convolution& op) {
  const bool flat = op.stride.size() == 1;
  const auto spatial = [&](const std::vector<std::int64_t>& values, std::int64_t neutral) {
    return to_dims(flat ? with_leading(values, neutral) : values);
  };
  Tensor x = flat ? reshape(operand(layer, 0), insert_dim(dims(layer, 0), 2)) : operand(layer, 0);
  const Dims& kernel_dims = dims(layer, 1);
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < kernel_dims.size(); ++i) kernel.push_back(kernel_dims[i].value());
  const nvinfer1::Weights none{data_type(dtype(layer, 0)), nullptr, 0};
  const std::optional<nvinfer1::Weights> weights = own_weights(layer, 1);
  const std::optional<nvinfer1::Weights> bias = own_weights(layer, 2);
  Tensor tensor = nullptr;
  if (!weights) tensor = flat ? reshape(operand(layer, 1), insert_dim(dims(layer, 1), 2)) : operand(layer, 1);
  auto* convolution = checked(trt_.addConvolutionNd(*x, kernel_dims[0].value(), spatial(kernel, 1),
                                                    weights.value_or(none), bias.value_or(none)));
  if (tensor != nullptr) convolution->setInput(1, *tensor);
  convolution->setStrideNd(spatial(op.stride, 1));
  convolution->setDilationNd(spatial(op.dilation, 1));
  convolution->setPrePadding(spatial(op.pre_padding, 0));
  convolution->setPostPadding(spatial(op.post_padding, 0));
  convolution->setNbGroups(op.groups);
  if (layer.inputs.size() > 2 && !bias) convolution->setInput(2, *operand(layer, 2));
  Tensor result = convolution->getOutput(0);
  return {flat ? reshape(result, net_.value(layer.outputs[0]).dims) : result};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Deconvolution& op) {
  const bool flat = op.stride.size() == 1;
  const auto spatial = [&](const std::vector<std::int64_t>& values, std::int64_t neutral) {
    return to_dims(flat ? with_leading(values, neutral) : values);
  };
  // bfloat16 has no kernels: float32 in between.
  const DataType type = dtype(layer, 0);
  const bool widen = type == DataType::kBFloat16;
  const auto prepare = [&](Tensor tensor) { return widen ? cast(tensor, nvinfer1::DataType::kFLOAT) : tensor; };
  Tensor x = prepare(flat ? reshape(operand(layer, 0), insert_dim(dims(layer, 0), 2)) : operand(layer, 0));
  const Dims& kernel_dims = dims(layer, 1);
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < kernel_dims.size(); ++i) kernel.push_back(kernel_dims[i].value());
  std::vector<std::int64_t> post = op.post_padding;
  for (std::size_t i = 0; i < post.size(); ++i) post[i] -= op.output_padding[i];  // less is cut off at the end
  const nvinfer1::Weights none{widen ? nvinfer1::DataType::kFLOAT : data_type(type), nullptr, 0};
  const auto own = [&](std::size_t index) { return widen ? std::nullopt : own_weights(layer, index); };
  const std::optional<nvinfer1::Weights> weights = own(1);
  const std::optional<nvinfer1::Weights> bias = own(2);
  Tensor tensor = nullptr;
  if (!weights) {
    tensor = prepare(flat ? reshape(operand(layer, 1), insert_dim(dims(layer, 1), 2)) : operand(layer, 1));
  }
  auto* layer_ = checked(trt_.addDeconvolutionNd(*x, (kernel_dims[1] * Expr(op.groups)).value(), spatial(kernel, 1),
                                                 weights.value_or(none), bias.value_or(none)));
  if (tensor != nullptr) layer_->setInput(1, *tensor);
  layer_->setStrideNd(spatial(op.stride, 1));
  layer_->setDilationNd(spatial(op.dilation, 1));
  layer_->setPrePadding(spatial(op.pre_padding, 0));
  layer_->setPostPadding(spatial(post, 0));
  layer_->setNbGroups(op.groups);
  if (layer.inputs.size() > 2 && !bias) layer_->setInput(2, *prepare(operand(layer, 2)));
  Tensor result = cast(layer_->getOutput(0), data_type(type));
  return {flat ? reshape(result, net_.value(layer.outputs[0]).dims) : result};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Pooling& op) {
  const bool flat = op.window.size() == 1;
  const auto spatial = [&](const std::vector<std::int64_t>& values, std::int64_t neutral) {
    return to_dims(flat ? with_leading(values, neutral) : values);
  };
  Tensor x = flat ? reshape(operand(layer, 0), insert_dim(dims(layer, 0), 2)) : operand(layer, 0);
  const auto type =
      op.type == network::PoolingType::kMax ? nvinfer1::PoolingType::kMAX : nvinfer1::PoolingType::kAVERAGE;
  auto* pooling = checked(trt_.addPoolingNd(*x, type, spatial(op.window, 1)));
  pooling->setStrideNd(spatial(op.stride, 1));
  pooling->setPrePadding(spatial(op.pre_padding, 0));
  pooling->setPostPadding(spatial(op.post_padding, 0));
  // check() lets ceil_mode pass without padding only; what hangs over the end then is not counted by PyTorch.
  pooling->setPaddingMode(op.ceil_mode ? nvinfer1::PaddingMode::kEXPLICIT_ROUND_UP
                                       : nvinfer1::PaddingMode::kEXPLICIT_ROUND_DOWN);
  if (op.type == network::PoolingType::kAverage)
    pooling->setAverageCountExcludesPadding(op.ceil_mode || !op.count_include_pad);
  Tensor result = pooling->getOutput(0);
  return {flat ? reshape(result, net_.value(layer.outputs[0]).dims) : result};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Resize& op) {
  // TensorRT has no kernels for bfloat16: float32 in between, as in PyTorch.
  const nvinfer1::DataType type = data_type(dtype(layer, 0));
  const bool widen = !compat::kIsRtx && type == nvinfer1::DataType::kBF16;
  Tensor x = widen ? cast(operand(layer, 0), nvinfer1::DataType::kFLOAT) : operand(layer, 0);
  auto* resize = checked(trt_.addResize(*x));
  switch (op.mode) {
    case network::InterpolationMode::kNearest: resize->setResizeMode(nvinfer1::InterpolationMode::kNEAREST); break;
    case network::InterpolationMode::kLinear: resize->setResizeMode(nvinfer1::InterpolationMode::kLINEAR); break;
    case network::InterpolationMode::kCubic: resize->setResizeMode(nvinfer1::InterpolationMode::kCUBIC); break;
  }
  switch (op.transformation) {
    case network::CoordinateTransformation::kAlignCorners:
      resize->setCoordinateTransformation(nvinfer1::ResizeCoordinateTransformation::kALIGN_CORNERS);
      break;
    case network::CoordinateTransformation::kAsymmetric:
      resize->setCoordinateTransformation(nvinfer1::ResizeCoordinateTransformation::kASYMMETRIC);
      break;
    case network::CoordinateTransformation::kHalfPixel:
      resize->setCoordinateTransformation(nvinfer1::ResizeCoordinateTransformation::kHALF_PIXEL);
      break;
  }
  resize->setNearestRounding(nvinfer1::ResizeRoundMode::kFLOOR);
  if (op.mode == network::InterpolationMode::kCubic) resize->setCubicCoeff(static_cast<float>(op.cubic_coeff));
  const Dims& result = net_.value(layer.outputs[0]).dims;
  if (!op.scales.empty()) {
    std::vector<float> scales{1, 1};
    scales.insert(scales.end(), op.scales.begin(), op.scales.end());
    resize->setScales(scales.data(), static_cast<std::int32_t>(scales.size()));
  } else if (is_static(result)) {
    resize->setOutputDimensions(to_dims(result));
  } else {
    resize->setInput(1, *materialize(result));
  }
  return {cast(resize->getOutput(0), type)};
}

// The library takes one group for no groups and normalizes each channel by itself: here all channels are one of its.
Lowering::Tensor Lowering::one_group(const Layer& layer, const network::Normalization& op) {
  const Dims& shape = dims(layer, 0);
  const DataType type = dtype(layer, 0);
  Dims flat{shape[0], Expr(1), Expr(1)}, channels(shape.size(), Expr(1));
  for (std::size_t i = 1; i < shape.size(); ++i) flat[2] = flat[2] * shape[i];
  channels[1] = shape[1];
  Tensor x = reshape(operand(layer, 0), flat);
  Tensor scale = number(type, 1, flat.size()), bias = number(type, 0, flat.size());
  auto* normalization = checked(compat::add_normalization(trt_, *x, *scale, *bias, axes_mask({2}), functions_));
  normalization->setEpsilon(static_cast<float>(op.epsilon));
  Tensor result = reshape(normalization->getOutput(0), shape);
  const auto factor = [&](std::size_t index) { return reshape(operand(layer, index), channels); };
  if (layer.inputs.size() > 1) result = elementwise(result, factor(1), ElementWiseOperation::kPROD);
  if (layer.inputs.size() > 2) result = elementwise(result, factor(2), ElementWiseOperation::kSUM);
  return result;
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Normalization& op) {
  const bool group = op.kind == network::NormalizationKind::kGroup;
  const bool is_matrix = group && dims(layer, 0).size() == 2;  // groups need a dimension after the channels
  const Dims shape = is_matrix ? insert_dim(dims(layer, 0), 2) : dims(layer, 0);
  Tensor x = is_matrix ? reshape(operand(layer, 0), shape) : operand(layer, 0);
  const DataType type = dtype(layer, 0);
  const std::size_t rank = shape.size();
  if (op.kind == network::NormalizationKind::kRms) {
    // In float32, as PyTorch computes it.
    Tensor wide = cast(x, nvinfer1::DataType::kFLOAT);
    Tensor squares = elementwise(wide, wide, ElementWiseOperation::kPROD);
    Tensor mean = output(trt_.addReduce(*squares, nvinfer1::ReduceOperation::kAVG, axes_mask(op.axes), true));
    Tensor shifted = elementwise(mean, number(DataType::kFloat32, op.epsilon, rank), ElementWiseOperation::kSUM);
    Tensor root = output(trt_.addUnary(*shifted, UnaryOperation::kSQRT));
    Tensor result = cast(elementwise(wide, root, ElementWiseOperation::kDIV), data_type(type));
    if (layer.inputs.size() > 1) {
      Dims aligned(rank - dims(layer, 1).size(), Expr(1));
      aligned.insert(aligned.end(), dims(layer, 1).begin(), dims(layer, 1).end());
      result = elementwise(result, reshape(operand(layer, 1), aligned), ElementWiseOperation::kPROD);
    }
    return {result};
  }
  if (group && op.groups == 1) return {one_group(layer, op)};
  // Scale and bias have x's rank, with 1 where nothing is normalized (group: [1, c, 1, ..]).
  std::vector<std::int64_t> axes = op.axes;
  Dims affine(rank, Expr(1));
  if (group) {
    axes.clear();
    for (std::size_t i = 2; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
    affine[1] = shape[1];
  } else {
    for (const std::int64_t axis : axes) affine[static_cast<std::size_t>(axis)] = shape[static_cast<std::size_t>(axis)];
  }
  const auto factor = [&](std::size_t index, double fallback) -> Tensor {
    if (layer.inputs.size() > index) return reshape(operand(layer, index), affine);
    return broadcast(number(type, fallback, rank), Dims(rank, Expr(1)), affine);
  };
  const bool by_group = group && !functions_.normalization_v2;  // then the channels' factors come after the layer
  Dims groups(rank, Expr(1));
  groups[1] = Expr(op.groups);
  const auto neutral = [&](double value) { return broadcast(number(type, value, rank), Dims(rank, Expr(1)), groups); };
  Tensor scale = by_group ? neutral(1) : factor(1, 1);
  Tensor bias = by_group ? neutral(0) : factor(2, 0);
  auto* normalization = checked(compat::add_normalization(trt_, *x, *scale, *bias, axes_mask(axes), functions_));
  normalization->setEpsilon(static_cast<float>(op.epsilon));
  if (group) normalization->setNbGroups(op.groups);
  Tensor result = normalization->getOutput(0);
  if (by_group && layer.inputs.size() > 1) result = elementwise(result, factor(1, 1), ElementWiseOperation::kPROD);
  if (by_group && layer.inputs.size() > 2) result = elementwise(result, factor(2, 0), ElementWiseOperation::kSUM);
  return {is_matrix ? reshape(result, dims(layer, 0)) : result};
}

// x with its last dimension cut, or lengthened by zeros.
Lowering::Tensor Lowering::with_width(Tensor x, const Dims& from, const Expr& width) {
  if (from.back() == width) return x;
  Dims to = from;
  to.back() = width;
  const std::vector<std::int64_t> start(from.size(), 0);
  const std::vector<std::int64_t> stride(from.size(), 1);
  auto* slice = checked(trt_.addSlice(*x, to_dims(start), to_dims(to), to_dims(stride)));
  slice->setMode(nvinfer1::SampleMode::kFILL);
  if (!is_static(to)) slice->setInput(2, *materialize(to));
  return slice->getOutput(0);
}

// Each head of x, [b, heads of x, ..], as often as it takes to have so many.
Lowering::Tensor Lowering::repeat_heads(Tensor x, const Dims& from, const Expr& heads) {
  if (from[1] == heads) return x;
  TORCHTRT_CHECK(from[1].is_constant() && heads.is_constant(), kUnsupported, "attention whose numbers of heads are ",
                 from[1], " and ", heads, " needs the attention layer, which ", compat::kProductName,
                 " has from 10.14 on");
  const Dims each{from[0], from[1], Expr(1), from[2], from[3]};
  Dims repeated = each;
  repeated[2] = Expr(heads.value() / from[1].value());
  return reshape(broadcast(reshape(x, each), each, repeated), {from[0], heads, from[2], from[3]});
}

// softmax(q k^T + mask) v, where the library has no layer for it.
Lowering::Tensor Lowering::attention(const Layer& layer, const network::Attention& op, Tensor q, Tensor mask) {
  using Operation = nvinfer1::MatrixOperation;
  const DataType type = dtype(layer, 0);
  const Expr& heads = dims(layer, 0)[1];
  Tensor k = repeat_heads(operand(layer, 1), dims(layer, 1), heads);
  Tensor v = repeat_heads(operand(layer, 2), dims(layer, 2), heads);
  Tensor scores = output(trt_.addMatrixMultiply(*q, Operation::kNONE, *k, Operation::kTRANSPOSE));
  // Added, not chosen: NaN of a position that is hidden stays NaN, as by PyTorch's definition.
  const auto add_to_scores = [&](Tensor bias) { scores = elementwise(scores, bias, ElementWiseOperation::kSUM); };
  Tensor hidden = number(type, -std::numeric_limits<double>::infinity(), 4);
  Tensor shown = number(type, 0, 4);
  if (op.is_causal) {
    Tensor row = positions(dims(layer, 0)[2], 2, 4);
    Tensor column = positions(dims(layer, 1)[2], 3, 4);
    Tensor is_later = elementwise(column, row, ElementWiseOperation::kGREATER);
    add_to_scores(output(trt_.addSelect(*is_later, *hidden, *shown)));
  }
  if (mask != nullptr) {
    const bool is_bool = mask->getType() == nvinfer1::DataType::kBOOL;
    add_to_scores(is_bool ? output(trt_.addSelect(*mask, *shown, *hidden)) : mask);
  }
  auto* softmax = checked(trt_.addSoftMax(*scores));
  softmax->setAxes(axes_mask({3}));
  return output(trt_.addMatrixMultiply(*softmax->getOutput(0), Operation::kNONE, *v, Operation::kNONE));
}

// The library's attention has no scale: it is applied to the query. And it wants values as wide as queries and keys:
// zeros lengthen the narrower, which add nothing to a product and are cut off the result. Decomposable: into products
// and a softmax where there is no kernel.
std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Attention& op) {
  const DataType type = dtype(layer, 0);
  Tensor mask = nullptr;
  if (layer.inputs.size() > 3) {
    // [b, h, l, s] with 1 where it is shared.
    Dims aligned(4 - dims(layer, 3).size(), Expr(1));
    aligned.insert(aligned.end(), dims(layer, 3).begin(), dims(layer, 3).end());
    mask = dims(layer, 3).size() == 4 ? operand(layer, 3) : reshape(operand(layer, 3), aligned);
  }
  Tensor q = elementwise(operand(layer, 0), number(type, op.scale, 4), ElementWiseOperation::kPROD);
  Tensor result = nullptr;
  if (functions_.attention) {
    const Expr wide = max(dims(layer, 0)[3], dims(layer, 2)[3]);
    auto* added = compat::add_attention(trt_, *with_width(q, dims(layer, 0), wide),
                                        *with_width(operand(layer, 1), dims(layer, 1), wide),
                                        *with_width(operand(layer, 2), dims(layer, 2), wide), op.is_causal);
    TORCHTRT_CHECK(added != nullptr, kUnsupported, compat::kProductName, " refuses the attention layer \"", layer.name,
                   "\": ", Logger::take_errors());
    added->setDecomposable(true);
    TORCHTRT_CHECK(mask == nullptr || added->setMask(*mask), kUnsupported, compat::kProductName,
                   " refuses the mask of attention layer \"", layer.name, "\": ", Logger::take_errors());
    const Dims& narrow = net_.value(layer.outputs[0]).dims;
    Dims found = narrow;
    found[3] = wide;
    result = with_width(added->getOutput(0), found, narrow[3]);
  } else {
    result = attention(layer, op, q, mask);
  }
  if (mask == nullptr) return {result};
  // A row that masks everything is zero in PyTorch, and NaN in a softmax. Of -inf the library's maximum is none, so what is
  // visible is counted in ones.
  constexpr auto kFloat = DataType::kFloat32;
  Tensor visible = mask;
  if (dtype(layer, 3) != DataType::kBool) {
    Tensor wide = cast(mask, data_type(kFloat));
    Tensor lowest = number(kFloat, std::numeric_limits<float>::lowest(), 4);
    visible = output(trt_.addUnary(*elementwise(wide, lowest, ElementWiseOperation::kLESS), UnaryOperation::kNOT));
  }
  Tensor most =
      output(trt_.addReduce(*cast(visible, data_type(kFloat)), nvinfer1::ReduceOperation::kMAX, axes_mask({3}),
                            /*keepDimensions=*/true));
  Tensor masked = elementwise(most, number(kFloat, 0, 4), ElementWiseOperation::kEQUAL);
  return {output(trt_.addSelect(*masked, *number(type, 0, 4), *result))};
}

}  // namespace torchtrt::tensorrt
