// SPDX-License-Identifier: Apache-2.0
// Layer, RMS, group, instance normalization, and batch normalization as it is at inference.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "converters/constants.h"
#include "converters/families.h"
#include "converters/guards.h"
#include "converters/operands.h"

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Node;
using network::ElementWiseOperation;
using network::NormalizationKind;
using network::UnaryOperation;

// Adds the layer; scale and bias are per element of `parameter_dims`. Where they have another dtype than x (PyTorch takes
// float32 parameters with half-precision inputs), everything is computed in float32.
ValueId add_normalization(Context& ctx, const Node& node, ValueId x, network::Normalization op,
                          std::optional<ValueId> scale, std::optional<ValueId> bias, const Dims& parameter_dims) {
  require_floating(ctx, node, x);
  if (scale) require_moderate(ctx, node, *scale, "weight");
  Network& net = ctx.net();
  const DataType dtype = ctx.dtype_of(x);
  DataType computed = dtype;
  for (const std::optional<ValueId>& parameter : {scale, bias}) {
    if (parameter && ctx.dtype_of(*parameter) != dtype) computed = DataType::kFloat32;
  }
  if (bias && !scale) {
    const ValueId one = net.add_scalar(computed, 1, parameter_dims.size());
    scale = net.add_broadcast(one, parameter_dims);
  }
  std::vector<ValueId> inputs{ctx.cast(x, computed)};
  if (scale) inputs.push_back(ctx.cast(*scale, computed));
  if (bias) inputs.push_back(ctx.cast(*bias, computed));
  return ctx.cast(net.add_layer(std::move(op), std::move(inputs))[0], dtype);
}

// The trailing axes that `normalized_shape` names.
std::vector<std::int64_t> trailing_axes(Context& ctx, const Node& node, ValueId x, std::size_t count) {
  const std::size_t rank = ctx.rank_of(x);
  if (count == 0 || count > rank) {
    refuse(Reason::kAttribute, node.target, " over ", count, " dimensions of a tensor of rank ", rank);
  }
  std::vector<std::int64_t> axes;
  for (std::size_t i = rank - count; i < rank; ++i) axes.push_back(static_cast<std::int64_t>(i));
  return axes;
}

// aten.layer_norm(input, normalized_shape, weight, bias, eps, ..); native_layer_norm also returns mean and 1 / deviation
void convert_layer_norm(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "input");
  const Dims shape = ctx.dims(node, 1, "normalized_shape");
  network::Normalization op;
  op.kind = NormalizationKind::kLayer;
  op.axes = trailing_axes(ctx, node, x, shape.size());
  op.epsilon = ctx.number(node, 4, "eps", 1e-5);
  ctx.set_output(node, add_normalization(ctx, node, x, std::move(op), ctx.optional_tensor(node, 2, "weight"),
                                         ctx.optional_tensor(node, 3, "bias"), shape));
}

// aten.rms_norm(input, normalized_shape, weight, eps)
void convert_rms_norm(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "input");
  const std::optional<ValueId> weight = ctx.optional_tensor(node, 2, "weight");
  if (weight && ctx.dtype_of(*weight) != ctx.dtype_of(x)) {
    refuse(Reason::kDataType, node.target, " of ", to_string(ctx.dtype_of(x)), " with a weight of ",
           to_string(ctx.dtype_of(*weight)), " has no engine layer");
  }
  const Dims shape = ctx.dims(node, 1, "normalized_shape");
  network::Normalization op;
  op.kind = NormalizationKind::kRms;
  op.axes = trailing_axes(ctx, node, x, shape.size());
  // Without a value PyTorch takes the epsilon of the type it computes in, which is float32 for half precision too.
  op.epsilon = ctx.number(node, 3, "eps", std::numeric_limits<float>::epsilon());
  ctx.set_output(node, add_normalization(ctx, node, x, std::move(op), weight, std::nullopt, shape));
}

