// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <openvino/op/op.hpp>

namespace torchtrt::openvino {

/// (boxes f32[n, 4], scores f32[n]) -> i32[count] (the plugin takes no i64 of a foreign operation):
/// network::NonMaxSuppression as an operation of our own, which the CPU plugin runs by calling evaluate(). OpenVINO's orders
/// equal scores otherwise, straightens boxes whose corners are swapped, and has its own idea of NaN. A core that reads a
/// model with it needs it as an extension.
class NonMaxSuppression final : public ov::op::Op {
 public:
  OPENVINO_OP("NonMaxSuppression", "torchtrt");

  NonMaxSuppression() = default;
  NonMaxSuppression(const ov::Output<ov::Node>& boxes, const ov::Output<ov::Node>& scores, double iou_threshold);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool has_evaluate() const override { return true; }
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;

 private:
  std::int64_t threshold_bits_ = 0;  // of the double: text would lose some
};

}  // namespace torchtrt::openvino
