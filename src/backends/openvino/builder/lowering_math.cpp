// SPDX-License-Identifier: Apache-2.0
// Elementwise layers, reductions and orderings.
#include <openvino/opsets/opset14.hpp>

#include <torchtrt/base/error.h>

#include "backends/openvino/builder/lowering.h"

namespace torchtrt::openvino {

using network::Layer;
namespace op = ov::opset14;

namespace {

// A 0-d constant of the operand's type.
std::shared_ptr<ov::Node> number(const ov::Output<ov::Node>& like, double value) {
  return op::Constant::create(like.get_element_type(), ov::Shape{}, {value});
}

template <typename Op>
ov::OutputVector unary(const ov::Output<ov::Node>& x) {
  return {std::make_shared<Op>(x)};
}
template <typename Op>
ov::OutputVector binary(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b) {
  return {std::make_shared<Op>(a, b)};
}

}  // namespace

ov::OutputVector Lowering::lower(const Layer&, const network::Constant& constant) {
  ov::Shape shape;
  for (const Expr& dim : constant.dims) shape.push_back(static_cast<std::size_t>(dim.value()));
  // The network owns the elements for as long as the model is used; the shared pointer keeps the weights besides.
  auto owner = std::const_pointer_cast<void>(constant.weights->data);
  return {std::make_shared<op::Constant>(element_type(constant.dtype), shape, owner.get(), owner)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Activation& activation) {
  const Output x = operand(layer, 0);
  using enum network::ActivationType;
  switch (activation.type) {
    case kRelu: return unary<op::Relu>(x);
    case kSigmoid: return unary<op::Sigmoid>(x);
    case kTanh: return unary<op::Tanh>(x);
    case kLeakyRelu: return {std::make_shared<op::PRelu>(x, number(x, activation.alpha))};
    case kElu: return {std::make_shared<op::Elu>(x, activation.alpha)};
    case kSelu: return {std::make_shared<op::Selu>(x, number(x, activation.alpha), number(x, activation.beta))};
    case kSoftsign: return unary<op::SoftSign>(x);
    case kSoftplus: {
      const auto scaled = std::make_shared<op::Multiply>(x, number(x, activation.beta));
      const auto soft = std::make_shared<op::SoftPlus>(activation.beta == 1 ? x : scaled->output(0));
      if (activation.alpha == 1) return {soft};
      return {std::make_shared<op::Multiply>(soft, number(x, activation.alpha))};
    }
    case kClip: return {std::make_shared<op::Clamp>(x, activation.alpha, activation.beta)};
    case kHardSigmoid:
      return {std::make_shared<op::HardSigmoid>(x, number(x, activation.alpha), number(x, activation.beta))};
    case kGeluErf: return {std::make_shared<op::Gelu>(x, ov::op::GeluApproximationMode::ERF)};
    case kGeluTanh: return {std::make_shared<op::Gelu>(x, ov::op::GeluApproximationMode::TANH)};
    case kSilu: return unary<op::Swish>(x);
    case kHardSwish: return unary<op::HSwish>(x);
    case kMish: return unary<op::Mish>(x);
  }
  fail(ErrorCode::kInternal, "no such activation");
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Unary& operation) {
  const Output x = operand(layer, 0);
  using enum network::UnaryOperation;
  switch (operation.operation) {
    case kExp: return unary<op::Exp>(x);
    case kLog: return unary<op::Log>(x);
    case kSqrt: return unary<op::Sqrt>(x);
    case kRecip: return {std::make_shared<op::Divide>(number(x, 1), x)};
    case kAbs: return unary<op::Abs>(x);
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
    case kSign: return unary<op::Sign>(x);
    case kRound: return {std::make_shared<op::Round>(x, op::Round::RoundMode::HALF_TO_EVEN)};
    case kIsInf: return unary<op::IsInf>(x);
    case kIsNan: return unary<op::IsNaN>(x);
  }
  fail(ErrorCode::kInternal, "no such unary operation");
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::ElementWise& operation) {
  const Output a = operand(layer, 0);
  const Output b = operand(layer, 1);
  using enum network::ElementWiseOperation;
  switch (operation.operation) {
    case kSum: return binary<op::Add>(a, b);
    case kProd: return binary<op::Multiply>(a, b);
    case kMax: return binary<op::Maximum>(a, b);
    case kMin: return binary<op::Minimum>(a, b);
    case kSub: return binary<op::Subtract>(a, b);
    case kDiv: return {std::make_shared<op::Divide>(a, b, /*pythondiv=*/false)};
    case kPow: return binary<op::Power>(a, b);
    case kFloorDiv:
      if (a.get_element_type().is_real()) return {std::make_shared<op::Floor>(std::make_shared<op::Divide>(a, b))};
      return {std::make_shared<op::Divide>(a, b, /*pythondiv=*/true)};
    case kMod: return binary<op::FloorMod>(a, b);
    case kAnd: return binary<op::LogicalAnd>(a, b);
    case kOr: return binary<op::LogicalOr>(a, b);
    case kXor: return binary<op::LogicalXor>(a, b);
    case kEqual: return binary<op::Equal>(a, b);
    case kGreater: return binary<op::Greater>(a, b);
    case kLess: return binary<op::Less>(a, b);
  }
  fail(ErrorCode::kInternal, "no such elementwise operation");
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Cast& cast) {
  const Output x = operand(layer, 0);
  if (cast.to == DataType::kBool) return {std::make_shared<op::NotEqual>(x, number(x, 0))};
  return {std::make_shared<op::Convert>(x, element_type(cast.to))};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Reduce& reduce) {
  const Output x = operand(layer, 0);
  const auto axes = int_constant(reduce.axes);
  using enum network::ReduceOperation;
  switch (reduce.operation) {
    case kSum: return {std::make_shared<op::ReduceSum>(x, axes, reduce.keep_dims)};
    case kProd: return {std::make_shared<op::ReduceProd>(x, axes, reduce.keep_dims)};
    case kMax: return {std::make_shared<op::ReduceMax>(x, axes, reduce.keep_dims)};
    case kMin: return {std::make_shared<op::ReduceMin>(x, axes, reduce.keep_dims)};
    case kAvg: return {std::make_shared<op::ReduceMean>(x, axes, reduce.keep_dims)};
  }
  fail(ErrorCode::kInternal, "no such reduction");
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::Softmax& softmax) {
  return {std::make_shared<ov::op::v8::Softmax>(operand(layer, 0), softmax.axis)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::CumulativeSum& sum) {
  return {std::make_shared<op::CumSum>(operand(layer, 0), op::Constant::create(ov::element::i64, {}, {sum.axis}),
                                       sum.exclusive, sum.reverse)};
}

ov::OutputVector Lowering::lower(const Layer& layer, const network::TopK& topk) {
  const auto k = std::make_shared<op::Reshape>(materialize(topk.k), int_constant({}), false);
  const auto mode = topk.operation == network::TopKOperation::kMax ? ov::op::TopKMode::MAX : ov::op::TopKMode::MIN;
  // Stable sorting keeps equal elements in the order of their indices.
  const auto node = std::make_shared<ov::op::v11::TopK>(operand(layer, 0), k, topk.axis, mode,
                                                        ov::op::TopKSortType::SORT_VALUES, ov::element::i64, true);
  return {node->output(0), node->output(1)};
}

}  // namespace torchtrt::openvino
