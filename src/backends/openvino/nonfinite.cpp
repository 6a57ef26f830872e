// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/nonfinite.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include <openvino/core/graph_util.hpp>
#include <openvino/op/ops.hpp>

#include "backends/openvino/bounds.h"
#include "backends/openvino/is_any.h"

namespace torchtrt::openvino {
namespace {

using Output = ov::Output<ov::Node>;
namespace v0 = ov::op::v0;
namespace v1 = ov::op::v1;

template <typename Bits>
bool all_within(const void* data, std::size_t count, Bits limit) {
  constexpr Bits kMagnitude = std::numeric_limits<Bits>::max();  // all but the sign
  const auto* values = static_cast<const Bits*>(data);
  // Blocks without an early exit inside vectorize.
  constexpr std::size_t kBlock = 1024;
  for (std::size_t i = 0; i < count; i += kBlock) {
    Bits found = 0;
    const std::size_t end = std::min(count, i + kBlock);
    for (std::size_t j = i; j < end; ++j) found |= static_cast<Bits>((values[j] & kMagnitude) > limit);
    if (found != 0) return false;
  }
  return true;
}

// --- the operations that need finite operands

bool is_attention(const ov::Node& node) { return is_any<ov::op::v13::ScaledDotProductAttention>(node); }

bool may_be_softened(const Bounds& x) { return !x.nan && x.most <= Bounds::kLargest; }  // -inf is a mask

// The operations that give numbers where eager's overflow inside, and gives NaN or an infinity; they lose those of an
// operand, too.
bool hides_overflow(const ov::Node& node) {
  return is_any<ov::op::v6::MVN, ov::op::v12::GroupNormalization, ov::op::v4::HSwish>(node);
}

// PyTorch multiplies with weights of 0, too, which makes NaN of an infinity.
bool blends(const ov::Node& node) {
  const auto* resize = ov::as_type<const ov::op::v11::Interpolate>(&node);
  return resize != nullptr && resize->get_attrs().mode != ov::op::v11::Interpolate::InterpolateMode::NEAREST;
}

bool convolves(const ov::Node& node) {
  return is_any<v1::Convolution, v1::GroupConvolution, v1::ConvolutionBackpropData, v1::GroupConvolutionBackpropData>(
      node);
}

// The mean of squares of differences from a mean: eager adds up variances in double precision.
bool is_variance(const ov::Node& node) {
  if (!is_any<v1::ReduceMean>(node)) return false;
  const ov::Node& squares = *node.get_input_node_ptr(0);
  return is_any<v1::Multiply>(squares) && squares.input_value(0) == squares.input_value(1) &&
         is_any<v1::Subtract>(*squares.get_input_node_ptr(0));
}

// The operations whose operands are measured in each run where they may be NaN or infinite: they have no exact form (what
// attention gives for NaN, and a convolution at its padding for such weights, is up to PyTorch's kernels), or one that takes
// several times as long.
bool is_measured(const ov::Node& node) {
  return is_attention(node) || hides_overflow(node) || blends(node) || convolves(node);
}

// Whether the fast operation is right for such operands.
bool is_exact(const ov::Node& node, const BoundsOf& bounds) {
  const auto x = [&](std::size_t index) { return bounds[node.input_value(index)]; };
  if (is_any<v0::Relu, v0::HardSigmoid, v0::PRelu, ov::op::v14::MaxPool>(node) || hides_overflow(node) ||
      blends(node)) {
    return x(0).is_finite();
  }
  if (convolves(node)) return x(1).is_finite();
  if (is_any<ov::op::v8::Softmax>(node)) return may_be_softened(x(0));
  if (is_attention(node)) {
    return x(0).is_finite() && x(1).is_finite() && x(2).is_finite() && may_be_softened(x(3));
  }
  return true;
}

// Whether overflow must be kept from the operation.
bool is_sensitive(const ov::Node& node) {
  return is_measured(node) || is_variance(node) ||
         is_any<v0::Relu, v0::HardSigmoid, ov::op::v14::MaxPool, ov::op::v8::Softmax, v0::PRelu, v0::MatMul>(node);
}

bool is_kept_from_overflow(const ov::Node& node, const BoundsOf& bounds) {
  if (is_any<ov::op::v8::Softmax>(node)) return is_exact(node, bounds);
  if (is_attention(node)) return is_exact(node, bounds) && bounds.of_result(node).is_finite();
  for (const Output& operand : node.input_values()) {
    if (operand.get_element_type().is_real() && !bounds[operand].is_finite()) return false;
  }
  return bounds.of_result(node).is_finite();
}

// --- exact forms

Output number(const Output& like, float value) {
  const ov::element::Type type = like.get_element_type();
  if (type == ov::element::f16) return v0::Constant::create(type, {}, std::vector<ov::float16>{value})->output(0);
  if (type == ov::element::bf16) return v0::Constant::create(type, {}, std::vector<ov::bfloat16>{value})->output(0);
  return v0::Constant::create(ov::element::f32, {}, std::vector<float>{value})->output(0);
}

Output select(const Output& condition, const Output& yes, const Output& no) {
  return std::make_shared<v1::Select>(condition, yes, no);
}

Output is_nan(const Output& x) { return std::make_shared<ov::op::v10::IsNaN>(x); }

Output is_infinity(const Output& x, bool negative) {
  const ov::op::v10::IsInf::Attributes which(/*detect_negative=*/negative, /*detect_positive=*/!negative);
  return std::make_shared<ov::op::v10::IsInf>(x, which);
}

// A comparison with NaN is false, whichever way round: NaN passes.
Output at_least(const Output& x, float least) {
  return select(std::make_shared<v1::Less>(x, number(x, least)), number(x, least), x);
}
Output at_most(const Output& x, float most) {
  return select(std::make_shared<v1::Less>(number(x, most), x), number(x, most), x);
}

// A row is NaN if it has a NaN or an infinity, or nothing but -inf.
Output exact_softmax(const Output& x, std::int64_t axis) {
  const auto axes = v0::Constant::create(ov::element::i64, {1}, {axis});
  const Output bad = std::make_shared<v1::LogicalOr>(is_nan(x), is_infinity(x, /*negative=*/false));
  const Output any_bad = std::make_shared<v1::ReduceLogicalOr>(bad, axes, /*keep_dims=*/true);
  const Output nothing =
      std::make_shared<v1::ReduceLogicalAnd>(is_infinity(x, /*negative=*/true), axes, /*keep_dims=*/true);
  return select(std::make_shared<v1::LogicalOr>(any_bad, nothing), number(x, NAN),
                std::make_shared<ov::op::v8::Softmax>(x, axis));
}

// A window is NaN if it has one, and -inf if it has nothing else.
Output exact_max_pool(const ov::op::v14::MaxPool& pool) {
  const Output x = pool.input_value(0);
  const auto any = [&](const Output& condition) -> Output {
    const Output ones = std::make_shared<v0::Convert>(condition, ov::element::f32);
    const Output found = pool.clone_with_new_inputs({ones})->output(0);
    return std::make_shared<v1::Less>(number(found, 0.5F), found);
  };
  const Output numbers = any(std::make_shared<v1::LogicalNot>(is_infinity(x, /*negative=*/true)));
  const Output result = pool.clone_with_new_inputs({x})->output(0);
  return select(any(is_nan(x)), number(x, NAN), select(numbers, result, number(x, -INFINITY)));
}

Output dimension(const Output& x, std::int64_t axis) {
  const auto shape = std::make_shared<ov::op::v3::ShapeOf>(x);
  return std::make_shared<ov::op::v8::Gather>(shape, v0::Constant::create(ov::element::i64, {}, {axis}),
                                              v0::Constant::create(ov::element::i64, {}, {0}));
}

// 0..count as a column or a row.
Output counted(const Output& count, std::int64_t unsqueezed_axis) {
  const auto zero = v0::Constant::create(ov::element::i64, {}, {0});
  const auto one = v0::Constant::create(ov::element::i64, {}, {1});
  return std::make_shared<v0::Unsqueeze>(std::make_shared<ov::op::v4::Range>(zero, count, one, ov::element::i64),
                                         v0::Constant::create(ov::element::i64, {1}, {unsqueezed_axis}));
}

// softmax(q k' * scale + mask) v, by its definition.
Output exact_attention(const ov::op::v13::ScaledDotProductAttention& attention) {
  const ov::element::Type type = attention.get_output_element_type(0);
  const auto wide = [&](std::size_t index) -> Output {
    const Output x = attention.input_value(index);
    if (x.get_element_type() == ov::element::f32) return x;
    return std::make_shared<v0::Convert>(x, ov::element::f32);
  };
  Output scores = std::make_shared<v0::MatMul>(wide(0), wide(1), /*transpose_a=*/false, /*transpose_b=*/true);
  scores = std::make_shared<v1::Multiply>(scores, wide(4));
  const auto add_where_not = [&](const Output& takes_part) {
    scores = std::make_shared<v1::Add>(scores, select(takes_part, number(scores, 0), number(scores, -INFINITY)));
  };
  if (attention.get_causal()) {
    add_where_not(std::make_shared<v1::LessEqual>(counted(dimension(attention.input_value(1), 2), 0),
                                                  counted(dimension(attention.input_value(0), 2), 1)));
  }
  if (attention.input_value(3).get_element_type() == ov::element::boolean) {
    add_where_not(attention.input_value(3));
  } else {
    scores = std::make_shared<v1::Add>(scores, wide(3));
  }
  const Output result = std::make_shared<v0::MatMul>(exact_softmax(scores, -1), wide(2));
  if (type == ov::element::f32) return result;
  return std::make_shared<v0::Convert>(result, type);
}

// Slopes of one dimension are of the channels, which are x's second.
Output exact_leaky_relu(const Output& x, Output slope) {
  const ov::Rank rank = x.get_partial_shape().rank();
  const ov::PartialShape& slopes = slope.get_partial_shape();
  if (slopes.size() == 1 && slopes[0] != 1 && rank.get_length() > 2) {
    std::vector<std::int64_t> axes(static_cast<std::size_t>(rank.get_length()) - 2);
    std::iota(axes.begin(), axes.end(), 1);
    slope = std::make_shared<v0::Unsqueeze>(slope, v0::Constant::create(ov::element::i64, {axes.size()}, axes));
  }
  return select(std::make_shared<v1::Less>(x, number(x, 0)), std::make_shared<v1::Multiply>(x, slope), x);
}

// 0 where the squares of the differences from the mean can be summed up, and NaN where that overflows, of `axes`, whose
// dimensions are kept as 1: what eager's statistics are there.
Output zero_or_nan(const Output& x, const Output& axes) {
  const Output mean = std::make_shared<v1::ReduceMean>(x, axes, /*keep_dims=*/true);
  const Output difference = std::make_shared<v1::Subtract>(x, mean);
  const Output squares = std::make_shared<v1::Multiply>(difference, difference);
  const Output sum = std::make_shared<v1::ReduceSum>(squares, axes, /*keep_dims=*/true);
  return select(std::make_shared<v1::Less>(sum, number(x, INFINITY)), number(x, 0), number(x, NAN));
}

Output exact_group_normalization(const ov::op::v12::GroupNormalization& node) {
  const Output x = node.input_value(0);
  const std::int64_t groups = node.get_num_groups();
  const std::int64_t channels = x.get_partial_shape()[1].get_length();
  const auto ints = [](const std::vector<std::int64_t>& values) {
    return v0::Constant::create(ov::element::i64, {values.size()}, values);
  };
  const auto reshaped = [&](const Output& value, const std::vector<std::int64_t>& shape) -> Output {
    return std::make_shared<v1::Reshape>(value, ints(shape), /*special_zero=*/true);
  };
  const Output by_group = zero_or_nan(reshaped(x, {0, groups, -1}), ints({2}));  // [n, groups, 1]
  const ov::Shape spread{1, static_cast<std::size_t>(groups), static_cast<std::size_t>(channels / groups)};
  const Output zeros = std::make_shared<v0::Convert>(
      v0::Constant::create(ov::element::f32, spread, std::vector<float>(static_cast<std::size_t>(channels))),
      x.get_element_type());
  std::vector<std::int64_t> shape(x.get_partial_shape().size(), 1);
  shape[0] = 0;
  shape[1] = channels;
  const Output by_channel = reshaped(std::make_shared<v1::Add>(zeros, by_group), shape);
  return std::make_shared<v1::Add>(node.clone_with_new_inputs(node.input_values()), by_channel);
}

Output exact(const ov::Node& node) {
  const Output x = node.input_value(0);
  if (is_any<ov::op::v6::MVN>(node)) {
    return std::make_shared<v1::Add>(node.clone_with_new_inputs(node.input_values()),
                                     zero_or_nan(x, node.input_value(1)));
  }
  if (const auto* group = ov::as_type<const ov::op::v12::GroupNormalization>(&node)) {
    return exact_group_normalization(*group);
  }
  if (is_any<ov::op::v4::HSwish>(node)) {
    const Output gate = at_most(at_least(std::make_shared<v1::Add>(x, number(x, 3)), 0), 6);
    return std::make_shared<v1::Divide>(std::make_shared<v1::Multiply>(x, gate), number(x, 6));
  }
  if (is_any<v0::PRelu>(node)) return exact_leaky_relu(x, node.input_value(1));
  if (is_any<v0::Relu>(node)) return at_least(x, 0);
  if (is_any<v0::HardSigmoid>(node)) {
    const Output scaled = std::make_shared<v1::Multiply>(x, node.input_value(1));
    return at_most(at_least(std::make_shared<v1::Add>(scaled, node.input_value(2)), 0), 1);
  }
  if (const auto* pool = ov::as_type<const ov::op::v14::MaxPool>(&node)) return exact_max_pool(*pool);
  if (const auto* softmax = ov::as_type<const ov::op::v8::Softmax>(&node)) {
    return exact_softmax(x, softmax->get_axis());
  }
  return exact_attention(*ov::as_type<const ov::op::v13::ScaledDotProductAttention>(&node));
}

void replace_by_exact(ov::Model& model, const ov::NodeVector& found) {
  for (const std::shared_ptr<ov::Node>& node : found) {
    const Output replacement = exact(*node);
    replacement.get_node()->set_friendly_name(node->get_friendly_name());
    node->output(0).replace(replacement);
  }
  if (!found.empty()) model.validate_nodes_and_infer_types();
}

// --- products that overflow in front of sums

bool is_term(const ov::Node& node) { return is_any<v1::Add, v1::Subtract>(node); }
bool is_factor(const ov::Node& node) { return is_any<v1::Multiply, v1::Divide>(node); }

// Whether the value comes from a layer which the plugin gives the arithmetic behind it to do, one operation after the other.
bool is_of_fusing_layer(const Output& value) {
  const ov::Node* node = value.get_node();
  while (is_term(*node) || is_factor(*node)) {
    node = node->get_input_node_ptr(is_any<v0::Constant>(*node->get_input_node_ptr(0)) ? 1 : 0);
  }
  return convolves(*node) || is_any<v0::MatMul, ov::op::v6::MVN, ov::op::v12::GroupNormalization>(*node);
}

// The sums that the plugin makes one operation with a product before them, by operand: those of static shapes. Such an
// operation does not round the product, which may overflow; then its infinity is lost.
std::vector<ov::Input<ov::Node>> sums_with_overflow(const BoundsOf& bounds) {
  std::vector<ov::Input<ov::Node>> found;
  for (const std::shared_ptr<ov::Node>& node : bounds.order()) {
    if (!is_term(*node) || !node->get_output_element_type(0).is_real() || node->is_dynamic()) continue;
    for (const ov::Input<ov::Node>& input : node->inputs()) {
      const ov::Node& product = *input.get_source_output().get_node();
      if (!is_any<v1::Multiply>(product) || bounds.of_result(product).is_finite()) continue;
      const ov::OutputVector factors = product.input_values();
      if (std::none_of(factors.begin(), factors.end(), is_of_fusing_layer)) found.push_back(input);
    }
  }
  return found;
}

// The maximum of a value and itself is the value, NaN and signs of 0 too: another operation between product and sum, in
// the same kernel.
void keep_overflow(const std::vector<ov::Input<ov::Node>>& sums) {
  for (ov::Input<ov::Node> input : sums) {
    const Output product = input.get_source_output();
    input.replace_source_output(std::make_shared<v1::Maximum>(product, product));
  }
}

std::size_t make_exact(ov::Model& model, const BoundsOf::Known& inputs, bool overflow) {
  ov::NodeVector found;
  std::vector<ov::Input<ov::Node>> sums;
  {
    BoundsOf bounds(model);
    bounds.compute(inputs, overflow);
    for (const std::shared_ptr<ov::Node>& node : bounds.order()) {
      // Without overflow: in the model that is built, whose guards see to these.
      if (overflow ? blends(*node) || convolves(*node) : is_measured(*node)) continue;
      const bool overflows = hides_overflow(*node) && !bounds.of_result(*node).is_finite();
      if (!is_exact(*node, bounds) || overflows) found.push_back(node);
    }
    if (overflow) sums = sums_with_overflow(bounds);  // Otherwise the guards see to these, too.
  }
  keep_overflow(sums);
  replace_by_exact(model, found);
  return found.size();
}

BoundsOf::Known finite_inputs(const ov::Model& model) {
  BoundsOf::Known known;
  for (const auto& parameter : model.get_parameters()) {
    const ov::element::Type type = parameter->get_element_type();
    if (type == ov::element::f16) {
      known[parameter->output(0)] = Bounds::within(65504);
    } else if (type.is_real()) {
      known[parameter->output(0)] = Bounds::within(Bounds::kLargest);
    }
  }
  return known;
}

// --- guards

// Inputs beyond such limits and values beyond this one run the exact form: far above what models compute with.
constexpr std::array<double, 4> kInputLimits{0x1p64, 0x1p48, 0x1p32, 0x1p24};
constexpr double kLimit = 0x1p24;

class Overflow {
 public:
  explicit Overflow(ov::Model& model) : model_(model), bounds_(model), known_(finite_inputs(model)) {
    bounds_.compute(known_, /*overflow=*/false);
    for (const auto& node : bounds_.order()) {
      const bool is_lost = is_measured(*node) && !is_exact(*node, bounds_);
      concerned_.push_back(is_lost || (is_sensitive(*node) && is_kept_from_overflow(*node, bounds_)));
    }
  }

