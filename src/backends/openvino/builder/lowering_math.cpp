// SPDX-License-Identifier: Apache-2.0
// Elementwise layers, reductions and orderings. Where the plugin's operation is not PyTorch's, README.md says how.
#include <algorithm>
#include <cmath>
#include <utility>

#include <openvino/opsets/opset14.hpp>

#include <torchtrt/base/error.h>

#include "backends/openvino/builder/constant_operands.h"
#include "backends/openvino/builder/lowering.h"
#include "backends/openvino/round_to_half.h"
#include "backends/openvino/stable_top_k.h"

namespace torchtrt::openvino {

using network::Layer;
namespace op = ov::opset14;

namespace {

template <typename Op>
ov::OutputVector unary(const ov::Output<ov::Node>& x) {
  return {std::make_shared<Op>(x)};
}
template <typename Op>
ov::OutputVector binary(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b) {
  return {std::make_shared<Op>(a, b)};
}

// Whether x is a constant, small enough to look at, without a NaN.
bool never_nan(const ov::Output<ov::Node>& x) {
  const auto* constant = dynamic_cast<const op::Constant*>(x.get_node());
  if (constant == nullptr || ov::shape_size(constant->get_shape()) > 4096) return false;
  const std::vector<float> values = constant->cast_vector<float>();
  return std::none_of(values.begin(), values.end(), [](float value) { return std::isnan(value); });
}

// Maximum and minimum that propagate NaN, which the plugin's own do not: a comparison with NaN is false, so a NaN in
// `a` is chosen, and one in `b` is asked for.
ov::Output<ov::Node> choose(const ov::Output<ov::Node>& take_b, const ov::Output<ov::Node>& a,
                            const ov::Output<ov::Node>& b, bool b_may_be_nan) {
  const auto chosen = std::make_shared<op::Select>(take_b, b, a);
  if (!b_may_be_nan) return chosen;
  return std::make_shared<op::Select>(std::make_shared<op::IsNaN>(b), b, chosen);
}
ov::Output<ov::Node> larger(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b, bool b_may_be_nan) {
  return choose(std::make_shared<op::Less>(a, b), a, b, b_may_be_nan);
}
ov::Output<ov::Node> smaller(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b, bool b_may_be_nan) {
  return choose(std::make_shared<op::Less>(b, a), a, b, b_may_be_nan);
}

}  // namespace

namespace {

// Whether the value is a product, a convolution or a normalization, moved or converted at most: what a bias is added to.
bool is_biased(const network::Network& net, network::ValueId value) {
  for (;;) {
    const auto producer = std::ranges::find_if(net.layers(), [value](const Layer& layer) {
      return std::ranges::find(layer.outputs, value) != layer.outputs.end();
    });
    if (producer == net.layers().end()) return false;
    if (std::holds_alternative<network::MatrixMultiply>(producer->op) ||
        std::holds_alternative<network::Convolution>(producer->op) ||
        std::holds_alternative<network::Deconvolution>(producer->op) ||
        std::holds_alternative<network::Normalization>(producer->op)) {
      return true;
    }
    if (!std::holds_alternative<network::Shuffle>(producer->op) &&
        !std::holds_alternative<network::Cast>(producer->op)) {
      return false;
    }
    value = producer->inputs.at(0);
  }
}

// Whether something reads the constant to which subnormal numbers are not as good as nothing: anything but the weights and
// biases of products, convolutions and normalizations.
bool is_read_as_numbers(const network::Network& net, network::ValueId constant) {
  const bool is_number = net.value(constant).dims.empty() || volume(net.value(constant).dims) == Expr(1);
  const auto is_result = [&](const network::Network::Output& output) { return output.value == constant; };
  if (std::any_of(net.outputs().begin(), net.outputs().end(), is_result)) return true;
  return std::any_of(net.layers().begin(), net.layers().end(), [&](const Layer& layer) {
    if (!reads(layer, constant)) return false;
    if (const auto* operation = std::get_if<network::ElementWise>(&layer.op)) {
      const bool adds = operation->operation == network::ElementWiseOperation::kSum ||
                        operation->operation == network::ElementWiseOperation::kSub;
      const bool biases = std::ranges::any_of(
          layer.inputs, [&](network::ValueId other) { return other != constant && is_biased(net, other); });
      return is_number || !adds || !biases;
    }
    return !std::holds_alternative<network::MatrixMultiply>(layer.op) &&
           !std::holds_alternative<network::Convolution>(layer.op) &&
           !std::holds_alternative<network::Deconvolution>(layer.op) &&
           !std::holds_alternative<network::Normalization>(layer.op);
  });
}

// The plugin makes zeros of the subnormal numbers of a constant. Those of a product that it computes from two constants
// stay; null where there are none. Tables beyond some size are not looked at.
std::shared_ptr<ov::Node> with_subnormals(const op::Constant& constant) {
  constexpr std::size_t kLooksAt = 65536;
  const ov::element::Type type = constant.get_element_type();
  if ((type != ov::element::f32 && type != ov::element::bf16) || ov::shape_size(constant.get_shape()) > kLooksAt) {
    return nullptr;
  }
  std::vector<float> values = constant.cast_vector<float>();
  if (std::none_of(values.begin(), values.end(), [](float x) { return std::fpclassify(x) == FP_SUBNORMAL; })) {
    return nullptr;
  }
  std::vector<float> units(values.size(), 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::abs(values[i]) >= 1) continue;
    values[i] *= 0x1p64F;
    units[i] = 0x1p-64F;
  }
  const auto scaled = op::Constant::create(type, constant.get_shape(), values);
  return std::make_shared<op::Multiply>(scaled, copied(op::Constant::create(type, constant.get_shape(), units)));
}

// The plugin makes the largest number of an infinity when it widens a bfloat16 constant. One that was widened before, and is
// hidden from folding, keeps them; null where there are none.
std::shared_ptr<ov::Node> with_infinities(const op::Constant& constant) {
  if (constant.get_element_type() != ov::element::bf16) return nullptr;
  const auto* bits = static_cast<const std::uint16_t*>(constant.get_data_ptr());
  const auto* end = bits + ov::shape_size(constant.get_shape());
  if (std::none_of(bits, end, [](std::uint16_t x) { return (x & 0x7FFF) == 0x7F80; })) return nullptr;
  const auto wide = op::Constant::create(ov::element::f32, constant.get_shape(), constant.cast_vector<float>());
  return std::make_shared<op::Convert>(copied(wide), ov::element::bf16);
}

// Whether the constant is an attention's mask and nothing else, in which the lowest number is as good as -inf.
bool is_mask(const network::Network& net, network::ValueId constant) {
  const auto is_result = [&](const network::Network::Output& output) { return output.value == constant; };
  return std::ranges::none_of(net.outputs(), is_result) && std::ranges::all_of(net.layers(), [&](const Layer& layer) {
           return !reads(layer, constant) ||
                  (std::holds_alternative<network::Attention>(layer.op) && layer.inputs[0] != constant &&
                   layer.inputs[1] != constant && layer.inputs[2] != constant);
         });
}

}  // namespace