void set_group_norm(Context& ctx, const Node& node, ValueId x, std::optional<ValueId> weight,
                    std::optional<ValueId> bias, std::int64_t groups, double epsilon) {
  if (ctx.rank_of(x) < 2) refuse(Reason::kAttribute, node.target, " takes an input of rank 2 or more");
  const Dims dims = ctx.dims_of(x);
  Dims spatial = dims;
  if (spatial.size() == 2) spatial.emplace_back(1);
  network::Normalization op;
  op.kind = NormalizationKind::kGroup;
  op.groups = groups;
  op.epsilon = epsilon;
  const ValueId result =
      add_normalization(ctx, node, view_as(ctx.net(), x, spatial), std::move(op), weight, bias, {dims[1]});
  ctx.set_output(node, view_as(ctx.net(), result, dims));
}

// aten.group_norm(input, num_groups, weight, bias, eps, cudnn_enabled)
void convert_group_norm(Context& ctx, const Node& node) {
  set_group_norm(ctx, node, ctx.tensor(node, 0, "input"), ctx.optional_tensor(node, 2, "weight"),
                 ctx.optional_tensor(node, 3, "bias"), ctx.integer(node, 1, "num_groups"),
                 ctx.number(node, 4, "eps", 1e-5));
}

// aten.native_group_norm(input, weight, bias, N, C, HxW, group, eps)
void convert_native_group_norm(Context& ctx, const Node& node) {
  set_group_norm(ctx, node, ctx.tensor(node, 0, "input"), ctx.optional_tensor(node, 1, "weight"),
                 ctx.optional_tensor(node, 2, "bias"), ctx.integer(node, 6, "group"), ctx.number(node, 7, "eps"));
}

struct BatchNorm {
  ValueId x;
  bool is_only_use;  // of x
  std::optional<ValueId> weight, bias;
  ValueId mean, variance;
  double epsilon = 0;
};

// (x - mean) / sqrt(variance + epsilon) * weight + bias as (x + center) * scale + shift, where all of it but x is known.
struct Affine {
  std::vector<double> center, scale, shift;  // by channel
};

std::optional<Affine> fold(const Network& net, const BatchNorm& norm) {
  const auto mean = read_floats(net, norm.mean);
  const auto variance = read_floats(net, norm.variance);
  const auto weight = norm.weight ? read_floats(net, *norm.weight) : std::vector<float>{};
  const auto bias = norm.bias ? read_floats(net, *norm.bias) : std::vector<float>{};
  if (!mean || !variance || !weight || !bias) return std::nullopt;
  Affine affine;
  for (std::size_t i = 0; i < mean->size(); ++i) {
    const double inverse = 1.0 / std::sqrt(static_cast<double>((*variance)[i]) + norm.epsilon);
    affine.center.push_back(-static_cast<double>((*mean)[i]));
    affine.scale.push_back(inverse * (weight->empty() ? 1.0 : static_cast<double>((*weight)[i])));
    affine.shift.push_back(bias->empty() ? 0.0 : static_cast<double>((*bias)[i]));
  }
  return affine;
}

std::vector<float> to_floats(const std::vector<double>& values) { return {values.begin(), values.end()}; }