  Guards guard() {
    Guards guards;
    guards.inputs.assign(model_.get_parameters().size(), std::numeric_limits<float>::infinity());
    bounds_.compute({}, /*overflow=*/true);
    const bool holds = next(0) == bounds_.order().size();  // whatever the inputs hold
    bounds_.compute(known_, /*overflow=*/true);
    if (holds) {
      keep_overflow(sums_with_overflow(bounds_));
      return guards;
    }
    for (std::size_t i = next(0); i < bounds_.order().size(); i = next(i)) {
      if (tighten(i)) continue;
      concerned_[i] = false;  // nothing bounds it
      if (is_attention(*bounds_.order()[i]) || hides_overflow(*bounds_.order()[i])) of_constants_.push_back(i);
    }
    for (std::size_t i = 0; i < guards.inputs.size(); ++i) {
      const auto found = known_.find(model_.get_parameters()[i]->output(0));
      if (found != known_.end()) guards.inputs[i] = static_cast<float>(found->second.most);
    }
    const std::vector<ov::Input<ov::Node>> sums = sums_with_overflow(bounds_);
    for (const Measured& measured : measured_) guards.limits.push_back(measure(measured));
    keep_overflow(sums);
    ov::NodeVector found;
    for (const std::size_t index : of_constants_) found.push_back(bounds_.order()[index]);
    replace_by_exact(model_, found);
    return guards;
  }