ov::OutputVector Lowering::lower(const Layer& layer, const network::Constant& constant) {
  ov::Shape shape;
  for (const Expr& dim : constant.dims) shape.push_back(static_cast<std::size_t>(dim.value()));
  // The network owns the elements for as long as the model is used; the shared pointer keeps the weights besides.
  auto owner = std::const_pointer_cast<void>(constant.weights->data);
  const auto result = std::make_shared<op::Constant>(element_type(constant.dtype), shape, owner.get(), owner);
  if (const auto exact = with_subnormals(*result); exact && is_read_as_numbers(net_, layer.outputs[0])) return {exact};
  if (const auto exact = with_infinities(*result); exact && !is_mask(net_, layer.outputs[0])) return {exact};
  return {result};
}

namespace {

// An activation whose numbers x's type may not hold. It is computed in float32: the plugin drops the conversions where it
// computes in float32 anyway, and elsewhere they keep the rest of a bfloat16 model in bfloat16.
template <typename Function>
ov::Output<ov::Node> in_float32(const ov::Output<ov::Node>& x, const Function& function) {
  const ov::element::Type type = x.get_element_type();
  if (type == ov::element::f32) return function(x);
  const ov::Output<ov::Node> result = function(std::make_shared<op::Convert>(x, ov::element::f32)->output(0));
  return std::make_shared<op::Convert>(result, type);
}

}  // namespace

