// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <openvino/core/model.hpp>
#include <openvino/op/op.hpp>

namespace torchtrt::openvino {

/// x f32 -> f32 of the same dims: the nearest bfloat16, of two the even one; NaN stays NaN, and what is beyond the largest
/// becomes infinite. An operation of our own, which the CPU plugin runs by calling evaluate(): its own conversion cuts bits
/// off where the processor has no instruction for it or the shape is dynamic, and is dropped in front of a conversion back.
/// A core that reads a model with it needs it as an extension.
class RoundToBfloat16 final : public ov::op::Op {
 public:
  OPENVINO_OP("RoundToBfloat16", "torchtrt");

  RoundToBfloat16() = default;
  explicit RoundToBfloat16(const ov::Output<ov::Node>& x) : Op({x}) { constructor_validate_and_infer_types(); }

  void validate_and_infer_types() override;
  [[nodiscard]] std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor&) override { return true; }
  [[nodiscard]] bool has_evaluate() const override { return true; }
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
};

/// x, of any type, as bfloat16.
ov::Output<ov::Node> to_bfloat16(const ov::Output<ov::Node>& x);

/// Rounds the bfloat16 results of a model that is computed in float32. For models that were read, right before they are
/// compiled.
void round_results(ov::Model& model);

}  // namespace torchtrt::openvino