 private:
  struct Measured {
    Output value;
    bool is_finite;  // if all that is checked before holds
  };

  // The first operation from `begin` on that overflow may reach.
  [[nodiscard]] std::size_t next(std::size_t begin) const {
    while (begin < concerned_.size() &&
           (!concerned_[begin] || is_kept_from_overflow(*bounds_.order()[begin], bounds_))) {
      ++begin;
    }
    return begin;
  }

  // From the operation's largest operand back to an input, always by the largest operand.
  [[nodiscard]] std::vector<Output> path_to(const ov::Node& node) const {
    std::vector<Output> path;
    for (const ov::Node* at = &node; at != nullptr;) {
      const Output* largest = nullptr;
      const ov::OutputVector operands = at->input_values();
      for (const Output& operand : operands) {
        if (!operand.get_element_type().is_real() || is_any<v0::Constant>(*operand.get_node())) continue;
        if (largest == nullptr || size(*largest) < size(operand)) largest = &operand;
      }
      at = nullptr;
      if (largest != nullptr) {
        path.push_back(*largest);
        at = path.back().get_node();
      }
    }
    return path;
  }
  [[nodiscard]] double size(const Output& value) const {
    return bounds_[value].nan ? Bounds::kInfinity : bounds_[value].magnitude();
  }