ov::Output<ov::Node> scaled(const ov::Output<ov::Node>& x, double factor) {
  return in_float32(x, [&](const ov::Output<ov::Node>& wide) {
    const ov::Output<ov::Node> constant = number(wide, factor);
    return std::make_shared<op::Multiply>(as_factor(wide, constant), as_factor(constant, wide));
  });
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Activation& activation) {
  const Output x = operand(layer, 0);
  const double alpha = activation.alpha, beta = activation.beta;
  using enum network::ActivationType;
  switch (activation.type) {
    case kRelu: return unary<op::Relu>(x);
    case kSigmoid: return unary<op::Sigmoid>(x);
    case kTanh: return unary<op::Tanh>(x);
    case kLeakyRelu:
      return {
          in_float32(x, [&](const Output& wide) { return std::make_shared<op::PRelu>(wide, number(wide, alpha)); })};
    case kElu: return {std::make_shared<op::Elu>(x, alpha)};
    case kSelu:
      return {in_float32(x, [&](const Output& wide) {
        return std::make_shared<op::Selu>(wide, number(wide, alpha), number(wide, beta));
      })};
    case kSoftsign: return unary<op::SoftSign>(x);
    case kSoftplus:
      if (alpha == 1 && beta == 1) return unary<op::SoftPlus>(x);
      return {in_float32(x, [&](const Output& wide) {
        const auto soft = std::make_shared<op::SoftPlus>(std::make_shared<op::Multiply>(wide, number(wide, beta)));
        return std::make_shared<op::Multiply>(soft, number(wide, alpha));
      })};
    case kClip:
      // Clamp would turn an infinity on the open side into the largest number.
      if (std::isinf(beta)) return {larger(x, number(x, alpha), /*b_may_be_nan=*/false)};
      if (std::isinf(alpha)) return {smaller(x, number(x, beta), /*b_may_be_nan=*/false)};
      return {std::make_shared<op::Clamp>(x, alpha, beta)};
    case kHardSigmoid:
      return {in_float32(x, [&](const Output& wide) {
        return std::make_shared<op::HardSigmoid>(wide, number(wide, alpha), number(wide, beta));
      })};
    case kGeluErf: return {std::make_shared<op::Gelu>(x, ov::op::GeluApproximationMode::ERF)};
    case kGeluTanh: return {std::make_shared<op::Gelu>(x, ov::op::GeluApproximationMode::TANH)};
    case kSilu: return unary<op::Swish>(x);
    case kHardSwish: return unary<op::HSwish>(x);
    case kMish: return unary<op::Mish>(x);
    case kScale: return {scaled(x, alpha)};
    case kQuotient: return {in_float32(x, [&](const Output& wide) { return quotient(wide, number(wide, alpha)); })};
  }
  fail(ErrorCode::kInternal, "no such activation");
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Unary& operation) {
  const Output x = operand(layer, 0);
  using enum network::UnaryOperation;
  switch (operation.operation) {
    case kExp: return {std::make_shared<op::Select>(std::make_shared<op::IsNaN>(x), x, std::make_shared<op::Exp>(x))};
    case kLog: return unary<op::Log>(x);
    case kSqrt: return unary<op::Sqrt>(x);
    case kRecip: return {std::make_shared<op::Divide>(number(x, 1), x)};
    case kAbs: return {magnitude(x)};
    case kNeg: return unary<op::Negative>(x);
    case kSin: return unary<op::Sin>(x);
    case kCos: return unary<op::Cos>(x);
    case kTan: return unary<op::Tan>(x);
    case kSinh: return unary<op::Sinh>(x);
    case kCosh: return unary<op::Cosh>(x);
    case kAsin: return unary<op::Asin>(x);
    case kAcos: return unary<op::Acos>(x);
    case kAtan: return unary<op::Atan>(x);
    case kAsinh: return unary<op::Asinh>(x);
    case kAcosh: return unary<op::Acosh>(x);
    case kAtanh: return unary<op::Atanh>(x);
    case kCeil: return unary<op::Ceiling>(x);
    case kFloor: return unary<op::Floor>(x);
    case kErf: return unary<op::Erf>(x);
    case kNot: return unary<op::LogicalNot>(x);
    case kSign:
      if (x.get_element_type().is_integral_number()) return unary<op::Sign>(x);
      return {
          std::make_shared<op::Select>(std::make_shared<op::IsNaN>(x), number(x, 0), std::make_shared<op::Sign>(x))};
    case kRound: return {std::make_shared<op::Round>(x, op::Round::RoundMode::HALF_TO_EVEN)};
    case kIsInf: return unary<op::IsInf>(x);
    case kIsNan: return unary<op::IsNaN>(x);
  }
  fail(ErrorCode::kInternal, "no such unary operation");
}

