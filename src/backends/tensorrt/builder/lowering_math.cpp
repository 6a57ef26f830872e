// SPDX-License-Identifier: Apache-2.0
// Layers that compute.
#include <algorithm>

#include "backends/tensorrt/builder/lowering_inl.h"

namespace torchtrt::tensorrt {

using network::Layer;
using nvinfer1::ElementWiseOperation;
using nvinfer1::UnaryOperation;

std::vector<Lowering::Tensor> Lowering::lower(const Layer&, const network::Constant& op) {
  const auto elements = static_cast<std::int64_t>(op.weights->bytes / size_of(op.dtype));
  // uint8 has no constants: int8 elements of the same bits would be other numbers, so they are widened by hand.
  TORCHTRT_CHECK(op.dtype != DataType::kUInt8, kUnsupported, kProductName, " has no uint8 constants");
  return {output(trt_.addConstant(to_dims(op.dims), {data_type(op.dtype), op.weights->data.get(), elements}))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Activation& op) {
  Tensor x = operand(layer, 0);
  const DataType type = dtype(layer, 0);
  const std::size_t rank = dims(layer, 0).size();
  const auto add = [&](nvinfer1::ActivationType kind, double alpha = 0, double beta = 0) {
    auto* activation = checked(trt_.addActivation(*x, kind));
    activation->setAlpha(static_cast<float>(alpha));
    activation->setBeta(static_cast<float>(beta));
    return activation->getOutput(0);
  };
  const auto times_x = [&](Tensor factor) { return elementwise(x, factor, ElementWiseOperation::kPROD); };
  using Trt = nvinfer1::ActivationType;
  using enum network::ActivationType;
  switch (op.type) {
    case kRelu: return {add(Trt::kRELU)};
    case kSigmoid: return {add(Trt::kSIGMOID)};
    case kTanh: return {add(Trt::kTANH)};
    case kLeakyRelu: return {add(Trt::kLEAKY_RELU, op.alpha)};
    case kElu: return {add(Trt::kELU, op.alpha)};
    case kSelu: return {add(Trt::kSELU, op.alpha, op.beta)};
    case kSoftsign: return {add(Trt::kSOFTSIGN)};
    case kSoftplus: return {add(Trt::kSOFTPLUS, op.alpha, op.beta)};
    case kClip: return {add(Trt::kCLIP, op.alpha, op.beta)};
    case kHardSigmoid: return {add(Trt::kHARD_SIGMOID, op.alpha, op.beta)};
    case kGeluErf: return {add(Trt::kGELU_ERF)};
    case kGeluTanh: return {add(Trt::kGELU_TANH)};
    // x * sigmoid(x), x * hard_sigmoid(x), x * tanh(softplus(x)): there are no layers for them, the library fuses these.
    case kSilu: return {times_x(add(Trt::kSIGMOID))};
    case kHardSwish: return {times_x(add(Trt::kHARD_SIGMOID, 1.0 / 6.0, 0.5))};
    case kMish: {
      Tensor soft = add(Trt::kSOFTPLUS, 1, 1);
      return {times_x(output(trt_.addActivation(*soft, Trt::kTANH)))};
    }
  }
  fail(ErrorCode::kInternal, "no activation for dtype ", to_string(type), " and rank ", rank);
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Unary& op) {
  // TensorRT's enumeration has the same operations in the same order.
  static_assert(static_cast<int>(UnaryOperation::kEXP) == static_cast<int>(network::UnaryOperation::kExp));
  static_assert(static_cast<int>(UnaryOperation::kERF) == static_cast<int>(network::UnaryOperation::kErf));
  static_assert(static_cast<int>(UnaryOperation::kISNAN) == static_cast<int>(network::UnaryOperation::kIsNan));
  return {output(trt_.addUnary(*operand(layer, 0), static_cast<UnaryOperation>(op.operation)))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::ElementWise& op) {
  Tensor a = operand(layer, 0);
  Tensor b = operand(layer, 1);
  using enum network::ElementWiseOperation;
  switch (op.operation) {
    case kSum: return {elementwise(a, b, ElementWiseOperation::kSUM)};
    case kProd: return {elementwise(a, b, ElementWiseOperation::kPROD)};
    case kMax: return {elementwise(a, b, ElementWiseOperation::kMAX)};
    case kMin: return {elementwise(a, b, ElementWiseOperation::kMIN)};
    case kSub: return {elementwise(a, b, ElementWiseOperation::kSUB)};
    case kDiv: return {elementwise(a, b, ElementWiseOperation::kDIV)};
    case kPow: return {elementwise(a, b, ElementWiseOperation::kPOW)};
    case kFloorDiv: return {elementwise(a, b, ElementWiseOperation::kFLOOR_DIV)};
    case kMod: {
      Tensor quotient = elementwise(a, b, ElementWiseOperation::kFLOOR_DIV);
      return {elementwise(a, elementwise(quotient, b, ElementWiseOperation::kPROD), ElementWiseOperation::kSUB)};
    }
    case kAnd: return {elementwise(a, b, ElementWiseOperation::kAND)};
    case kOr: return {elementwise(a, b, ElementWiseOperation::kOR)};
    case kXor: return {elementwise(a, b, ElementWiseOperation::kXOR)};
    case kEqual: {
      // Equality of bools has no layer: it is the opposite of xor.
      if (dtype(layer, 0) == DataType::kBool) {
        return {output(trt_.addUnary(*elementwise(a, b, ElementWiseOperation::kXOR), UnaryOperation::kNOT))};
      }
      return {elementwise(a, b, ElementWiseOperation::kEQUAL)};
    }
    case kGreater: return {elementwise(a, b, ElementWiseOperation::kGREATER)};
    case kLess: return {elementwise(a, b, ElementWiseOperation::kLESS)};
  }
  fail(ErrorCode::kInternal, "no such elementwise operation");
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Cast& op) {
  Tensor x = operand(layer, 0);
  if (op.to != DataType::kBool || dtype(layer, 0) == DataType::kBool) {
    Tensor result = cast(x, data_type(op.to));
    return {result == x ? output(trt_.addIdentity(*x)) : result};
  }
  Tensor zero = number(dtype(layer, 0), 0, dims(layer, 0).size());
  return {output(trt_.addUnary(*elementwise(x, zero, ElementWiseOperation::kEQUAL), UnaryOperation::kNOT))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::MatrixMultiply& op) {
  const auto operation = [](network::MatrixOperation which) {
    return which == network::MatrixOperation::kTranspose ? nvinfer1::MatrixOperation::kTRANSPOSE
                                                         : nvinfer1::MatrixOperation::kNONE;
  };
  return {
      output(trt_.addMatrixMultiply(*operand(layer, 0), operation(op.op_a), *operand(layer, 1), operation(op.op_b)))};
}

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
  Tensor weights = flat ? reshape(operand(layer, 1), insert_dim(dims(layer, 1), 2)) : operand(layer, 1);
  const Dims& kernel_dims = dims(layer, 1);
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < kernel_dims.size(); ++i) kernel.push_back(kernel_dims[i].value());
  // Weights come as a tensor (input 1), which the library folds if it is a constant.
  const nvinfer1::Weights none{data_type(dtype(layer, 0)), nullptr, 0};
  auto* convolution = checked(trt_.addConvolutionNd(*x, kernel_dims[0].value(), spatial(kernel, 1), none, none));
  convolution->setInput(1, *weights);
  convolution->setStrideNd(spatial(op.stride, 1));
  convolution->setDilationNd(spatial(op.dilation, 1));
  convolution->setPrePadding(spatial(op.pre_padding, 0));
  convolution->setPostPadding(spatial(op.post_padding, 0));
  convolution->setNbGroups(op.groups);
  if (layer.inputs.size() > 2) convolution->setInput(2, *operand(layer, 2));
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
  Tensor weights = prepare(flat ? reshape(operand(layer, 1), insert_dim(dims(layer, 1), 2)) : operand(layer, 1));
  const Dims& kernel_dims = dims(layer, 1);
  std::vector<std::int64_t> kernel;
  for (std::size_t i = 2; i < kernel_dims.size(); ++i) kernel.push_back(kernel_dims[i].value());
  std::vector<std::int64_t> post = op.post_padding;
  for (std::size_t i = 0; i < post.size(); ++i) post[i] -= op.output_padding[i];  // less is cut off at the end
  const nvinfer1::Weights none{widen ? nvinfer1::DataType::kFLOAT : data_type(type), nullptr, 0};
  auto* layer_ =
      checked(trt_.addDeconvolutionNd(*x, (kernel_dims[1] * Expr(op.groups)).value(), spatial(kernel, 1), none, none));
  layer_->setInput(1, *weights);
  layer_->setStrideNd(spatial(op.stride, 1));
  layer_->setDilationNd(spatial(op.dilation, 1));
  layer_->setPrePadding(spatial(op.pre_padding, 0));
  layer_->setPostPadding(spatial(post, 0));
  layer_->setNbGroups(op.groups);
  if (layer.inputs.size() > 2) layer_->setInput(2, *prepare(operand(layer, 2)));
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
  pooling->setPaddingMode(op.ceil_mode ? nvinfer1::PaddingMode::kEXPLICIT_ROUND_UP
                                       : nvinfer1::PaddingMode::kEXPLICIT_ROUND_DOWN);
  if (op.type == network::PoolingType::kAverage) pooling->setAverageCountExcludesPadding(!op.count_include_pad);
  Tensor result = pooling->getOutput(0);
  return {flat ? reshape(result, net_.value(layer.outputs[0]).dims) : result};
}

namespace {

std::uint32_t axes_mask(const std::vector<std::int64_t>& axes) {
  std::uint32_t mask = 0;
  for (const std::int64_t axis : axes) mask |= 1U << axis;
  return mask;
}

}  // namespace

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Reduce& op) {
  static_assert(static_cast<int>(nvinfer1::ReduceOperation::kSUM) == static_cast<int>(network::ReduceOperation::kSum));
  static_assert(static_cast<int>(nvinfer1::ReduceOperation::kAVG) == static_cast<int>(network::ReduceOperation::kAvg));
  return {output(trt_.addReduce(*operand(layer, 0), static_cast<nvinfer1::ReduceOperation>(op.operation),
                                axes_mask(op.axes), op.keep_dims))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Softmax& op) {
  auto* softmax = checked(trt_.addSoftMax(*operand(layer, 0)));
  softmax->setAxes(1U << op.axis);
  return {softmax->getOutput(0)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::TopK& op) {
  const auto operation =
      op.operation == network::TopKOperation::kMax ? nvinfer1::TopKOperation::kMAX : nvinfer1::TopKOperation::kMIN;
  const auto k = static_cast<std::int32_t>(op.k.is_constant() ? op.k.value() : 1);
  auto* topk = checked(trt_.addTopK(*operand(layer, 0), operation, k, 1U << op.axis, nvinfer1::DataType::kINT64));
  if (!op.k.is_constant()) topk->setInput(1, *reshape(materialize(op.k), {}));
  return {topk->getOutput(0), topk->getOutput(1)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::CumulativeSum& op) {
  Tensor axis = number(DataType::kInt32, static_cast<double>(op.axis), 0);
  return {output(
      trt_.addCumulative(*operand(layer, 0), *axis, nvinfer1::CumulativeOperation::kSUM, op.exclusive, op.reverse))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Resize& op) {
  auto* resize = checked(trt_.addResize(*operand(layer, 0)));
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
  return {resize->getOutput(0)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Normalization& op) {
  Tensor x = operand(layer, 0);
  const Dims& shape = dims(layer, 0);
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
  // Scale and bias have x's rank, with 1 where nothing is normalized (group: [1, c, 1, ..]).
  const bool group = op.kind == network::NormalizationKind::kGroup;
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
    TORCHTRT_CHECK(is_static(affine), kUnsupported, "normalization without a scale needs static dimensions");
    Tensor one = number(type, fallback, rank);
    std::vector<std::int64_t> zeros(rank, 0);
    return output(trt_.addSlice(*one, to_dims(zeros), to_dims(affine), to_dims(zeros)));
  };
  Tensor scale = factor(1, 1);
  Tensor bias = factor(2, 0);
  auto* normalization = checked(trt_.addNormalizationV2(*x, *scale, *bias, axes_mask(axes)));
  normalization->setEpsilon(static_cast<float>(op.epsilon));
  if (group) normalization->setNbGroups(op.groups);
  return {normalization->getOutput(0)};
}

// Composed of products and a softmax, which the library fuses where it has a kernel; the scale is applied to the query.
std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Attention& op) {
  const DataType type = dtype(layer, 0);
  Tensor q = elementwise(operand(layer, 0), number(type, op.scale, 4), ElementWiseOperation::kPROD);
  const auto causal = op.is_causal ? nvinfer1::CausalMaskKind::kUPPER_LEFT : nvinfer1::CausalMaskKind::kNONE;
  auto* attention = trt_.addAttentionV2(*q, *operand(layer, 1), *operand(layer, 2),
                                        nvinfer1::AttentionNormalizationOp::kSOFTMAX, causal);
  TORCHTRT_CHECK(attention != nullptr, kUnsupported, kProductName, " refuses the attention layer \"", layer.name,
                 "\": ", Logger::take_errors());
  attention->setDecomposable(true);
  if (layer.inputs.size() > 3) {
    // The mask is [b, h, l, s] with 1 where it is shared.
    Dims aligned(4 - dims(layer, 3).size(), Expr(1));
    aligned.insert(aligned.end(), dims(layer, 3).begin(), dims(layer, 3).end());
    Tensor mask = dims(layer, 3).size() == 4 ? operand(layer, 3) : reshape(operand(layer, 3), aligned);
    TORCHTRT_CHECK(attention->setMask(*mask), kUnsupported, kProductName, " refuses the mask of attention layer \"",
                   layer.name, "\": ", Logger::take_errors());
  }
  return {attention->getOutput(0)};
}

}  // namespace torchtrt::tensorrt