  // Whether the layer before would no longer be one with what follows, if the value had another user.
  static bool is_fused(const Output& value) {
    return value.get_target_inputs().size() < 2 &&
           is_any<v0::MatMul, v1::Convolution, v1::GroupConvolution, v1::ConvolutionBackpropData,
                  v1::GroupConvolutionBackpropData, v1::Add, v1::Subtract, v1::Multiply, v1::Divide>(*value.get_node());
  }
  static double elements(const Output& value) {
    double count = 1;
    for (const ov::Dimension& dim : value.get_partial_shape()) {
      count *= dim.is_static() ? static_cast<double>(dim.get_length()) : 64;
    }
    return count;
  }

  // If the value within the bounds keeps overflow from the operation at `index`: how many times its result could be
  // doubled before it overflows.
  std::optional<double> room_with(std::size_t index, const Output& value, const Bounds& bounds) {
    BoundsOf::Known known = known_;
    known[value] = bounds;
    const std::size_t begin = position(value.get_node());
    bounds_.compute(known, /*overflow=*/true, begin, index + 1);
    std::optional<double> room;
    const ov::Node& node = *bounds_.order()[index];
    if (is_kept_from_overflow(node, bounds_)) {
      room = std::log2(Bounds::kLargest / std::max(bounds_.of_result(node).magnitude(), 1.0));
    }
    bounds_.compute(known_, /*overflow=*/true, begin, index + 1);
    return room;
  }
  [[nodiscard]] std::size_t position(const ov::Node* node) const {
    const auto& order = bounds_.order();
    return static_cast<std::size_t>(
        std::find_if(order.begin(), order.end(), [node](const auto& other) { return other.get() == node; }) -
        order.begin());
  }