// Of a maximum and a minimum with a constant each OpenVINO (2026.4.1) makes one Clamp, whose
// bounds are float32: a constant that is not exact there is hidden from it.
ov::Output<ov::Node> Lowering::own_bound(const Layer& layer, std::size_t index) const {
  const Output x = operand(layer, index);
  const bool is_constant = dynamic_cast<const op::Constant*>(x.get_node()) != nullptr;
  return is_constant && !is_exact_in_float(value_of(layer, index).range) ? copied(x)->output(0) : x;
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::ElementWise& operation) {
  Output a = operand(layer, 0);
  Output b = operand(layer, 1);
  const ov::element::Type type = a.get_element_type();
  using enum network::ElementWiseOperation;
  switch (operation.operation) {
    case kAnd: return binary<op::LogicalAnd>(a, b);
    case kOr: return binary<op::LogicalOr>(a, b);
    case kXor: return binary<op::LogicalXor>(a, b);
    case kDiv:
      if (type.is_real()) return {quotient(a, b)};
      break;
    case kPow: return binary<op::Power>(a, as_exponent(b));
    case kMax:
      if (!type.is_real()) return binary<op::Maximum>(own_bound(layer, 0), own_bound(layer, 1));
      if (never_nan(a)) std::swap(a, b);
      return {larger(a, b, !never_nan(b))};
    case kMin:
      if (!type.is_real()) return binary<op::Minimum>(own_bound(layer, 0), own_bound(layer, 1));
      if (never_nan(a)) std::swap(a, b);
      return {smaller(a, b, !never_nan(b))};
    case kEqual:
    case kGreater:
    case kLess: return {compare(layer, operation.operation)};
    case kSum:
    case kSub:
      if (!type.is_real()) break;
      return operation.operation == kSum ? binary<op::Add>(as_term(a, b), as_term(b, a))
                                         : binary<op::Subtract>(as_term(a, b), as_term(b, a));
    case kProd:
      if (!type.is_real()) break;
      return binary<op::Multiply>(as_factor(a, b), as_factor(b, a));
    default: break;
  }
  // 8- and 16-bit integers would saturate: they are computed in 32 bits and wrap around on the way back.
  const bool narrow = type.is_integral_number() && type.size() < 4;
  if (narrow) {
    a = std::make_shared<op::Convert>(a, ov::element::i32);
    b = std::make_shared<op::Convert>(b, ov::element::i32);
  }
  Output result;
  switch (operation.operation) {
    case kSum: result = std::make_shared<op::Add>(a, b); break;
    case kProd: result = std::make_shared<op::Multiply>(a, b); break;
    case kSub: result = std::make_shared<op::Subtract>(a, b); break;
    case kDiv: result = std::make_shared<op::Divide>(a, b, /*pythondiv=*/false); break;
    case kFloorDiv: result = floor_divide(a, b); break;
    case kMod: result = std::make_shared<op::FloorMod>(a, b); break;
    default: fail(ErrorCode::kInternal, "no such elementwise operation");
  }
  if (narrow) result = std::make_shared<op::Convert>(result, type);
  return {result};
}

