// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include <openvino/op/op.hpp>

namespace torchtrt::openvino {

/// (x f32 or i32, k i64[]) -> i32 indices, x's dims but for k along the axis: network::TopK with its ties, NaN as the largest
/// or the smallest. An operation of our own, which the CPU plugin runs by calling evaluate(): its own stable TopK takes time
/// in the square of the number of elements, and PyTorch's orders of equal elements are those of the standard library's
/// algorithms. The result is i32, because the plugin takes no i64 of a foreign operation. A core that reads a model with it
/// needs it as an extension.
class StableTopK final : public ov::op::Op {
 public:
  OPENVINO_OP("StableTopK", "torchtrt");

  /// network::TopKTies; files have the numbers.
  enum class Ties : std::uint8_t { kLowerIndex, kSort, kTopK, kTopKUnsorted };
  struct Order {
    std::int64_t axis = 0;
    bool largest = true, nan_is_largest = true;
    Ties ties = Ties::kLowerIndex;
  };

  StableTopK() = default;
  StableTopK(const ov::Output<ov::Node>& x, const ov::Output<ov::Node>& k, Order order);

  void validate_and_infer_types() override;
  [[nodiscard]] std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  [[nodiscard]] bool has_evaluate() const override { return true; }
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;

 private:
  Order order_;
};

}  // namespace torchtrt::openvino
