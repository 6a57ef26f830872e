// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <openvino/core/model.hpp>
#include <openvino/op/op.hpp>

namespace torchtrt::openvino {

/// x f32 -> f32 of the same dims: the nearest number of a half-precision type, of two the even one; NaN stays NaN, and what
/// is beyond the largest becomes infinite. Operations of our own, which the CPU plugin runs by calling evaluate(). Its own
/// conversion to bfloat16 cuts bits off where the processor has no instruction for it or the shape is dynamic; float16 it
/// keeps in float32; and it drops either in front of a conversion back. A core that reads a model with them needs them as
/// extensions.
class RoundToHalf : public ov::op::Op {
 public:
  OPENVINO_OP("RoundToHalf", "torchtrt");

  RoundToHalf() = default;
  explicit RoundToHalf(const ov::Output<ov::Node>& x) : Op({x}) {}

  void validate_and_infer_types() override;
  bool visit_attributes(ov::AttributeVisitor&) override { return true; }
  [[nodiscard]] bool has_evaluate() const override { return true; }
};

class RoundToBfloat16 final : public RoundToHalf {
 public:
  OPENVINO_OP("RoundToBfloat16", "torchtrt", RoundToHalf);

  RoundToBfloat16() = default;
  explicit RoundToBfloat16(const ov::Output<ov::Node>& x) : RoundToHalf(x) { constructor_validate_and_infer_types(); }

  [[nodiscard]] std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
};

class RoundToFloat16 final : public RoundToHalf {
 public:
  OPENVINO_OP("RoundToFloat16", "torchtrt", RoundToHalf);

  RoundToFloat16() = default;
  explicit RoundToFloat16(const ov::Output<ov::Node>& x) : RoundToHalf(x) { constructor_validate_and_infer_types(); }

  [[nodiscard]] std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;
};

/// x, of any type, as bfloat16.
ov::Output<ov::Node> to_bfloat16(const ov::Output<ov::Node>& x);
/// x, of any type, as float16.
ov::Output<ov::Node> to_float16(const ov::Output<ov::Node>& x);

/// Rounds the bfloat16 results of a model that is computed in float32. For models that were read, right before they are
/// compiled.
void round_results(ov::Model& model);

}  // namespace torchtrt::openvino