// The normalization inside the convolution that x comes from: one rounding of the weights, however narrow the dtype,
// instead of one of every constant that an engine would fold. nullopt where x is something else.
std::optional<ValueId> add_into_convolution(Context& ctx, const BatchNorm& norm, const Affine& affine) {
  Network& net = ctx.net();
  const network::Layer* layer = net.producer(norm.x);
  if (!norm.is_only_use || layer == nullptr) return std::nullopt;
  const auto* found = std::get_if<network::Convolution>(&layer->op);
  if (found == nullptr) return std::nullopt;
  const network::Convolution convolution = *found;  // adding layers moves them
  const std::vector<ValueId> operands = layer->inputs;
  auto weights = read_floats(net, operands[1]);
  const auto bias = operands.size() > 2 ? read_floats(net, operands[2]) : std::vector<float>(affine.scale.size());
  const auto channels = static_cast<std::int64_t>(affine.scale.size());
  if (!weights || !bias || channels == 0 || net.value(operands[1]).dims[0] != Expr(channels) ||
      bias->size() != affine.scale.size()) {
    return std::nullopt;
  }
  const std::size_t per_channel = weights->size() / affine.scale.size();
  for (std::size_t i = 0; i < weights->size(); ++i) {
    (*weights)[i] = static_cast<float>(static_cast<double>((*weights)[i]) * affine.scale[i / per_channel]);
  }
  std::vector<float> shift;
  for (std::size_t i = 0; i < bias->size(); ++i) {
    shift.push_back(
        static_cast<float>((static_cast<double>((*bias)[i]) + affine.center[i]) * affine.scale[i] + affine.shift[i]));
  }
  const DataType dtype = ctx.dtype_of(norm.x);
  const ValueId folded = add_floats(net, net.value(operands[1]).dims, dtype, *weights);
  const ValueId added = add_floats(net, {Expr(channels)}, dtype, shift);
  return net.add_layer(convolution, {operands[0], folded, added})[0];
}

// Two or three layers, which engines fold into a layer before them.
ValueId add_affine(Context& ctx, const BatchNorm& norm, const Dims& per_channel, Affine affine) {
  Network& net = ctx.net();
  const DataType dtype = ctx.dtype_of(norm.x);
  const auto constant = [&](const std::vector<double>& values) {
    return add_floats(net, per_channel, dtype, to_floats(values));
  };
  ValueId result = norm.x;
  if (dtype == DataType::kFloat32) {
    for (std::size_t i = 0; i < affine.shift.size(); ++i) affine.shift[i] += affine.center[i] * affine.scale[i];
  } else {
    // In half precision a shift that contains the mean would lose what x - mean keeps.
    result = net.add_elementwise(result, constant(affine.center), ElementWiseOperation::kSum);
  }
  result = net.add_elementwise(result, constant(affine.scale), ElementWiseOperation::kProd);
  return net.add_elementwise(result, constant(affine.shift), ElementWiseOperation::kSum);
}

// The same formula on values that are not constants, in float32.
ValueId add_composed(Context& ctx, const Node& node, const BatchNorm& norm, const Dims& per_channel) {
  Network& net = ctx.net();
  const auto parameter = [&](ValueId value) { return ctx.cast(view_as(net, value, per_channel), DataType::kFloat32); };
  const ValueId epsilon = net.add_scalar(DataType::kFloat32, norm.epsilon, per_channel.size());
  const ValueId variance = net.add_elementwise(parameter(norm.variance), epsilon, ElementWiseOperation::kSum);
  ValueId scale = net.add_unary(net.add_unary(variance, UnaryOperation::kSqrt), UnaryOperation::kRecip);
  if (norm.weight) scale = net.add_elementwise(scale, parameter(*norm.weight), ElementWiseOperation::kProd);
  require_moderate(ctx, node, scale, "weight");
  require_moderate(ctx, node, norm.mean, "mean");
  const ValueId x = ctx.cast(norm.x, DataType::kFloat32);
  ValueId result = net.add_elementwise(x, parameter(norm.mean), ElementWiseOperation::kSub);
  result = net.add_elementwise(result, scale, ElementWiseOperation::kProd);
  if (norm.bias) result = net.add_elementwise(result, parameter(*norm.bias), ElementWiseOperation::kSum);
  return ctx.cast(result, ctx.dtype_of(norm.x));
}

