// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/bounds.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include <openvino/op/ops.hpp>

#include "backends/openvino/is_any.h"
#include "backends/openvino/plugin_operation.h"
#include "backends/openvino/round_to_half.h"

namespace torchtrt::openvino {
namespace {

using Output = ov::Output<ov::Node>;
namespace op = ov::op;
namespace v0 = ov::op::v0;
namespace v1 = ov::op::v1;

constexpr double kInfinity = Bounds::kInfinity;
// More than the largest number, and not yet infinite: what overflows. Products of it by elements of the models' sizes are
// numbers too.
constexpr double kOverflow = 1e150;
// A dimension that nothing is known of.
constexpr double kManyElements = 2147483648.0;
// Results are rounded, sums many times.
constexpr double kRounding = 1.01;

bool is_real(const Output& value) { return value.get_element_type().is_real(); }

double capped(double x) { return std::clamp(x, -kOverflow, kOverflow); }

Bounds join(const Bounds& a, const Bounds& b) {
  return {std::min(a.least, b.least), std::max(a.most, b.most), a.nan || b.nan};
}

Bounds with_nan(Bounds bounds, bool nan) {
  bounds.nan = nan;
  return bounds;
}

// Of a function that grows, with its limits at the infinities.
template <typename Function>
Bounds rising(const Bounds& x, const Function& f) {
  return {f(x.least), f(x.most), x.nan};
}

bool may_be_infinite(const Bounds& x) { return std::isinf(x.least) || std::isinf(x.most); }
bool may_be_zero(const Bounds& x) { return x.least <= 0 && x.most >= 0; }

Bounds sum(const Bounds& a, const Bounds& b) {
  const bool cancels = (a.most == kInfinity && b.least == -kInfinity) || (a.least == -kInfinity && b.most == kInfinity);
  // -inf + inf is no end of the interval: the other operand's number is.
  const double least = a.least == -kInfinity || b.least == -kInfinity ? -kInfinity : a.least + b.least;
  const double most = a.most == kInfinity || b.most == kInfinity ? kInfinity : a.most + b.most;
  return {least, most, a.nan || b.nan || cancels};
}

Bounds negative(const Bounds& x) { return {-x.most, -x.least, x.nan}; }

Bounds product(const Bounds& a, const Bounds& b) {
  const bool nan = (may_be_infinite(a) && may_be_zero(b)) || (may_be_infinite(b) && may_be_zero(a));
  Bounds result{kInfinity, -kInfinity, a.nan || b.nan || nan};
  for (const double x : {a.least, a.most}) {
    for (const double y : {b.least, b.most}) {
      const double xy = x == 0 || y == 0 ? 0 : std::isinf(x) || std::isinf(y) ? x * y : capped(x * y);
      result.least = std::min(result.least, xy);
      result.most = std::max(result.most, xy);
    }
  }
  return result;
}

Bounds quotient(const Bounds& a, const Bounds& b) {
  if (may_be_zero(b)) return Bounds::anything();
  // 1 / b, of one sign.
  return product(a, {1 / b.most, 1 / b.least, b.nan});
}

Bounds magnitude(const Bounds& x) {
  const double least = may_be_zero(x) ? 0 : std::min(std::abs(x.least), std::abs(x.most));
  return {least, x.magnitude(), x.nan};
}

Bounds square(const Bounds& x) {
  const Bounds size = magnitude(x);
  return with_nan(product(size, size), x.nan);
}

Bounds root(const Bounds& x) {
  return {std::sqrt(std::max(x.least, 0.0)), std::sqrt(std::max(x.most, 0.0)), x.nan || x.least < 0};
}

// e^x, exact in that what is not finite in float32 is infinite.
double exponential(double x) {
  const double result = std::exp(x);
  return result > Bounds::kLargest ? kInfinity : result;
}

Bounds power_of(const Bounds& x, double exponent) {
  if (exponent == 0) return {1, 1, false};
  if (exponent == 1) return x;
  if (exponent == 2) return square(x);
  if (exponent == 0.5) return root(x);
  const bool whole = exponent == std::floor(exponent);
  const auto grown = [&](double value) {
    return std::isinf(value) ? kInfinity : std::min(std::pow(value, exponent), kOverflow);
  };
  if (exponent > 0 && (whole || x.least >= 0)) {
    const Bounds size = magnitude(x);
    const double most = grown(size.most);
    const bool odd = whole && std::fmod(exponent, 2) != 0;
    return {odd && x.least < 0 ? -most : 0, most, x.nan};
  }
  if (exponent < 0 && x.least > 0) return quotient({1, 1, false}, power_of(x, -exponent));
  return Bounds::anything();
}

double elements(const ov::Dimension& dim) {
  if (dim.is_static()) return static_cast<double>(dim.get_length());
  return std::min(dim.get_max_length() < 0 ? kManyElements : static_cast<double>(dim.get_max_length()), kManyElements);
}

// How many elements `axes`, a constant of dimensions of x, span.
double elements_along(const Output& x, const Output& axes) {
  const auto constant = ov::as_type_ptr<v0::Constant>(axes.get_node_shared_ptr());
  const ov::PartialShape& shape = x.get_partial_shape();
  if (constant == nullptr || shape.rank().is_dynamic()) return kManyElements;
  double count = 1;
  for (std::int64_t axis : constant->cast_vector<std::int64_t>()) {
    if (axis < 0) axis += shape.rank().get_length();
    count *= elements(shape[static_cast<std::size_t>(axis)]);
  }
  return count;
}

std::shared_ptr<v0::Constant> constant_of(const Output& value) {
  if (is_any<v0::Convert, op::v7::Roll>(*value.get_node())) return constant_of(value.get_node()->input_value(0));
  return ov::as_type_ptr<v0::Constant>(value.get_node_shared_ptr());
}

std::optional<double> scalar_of(const Output& value) {
  const auto constant = constant_of(value);
  if (constant == nullptr || ov::shape_size(constant->get_shape()) != 1) return std::nullopt;
  return constant->cast_vector<double>().front();
}

template <typename Visit>
void visit_elements(const v0::Constant& constant, const Visit& visit) {
  const std::size_t count = ov::shape_size(constant.get_shape());
  if (constant.get_element_type() == ov::element::f32) {
    visit(constant.get_data_ptr<float>(), count);
  } else {
    const std::vector<float> values = constant.cast_vector<float>();
    visit(values.data(), count);
  }
}

Bounds bounds_of(const v0::Constant& constant) {
  if (!constant.get_element_type().is_real()) {
    const std::vector<double> values = constant.cast_vector<double>();
    if (values.empty()) return {};
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return {*least, *most, false};
  }
  Bounds result{kInfinity, -kInfinity, false};
  visit_elements(constant, [&](const float* values, std::size_t count) {
    float least = INFINITY;
    float most = -INFINITY;
    bool nan = false;
    for (std::size_t i = 0; i < count; ++i) {
      least = values[i] < least ? values[i] : least;
      most = values[i] > most ? values[i] : most;
      nan |= values[i] != values[i];
    }
    result = count == 0 || least > most ? Bounds{0, 0, nan} : Bounds{least, most, nan};
  });
  return result;
}

Bounds range_of(const ov::element::Type& type) {
  if (type.is_real()) return Bounds::anything();
  if (type == ov::element::boolean) return {0, 1, false};
  const auto bits = static_cast<int>(type.bitwidth());
  return type.is_signed() ? Bounds{-std::ldexp(1, bits - 1), std::ldexp(1, bits - 1) - 1, false}
                          : Bounds{0, std::ldexp(1, bits) - 1, false};
}

// --- x over the root of the mean of its squares plus a positive number: at most the root of their count

bool is_square_of(const Output& value, const Output& x) {
  const ov::Node& node = *value.get_node();
  if (is_any<v1::Multiply>(node)) return node.input_value(0) == x && node.input_value(1) == x;
  return is_any<v1::Power>(node) && node.input_value(0) == x && scalar_of(node.input_value(1)) == 2.0;
}

// The number of elements of x in the mean; 0 if `value` is something else.
double elements_of_mean_square(const Output& value, const Output& x) {
  const ov::Node& node = *value.get_node();
  if (is_any<v1::ReduceMean>(node) && is_square_of(node.input_value(0), x)) {
    return elements_along(x, node.input_value(1));
  }
  return 0;
}

double elements_of_root_mean_square(const Output& value, const Output& x) {
  if (!is_any<v0::Sqrt>(*value.get_node())) return 0;
  const ov::Node& inside = *value.get_node()->input_value(0).get_node();
  if (!is_any<v1::Add>(inside)) return 0;
  for (const std::size_t i : {0, 1}) {
    const double count = elements_of_mean_square(inside.input_value(i), x);
    if (count > 0 && scalar_of(inside.input_value(1 - i)).value_or(0) > 0) return count;
  }
  return 0;
}

double elements_of_normalized(const ov::Node& node) {
  if (is_any<v1::Divide>(node)) return elements_of_root_mean_square(node.input_value(1), node.input_value(0));
  for (const std::size_t i : {0, 1}) {
    const ov::Node& other = *node.input_value(1 - i).get_node();
    if (!is_any<v1::Divide>(other) || scalar_of(other.input_value(0)) != 1.0) continue;
    const double count = elements_of_root_mean_square(other.input_value(1), node.input_value(i));
    if (count > 0) return count;
  }
  return 0;
}

// (x - mean) over the deviation, of so many elements; their squares are summed up.
Bounds normalized(const Bounds& x, double count) {
  if (!x.is_finite()) return Bounds::anything();
  const double difference = 2 * x.magnitude();
  if (count * difference * difference > Bounds::kLargest) return Bounds::within(kOverflow);
  return Bounds::within(std::sqrt(count) * kRounding);
}

// Less(a, b) ? b : a, and the like.
std::optional<Bounds> extreme_of(const ov::Node& select, const Bounds& yes, const Bounds& no) {
  const ov::Node& condition = *select.input_value(0).get_node();
  if (!is_any<v1::Less>(condition)) return std::nullopt;
  const bool takes_larger =
      condition.input_value(0) == select.input_value(2) && condition.input_value(1) == select.input_value(1);
  const bool takes_smaller =
      condition.input_value(0) == select.input_value(1) && condition.input_value(1) == select.input_value(2);
  const bool nan = yes.nan || no.nan;
  if (takes_larger) return Bounds{std::max(yes.least, no.least), std::max(yes.most, no.most), nan};
  if (takes_smaller) return Bounds{std::min(yes.least, no.least), std::min(yes.most, no.most), nan};
  return std::nullopt;
}

Bounds selected(const ov::Node& select, const Bounds& yes, const Bounds& no) {
  const ov::Node& condition = *select.input_value(0).get_node();
  if (is_any<op::v10::IsNaN>(condition) && condition.input_value(0) == select.input_value(1)) {
    return with_nan(no, no.nan || yes.nan);  // x where x is NaN
  }
  if (const std::optional<Bounds> found = extreme_of(select, yes, no)) return *found;
  return join(yes, no);
}

}  // namespace

void BoundsOf::compute(const Known& known, bool overflow, std::size_t begin, std::size_t end) {
  const auto settled = [overflow](double x) {
    if (std::isinf(x) || std::abs(x) <= Bounds::kLargest) return x;
    return std::copysign(overflow ? kInfinity : Bounds::kLargest, x);
  };
  for (std::size_t i = begin; i < end; ++i) {
    const ov::Node& node = *order_[i];
    const Bounds common = evaluate(node);
    for (const auto& output : order_[i]->outputs()) {
      Bounds bounds = is_real(output) ? common : range_of(output.get_element_type());
      if (is_real(output)) {
        bounds = {settled(bounds.least), settled(bounds.most), bounds.nan};
      } else if (common.least >= bounds.least && common.most <= bounds.most && !common.nan) {
        bounds = common;
      }
      if (const auto found = known.find(output); found != known.end()) {
        bounds = {std::max(bounds.least, found->second.least), std::min(bounds.most, found->second.most),
                  bounds.nan && found->second.nan};
      }
      bounds_[output] = bounds;
    }
  }
}

const BoundsOf::Gain* BoundsOf::gain_of(const ov::Node& node) {
  if (const auto found = gains_.find(&node); found != gains_.end()) return &found->second;
  const bool first = constant_of(node.input_value(0)) != nullptr;
  const auto weights = constant_of(node.input_value(first ? 0 : 1));
  if (weights == nullptr || !of(node, first ? 0 : 1).is_finite() || !weights->get_element_type().is_real())
    return nullptr;
  // The weights as [outer, terms, kept, inner]: a result's element sums over `terms` and `inner`.
  const ov::Shape& shape = weights->get_shape();
  std::size_t outer = 1, terms = 1, kept = 1;
  if (const auto* product = ov::as_type<const v0::MatMul>(&node)) {
    const bool contracts_rows = shape.size() > 1 && (first ? product->get_transpose_a() : !product->get_transpose_b());
    for (std::size_t i = 0; i + 2 < shape.size(); ++i) outer *= shape[i];
    if (contracts_rows) {
      terms = shape[shape.size() - 2];
      kept = shape.back();
    } else if (shape.size() > 1) {
      outer *= shape[shape.size() - 2];
    }
  } else if (is_any<v1::Convolution>(node)) {
    outer = shape[0];
  } else if (is_any<v1::GroupConvolution>(node)) {
    outer = shape[0] * shape[1];
  } else if (is_any<v1::ConvolutionBackpropData>(node)) {
    terms = shape[0];
    kept = shape[1];
  } else {
    outer = shape[0];
    terms = shape[1];
    kept = shape[2];
  }
  const std::size_t parts = outer * terms * kept;
  Gain gain;
  visit_elements(*weights, [&](const float* values, std::size_t count) {
    const std::size_t inner = parts == 0 ? 0 : count / parts;
    std::vector<double> positive(kept), negative(kept);
    for (std::size_t o = 0; o < outer; ++o) {
      std::fill(positive.begin(), positive.end(), 0);
      std::fill(negative.begin(), negative.end(), 0);
      for (std::size_t t = 0; t < terms; ++t) {
        for (std::size_t k = 0; k < kept; ++k) {
          float above = 0, below = 0;
          const float* row = values + ((o * terms + t) * kept + k) * inner;
          for (std::size_t i = 0; i < inner; ++i) {
            above += std::max(row[i], 0.0F);
            below -= std::min(row[i], 0.0F);
          }
          positive[k] += above;
          negative[k] += below;
        }
      }
      for (std::size_t k = 0; k < kept; ++k) {
        gain.positive = std::max(gain.positive, positive[k] * kRounding);
        gain.negative = std::max(gain.negative, negative[k] * kRounding);
      }
    }
  });
  return &gains_.emplace(&node, gain).first->second;
}

// Convolutions and matrix products.
Bounds BoundsOf::linear(const ov::Node& node) {
  const Bounds a = of(node, 0);
  const Bounds b = of(node, 1);
  if (!a.is_finite() || !b.is_finite()) return Bounds::anything();
  if (const Gain* gain = gain_of(node)) {
    const Bounds& x = constant_of(node.input_value(0)) != nullptr ? b : a;
    const double above = std::max(x.most, 0.0);
    const double below = std::max(-x.least, 0.0);
    return {-capped(gain->positive * below + gain->negative * above),
            capped(gain->positive * above + gain->negative * below), false};
  }
  const ov::PartialShape& shape = node.get_input_partial_shape(is_any<v0::MatMul>(node) ? 0 : 1);
  double terms = 1;
  if (const auto* product_node = ov::as_type<const v0::MatMul>(&node)) {
    const auto rank = shape.rank().is_static() ? shape.size() : 0;
    const std::size_t axis = rank > 1 && product_node->get_transpose_a() ? rank - 2 : rank - 1;
    terms = rank == 0 ? kManyElements : elements(shape[axis]);
  } else {
    for (const ov::Dimension& dim : shape) terms *= elements(dim);  // more than the terms, and enough
  }
  const double most = capped(terms * a.magnitude() * b.magnitude() * kRounding);
  return {a.least >= 0 && b.least >= 0 ? 0 : -most, most, false};
}

Bounds BoundsOf::evaluate(const ov::Node& node) {
  const auto x = [&](std::size_t index = 0) { return of(node, index); };

  if (is_any<v0::Parameter>(node)) return range_of(node.get_output_element_type(0));
  if (const auto* constant = ov::as_type<const v0::Constant>(&node)) {
    const auto [found, is_new] = constants_.try_emplace(&node);
    if (is_new) found->second = bounds_of(*constant);
    return found->second;
  }

  // Elements that move.
  if (is_any<v0::Result, v0::Convert, v1::Reshape, v1::Transpose, v0::Squeeze, v0::Unsqueeze, op::v15::Squeeze,
             op::v3::Broadcast, op::v7::Roll, op::v8::Slice, op::v8::Gather, op::v6::GatherElements, op::v8::GatherND,
             v0::Tile, op::v11::TopK, op::v14::MaxPool>(node)) {
    return x();
  }
  if (is_any<v1::Split, v1::VariadicSplit>(node)) return x();
  if (is_any<op::v12::Pad>(node)) return join(x(), node.get_input_size() > 3 ? x(3) : Bounds{});
  if (is_any<v0::Concat>(node)) {
    Bounds all = x();
    for (std::size_t i = 1; i < node.get_input_size(); ++i) all = join(all, x(i));
    return all;
  }
  if (is_any<op::v3::ScatterElementsUpdate, op::v3::ScatterNDUpdate>(node)) return join(x(), x(2));
  if (is_any<v1::Select>(node)) return selected(node, x(1), x(2));

  // Arithmetic, of integers too.
  if (is_any<v1::Add>(node)) return sum(x(), x(1));
  if (is_any<v1::Subtract>(node)) return sum(x(), negative(x(1)));
  if (is_any<v1::Multiply>(node)) {
    if (node.input_value(0) == node.input_value(1)) return square(x());
    const double count = elements_of_normalized(node);
    if (count > 0 && x(0).is_finite()) return Bounds::within(std::sqrt(count) * kRounding);
    return product(x(), x(1));
  }
  if (is_any<v0::Negative>(node)) return negative(x());
  if (is_any<v0::Abs>(node)) return magnitude(x());
  if (!node.get_output_element_type(0).is_real()) return range_of(node.get_output_element_type(0));

  if (is_any<v1::Divide>(node)) {
    const double count = elements_of_normalized(node);
    if (count > 0 && x(0).is_finite()) return Bounds::within(std::sqrt(count) * kRounding);
    return quotient(x(), x(1));
  }
  if (is_any<v1::Power>(node)) {
    const std::optional<double> exponent = scalar_of(node.input_value(1));
    return exponent ? power_of(x(), *exponent) : Bounds::anything();
  }
  if (is_any<v1::Maximum>(node)) {
    return {std::max(x().least, x(1).least), std::max(x().most, x(1).most), x().nan || x(1).nan};
  }
  if (is_any<v1::Minimum>(node)) {
    return {std::min(x().least, x(1).least), std::min(x().most, x(1).most), x().nan || x(1).nan};
  }

  // Functions of one number.
  if (is_any<RoundToBfloat16>(node)) return rising(x(), [](double value) { return value * (1 + 0x1p-8); });
  if (is_any<RoundToFloat16>(node)) {
    return rising(x(), [](double value) {
      if (std::abs(value) >= 65520) return std::isinf(value) ? value : std::copysign(kOverflow, value);
      return value + std::copysign(std::max(std::abs(value) * 0x1p-11, 0x1p-25), value);
    });
  }
  if (is_any<v0::Ceiling, v0::Floor, op::v5::Round>(node)) {
    return rising(x(), [](double value) { return std::isinf(value) ? value : value + std::copysign(1, value); });
  }
  if (is_any<v0::Sqrt>(node)) return root(x());
  if (is_any<v0::Exp>(node)) return rising(x(), exponential);
  if (is_any<v0::Log>(node)) {
    const double least = x().least > 0 ? std::log(x().least) : -kInfinity;
    return {least, x().most > 0 ? std::log(x().most) : -kInfinity, x().nan || x().least < 0};
  }
  if (is_any<v0::Sigmoid, v0::HardSigmoid>(node)) return {0, 1, x().nan};
  if (is_any<v0::Tanh, v0::Erf, v0::Sign, op::v9::SoftSign>(node)) return {-1, 1, x().nan};
  if (is_any<v0::Sin, v0::Cos>(node)) return {-1, 1, x().nan || may_be_infinite(x())};
  if (is_any<v0::Atan>(node)) return {-2, 2, x().nan};
  if (is_any<op::v3::Asinh>(node) && x().is_finite()) return Bounds::within(100);
  if (is_any<v0::Relu>(node)) return rising(x(), [](double value) { return std::max(value, 0.0); });
  if (const auto* clamp = ov::as_type<const v0::Clamp>(&node)) {
    return rising(x(), [&](double value) { return std::clamp(value, clamp->get_min(), clamp->get_max()); });
  }
  if (is_any<op::v4::HSwish>(node) && x().is_finite() && 6 * x().most > Bounds::kLargest) {
    return {-0.4, kOverflow, false};  // x * 6 / 6 in eager
  }
  if (is_any<op::v7::Gelu, op::v4::Swish, op::v4::HSwish, op::v4::Mish>(node)) {
    // Each has a minimum above -0.4, and tends to 0 going down; -inf times 0 is NaN.
    return {-0.4, std::max(x().most, 0.0), x().nan || x().least == -kInfinity};
  }
  if (is_any<op::v4::SoftPlus>(node)) return {0, std::max(x().most, 0.0) + 1, x().nan};
  if (const auto* elu = ov::as_type<const v0::Elu>(&node)) {
    return {std::min(-std::abs(elu->get_alpha()), 0.0), std::max({x().most, std::abs(elu->get_alpha()), 0.0}), x().nan};
  }
  if (is_any<v0::Selu>(node)) {
    const double alpha = x(1).magnitude();
    const double scale = x(2).magnitude();
    return {-capped(alpha * scale), std::isinf(x().most) ? kInfinity : capped(std::max(x().most, alpha) * scale),
            x().nan};
  }
  if (is_any<v0::PRelu>(node)) {
    const Bounds above{std::max(x().least, 0.0), std::max(x().most, 0.0), x().nan};
    if (x().least >= 0) return above;
    return join(above, product({x().least, std::min(x().most, 0.0), x().nan}, x(1)));
  }

  // Sums.
  if (is_any<v1::Convolution, v1::GroupConvolution, v1::ConvolutionBackpropData, v1::GroupConvolutionBackpropData,
             v0::MatMul>(node)) {
    return linear(node);
  }
  const bool sums = is_any<v1::ReduceSum, v1::ReduceMean, v0::CumSum, op::v14::AvgPool>(node);
  if (sums || is_any<v1::ReduceProd, op::v4::ReduceL1, op::v4::ReduceL2>(node)) {
    if (!x().is_finite()) return Bounds::anything();
    double count = 1;
    if (const auto* pool = ov::as_type<const op::v14::AvgPool>(&node)) {
      count = static_cast<double>(ov::shape_size(pool->get_kernel()));
    } else {
      count = elements_along(node.input_value(0), node.input_value(1));
    }
    if (is_any<v1::ReduceProd>(node)) {
      const double size = std::max(x().magnitude(), 1.0);
      return Bounds::within(count * std::log(size) > 300 ? kOverflow : std::pow(size, count));
    }
    const double most = capped(count * x().magnitude() * kRounding);
    if (is_any<op::v4::ReduceL1>(node)) return {0, most, false};
    if (is_any<op::v4::ReduceL2>(node)) return {0, capped(most * most), false};
    if (most <= Bounds::kLargest && is_any<v1::ReduceMean, op::v14::AvgPool>(node)) {
      return {std::min(x().least, is_any<op::v14::AvgPool>(node) ? 0.0 : x().least),
              std::max(x().most, is_any<op::v14::AvgPool>(node) ? 0.0 : x().most), false};
    }
    return {x().least >= 0 ? 0 : -most, x().most <= 0 ? 0 : most, false};
  }
  if (is_any<v1::ReduceMax, v1::ReduceMin>(node)) return x();
  if (is_any<op::v8::Softmax>(node)) return {0, 1, x().nan || x().most == kInfinity};
  if (is_any<v0::MVN, op::v6::MVN>(node)) {
    return normalized(
        x(), node.get_input_size() > 1 ? elements_along(node.input_value(0), node.input_value(1)) : kManyElements);
  }
  if (const auto* group = ov::as_type<const op::v12::GroupNormalization>(&node)) {
    const ov::PartialShape& shape = node.get_input_partial_shape(0);
    double count = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) count *= elements(shape[i]);
    const Bounds plain =
        normalized(x(), count / static_cast<double>(std::max<std::int64_t>(group->get_num_groups(), 1)));
    return sum(product(plain, x(1)), x(2));
  }
  if (is_any<op::v13::ScaledDotProductAttention>(node)) {
    const Bounds& mask = x(3);
    if (!x(0).is_finite() || !x(1).is_finite() || !x(2).is_finite() || mask.nan || mask.most == kInfinity) {
      return Bounds::anything();
    }
    const double terms = elements(node.get_input_partial_shape(0)[3]);
    const double scores = terms * x(0).magnitude() * x(1).magnitude() * std::max(x(4).magnitude(), 1.0);
    if (scores > Bounds::kLargest) return Bounds::within(kOverflow);
    return join(x(2), Bounds{});
  }
  if (is_any<op::v11::Interpolate>(node) && x().is_finite()) return Bounds::within(capped(4 * x().magnitude()));

  // Anything else: numbers of numbers, of which nothing is known. Functions that are not defined everywhere:
  if (is_any<v0::Sinh, v0::Cosh, v0::Tan, v0::Acos, v0::Asin, op::v3::Acosh, op::v3::Atanh, v1::Mod, v1::FloorMod>(
          node)) {
    return Bounds::anything();
  }
  if (is_any<PluginOperation>(node)) return Bounds::anything();
  for (std::size_t i = 0; i < node.get_input_size(); ++i) {
    if (is_real(node.input_value(i)) && !x(i).is_finite()) return Bounds::anything();
  }
  return Bounds::within(kOverflow);
}

}  // namespace torchtrt::openvino