  // Bounds an input, if that is enough, or the smallest value between that is.
  bool tighten(std::size_t index) {
    const std::vector<Output> path = path_to(*bounds_.order()[index]);
    if (path.empty()) return false;
    if (is_any<v0::Parameter>(*path.back().get_node())) {
      for (const double limit : kInputLimits) {
        if (bounds_[path.back()].magnitude() <= limit) continue;
        if (!room_with(index, path.back(), Bounds::within(limit))) continue;
        known_[path.back()] = Bounds::within(limit);
        bounds_.compute(known_, /*overflow=*/true);
        return true;
      }
    }
    struct Candidate {
      Output value;
      Bounds bounds;
      double cost;
    };
    std::optional<Candidate> best;
    for (const Output& value : path) {
      const Bounds now = bounds_[value];
      if (is_any<v0::Parameter>(*value.get_node()) || is_fused(value) || size(value) <= kLimit) continue;
      // A mask may be as small as it likes.
      const bool may_be_mask = !now.nan && now.least < -kLimit;
      for (const Bounds& wanted : {Bounds{now.least, kLimit, false}, Bounds::within(kLimit)}) {
        if (wanted.least < -kLimit && !may_be_mask) continue;
        const std::optional<double> room = room_with(index, value, wanted);
        if (!room) continue;
        const double cost = elements(value) / (*room + 1);
        if (!best || cost < best->cost) best = {value, wanted, cost};
        break;
      }
    }
    if (best) {
      measured_.push_back({best->value, bounds_[best->value].is_finite()});
      known_[best->value] = best->bounds;
      bounds_.compute(known_, /*overflow=*/true);
      return true;
    }
    // Several large values meet: one after the other.
    for (const Output& value : {path.front(), path.back()}) {
      const bool is_input = is_any<v0::Parameter>(*value.get_node());
      const double limit = is_input ? kInputLimits.back() : kLimit;
      if (size(value) <= limit) continue;
      if (!is_input) measured_.push_back({value, bounds_[value].is_finite()});
      known_[value] = Bounds::within(limit);
      bounds_.compute(known_, /*overflow=*/true);
      return true;
    }
    return false;
  }

