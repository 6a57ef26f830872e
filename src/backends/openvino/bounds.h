// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <unordered_map>

#include <openvino/core/model.hpp>

/// What the floating values of a model may be.
namespace torchtrt::openvino {

/// An interval of numbers and infinities that holds every element of a value; and whether an element may be NaN.
struct Bounds {
  double least = 0, most = 0;
  bool nan = false;

  static constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static constexpr double kLargest = std::numeric_limits<float>::max();

  static Bounds anything() { return {-kInfinity, kInfinity, true}; }
  static Bounds within(double magnitude) { return {-magnitude, magnitude, false}; }
  [[nodiscard]] bool is_finite() const { return least >= -kLargest && most <= kLargest && !nan; }
  /// The largest magnitude.
  [[nodiscard]] double magnitude() const { return least < -most ? -least : most; }
  bool operator==(const Bounds&) const = default;
};

/// Computes bounds of a model's values from those of its inputs, operation by operation. Values count as float32,
/// whatever their dtype: half precision is computed in it.
///
/// Infinities and NaN come about in two ways, which are told apart: an operation makes them of ordinary numbers (a division
/// by zero, a logarithm, an exponential, a constant), or numbers near the largest overflow. `overflow`: whether the second
/// way counts; otherwise what would overflow is taken to stop at the largest number. A softmax over -inf (a mask) is taken
/// to leave each row a finite element.
///
/// The elements of two operands are taken to have nothing to do with each other, but for x * x and x over the root of its
/// mean square.
class BoundsOf {
 public:
  /// Bounds that hold besides those that are computed: of inputs, of values that a run checks.
  using Known = std::map<ov::Output<ov::Node>, Bounds>;

  /// The model must not change while it is used here.
  explicit BoundsOf(const ov::Model& model) : order_(model.get_ordered_ops()) {}
  /// Of the operations at [begin, end) of order(); those before keep what an earlier call found.
  void compute(const Known& known, bool overflow, std::size_t begin, std::size_t end);
  void compute(const Known& known, bool overflow) { compute(known, overflow, 0, order_.size()); }

  [[nodiscard]] const Bounds& operator[](const ov::Output<ov::Node>& value) const { return bounds_.at(value); }
  /// Of the first result.
  [[nodiscard]] const Bounds& of_result(const ov::Node& node) const {
    return bounds_.at(const_cast<ov::Node&>(node).output(0));  // the key, which lets nothing be changed
  }
  [[nodiscard]] const ov::NodeVector& order() const { return order_; }

 private:
  /// What the weights of a convolution or a matrix product add up to for one element of the result, at most: the positive
  /// ones, and the negative ones' magnitudes.
  struct Gain {
    double positive = 0, negative = 0;
  };

  [[nodiscard]] Bounds evaluate(const ov::Node& node);
  [[nodiscard]] Bounds linear(const ov::Node& node);
  [[nodiscard]] Bounds of(const ov::Node& node, std::size_t index) const { return bounds_.at(node.input_value(index)); }
  /// Null where the weights are no constant.
  const Gain* gain_of(const ov::Node& node);

  const ov::NodeVector order_;
  std::map<ov::Output<ov::Node>, Bounds> bounds_;
  std::unordered_map<const ov::Node*, Gain> gains_;
  std::unordered_map<const ov::Node*, Bounds> constants_;
};

}  // namespace torchtrt::openvino