void set_batch_norm(Context& ctx, const Node& node, const BatchNorm& norm) {
  require_floating(ctx, node, norm.x);
  const Dims& dims = ctx.dims_of(norm.x);
  if (dims.size() < 2) refuse(Reason::kAttribute, node.target, " takes an input of rank 2 or more, not ", dims.size());
  Dims per_channel(dims.size(), Expr(1));
  per_channel[1] = dims[1];
  const auto affine = ctx.dtype_of(norm.x) == DataType::kFloat64 ? std::nullopt : fold(ctx.net(), norm);
  if (!affine) return ctx.set_output(node, add_composed(ctx, node, norm, per_channel));
  for (const std::vector<double>* numbers : {&affine->center, &affine->scale, &affine->shift}) {
    if (std::all_of(numbers->begin(), numbers->end(), is_moderate)) continue;
    refuse(Reason::kAttribute, node.target,
           " with NaN, infinities or numbers beyond 2^64 is up to the order in which PyTorch computes");
  }
  const auto folded = add_into_convolution(ctx, norm, *affine);
  ctx.set_output(node, folded ? *folded : add_affine(ctx, norm, per_channel, *affine));
}

// aten._native_batch_norm_legit_no_training(input, weight, bias, running_mean, running_var, momentum, eps)
void convert_batch_norm_inference(Context& ctx, const Node& node) {
  set_batch_norm(ctx, node,
                 {ctx.tensor(node, 0, "input"), ctx.is_only_use(node, 0, "input"),
                  ctx.optional_tensor(node, 1, "weight"), ctx.optional_tensor(node, 2, "bias"),
                  ctx.tensor(node, 3, "running_mean"), ctx.tensor(node, 4, "running_var"), ctx.number(node, 6, "eps")});
}

// aten.{batch_norm,native_batch_norm,cudnn_batch_norm}(input, weight, bias, running_mean, running_var, training, momentum,
// eps, ..)
void convert_batch_norm(Context& ctx, const Node& node) {
  if (ctx.boolean(node, 5, "training")) {
    refuse(Reason::kAttribute, node.target, " in training mode updates its statistics, which engines do not");
  }
  set_batch_norm(ctx, node,
                 {ctx.tensor(node, 0, "input"), ctx.is_only_use(node, 0, "input"),
                  ctx.optional_tensor(node, 1, "weight"), ctx.optional_tensor(node, 2, "bias"),
                  ctx.tensor(node, 3, "running_mean"), ctx.tensor(node, 4, "running_var"), ctx.number(node, 7, "eps")});
}

// aten.instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled)
void convert_instance_norm(Context& ctx, const Node& node) {
  const ValueId x = ctx.tensor(node, 0, "input");
  if (!ctx.boolean(node, 5, "use_input_stats")) {
    set_batch_norm(ctx, node,
                   {x, ctx.is_only_use(node, 0, "input"), ctx.optional_tensor(node, 1, "weight"),
                    ctx.optional_tensor(node, 2, "bias"), ctx.tensor(node, 3, "running_mean"),
                    ctx.tensor(node, 4, "running_var"), ctx.number(node, 7, "eps")});
    return;
  }
  if (!ctx.is_none(node, 3, "running_mean")) {
    refuse(Reason::kAttribute, node.target, " with running statistics updates them, which engines do not");
  }
  if (ctx.rank_of(x) < 3) refuse(Reason::kAttribute, node.target, " takes an input of rank 3 or more");
  const std::int64_t channels = static_dim(node, ctx.dims_of(x)[1], "number of channels");
  set_group_norm(ctx, node, x, ctx.optional_tensor(node, 1, "weight"), ctx.optional_tensor(node, 2, "bias"), channels,
                 ctx.number(node, 7, "eps"));
}

constexpr TableRow kRows[]{
    {"aten.layer_norm.default", convert_layer_norm},
    {"aten.native_layer_norm.default", convert_layer_norm},
    {"aten.rms_norm.default", convert_rms_norm},
    {"aten.group_norm.default", convert_group_norm},
    {"aten.native_group_norm.default", convert_native_group_norm},
    {"aten.instance_norm.default", convert_instance_norm},
    {"aten.batch_norm.default", convert_batch_norm},
    {"aten.native_batch_norm.default", convert_batch_norm},
    {"aten.cudnn_batch_norm.default", convert_batch_norm},
    {"aten._native_batch_norm_legit_no_training.default", convert_batch_norm_inference},
};

}  // namespace

std::span<const TableRow> normalization_rows() { return kRows; }

}  // namespace torchtrt::converters
