// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/exact_division.h"

#include <openvino/op/constant.hpp>
#include <openvino/op/divide.hpp>

namespace torchtrt::openvino {

void keep_divisions(const ov::Model& model) {
  for (const std::shared_ptr<ov::Node>& node : model.get_ops()) {
    const bool divides = ov::is_type<ov::op::v1::Divide>(node) && node->get_output_element_type(0).is_real();
    if (divides && !ov::is_type<ov::op::v0::Constant>(node->get_input_node_ptr(0))) {
      node->get_rt_info()["nonconvertable_divide_0"] = true;  // OpenVINO's spelling
    }
  }
}

}  // namespace torchtrt::openvino