ov::Output<ov::Node> Lowering::compare(const Layer& layer, network::ElementWiseOperation operation) const {
  Output a = operand(layer, 0);
  Output b = operand(layer, 1);
  const bool equal = operation == network::ElementWiseOperation::kEqual;
  // The plugin's Greater is true where an operand is NaN, its Less is not.
  if (operation == network::ElementWiseOperation::kGreater) std::swap(a, b);
  const bool wide = a.get_element_type().is_integral_number() && a.get_element_type().size() >= 4;
  if (!wide || (is_exact_in_float(value_of(layer, 0).range) && is_exact_in_float(value_of(layer, 1).range))) {
    if (equal) return std::make_shared<op::Equal>(a, b);
    return std::make_shared<op::Less>(a, b);
  }
  // The plugin compares integers as float32. Their difference, which wraps around, is 0 only where they are equal, and
  // any other integer is not 0 in float32 either.
  if (equal) return std::make_shared<op::Equal>(std::make_shared<op::Subtract>(a, b), number(a, 0));
  const auto least = std::make_shared<op::Minimum>(a, b);
  return std::make_shared<op::NotEqual>(std::make_shared<op::Subtract>(least, b), number(a, 0));
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Cast& cast) {
  const Output x = operand(layer, 0);
  if (x.get_element_type() == element_type(cast.to)) return {x};
  if (cast.to == DataType::kBool) return {std::make_shared<op::NotEqual>(x, number(x, 0))};
  if (cast.to == DataType::kBFloat16) return {to_bfloat16(x)};
  if (cast.to == DataType::kFloat16) return {to_float16(x)};
  const ov::element::Type to = element_type(cast.to);
  if (x.get_element_type().is_real() && (to == ov::element::i8 || to == ov::element::u8)) {
    // What does not fit wraps around in PyTorch, and in the plugin or not by what the conversion is one kernel with.
    return {std::make_shared<op::Convert>(std::make_shared<op::Convert>(x, ov::element::i32), to)};
  }
  return {std::make_shared<op::Convert>(x, to)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Reduce& reduce) {
  const Output x = operand(layer, 0);
  const auto axes = int_constant(reduce.axes);
  using enum network::ReduceOperation;
  switch (reduce.operation) {
    case kSum: return {std::make_shared<op::ReduceSum>(x, axes, reduce.keep_dims)};
    case kProd: return {std::make_shared<op::ReduceProd>(x, axes, reduce.keep_dims)};
    case kMax:
    case kMin: return {extreme(x, reduce)};
    case kAvg: return {std::make_shared<op::ReduceMean>(x, axes, reduce.keep_dims)};
  }
  fail(ErrorCode::kInternal, "no such reduction");
}

ov::Output<ov::Node> Lowering::extreme(const Output& x, const network::Reduce& reduce) {
  const bool max = reduce.operation == network::ReduceOperation::kMax;
  const auto axes = int_constant(reduce.axes);
  Output result = max ? std::make_shared<op::ReduceMax>(x, axes, reduce.keep_dims)->output(0)
                      : std::make_shared<op::ReduceMin>(x, axes, reduce.keep_dims)->output(0);
  if (!x.get_element_type().is_real()) return result;
  // The plugin starts from the largest finite number and skips NaN: the infinity that nothing exceeds, and NaN, are put
  // in place here.
  const Output worst = number(x, max ? -INFINITY : INFINITY);
  const auto beats_worst = max ? std::make_shared<op::Less>(worst, x) : std::make_shared<op::Less>(x, worst);
  const auto any_beats = std::make_shared<op::ReduceLogicalOr>(beats_worst, axes, reduce.keep_dims);
  result = std::make_shared<op::Select>(any_beats, result, worst);
  const auto any_nan = std::make_shared<op::ReduceLogicalOr>(std::make_shared<op::IsNaN>(x), axes, reduce.keep_dims);
  return std::make_shared<op::Select>(any_nan, number(x, NAN), result);
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Softmax& softmax) {
  return {std::make_shared<ov::op::v8::Softmax>(operand(layer, 0), softmax.axis)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::CumulativeSum& sum) {
  return {std::make_shared<op::CumSum>(operand(layer, 0), op::Constant::create(ov::element::i64, {}, {sum.axis}),
                                       sum.exclusive, sum.reverse)};
}

namespace {

// What a TopK layer orders.
struct Ordered {
  network::ValueId values;
  bool nan_is_largest = true;
};

// Where converters look for one element they order by a key of x that no NaN is left in: NaN is an infinity there, and so
// the infinities are the largest number. StableTopK knows NaN itself, and takes x.
Ordered ordered_by(const network::Network& net, network::ValueId key) {
  const Layer* select = net.producer(key);
  if (select == nullptr || !std::holds_alternative<network::Select>(select->op)) return {key};
  const Layer* is_nan = net.producer(select->inputs[0]);
  const Layer* finite = net.producer(select->inputs[2]);
  if (is_nan == nullptr || finite == nullptr) return {key};
  const auto* test = std::get_if<network::Unary>(&is_nan->op);
  const auto* limit = std::get_if<network::ElementWise>(&finite->op);
  if (test == nullptr || test->operation != network::UnaryOperation::kIsNan || limit == nullptr) return {key};
  const bool is_least = limit->operation == network::ElementWiseOperation::kMin;
  const bool is_key = is_least || limit->operation == network::ElementWiseOperation::kMax;
  if (!is_key || finite->inputs[0] != is_nan->inputs[0]) return {key};
  return {is_nan->inputs[0], is_least};
}

// The float16 value that x is a cast to float32 of: x itself where it is none.
network::ValueId before_widening(const network::Network& net, network::ValueId x) {
  const Layer* cast = net.producer(x);
  const bool is_widened = cast != nullptr && std::holds_alternative<network::Cast>(cast->op) &&
                          net.value(x).dtype == DataType::kFloat32 &&
                          net.value(cast->inputs[0]).dtype == DataType::kFloat16;
  return is_widened ? cast->inputs[0] : x;
}

}  // namespace

ov::OutputVector Lowering::lower(const Layer& layer, const network::TopK& topk) {
  const Output k = materialize_scalar(topk.k);
  const bool largest = topk.operation == network::TopKOperation::kMax;
  const Output x = operand(layer, 0);
  const bool is_real = x.get_element_type().is_real();
  static_assert(static_cast<int>(StableTopK::Ties::kTopKUnsorted) ==
                static_cast<int>(network::TopKTies::kTopKUnsorted));
  // The plugin's stable sorting takes time in the square of the number of elements, and its comparisons know no NaN.
  if (is_real || topk.k != Expr(1) || topk.ties != network::TopKTies::kLowerIndex) {
    const Ordered ordered = ordered_by(net_, layer.inputs[0]);
    const network::ValueId values = before_widening(net_, ordered.values);
    Output keys = values_.at(values.index);
    // Numbers that half precision makes equal are, and the plugin keeps more of them between its operations.
    const bool is_computed = net_.producer(values) != nullptr;
    if (is_computed && keys.get_element_type() == ov::element::f16) keys = to_float16(keys);
    if (is_computed && keys.get_element_type() == ov::element::bf16) keys = to_bfloat16(keys);
    const ov::element::Type type = is_real ? ov::element::f32 : ov::element::i32;
    if (keys.get_element_type() != type) keys = std::make_shared<ov::op::v0::Convert>(keys, type);
    const auto ties = static_cast<StableTopK::Ties>(topk.ties);
    const auto found =
        std::make_shared<StableTopK>(keys, k, StableTopK::Order{topk.axis, largest, ordered.nan_is_largest, ties});
    const auto indices = std::make_shared<ov::op::v0::Convert>(found, ov::element::i64);
    return {std::make_shared<ov::op::v6::GatherElements>(x, indices, topk.axis), indices};
  }
  const auto node =
      std::make_shared<ov::op::v11::TopK>(x, k, topk.axis, largest ? ov::op::TopKMode::MAX : ov::op::TopKMode::MIN,
                                          ov::op::TopKSortType::SORT_VALUES, ov::element::i64, /*stable=*/true);
  return {node->output(0), node->output(1)};
}

}  // namespace torchtrt::openvino
