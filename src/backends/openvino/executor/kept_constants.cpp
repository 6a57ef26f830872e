// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/kept_constants.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include <openvino/op/ops.hpp>

#include "backends/openvino/executor/computed_once.h"
#include "backends/openvino/is_any.h"

namespace torchtrt::openvino {
namespace {

namespace v0 = ov::op::v0;
namespace v1 = ov::op::v1;

bool commutes(const ov::Node& node) {
  return is_any<v1::Add, v1::Multiply, v1::Maximum, v1::Minimum, v1::LogicalAnd, v1::LogicalOr, v1::LogicalXor,
                v1::Equal, v1::NotEqual, v0::SquaredDifference>(node);
}
// The plugin converts a condition to the type of what is selected.
bool is_select(const ov::Node& node) { return is_any<v1::Select>(node); }
bool writes_in_place(const ov::Node& node) {
  return commutes(node) || is_select(node) ||
         is_any<v1::Subtract, v1::Divide, v1::Power, v1::Mod, v1::FloorMod, v0::PRelu>(node);
}

// What the plugin takes apart itself, beginning with such a layer.
bool begins_in_place(const ov::Node& node) {
  return is_any<ov::op::v13::ScaledDotProductAttention, ov::op::v12::GroupNormalization>(node);
}

// True, of one element, and not known before a run.
ov::Output<ov::Node> always(const ov::Output<ov::Node>& input) {
  const ov::Output<ov::Node> equal = std::make_shared<v1::Equal>(input, input);
  std::vector<std::int64_t> axes(static_cast<std::size_t>(input.get_partial_shape().size()));
  std::iota(axes.begin(), axes.end(), 0);
  const auto all = v0::Constant::create(ov::element::i64, {axes.size()}, axes);
  return std::make_shared<v1::ReduceLogicalAnd>(equal, all, /*keep_dims=*/true);
}

// The value, chosen anew in every run.
ov::Output<ov::Node> chosen(const ov::Output<ov::Node>& value, const ov::Output<ov::Node>& input) {
  return std::make_shared<v1::Select>(always(input), value, value);
}

// The plugin reads the operands of a product that it computes once without a transpose before one of them. It folds those
// of constants itself.
bool loses_transpose(const ov::Node& node) {
  return is_any<v0::MatMul>(node) &&
         !(is_any<v0::Constant>(*node.get_input_node_ptr(0)) && is_any<v0::Constant>(*node.get_input_node_ptr(1)));
}

}  // namespace

void keep_constants(const ov::Model& model) {
  ComputedOnce computed_once;
  for (const std::shared_ptr<ov::Node>& node : model.get_ordered_ops()) {
    const ov::OutputVector operands = node->input_values();
    const auto once = [&](const ov::Output<ov::Node>& value) { return computed_once.contains(value.get_node()); };
    if (is_computed_once(*node, computed_once)) {
      if (loses_transpose(*node) && !model.get_parameters().empty()) {
        node->input(0).replace_source_output(chosen(operands[0], model.get_parameters().front()));
      } else {
        computed_once.insert(node.get());
      }
      continue;
    }
    if (operands.empty() || !once(operands[0]) || is_any<v0::Constant>(*operands[0].get_node())) continue;
    if (begins_in_place(*node)) {
      const ov::Output<ov::Node>& input = *std::find_if_not(operands.begin(), operands.end(), once);
      node->input(0).replace_source_output(chosen(operands[0], input));
      continue;
    }
    if (!writes_in_place(*node)) continue;
    if (commutes(*node)) {
      node->input(0).replace_source_output(operands[1]);
      node->input(1).replace_source_output(operands[0]);
      continue;
    }
    if (!is_select(*node) && operands[0].get_element_type() != node->get_output_element_type(0)) continue;
    // The same number either way, chosen by an input's value.
    const ov::Output<ov::Node>& input = *std::find_if_not(operands.begin(), operands.end(), once);
    const auto equal = std::make_shared<v1::Equal>(input, input);
    node->input(0).replace_source_output(std::make_shared<v1::Select>(equal, operands[0], operands[0]));
  }
}

}  // namespace torchtrt::openvino