  // Adds the result that measures the value, and returns its limit.
  float measure(const Measured& measured) {
    const Bounds& bound = known_.at(measured.value);
    Output x = measured.value;
    if (x.get_element_type() != ov::element::f32) x = std::make_shared<v0::Convert>(x, ov::element::f32);
    const bool one_sided = bound.least < -bound.most;  // what is checked is the upper end only
    if (!one_sided) x = std::make_shared<v0::Abs>(x);
    // The plugin's maximum passes over NaN: a comparison with it is false.
    if (!measured.is_finite) {
      const auto holds = std::make_shared<v1::LessEqual>(x, number(x, static_cast<float>(bound.most)));
      x = select(holds, x, number(x, INFINITY));
    }
    std::vector<std::int64_t> axes(static_cast<std::size_t>(x.get_partial_shape().rank().get_length()));
    std::iota(axes.begin(), axes.end(), 0);
    const auto all = v0::Constant::create(ov::element::i64, {axes.size()}, axes);
    model_.add_results({std::make_shared<v0::Result>(std::make_shared<v1::ReduceMax>(x, all, /*keep_dims=*/false))});
    return static_cast<float>(bound.most);
  }

  ov::Model& model_;
  BoundsOf bounds_;
  BoundsOf::Known known_;
  std::vector<bool> concerned_;  // by position: whether checks keep from the operation what is too large for it
  std::vector<Measured> measured_;
  std::vector<std::size_t> of_constants_;  // positions of operations that overflow in each run, which nothing tells
};

}  // namespace

std::size_t make_exact_for_finite_inputs(ov::Model& model) {
  return make_exact(model, finite_inputs(model), /*overflow=*/false);
}

void make_exact_for_all_inputs(ov::Model& model) { make_exact(model, {}, /*overflow=*/true); }

Guards add_guards(ov::Model& model) { return Overflow(model).guard(); }

bool all_within(const ov::element::Type& type, const void* data, std::size_t count, float limit) {
  const auto bits = std::bit_cast<std::int32_t>(std::min(limit, std::numeric_limits<float>::max()));
  if (type == ov::element::f32) return all_within<std::int32_t>(data, count, bits);
  if (type == ov::element::bf16) return all_within<std::int16_t>(data, count, static_cast<std::int16_t>(bits >> 16));
  if (type == ov::element::f16) return all_within<std::int16_t>(data, count, 0x7bff);  // the largest number
  return true;
}

}  // namespace torchtrt::openvino
