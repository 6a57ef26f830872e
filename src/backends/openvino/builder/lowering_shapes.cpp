// SPDX-License-Identifier: Apache-2.0
// Shapes as data, and the layers that only move elements.
#include <algorithm>
#include <numeric>

#include <openvino/op/add.hpp>
#include <openvino/op/broadcast.hpp>
#include <openvino/op/concat.hpp>
#include <openvino/op/constant.hpp>
#include <openvino/op/convert.hpp>
#include <openvino/op/divide.hpp>
#include <openvino/op/floor_mod.hpp>
#include <openvino/op/gather.hpp>
#include <openvino/op/gather_elements.hpp>
#include <openvino/op/gather_nd.hpp>
#include <openvino/op/maximum.hpp>
#include <openvino/op/minimum.hpp>
#include <openvino/op/multiply.hpp>
#include <openvino/op/non_zero.hpp>
#include <openvino/op/not_equal.hpp>
#include <openvino/op/pad.hpp>
#include <openvino/op/range.hpp>
#include <openvino/op/reshape.hpp>
#include <openvino/op/scatter_elements_update.hpp>
#include <openvino/op/scatter_nd_update.hpp>
#include <openvino/op/select.hpp>
#include <openvino/op/shape_of.hpp>
#include <openvino/op/slice.hpp>
#include <openvino/op/squeeze.hpp>
#include <openvino/op/subtract.hpp>
#include <openvino/op/transpose.hpp>
#include <openvino/op/unsqueeze.hpp>

#include <torchtrt/base/error.h>

#include "backends/openvino/builder/lowering.h"
#include "backends/openvino/non_max_suppression.h"
#include "backends/openvino/plugin_operation.h"

namespace torchtrt::openvino {

using network::Layer;
namespace op = ov::op;

namespace {

std::shared_ptr<ov::Node> scalar(std::int64_t value) {
  return op::v0::Constant::create(ov::element::i64, ov::Shape{}, {value});
}

}  // namespace

std::shared_ptr<ov::Node> floor_divide(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b) {
  // The plugin's integer division truncates whatever `pythondiv` says; without its remainder the dividend divides
  // exactly.
  const auto multiple = std::make_shared<op::v1::Subtract>(a, std::make_shared<op::v1::FloorMod>(a, b));
  return std::make_shared<op::v1::Divide>(multiple, b, /*pythondiv=*/false);
}

ov::Output<ov::Node> Lowering::materialize_symbol(const std::string& name) {
  if (const auto found = symbols_.find(name); found != symbols_.end()) return found->second;
  for (std::size_t i = 0; i < net_.inputs().size(); ++i) {
    const network::Input& input = net_.inputs()[i];
    if (input.is_shape_tensor && input.symbol == name) {
      return symbols_[name] = std::make_shared<op::v1::Reshape>(parameters_[i], int_constant({1}), false);
    }
    const Dims& dims = net_.value(input.value).dims;
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      if (!dims[axis].is_symbol() || dims[axis].symbol_name() != name) continue;
      const auto shape = std::make_shared<op::v3::ShapeOf>(parameters_[i], ov::element::i64);
      return symbols_[name] =
                 std::make_shared<op::v8::Gather>(shape, int_constant({static_cast<std::int64_t>(axis)}), scalar(0));
    }
  }
  fail(ErrorCode::kUnsupported, "network ", net_.name(), ": no input gives the value of symbol ", name);
}

