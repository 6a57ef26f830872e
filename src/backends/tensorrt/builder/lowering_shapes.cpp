// SPDX-License-Identifier: Apache-2.0
// Shapes as data, and the layers that only move elements.
#include <algorithm>
#include <numeric>

#include "backends/tensorrt/builder/lowering_inl.h"
#include "backends/tensorrt/plugin_layer.h"

namespace torchtrt::tensorrt {

using network::Layer;
using nvinfer1::ElementWiseOperation;

Lowering::Tensor Lowering::materialize_symbol(const std::string& name) {
  for (const network::Input& input : net_.inputs()) {
    Tensor tensor = values_.at(input.value.index);
    if (input.is_shape_tensor && input.symbol == name) return reshape(tensor, {Expr(1)});
    const Dims& input_dims = net_.value(input.value).dims;
    for (std::size_t axis = 0; axis < input_dims.size(); ++axis) {
      if (!input_dims[axis].is_symbol() || input_dims[axis].symbol_name() != name) continue;
      Tensor shape = output(trt_.addShape(*tensor));
      return output(trt_.addSlice(*shape, to_dims(std::vector<std::int64_t>{static_cast<std::int64_t>(axis)}),
                                  to_dims(std::vector<std::int64_t>{1}), to_dims(std::vector<std::int64_t>{1})));
    }
  }
  fail(ErrorCode::kUnsupported, "network ", net_.name(), ": no input gives the value of symbol ", name);
}

Lowering::Tensor Lowering::materialize(const Expr& expr) {
  const std::string text = expr.str();
  if (const auto found = expressions_.find(text); found != expressions_.end()) return found->second;
  Tensor result = nullptr;
  if (expr.is_constant()) {
    result = integers({expr.value()});
  } else if (expr.is_symbol()) {
    result = materialize_symbol(expr.symbol_name());
  } else {
    const std::vector<Expr> operands = expr.operands();
    result = materialize(operands[0]);
    for (std::size_t i = 1; i < operands.size(); ++i) {
      Tensor next = materialize(operands[i]);
      switch (expr.kind()) {
        case Expr::Kind::kAdd: result = elementwise(result, next, ElementWiseOperation::kSUM); break;
        case Expr::Kind::kMul: result = elementwise(result, next, ElementWiseOperation::kPROD); break;
        case Expr::Kind::kFloorDiv: result = elementwise(result, next, ElementWiseOperation::kFLOOR_DIV); break;
        case Expr::Kind::kMax: result = elementwise(result, next, ElementWiseOperation::kMAX); break;
        case Expr::Kind::kMin: result = elementwise(result, next, ElementWiseOperation::kMIN); break;
        case Expr::Kind::kMod: {
          Tensor quotient = elementwise(result, next, ElementWiseOperation::kFLOOR_DIV);
          result =
              elementwise(result, elementwise(quotient, next, ElementWiseOperation::kPROD), ElementWiseOperation::kSUB);
          break;
        }
        default: fail(ErrorCode::kInternal, "an expression without operands: ", text);
      }
    }
  }
  return expressions_[text] = result;
}

Lowering::Tensor Lowering::materialize(const Dims& wanted) {
  std::vector<Tensor> parts;
  std::vector<std::int64_t> constants;  // neighbouring constants become one part
  const auto flush = [&] {
    if (!constants.empty()) parts.push_back(integers(constants));
    constants.clear();
  };
  for (const Expr& dim : wanted) {
    if (dim.is_constant()) {
      constants.push_back(dim.value());
    } else {
      flush();
      parts.push_back(materialize(dim));
    }
  }
  flush();
  if (parts.empty()) return integers({});
  if (parts.size() == 1) return parts[0];
  return output(trt_.addConcatenation(parts.data(), static_cast<std::int32_t>(parts.size())));
}

Lowering::Tensor Lowering::reshape(Tensor x, const Dims& to) {
  auto* shuffle = checked(trt_.addShuffle(*x));
  shuffle->setZeroIsPlaceholder(false);
  const auto dynamic = std::count_if(to.begin(), to.end(), [](const Expr& dim) { return !dim.is_constant(); });
  const bool has_zero = std::any_of(to.begin(), to.end(), [](const Expr& dim) { return dim == Expr(0); });
  if (dynamic == 0 || (dynamic == 1 && !has_zero)) {
    shuffle->setReshapeDimensions(to_dims(to));  // one -1 is inferred
  } else {
    shuffle->setInput(1, *materialize(to));
  }
  return shuffle->getOutput(0);
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Shuffle& op) {
  const auto permutation = [](const std::vector<std::int64_t>& axes) {
    nvinfer1::Permutation result{};
    std::copy(axes.begin(), axes.end(), result.order);
    return result;
  };
  Tensor x = operand(layer, 0);
  if (!op.first_transpose.empty()) {
    auto* shuffle = checked(trt_.addShuffle(*x));
    shuffle->setFirstTranspose(permutation(op.first_transpose));
    x = shuffle->getOutput(0);
  }
  if (op.reshape) x = reshape(x, *op.reshape);
  if (!op.second_transpose.empty()) {
    auto* shuffle = checked(trt_.addShuffle(*x));
    shuffle->setFirstTranspose(permutation(op.second_transpose));
    x = shuffle->getOutput(0);
  }
  return {x == operand(layer, 0) ? output(trt_.addIdentity(*x)) : x};
}

// A slice whose stride is 0 along the broadcast dimensions.
Lowering::Tensor Lowering::broadcast(Tensor x, const Dims& from, const Dims& to) {
  std::vector<std::int64_t> stride;
  for (const Expr& dim : from) stride.push_back(dim == Expr(1) ? 0 : 1);
  const std::vector<std::int64_t> start(from.size(), 0);
  auto* slice = checked(trt_.addSlice(*x, to_dims(start), to_dims(to), to_dims(stride)));
  if (!is_static(to)) slice->setInput(2, *materialize(to));
  return slice->getOutput(0);
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Broadcast& op) {
  const Dims& from = dims(layer, 0);
  Dims aligned(op.dims.size() - from.size(), Expr(1));
  aligned.insert(aligned.end(), from.begin(), from.end());
  Tensor x = from.size() == op.dims.size() ? operand(layer, 0) : reshape(operand(layer, 0), aligned);
  return {broadcast(x, aligned, op.dims)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Slice& op) {
  // TensorRT repeats numbers at the border, and no bools.
  const bool repeats = op.mode == network::SliceMode::kReflect || op.mode == network::SliceMode::kClamp;
  const bool widen = !compat::kIsRtx && repeats && dtype(layer, 0) == DataType::kBool;
  Tensor x = widen ? cast(operand(layer, 0), nvinfer1::DataType::kINT32) : operand(layer, 0);
  auto* slice = checked(trt_.addSlice(*x, to_dims(op.start), to_dims(op.size), to_dims(op.stride)));
  switch (op.mode) {
    case network::SliceMode::kStrict: slice->setMode(nvinfer1::SampleMode::kSTRICT_BOUNDS); break;
    case network::SliceMode::kFill: slice->setMode(nvinfer1::SampleMode::kFILL); break;
    case network::SliceMode::kReflect: slice->setMode(nvinfer1::SampleMode::kREFLECT); break;
    case network::SliceMode::kClamp: slice->setMode(nvinfer1::SampleMode::kCLAMP); break;
  }
  if (!is_static(op.start) || !is_static(op.size)) {
    slice->setInput(1, *materialize(op.start));
    slice->setInput(2, *materialize(op.size));
  }
  if (layer.inputs.size() > 1) slice->setInput(4, *operand(layer, 1));
  return {widen ? cast(slice->getOutput(0), nvinfer1::DataType::kBOOL) : slice->getOutput(0)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Concatenation& op) {
  std::vector<Tensor> parts;
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) parts.push_back(operand(layer, i));
  auto* concatenation = checked(trt_.addConcatenation(parts.data(), static_cast<std::int32_t>(parts.size())));
  concatenation->setAxis(static_cast<std::int32_t>(op.axis));
  return {concatenation->getOutput(0)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Select&) {
  return {output(trt_.addSelect(*operand(layer, 0), *operand(layer, 1), *operand(layer, 2)))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Identity&) {
  return {output(trt_.addIdentity(*operand(layer, 0)))};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Gather& op) {
  const auto mode = op.mode == network::GatherMode::kDefault   ? nvinfer1::GatherMode::kDEFAULT
                    : op.mode == network::GatherMode::kElement ? nvinfer1::GatherMode::kELEMENT
                                                               : nvinfer1::GatherMode::kND;
  auto* gather = checked(trt_.addGatherV2(*operand(layer, 0), *operand(layer, 1), mode));
  if (op.mode != network::GatherMode::kNd) gather->setGatherAxis(static_cast<std::int32_t>(op.axis));
  return {gather->getOutput(0)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Scatter& op) {
  const auto mode =
      op.mode == network::ScatterMode::kElement ? nvinfer1::ScatterMode::kELEMENT : nvinfer1::ScatterMode::kND;
  auto* scatter = checked(trt_.addScatter(*operand(layer, 0), *operand(layer, 1), *operand(layer, 2), mode));
  if (op.mode == network::ScatterMode::kElement) scatter->setAxis(static_cast<std::int32_t>(op.axis));
  return {scatter->getOutput(0)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer&, const network::ShapeOf& op) {
  Tensor values = materialize(op.values);
  return {op.scalar ? reshape(values, {}) : output(trt_.addIdentity(*values))};
}

// 0, 1, 2, .. as int64. The layer takes no unknown length: 1 stands for one that input 0 gives.
Lowering::Tensor Lowering::count_up(const Expr& length) {
  const Dims known{length.is_constant() ? length : Expr(1)};
  auto* fill = checked(trt_.addFill(to_dims(known), nvinfer1::FillOperation::kLINSPACE, nvinfer1::DataType::kINT64));
  if (!length.is_constant()) fill->setInput(0, *materialize(length));
  fill->setInput(1, *number(DataType::kInt64, 0, 0));
  fill->setInput(2, *number(DataType::kInt64, 1, 1));
  return fill->getOutput(0);
}

Lowering::Tensor Lowering::positions(const Expr& length, std::size_t axis, std::size_t rank) {
  Dims aligned(rank, Expr(1));
  aligned[axis] = length;
  return reshape(count_up(length), aligned);
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer&, const network::Fill& op) {
  Tensor counting = cast(count_up(op.length), data_type(op.dtype));
  if (op.step != 1) counting = elementwise(counting, number(op.dtype, op.step, 1), ElementWiseOperation::kPROD);
  if (op.start != 0) counting = elementwise(counting, number(op.dtype, op.start, 1), ElementWiseOperation::kSUM);
  return {counting};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::NonZero&) {
  return {cast(output(compat::add_non_zero(trt_, *operand(layer, 0), functions_)), nvinfer1::DataType::kINT64)};
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::Plugin& op) {
#ifdef TRT_MAJOR_RTX  // its headers have no addPluginV3
  fail(ErrorCode::kInternal, "layer \"", layer.name, "\" (", op.name, ") is one that check() refuses");
#else
  PluginSpec spec{op.name, op.attributes, op.library, {}, {}, {}};
  std::vector<Tensor> inputs;
  std::vector<Tensor> shapes;
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    inputs.push_back(operand(layer, i));
    spec.inputs.push_back(data_type(dtype(layer, i)));
  }
  for (const network::ValueId id : layer.outputs) {
    const network::Value& value = net_.value(id);
    spec.results.push_back(data_type(value.dtype));
    std::vector<std::int64_t>& dims = spec.dims.emplace_back();
    for (const Expr& dim : value.dims) dims.push_back(dim.is_constant() ? dim.value() : -1);
    if (!is_static(value.dims)) shapes.push_back(materialize(value.dims));
  }
  const auto plugin = std::make_shared<PluginLayer>(std::move(spec));
  storage_.push_back(plugin);
  auto* added = checked(trt_.addPluginV3(inputs.data(), static_cast<std::int32_t>(inputs.size()), shapes.data(),
                                         static_cast<std::int32_t>(shapes.size()), *plugin));
  std::vector<Tensor> results;
  for (std::int32_t i = 0; i < added->getNbOutputs(); ++i) results.push_back(added->getOutput(i));
  return results;
#endif
}

std::vector<Lowering::Tensor> Lowering::lower(const Layer& layer, const network::NonMaxSuppression&) {
  fail(ErrorCode::kInternal, "layer \"", layer.name, "\" is one that check() refuses");
}

}  // namespace torchtrt::tensorrt
