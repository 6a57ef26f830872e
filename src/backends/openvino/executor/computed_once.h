// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <set>

#include <openvino/op/constant.hpp>
#include <openvino/op/result.hpp>

#include "backends/openvino/is_any.h"

namespace torchtrt::openvino {

/// Nodes that depend on constants alone. The CPU plugin computes them once.
using ComputedOnce = std::set<const ov::Node*>;

/// Whether the node is a constant, or an operation on such nodes only. For nodes in topological order.
inline bool is_computed_once(const ov::Node& node, const ComputedOnce& before) {
  const ov::OutputVector operands = node.input_values();
  return is_any<ov::op::v0::Constant>(node) ||
         (!operands.empty() && !is_any<ov::op::v0::Result>(node) &&
          std::all_of(operands.begin(), operands.end(),
                      [&](const ov::Output<ov::Node>& value) { return before.contains(value.get_node()); }));
}

}  // namespace torchtrt::openvino