ov::Output<ov::Node> Lowering::materialize(const Expr& expr) {
  if (expr.is_constant()) return int_constant({expr.value()});
  if (expr.is_symbol()) return materialize_symbol(expr.symbol_name());
  const std::string text = expr.str();
  if (const auto found = expressions_.find(text); found != expressions_.end()) return found->second;
  const std::vector<Expr> operands = expr.operands();
  Output result = materialize(operands[0]);
  for (std::size_t i = 1; i < operands.size(); ++i) {
    const Output next = materialize(operands[i]);
    switch (expr.kind()) {
      case Expr::Kind::kAdd: result = std::make_shared<op::v1::Add>(result, next); break;
      case Expr::Kind::kMul: result = std::make_shared<op::v1::Multiply>(result, next); break;
      case Expr::Kind::kFloorDiv:
        result = net_.bounds(operands[0]).min >= 0 && net_.bounds(operands[1]).min >= 0
                     ? std::make_shared<op::v1::Divide>(result, next, /*pythondiv=*/false)->output(0)
                     : floor_divide(result, next);
        break;
      case Expr::Kind::kMod: result = std::make_shared<op::v1::FloorMod>(result, next); break;
      case Expr::Kind::kMax: result = std::make_shared<op::v1::Maximum>(result, next); break;
      case Expr::Kind::kMin: result = std::make_shared<op::v1::Minimum>(result, next); break;
      default: fail(ErrorCode::kInternal, "an expression without operands: ", text);
    }
  }
  return expressions_[text] = result;
}

ov::Output<ov::Node> Lowering::materialize_scalar(const Expr& expr) {
  if (expr.is_constant()) return scalar(expr.value());
  return std::make_shared<op::v1::Reshape>(materialize(expr), int_constant({}), false);
}

ov::Output<ov::Node> Lowering::materialize(const Dims& dims) {
  ov::OutputVector parts;
  std::vector<std::int64_t> constants;  // neighbouring constants become one part
  const auto flush = [&] {
    if (!constants.empty()) parts.push_back(int_constant(constants));
    constants.clear();
  };
  for (const Expr& dim : dims) {
    if (dim.is_constant()) {
      constants.push_back(dim.value());
    } else {
      flush();
      parts.push_back(materialize(dim));
    }
  }
  flush();
  if (parts.empty()) return int_constant({});
  return parts.size() == 1 ? parts[0] : std::make_shared<op::v0::Concat>(parts, 0)->output(0);
}

ov::Output<ov::Node> Lowering::reshape(const Output& data, const Dims& from, const Dims& to) {
  // Not a reshape: the CPU plugin of 2026.4 crashes on a matrix product that is reshaped to a scalar.
  if (to.empty() && !from.empty() &&
      std::all_of(from.begin(), from.end(), [](const Expr& dim) { return dim == Expr(1); })) {
    std::vector<std::int64_t> axes(from.size());
    std::iota(axes.begin(), axes.end(), 0);
    return std::make_shared<op::v0::Squeeze>(data, int_constant(axes))->output(0);
  }
  // 0 stands for "copy" only where no dimension really is 0; -1 for the one that is neither static nor copied.
  Dims target = to;
  std::size_t unknown = 0;
  bool has_zero = false;
  for (const Expr& dim : to) has_zero = has_zero || dim == Expr(0);
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_constant()) continue;
    if (!has_zero && i < from.size() && from[i] == to[i]) {
      target[i] = Expr(0);
    } else {
      ++unknown;
    }
  }
  // With an empty tensor "-1" is ambiguous: it is used only where every other dimension is known to be positive.
  bool may_infer = unknown == 1 && !has_zero;
  for (std::size_t i = 0; may_infer && i < to.size(); ++i) {
    if (target[i] == Expr(0)) may_infer = net_.bounds(to[i]).min > 0;
  }
  for (std::size_t i = 0; may_infer && i < to.size(); ++i) {
    if (!target[i].is_constant()) target[i] = Expr(-1);
  }
  return std::make_shared<op::v1::Reshape>(data, materialize(target), !has_zero);
}

ov::Output<ov::Node> Lowering::transpose(const Output& data, const std::vector<std::int64_t>& permutation) {
  return permutation.empty() ? data : std::make_shared<op::v1::Transpose>(data, int_constant(permutation))->output(0);
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Shuffle& op) {
  Output result = transpose(operand(layer, 0), op.first_transpose);
  if (op.reshape) {
    const Dims& before = value_of(layer, 0).dims;
    Dims from = before;
    for (std::size_t i = 0; i < op.first_transpose.size(); ++i) {
      from[i] = before[static_cast<std::size_t>(op.first_transpose[i])];
    }
    result = reshape(result, from, *op.reshape);
  }
  return {transpose(result, op.second_transpose)};
}

