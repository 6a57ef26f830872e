// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/nonfinite.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include <openvino/core/graph_util.hpp>
#include <openvino/op/ops.hpp>

#include "backends/openvino/plugin_operation.h"

namespace torchtrt::openvino {
namespace {

using Output = ov::Output<ov::Node>;
namespace v0 = ov::op::v0;
namespace v1 = ov::op::v1;

// What a value may hold besides finite numbers, in the order of generality.
enum class Holds : std::uint8_t { kFinite, kNegativeInfinity, kAnything };

template <typename... Ops>
bool is_any(const ov::Node& node) {
  return (ov::is_type<Ops>(&node) || ...);
}

template <typename Bits, Bits kExponent>
bool any_with_exponent(const void* data, std::size_t count) {
  const auto* values = static_cast<const Bits*>(data);
  // Blocks without an early exit inside vectorize.
  constexpr std::size_t kBlock = 1024;
  for (std::size_t i = 0; i < count; i += kBlock) {
    Bits found = 0;
    const std::size_t end = std::min(count, i + kBlock);
    for (std::size_t j = i; j < end; ++j) found |= static_cast<Bits>((values[j] & kExponent) == kExponent);
    if (found != 0) return true;
  }
  return false;
}

Holds in_constant(const v0::Constant& constant) {
  const ov::element::Type type = constant.get_element_type();
  if (!any_nonfinite(type, constant.get_data_ptr(), ov::shape_size(constant.get_shape()))) return Holds::kFinite;
  const std::vector<float> values = constant.cast_vector<float>();
  const bool only_negative = std::all_of(values.begin(), values.end(), [](float value) {
    return std::isfinite(value) || value == -std::numeric_limits<float>::infinity();
  });
  return only_negative ? Holds::kNegativeInfinity : Holds::kAnything;
}

// --- signs: enough to see that the root of a variance plus epsilon is a positive number

bool is_positive_constant(const Output& value, bool or_zero) {
  const auto constant = ov::as_type_ptr<v0::Constant>(value.get_node_shared_ptr());
  if (constant == nullptr || ov::shape_size(constant->get_shape()) > 4096) return false;
  const std::vector<float> values = constant->cast_vector<float>();
  return std::all_of(values.begin(), values.end(), [or_zero](float x) { return x > 0 || (or_zero && x == 0); });
}

bool is_nonzero_constant(const Output& value) {
  const auto constant = ov::as_type_ptr<v0::Constant>(value.get_node_shared_ptr());
  if (constant == nullptr || ov::shape_size(constant->get_shape()) > 4096) return false;
  const std::vector<float> values = constant->cast_vector<float>();
  return std::all_of(values.begin(), values.end(), [](float x) { return x != 0; });
}

bool is_nonnegative(const Output& value);

bool is_positive(const Output& value) {
  const ov::Node& node = *value.get_node();
  if (is_any<v0::Convert, v0::Sqrt, v1::Reshape, v0::Unsqueeze, ov::op::v3::Broadcast>(node)) {
    return is_positive(node.input_value(0));
  }
  if (is_any<v1::Add>(node)) {
    const Output a = node.input_value(0);
    const Output b = node.input_value(1);
    return (is_positive(a) && is_nonnegative(b)) || (is_nonnegative(a) && is_positive(b));
  }
  return is_positive_constant(value, /*or_zero=*/false);
}

bool is_nonnegative(const Output& value) {
  const ov::Node& node = *value.get_node();
  if (is_any<v0::Abs, v0::Relu, v0::Exp, v0::Sigmoid, ov::op::v8::Softmax>(node)) return true;
  if (is_any<v0::Convert, v0::Sqrt, v1::Reshape, v0::Unsqueeze, ov::op::v3::Broadcast, v1::ReduceMean, v1::ReduceSum>(
          node)) {
    return is_nonnegative(node.input_value(0));
  }
  if (is_any<v1::Multiply>(node) && node.input_value(0) == node.input_value(1)) return true;
  if (is_any<v1::Power>(node)) {
    const auto exponent = ov::as_type_ptr<v0::Constant>(node.get_input_node_shared_ptr(1));
    return exponent != nullptr && ov::shape_size(exponent->get_shape()) == 1 &&
           exponent->cast_vector<float>().front() == 2;
  }
  return is_positive_constant(value, /*or_zero=*/true) || is_positive(value);
}

// Whether the operation may make NaN or an infinity of finite operands.
bool is_source(const ov::Node& node) {
  if (ov::is_type<PluginOperation>(&node)) return true;  // nobody knows
  if (is_any<v0::Exp, v0::Sinh, v0::Cosh, v0::Tan, v0::Acos, v0::Asin, ov::op::v3::Acosh, ov::op::v3::Atanh, v1::Mod,
             v1::FloorMod>(node)) {
    return true;
  }
  if (is_any<v0::Sqrt>(node)) return !is_nonnegative(node.input_value(0));
  if (is_any<v0::Log>(node)) return !is_positive(node.input_value(0));
  if (is_any<v1::Divide>(node)) return !is_positive(node.input_value(1)) && !is_nonzero_constant(node.input_value(1));
  if (is_any<v1::Power>(node)) {
    const auto exponent = ov::as_type_ptr<v0::Constant>(node.get_input_node_shared_ptr(1));
    if (exponent == nullptr || ov::shape_size(exponent->get_shape()) != 1) return true;
    const float value = exponent->cast_vector<float>().front();
    const bool always = value >= 0 && value == std::floor(value);
    return !always && !is_positive(node.input_value(0)) && !(value >= 0 && is_nonnegative(node.input_value(0)));
  }
  return false;
}

// --- the operations that need finite operands

bool is_attention(const ov::Node& node) { return is_any<ov::op::v13::ScaledDotProductAttention>(node); }

// The operations that need finite operands: what the operands hold that they cannot bear.
bool needs_replacing(const ov::Node& node, const std::vector<Holds>& operands) {
  if (is_any<v0::Relu, v0::HardSigmoid, ov::op::v14::MaxPool>(node)) return operands[0] != Holds::kFinite;
  if (is_any<ov::op::v8::Softmax>(node)) return operands[0] == Holds::kAnything;
  if (is_attention(node)) {
    return std::any_of(operands.begin(), operands.begin() + 3, [](Holds x) { return x != Holds::kFinite; }) ||
           (operands.size() > 3 && operands[3] == Holds::kAnything);
  }
  return false;
}

template <typename Visit>
void visit_sensitive(const ov::Model& model, Holds inputs, const Visit& visit) {
  std::unordered_map<const ov::Node*, Holds> held;
  for (const std::shared_ptr<ov::Node>& node : model.get_ordered_ops()) {
    Holds result = Holds::kFinite;
    std::vector<Holds> operands;
    for (const Output& operand : node->input_values()) {
      operands.push_back(operand.get_element_type().is_real() ? held.at(operand.get_node()) : Holds::kFinite);
      result = std::max(result, operands.back());
    }
    if (is_any<v0::Parameter>(*node)) {
      result = inputs;
    } else if (const auto constant = ov::as_type_ptr<v0::Constant>(node)) {
      result = constant->get_element_type().is_real() ? in_constant(*constant) : Holds::kFinite;
    } else if (is_source(*node)) {
      result = Holds::kAnything;
    } else if ((is_any<ov::op::v8::Softmax>(*node) || is_attention(*node)) && result == Holds::kNegativeInfinity) {
      result = Holds::kFinite;
    } else if (result == Holds::kNegativeInfinity &&
               !is_any<v1::Add, v1::Select, v1::Reshape, v1::Transpose, v0::Unsqueeze, v0::Squeeze, v0::Concat,
                       v0::Convert, ov::op::v3::Broadcast, ov::op::v8::Slice, ov::op::v8::Gather>(*node)) {
      result = Holds::kAnything;  // times a negative number, minus itself, ...
    }
    held[node.get()] = result;
    if (needs_replacing(*node, operands)) visit(node);
  }
}

// --- exact forms

Output number(const Output& like, float value) {
  const ov::element::Type type = like.get_element_type();
  if (type == ov::element::f16) return v0::Constant::create(type, {}, std::vector<ov::float16>{value})->output(0);
  if (type == ov::element::bf16) return v0::Constant::create(type, {}, std::vector<ov::bfloat16>{value})->output(0);
  return v0::Constant::create(ov::element::f32, {}, std::vector<float>{value})->output(0);
}

Output select(const Output& condition, const Output& yes, const Output& no) {
  return std::make_shared<v1::Select>(condition, yes, no);
}

Output is_nan(const Output& x) { return std::make_shared<ov::op::v10::IsNaN>(x); }

Output is_infinity(const Output& x, bool negative) {
  const ov::op::v10::IsInf::Attributes which(/*detect_negative=*/negative, /*detect_positive=*/!negative);
  return std::make_shared<ov::op::v10::IsInf>(x, which);
}

// A comparison with NaN is false, whichever way round: NaN passes.
Output at_least(const Output& x, float least) {
  return select(std::make_shared<v1::Less>(x, number(x, least)), number(x, least), x);
}
Output at_most(const Output& x, float most) {
  return select(std::make_shared<v1::Less>(number(x, most), x), number(x, most), x);
}

// A row is NaN if it has a NaN or an infinity, or nothing but -inf.
Output exact_softmax(const Output& x, std::int64_t axis) {
  const auto axes = v0::Constant::create(ov::element::i64, {1}, {axis});
  const Output bad = std::make_shared<v1::LogicalOr>(is_nan(x), is_infinity(x, /*negative=*/false));
  const Output any_bad = std::make_shared<v1::ReduceLogicalOr>(bad, axes, /*keep_dims=*/true);
  const Output nothing =
      std::make_shared<v1::ReduceLogicalAnd>(is_infinity(x, /*negative=*/true), axes, /*keep_dims=*/true);
  return select(std::make_shared<v1::LogicalOr>(any_bad, nothing), number(x, NAN),
                std::make_shared<ov::op::v8::Softmax>(x, axis));
}

// A window is NaN if it has one, and -inf if it has nothing else.
Output exact_max_pool(const ov::op::v14::MaxPool& pool) {
  const Output x = pool.input_value(0);
  const auto any = [&](const Output& condition) -> Output {
    const Output ones = std::make_shared<v0::Convert>(condition, ov::element::f32);
    const Output found = pool.clone_with_new_inputs({ones})->output(0);
    return std::make_shared<v1::Less>(number(found, 0.5F), found);
  };
  const Output numbers = any(std::make_shared<v1::LogicalNot>(is_infinity(x, /*negative=*/true)));
  const Output result = pool.clone_with_new_inputs({x})->output(0);
  return select(any(is_nan(x)), number(x, NAN), select(numbers, result, number(x, -INFINITY)));
}

Output dimension(const Output& x, std::int64_t axis) {
  const auto shape = std::make_shared<ov::op::v3::ShapeOf>(x);
  return std::make_shared<ov::op::v8::Gather>(shape, v0::Constant::create(ov::element::i64, {}, {axis}),
                                              v0::Constant::create(ov::element::i64, {}, {0}));
}

// 0..count as a column or a row.
Output counted(const Output& count, std::int64_t unsqueezed_axis) {
  const auto zero = v0::Constant::create(ov::element::i64, {}, {0});
  const auto one = v0::Constant::create(ov::element::i64, {}, {1});
  return std::make_shared<v0::Unsqueeze>(std::make_shared<ov::op::v4::Range>(zero, count, one, ov::element::i64),
                                         v0::Constant::create(ov::element::i64, {1}, {unsqueezed_axis}));
}

// softmax(q k' * scale + mask) v, by its definition.
Output exact_attention(const ov::op::v13::ScaledDotProductAttention& attention) {
  const ov::element::Type type = attention.get_output_element_type(0);
  const auto wide = [&](std::size_t index) -> Output {
    const Output x = attention.input_value(index);
    if (x.get_element_type() == ov::element::f32) return x;
    return std::make_shared<v0::Convert>(x, ov::element::f32);
  };
  Output scores = std::make_shared<v0::MatMul>(wide(0), wide(1), /*transpose_a=*/false, /*transpose_b=*/true);
  scores = std::make_shared<v1::Multiply>(scores, wide(4));
  const auto add_where_not = [&](const Output& takes_part) {
    scores = std::make_shared<v1::Add>(scores, select(takes_part, number(scores, 0), number(scores, -INFINITY)));
  };
  if (attention.get_causal()) {
    add_where_not(std::make_shared<v1::LessEqual>(counted(dimension(attention.input_value(1), 2), 0),
                                                  counted(dimension(attention.input_value(0), 2), 1)));
  }
  if (attention.input_value(3).get_element_type() == ov::element::boolean) {
    add_where_not(attention.input_value(3));
  } else {
    scores = std::make_shared<v1::Add>(scores, wide(3));
  }
  const Output result = std::make_shared<v0::MatMul>(exact_softmax(scores, -1), wide(2));
  if (type == ov::element::f32) return result;
  return std::make_shared<v0::Convert>(result, type);
}

Output exact(const ov::Node& node) {
  const Output x = node.input_value(0);
  if (is_any<v0::Relu>(node)) return at_least(x, 0);
  if (is_any<v0::HardSigmoid>(node)) {
    const Output scaled = std::make_shared<v1::Multiply>(x, node.input_value(1));
    return at_most(at_least(std::make_shared<v1::Add>(scaled, node.input_value(2)), 0), 1);
  }
  if (const auto* pool = ov::as_type<const ov::op::v14::MaxPool>(&node)) return exact_max_pool(*pool);
  if (const auto* softmax = ov::as_type<const ov::op::v8::Softmax>(&node)) {
    return exact_softmax(x, softmax->get_axis());
  }
  return exact_attention(*ov::as_type<const ov::op::v13::ScaledDotProductAttention>(&node));
}

std::size_t make_exact(ov::Model& model, Holds inputs) {
  ov::NodeVector found;
  visit_sensitive(model, inputs, [&](const std::shared_ptr<ov::Node>& node) { found.push_back(node); });
  for (const std::shared_ptr<ov::Node>& node : found) {
    const Output replacement = exact(*node);
    replacement.get_node()->set_friendly_name(node->get_friendly_name());
    node->output(0).replace(replacement);
  }
  if (!found.empty()) model.validate_nodes_and_infer_types();
  return found.size();
}

}  // namespace

std::size_t make_exact_for_finite_inputs(ov::Model& model) { return make_exact(model, Holds::kFinite); }

bool needs_finite_inputs(const ov::Model& model) {
  bool found = false;
  visit_sensitive(model, Holds::kAnything, [&](const std::shared_ptr<ov::Node>&) { found = true; });
  return found;
}

void make_exact_for_all_inputs(ov::Model& model) { make_exact(model, Holds::kAnything); }

bool any_nonfinite(const ov::element::Type& type, const void* data, std::size_t count) {
  if (type == ov::element::f32) return any_with_exponent<std::uint32_t, 0x7f800000>(data, count);
  if (type == ov::element::f16) return any_with_exponent<std::uint16_t, 0x7c00>(data, count);
  if (type == ov::element::bf16) return any_with_exponent<std::uint16_t, 0x7f80>(data, count);
  return false;
}

}  // namespace torchtrt::openvino
