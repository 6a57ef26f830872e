// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/builder/constant_operands.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <vector>

#include <openvino/opsets/opset14.hpp>

#include "backends/openvino/builder/lowering.h"
#include "backends/openvino/is_any.h"

namespace torchtrt::openvino {
namespace {

using Output = ov::Output<ov::Node>;
namespace op = ov::opset14;

// Whether the plugin computes it before the first run and then sees a constant. What is computed from constants in more
// steps than those is not looked for.
bool is_folded(const Output& value, int steps = 8) {
  const ov::Node& node = *value.get_node();
  if (is_any<op::Constant>(node)) return true;
  if (steps == 0 || is_any<op::Roll, op::ShapeOf>(node) || node.get_input_size() == 0) return false;
  const ov::OutputVector operands = node.input_values();
  return std::all_of(operands.begin(), operands.end(),
                     [steps](const Output& operand) { return is_folded(operand, steps - 1); });
}

// Whether the plugin knows bounds of its elements before a run: of what depends on constants only, and of the part of a
// concatenation that does.
bool has_known_bounds(const Output& value, std::unordered_map<const ov::Node*, bool>& known) {
  const ov::Node& node = *value.get_node();
  if (const auto found = known.find(&node); found != known.end()) return found->second;
  const ov::OutputVector operands = node.input_values();
  const auto ask = [&](const Output& operand) { return has_known_bounds(operand, known); };
  const bool result = is_any<op::Constant, op::ShapeOf>(node)      ? true
                      : is_any<op::Roll>(node) || operands.empty() ? false
                      : is_any<op::Concat>(node)                   ? std::any_of(operands.begin(), operands.end(), ask)
                                                                   : std::all_of(operands.begin(), operands.end(), ask);
  return known[&node] = result;
}

// Through what the plugin moves constants across.
Output moved_from(Output value) {
  while (is_any<op::Reshape, op::Transpose, op::Squeeze, op::Unsqueeze, op::Broadcast, op::Negative, op::Roll,
                op::Convert>(*value.get_node())) {
    value = value.get_node()->input_value(0);
  }
  return value;
}

bool is_term(const ov::Node& node) { return is_any<op::Add, op::Subtract>(node); }
bool is_factor(const ov::Node& node) { return is_any<op::Multiply, op::Divide>(node); }

// The operand that is not folded, of a term or factor with one that is.
std::optional<Output> chained(const ov::Node& node) {
  if (!is_term(node) && !is_factor(node)) return std::nullopt;
  const Output a = node.input_value(0), b = node.input_value(1);
  if (is_folded(b)) return a;
  if (is_folded(a)) return b;
  return std::nullopt;
}

// Whether the value is a sum of many terms plus and times constants.
bool is_rounded_sum(Output value) {
  for (value = moved_from(value);; value = moved_from(value)) {
    const std::optional<Output> next = chained(*value.get_node());
    if (!next) break;
    value = *next;
  }
  return is_any<op::MatMul, op::Convolution, op::GroupConvolution, op::ConvolutionBackpropData,
                op::GroupConvolutionBackpropData, op::MVN>(*value.get_node());
}

// The elements of a constant, of those that the plugin folds without computing; empty for others.
std::vector<float> elements_of(const Output& folded) {
  const auto* constant = ov::as_type<const op::Constant>(moved_from(folded).get_node());
  return constant == nullptr ? std::vector<float>() : constant->cast_vector<float>();
}

// Whether a few such factors together stay far from overflow and from what is too small.
bool is_usual(const Output& folded) {
  const std::vector<float> values = elements_of(folded);
  return !values.empty() && std::all_of(values.begin(), values.end(), [](float value) {
    return value == 0 || (std::abs(value) >= 0x1p-24F && std::abs(value) <= 0x1p24F);
  });
}

}  // namespace

Output as_term(const Output& operand, const Output& other) {
  if (!is_folded(operand) || is_folded(other)) return operand;
  const ov::Node& before = *moved_from(other).get_node();
  return is_term(before) && chained(before) ? copied(operand) : operand;
}

Output as_factor(const Output& operand, const Output& other) {
  if (!is_folded(operand) || is_folded(other)) return operand;
  if (!is_usual(operand)) return copied(operand);
  const ov::Node& before = *moved_from(other).get_node();
  return chained(before) && !is_rounded_sum(other) ? copied(operand) : operand;
}

Output as_exponent(const Output& operand) {
  const std::vector<float> values = elements_of(operand);
  const bool is_root = values.size() == 1 && std::abs(values[0]) == 0.5F;
  return is_root ? Output(copied(operand)) : operand;
}

Output magnitude(const Output& x) {
  std::unordered_map<const ov::Node*, bool> known;
  return std::make_shared<op::Abs>(has_known_bounds(x, known) ? Output(copied(x)) : x);
}

Output quotient(const Output& a, const Output& b) {
  // Of a constant it would be c * (1 / b), see exact_division.h.
  const Output whole = std::make_shared<op::Divide>(is_folded(a) && !is_folded(b) ? copied(a) : a, b);
  const auto* constant = ov::as_type<const op::Constant>(b.get_node());
  if (constant == nullptr || is_folded(a) || !is_usual(b)) return whole;
  std::vector<float> values = constant->cast_vector<float>();
  const bool exact = std::all_of(values.begin(), values.end(), [](float value) {
    int exponent = 0;
    return std::abs(std::frexp(value, &exponent)) == 0.5F;
  });
  const ov::element::Type type = constant->get_element_type();
  if (type == ov::element::f16 || (!exact && (type != ov::element::f32 || !is_rounded_sum(a)))) return whole;
  for (float& value : values) value = 1 / value;
  const Output factor = op::Constant::create(type, constant->get_shape(), values);
  return std::make_shared<op::Multiply>(a, as_factor(factor, a));
}

}  // namespace torchtrt::openvino