namespace {

// Whether the plugin may move the broadcast behind what reads it. For the result's size it then takes the larger one of the
// operands': 1, where this one's is 0 and that of a number beside it is 1.
bool may_lose_emptiness(const network::Network& net, const Layer& layer, const Dims& dims) {
  if (std::ranges::none_of(dims, [&](const Expr& dim) { return net.bounds(dim).min < 1; })) return false;
  return std::ranges::any_of(net.layers(), [&](const Layer& reader) {
    return reads(reader, layer.outputs[0]) && (std::holds_alternative<network::ElementWise>(reader.op) ||
                                               std::holds_alternative<network::Select>(reader.op) ||
                                               std::holds_alternative<network::Activation>(reader.op) ||
                                               std::holds_alternative<network::Unary>(reader.op));
  });
}

}  // namespace

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Broadcast& op) {
  const auto result = std::make_shared<op::v3::Broadcast>(operand(layer, 0), materialize(op.dims));
  if (may_lose_emptiness(net_, layer, op.dims)) return {copied(result)};
  return {result};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Concatenation& op) {
  ov::OutputVector parts;
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) parts.push_back(operand(layer, i));
  return {std::make_shared<op::v0::Concat>(parts, op.axis)};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Select&) {
  Output condition = operand(layer, 0);
  const network::Value& value = net_.value(layer.outputs[0]);
  // With what computes the condition the plugin makes one kernel, which may choose in float32.
  if (is_integral(value.dtype) && !is_exact_in_float(value.range) && net_.producer(layer.inputs[0]) != nullptr) {
    condition = copied(condition);
  }
  return {std::make_shared<op::v1::Select>(condition, operand(layer, 1), operand(layer, 2))};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Identity&) {
  return {operand(layer, 0)};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Gather& op) {
  const Output data = operand(layer, 0);
  const Output indices = operand(layer, 1);
  switch (op.mode) {
    case network::GatherMode::kElement: return {std::make_shared<op::v6::GatherElements>(data, indices, op.axis)};
    case network::GatherMode::kNd: return {std::make_shared<op::v8::GatherND>(data, indices)};
    case network::GatherMode::kDefault: break;
  }
  return {std::make_shared<op::v8::Gather>(data, indices, scalar(op.axis))};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Scatter& op) {
  if (op.mode == network::ScatterMode::kElement) {
    return {std::make_shared<op::v3::ScatterElementsUpdate>(operand(layer, 0), operand(layer, 1), operand(layer, 2),
                                                            scalar(op.axis))};
  }
  return {std::make_shared<op::v3::ScatterNDUpdate>(operand(layer, 0), operand(layer, 1), operand(layer, 2))};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Slice& op) {
  const Dims& dims = value_of(layer, 0).dims;
  if (op.mode != network::SliceMode::kStrict) {
    // Padding: what lies outside [0, dim) is made up. Strides other than 1 are refused by check().
    Dims begin;
    Dims end;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      begin.push_back(Expr(0) - op.start[i]);
      end.push_back(op.start[i] + op.size[i] - dims[i]);
    }
    const ov::op::PadMode mode = op.mode == network::SliceMode::kReflect ? ov::op::PadMode::REFLECT
                                 : op.mode == network::SliceMode::kClamp ? ov::op::PadMode::EDGE
                                                                         : ov::op::PadMode::CONSTANT;
    if (mode == ov::op::PadMode::CONSTANT && has_operand(layer, 1)) {
      return {std::make_shared<op::v12::Pad>(operand(layer, 0), materialize(begin), materialize(end), operand(layer, 1),
                                             mode)};
    }
    return {std::make_shared<op::v12::Pad>(operand(layer, 0), materialize(begin), materialize(end), mode)};
  }
  std::vector<std::int64_t> axes;
  std::vector<std::int64_t> steps;
  Dims starts;
  Dims stops;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (op.start[i] == Expr(0) && op.size[i] == dims[i] && op.stride[i] == 1) continue;
    axes.push_back(static_cast<std::int64_t>(i));
    steps.push_back(op.stride[i]);
    starts.push_back(op.start[i]);
    // Beyond the end is cut off. Going down, a negative stop would count from the end: it means "all" (check() has seen
    // to it that the sign is known).
    const Expr stop = op.start[i] + op.size[i] * Expr(op.stride[i]);
    stops.push_back(op.stride[i] < 0 && net_.bounds(stop).min < 0 ? Expr(INT32_MIN) : stop);
  }
  if (axes.empty()) return {operand(layer, 0)};
  return {std::make_shared<op::v8::Slice>(operand(layer, 0), materialize(starts), materialize(stops),
                                          int_constant(steps), int_constant(axes))};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer&, const network::ShapeOf& op) {
  return {op.scalar ? materialize_scalar(op.values[0]) : materialize(op.values)};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer&, const network::Fill& op) {
  const ov::element::Type type = element_type(op.dtype);
  // 0, 1, 2, .. in 64 bits, then start + i * step: exact for what the formula gives in any of the three dtypes.
  Output counting =
      std::make_shared<op::v4::Range>(scalar(0), materialize_scalar(op.length), scalar(1), ov::element::i64);
  if (type != ov::element::i64) counting = std::make_shared<op::v0::Convert>(counting, type);
  if (op.step != 1) {
    counting = std::make_shared<op::v1::Multiply>(counting, op::v0::Constant::create(type, ov::Shape{}, {op.step}));
  }
  if (op.start != 0) {
    counting = std::make_shared<op::v1::Add>(counting, op::v0::Constant::create(type, ov::Shape{}, {op.start}));
  }
  return {counting};
}

