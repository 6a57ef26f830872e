// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openvino/core/node.hpp>

namespace torchtrt::openvino {

/// Whether the node is one of the operations.
template <typename... Ops>
bool is_any(const ov::Node& node) {
  return (ov::is_type<Ops>(&node) || ...);
}

}  // namespace torchtrt::openvino
