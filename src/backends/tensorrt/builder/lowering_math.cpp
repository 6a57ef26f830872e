// SPDX-License-Identifier: Apache-2.0
// Layers that compute.
#include <cmath>

#include "backends/tensorrt/builder/lowering_inl.h"
#include "backends/tensorrt/builder/nan.h"

namespace torchtrt::tensorrt {

using network::Layer;
using nvinfer1::ElementWiseOperation;
using nvinfer1::UnaryOperation;

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Constant& /*op*/) {
  return {value(layer.outputs[0])};
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
    case kScale:
    case kQuotient: {
      const auto operation = op.type == kScale ? ElementWiseOperation::kPROD : ElementWiseOperation::kDIV;
      Tensor alpha = number(DataType::kFloat32, op.alpha, rank);
      return {cast(elementwise(cast(x, nvinfer1::DataType::kFLOAT), alpha, operation), data_type(type))};
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

// Whether the value is a constant, small enough to look at, without a NaN.
bool Lowering::never_nan(network::ValueId id) const {
  constexpr std::size_t kMaxBytes = 64;
  const network::Weights* weights = net_.constant(id);
  if (weights == nullptr || weights->bytes > kMaxBytes || weights->digest) return false;
  return !has_nan(*weights, net_.value(id).dtype);
}

// The library does not say what its maximum does with NaN; PyTorch's is NaN if one operand is. A comparison with NaN is
// false, so the first selection passes a NaN in `a` on, and one in `b` needs another selection.
Lowering::Tensor Lowering::extreme(const Layer& layer, bool largest) {
  const auto both = largest ? ElementWiseOperation::kMAX : ElementWiseOperation::kMIN;
  if (!is_floating(dtype(layer, 0))) return elementwise(operand(layer, 0), operand(layer, 1), both);
  const std::size_t first = never_nan(layer.inputs[0]) ? 1 : 0;
  Tensor a = operand(layer, first);
  Tensor b = operand(layer, 1 - first);
  Tensor take_b = elementwise(a, b, largest ? ElementWiseOperation::kLESS : ElementWiseOperation::kGREATER);
  Tensor chosen = output(trt_.addSelect(*take_b, *b, *a));
  if (never_nan(layer.inputs[1 - first])) return chosen;
  return output(trt_.addSelect(*is_nan(b), *b, *chosen));
}

Lowering::Tensor Lowering::in_float32(Tensor a, Tensor b, ElementWiseOperation operation) {
  constexpr auto kWide = nvinfer1::DataType::kFLOAT;
  return cast(elementwise(cast(a, kWide), cast(b, kWide), operation), a->getType());
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::ElementWise& op) {
  Tensor a = operand(layer, 0);
  Tensor b = operand(layer, 1);
  using enum network::ElementWiseOperation;
  switch (op.operation) {
    case kSum: return {elementwise(a, b, ElementWiseOperation::kSUM)};
    case kProd: return {elementwise(a, b, ElementWiseOperation::kPROD)};
    case kMax: return {extreme(layer, /*largest=*/true)};
    case kMin: return {extreme(layer, /*largest=*/false)};
    case kSub: return {elementwise(a, b, ElementWiseOperation::kSUB)};
    case kDiv: {
      // The library multiplies with the reciprocal of a constant, rounded to the dtype: of 3 in bfloat16 0.2 % too much.
      const DataType type = dtype(layer, 0);
      const bool is_half = type == DataType::kBFloat16 || type == DataType::kFloat16;
      if (is_half && net_.constant(layer.inputs[1]) != nullptr) return {in_float32(a, b, ElementWiseOperation::kDIV)};
      return {elementwise(a, b, ElementWiseOperation::kDIV)};
    }
    case kPow: {
      // Of bfloat16 as PyTorch computes it: the library's own power of a negative number is no NaN there.
      if (dtype(layer, 0) == DataType::kBFloat16) return {in_float32(a, b, ElementWiseOperation::kPOW)};
      return {elementwise(a, b, ElementWiseOperation::kPOW)};
    }
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
  const DataType from = dtype(layer, 0);
  if (from == op.to) return {output(trt_.addIdentity(*x))};
  if (op.to == DataType::kBool) {
    if (from == DataType::kUInt8) x = cast(x, nvinfer1::DataType::kFLOAT);
    Tensor zero = number(from == DataType::kUInt8 ? DataType::kFloat32 : from, 0, dims(layer, 0).size());
    return {output(trt_.addUnary(*elementwise(x, zero, ElementWiseOperation::kEQUAL), UnaryOperation::kNOT))};
  }
  // uint8 is documented to convert from and to float32 and float16 only; float32 holds all its values.
  const bool by_float = from == DataType::kUInt8 || op.to == DataType::kUInt8;
  return {cast(by_float ? cast(x, nvinfer1::DataType::kFLOAT) : x, data_type(op.to))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::MatrixMultiply& op) {
  const auto operation = [](network::MatrixOperation which) {
    return which == network::MatrixOperation::kTranspose ? nvinfer1::MatrixOperation::kTRANSPOSE
                                                         : nvinfer1::MatrixOperation::kNONE;
  };
  Tensor a = operand(layer, 0);
  Tensor b = operand(layer, 1);
  // Casts around a product are how the library is told to add up in float32: it makes one kernel of them, which reads and
  // writes float16. Without them it takes kernels that add up in float16 (four layers of a ViT on an H200: 3.4 times eager's
  // error, 1.2 times with them, at the same speed).
  const nvinfer1::DataType type = a->getType();
  if (adds_up_in_float32_ && type == nvinfer1::DataType::kHALF) {
    a = cast(a, nvinfer1::DataType::kFLOAT);
    b = cast(b, nvinfer1::DataType::kFLOAT);
  }
  return {cast(output(trt_.addMatrixMultiply(*a, operation(op.op_a), *b, operation(op.op_b))), type)};
}

// The greatest or least element along axes, NaN if one of them is.
Lowering::Tensor Lowering::reduce_extreme(Tensor x, DataType type, std::size_t rank, bool largest,
                                          const std::vector<std::int64_t>& axes, bool keep_dims) {
  const auto operation = largest ? nvinfer1::ReduceOperation::kMAX : nvinfer1::ReduceOperation::kMIN;
  Tensor result = output(trt_.addReduce(*x, operation, axes_mask(axes), keep_dims));
  if (!is_floating(type)) return result;
  Tensor nans = cast(is_nan(x), nvinfer1::DataType::kFLOAT);
  Tensor any = output(trt_.addReduce(*nans, nvinfer1::ReduceOperation::kMAX, axes_mask(axes), keep_dims));
  const std::size_t result_rank = keep_dims ? rank : rank - axes.size();
  Tensor some = elementwise(any, number(DataType::kFloat32, 0, result_rank), ElementWiseOperation::kGREATER);
  return output(trt_.addSelect(*some, *number(type, std::nan(""), result_rank), *result));
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Reduce& op) {
  static_assert(static_cast<int>(nvinfer1::ReduceOperation::kSUM) == static_cast<int>(network::ReduceOperation::kSum));
  static_assert(static_cast<int>(nvinfer1::ReduceOperation::kAVG) == static_cast<int>(network::ReduceOperation::kAvg));
  Tensor x = operand(layer, 0);
  if (op.axes.empty()) return {output(trt_.addIdentity(*x))};
  const bool largest = op.operation == network::ReduceOperation::kMax;
  if (largest || op.operation == network::ReduceOperation::kMin) {
    return {reduce_extreme(x, dtype(layer, 0), dims(layer, 0).size(), largest, op.axes, op.keep_dims)};
  }
  return {output(
      trt_.addReduce(*x, static_cast<nvinfer1::ReduceOperation>(op.operation), axes_mask(op.axes), op.keep_dims))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Softmax& op) {
  // A vector has no softmax: it becomes the one row of a matrix.
  const Dims& shape = dims(layer, 0);
  const bool is_vector = shape.size() == 1;
  auto* softmax =
      checked(trt_.addSoftMax(*(is_vector ? reshape(operand(layer, 0), {Expr(1), shape[0]}) : operand(layer, 0))));
  softmax->setAxes(axes_mask({is_vector ? 1 : op.axis}));
  return {is_vector ? reshape(softmax->getOutput(0), shape) : softmax->getOutput(0)};
}

// The first of the greatest elements (k is 1, check() sees to it): the library's own layer does not say which of equal
// elements it takes. Where all are NaN, which converters rule out, the last index stands, so that it stays one.
std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::TopK& op) {
  Tensor x = operand(layer, 0);
  const Dims& shape = dims(layer, 0);
  const auto axis = static_cast<std::size_t>(op.axis);
  const bool largest = op.operation == network::TopKOperation::kMax;
  Tensor value = reduce_extreme(x, dtype(layer, 0), shape.size(), largest, {op.axis}, /*keep_dims=*/true);
  Tensor last = reshape(materialize(shape[axis] - Expr(1)), Dims(shape.size(), Expr(1)));
  Tensor hit = elementwise(x, value, ElementWiseOperation::kEQUAL);
  Tensor candidates = output(trt_.addSelect(*hit, *positions(shape[axis], axis, shape.size()), *last));
  return {value,
          output(trt_.addReduce(*candidates, nvinfer1::ReduceOperation::kMIN, axes_mask({op.axis}), /*keep=*/true))};
}

// Where the library has no such layer, every sum is one over all elements of which those that come later are zero: as many
// additions as the square of the length.
std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::CumulativeSum& op) {
  if (!functions_.cumulative) {
    const Dims& shape = dims(layer, 0);
    const auto axis = static_cast<std::size_t>(op.axis);
    const std::size_t rank = shape.size() + 1;
    Dims repeated = shape;
    repeated.insert(repeated.begin() + op.axis, Expr(1));  // [.., sum, element, ..]
    Tensor x = reshape(operand(layer, 0), repeated);
    Tensor sum = positions(shape[axis], axis, rank);
    Tensor element = positions(shape[axis], axis + 1, rank);
    // Which elements count: those before, or after, and the one itself unless it is excluded.
    Tensor first = op.reverse ? sum : element;
    Tensor second = op.reverse ? element : sum;
    Tensor counts = elementwise(first, second, ElementWiseOperation::kLESS);
    if (!op.exclusive) {
      counts = elementwise(counts, elementwise(first, second, ElementWiseOperation::kEQUAL), ElementWiseOperation::kOR);
    }
    Tensor chosen = output(trt_.addSelect(*counts, *x, *number(dtype(layer, 0), 0, rank)));
    return {output(trt_.addReduce(*chosen, nvinfer1::ReduceOperation::kSUM, axes_mask({op.axis + 1}), false))};
  }
  Tensor axis = number(DataType::kInt32, static_cast<double>(op.axis), 0);
  return {output(
      trt_.addCumulative(*operand(layer, 0), *axis, nvinfer1::CumulativeOperation::kSUM, op.exclusive, op.reverse))};
}

}  // namespace torchtrt::tensorrt