void Lowering::bind_count(const std::string& symbol, const Output& counted, std::int64_t axis) {
  const auto shape = std::make_shared<op::v3::ShapeOf>(counted, ov::element::i64);
  symbols_[symbol] = std::make_shared<op::v8::Gather>(shape, int_constant({axis}), scalar(0));
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::NonZero& nonzero) {
  Output x = operand(layer, 0);
  // NaN is not zero. And OpenVINO leaves out a conversion in front of NonZero, which makes zeros of 0.3 and of 256.
  if (x.get_element_type() != ov::element::boolean) x = std::make_shared<op::v1::NotEqual>(x, number(x, 0));
  const auto result = std::make_shared<op::v3::NonZero>(x, ov::element::i64);
  bind_count(nonzero.count_symbol, result, 1);
  return {result};
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::Plugin& plugin) {
  // The CPU plugin makes float32 of all float16 and cannot tell a custom operation: it gets float32 from the start.
  const auto wide = [](ov::element::Type type) { return type == ov::element::f16 ? ov::element::f32 : type; };
  const auto convert = [](const Output& x, ov::element::Type type) -> Output {
    return x.get_element_type() == type ? x : std::make_shared<op::v0::Convert>(x, type);
  };
  ov::OutputVector inputs;
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    const Output x = operand(layer, i);
    inputs.push_back(convert(x, wide(x.get_element_type())));
  }
  std::vector<PluginOperation::Result> results;
  for (const network::ValueId id : layer.outputs) {
    const network::Value& value = net_.value(id);
    PluginOperation::Result& result =
        results.emplace_back(PluginOperation::Result{wide(element_type(value.dtype)), {}});
    for (const Expr& dim : value.dims) result.dims.push_back(dim.is_constant() ? dim.value() : -1);
    if (!is_static(value.dims)) inputs.push_back(materialize(value.dims));
  }
  const auto operation = std::make_shared<PluginOperation>(inputs, layer.inputs.size(), plugin.name, plugin.attributes,
                                                           plugin.library, results);
  std::vector<Output> outputs;
  for (std::size_t i = 0; i < layer.outputs.size(); ++i) {
    outputs.push_back(convert(operation->output(i), element_type(net_.value(layer.outputs[i]).dtype)));
  }
  return outputs;
}

std::vector<ov::Output<ov::Node>> Lowering::lower(const Layer& layer, const network::NonMaxSuppression& nms) {
  const auto result = std::make_shared<NonMaxSuppression>(operand(layer, 0), operand(layer, 1), nms.iou_threshold);
  bind_count(nms.count_symbol, result, 0);
  return {std::make_shared<op::v0::Convert>(result, ov::element::i64)};
}

}  // namespace torchtrt::openvino
