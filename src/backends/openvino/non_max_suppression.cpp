// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/non_max_suppression.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

namespace torchtrt::openvino {
namespace {

// float32 throughout, in the order of torchvision's arithmetic: whether a quotient exceeds the threshold is often decided
// by its last bit. A comparison with NaN is false, so that a box with NaN in it neither suppresses nor is suppressed.
struct Boxes {
  const float* corners;  // x1, y1, x2, y2

  [[nodiscard]] float corner(std::ptrdiff_t box, int i) const { return corners[box * 4 + i]; }
  [[nodiscard]] float area(std::ptrdiff_t box) const {
    return (corner(box, 2) - corner(box, 0)) * (corner(box, 3) - corner(box, 1));
  }
  [[nodiscard]] float intersection_over_union(std::ptrdiff_t a, std::ptrdiff_t b) const {
    const float left = std::max(corner(a, 0), corner(b, 0));
    const float top = std::max(corner(a, 1), corner(b, 1));
    const float right = std::min(corner(a, 2), corner(b, 2));
    const float bottom = std::min(corner(a, 3), corner(b, 3));
    const float intersection = std::max(0.0F, right - left) * std::max(0.0F, bottom - top);
    return intersection / (area(a) + area(b) - intersection);
  }
};

bool comes_first(float a, float b) { return (std::isnan(a) && !std::isnan(b)) || a > b; }

}  // namespace

NonMaxSuppression::NonMaxSuppression(const ov::Output<ov::Node>& boxes, const ov::Output<ov::Node>& scores,
                                     double iou_threshold)
    : Op({boxes, scores}), threshold_bits_(std::bit_cast<std::int64_t>(iou_threshold)) {
  constructor_validate_and_infer_types();
}

void NonMaxSuppression::validate_and_infer_types() {
  const ov::PartialShape& scores = get_input_partial_shape(1);
  const ov::Dimension most = scores.rank().is_static() ? scores[0] : ov::Dimension();
  set_output_type(0, ov::element::i32, {ov::Dimension(0, most.get_max_length())});
}

std::shared_ptr<ov::Node> NonMaxSuppression::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  return std::make_shared<NonMaxSuppression>(inputs.at(0), inputs.at(1), std::bit_cast<double>(threshold_bits_));
}

bool NonMaxSuppression::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("iou_threshold_bits", threshold_bits_);
  return true;
}

bool NonMaxSuppression::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const Boxes boxes{inputs[0].data<const float>()};
  const float* scores = inputs[1].data<const float>();
  const double threshold = std::bit_cast<double>(threshold_bits_);
  std::vector<std::int32_t> order(inputs[1].get_size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [scores](std::int32_t a, std::int32_t b) { return comes_first(scores[a], scores[b]); });
  // Before `next`: what is chosen. From there on: what nothing chosen suppresses.
  for (auto next = order.begin(); next != order.end();) {
    const std::int32_t best = *next++;
    order.erase(
        std::remove_if(next, order.end(),
                       [&](std::int32_t other) { return boxes.intersection_over_union(best, other) > threshold; }),
        order.end());
  }
  outputs[0].set_shape({order.size()});
  std::copy(order.begin(), order.end(), outputs[0].data<std::int32_t>());
  return true;
}

}  // namespace torchtrt::openvino
