// SPDX-License-Identifier: Apache-2.0
// Layers that compute elements: which dtypes build.
#include <gtest/gtest.h>

#include "backends/tensorrt/testing/layers/harness.h"

namespace torchtrt::tensorrt::testing {
namespace {

using network::ActivationType;
using network::ElementWiseOperation;
using network::MatrixOperation;
using network::ReduceOperation;
using network::UnaryOperation;

// Integers are small and not negative, as division wants them.
ValueId operand(Network& net, const std::string& name, DataType dtype, Dims dims) {
  const ValueId id = net.add_input(name, dtype, std::move(dims));
  if (is_integral(dtype)) net.refine_range(id, {1, 100});
  return id;
}

std::vector<Case> activations() {
  std::vector<Case> cases;
  for (int i = 0; i <= static_cast<int>(ActivationType::kQuotient); ++i) {
    const auto type = static_cast<ActivationType>(i);
    cases.push_back({std::string(to_string(type)), kFloats, [type](Network& net, DataType dtype, const Expr& n) {
                       net.add_activation(operand(net, "x", dtype, {n, 3}), type, 0.25, 1);
                     }});
  }
  return cases;
}
TORCHTRT_TENSORRT_CASES(TensorRtActivation, activations());

std::vector<Case> unaries() {
  std::vector<Case> cases;
  for (int i = 0; i <= static_cast<int>(UnaryOperation::kIsNan); ++i) {
    const auto operation = static_cast<UnaryOperation>(i);
    const bool any_number =
        operation == UnaryOperation::kAbs || operation == UnaryOperation::kNeg || operation == UnaryOperation::kSign;
    cases.push_back({std::string(to_string(operation)),
                     operation == UnaryOperation::kNot ? kBools
                     : any_number                      ? kNumbers
                                                       : kFloats,
                     [operation](Network& net, DataType dtype, const Expr& n) {
                       net.add_unary(operand(net, "x", dtype, {n, 3}), operation);
                     }});
  }
  return cases;
}
TORCHTRT_TENSORRT_CASES(TensorRtUnary, unaries());

std::vector<Case> elementwises() {
  std::vector<Case> cases;
  using enum ElementWiseOperation;
  for (int i = 0; i <= static_cast<int>(kLess); ++i) {
    const auto operation = static_cast<ElementWiseOperation>(i);
    const bool logical = operation == kAnd || operation == kOr || operation == kXor;
    const bool quotient = operation == kFloorDiv || operation == kMod;
    std::vector<DataType> builds = logical               ? kBools
                                   : operation == kEqual ? kAny
                                   : quotient            ? kIntegers
                                   : operation == kPow   ? kFloats
                                                         : kNumbers;
    cases.push_back(
        {std::string(to_string(operation)), builds, [operation](Network& net, DataType dtype, const Expr& n) {
           const ValueId a = operand(net, "a", dtype, {n, 1, 3});
           const ValueId b = operand(net, "b", dtype, {1, 4, 3});
           net.add_elementwise(a, b, operation);
         }});
  }
  for (const auto operation : {kMax, kMin}) {
    cases.push_back({std::string(to_string(operation)) + "_constant", kFloats,
                     [operation](Network& net, DataType dtype, const Expr& n) {
                       const ValueId x = operand(net, "x", dtype, {n, 3});
                       net.add_elementwise(net.add_scalar(dtype, 0.5, 2), x, operation);
                     }});
  }
  return cases;
}
TORCHTRT_TENSORRT_CASES(TensorRtElementWise, elementwises());

std::vector<Case> casts() {
  std::vector<Case> cases;
  for (const DataType to : kAny) {
    std::vector<DataType> builds = kAny;
    builds.push_back(DataType::kUInt8);
    if (to == DataType::kBFloat16) std::erase(builds, DataType::kFloat16);
    if (to == DataType::kFloat16) std::erase(builds, DataType::kBFloat16);
    cases.push_back({std::string(to_string(to)), builds, [to](Network& net, DataType dtype, const Expr& n) {
                       net.add_cast(operand(net, "x", dtype, {n, 3}), to);
                     }});
  }
  std::vector<DataType> builds = kAny;
  builds.push_back(DataType::kUInt8);
  cases.push_back({"uint8", builds, [](Network& net, DataType dtype, const Expr& n) {
                     net.add_cast(operand(net, "x", dtype, {n, 3}), DataType::kUInt8);
                   }});
  cases.push_back({"through_uint8", kNone, [](Network& net, DataType dtype, const Expr& n) {
                     net.add_cast(net.add_cast(operand(net, "x", dtype, {n, 3}), DataType::kUInt8), DataType::kInt64);
                   }});
  return cases;
}
TORCHTRT_TENSORRT_CASES(TensorRtCast, casts());

std::vector<Case> selects() {
  return {{"broadcast", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             const ValueId condition = net.add_input("condition", DataType::kBool, {n, 1});
             const ValueId a = operand(net, "a", dtype, {1, 3});
             net.add_select(condition, a, operand(net, "b", dtype, {n, 3}));
           }},
          {"scalar", kAny, [](Network& net, DataType dtype, const Expr&) {
             const ValueId condition = net.add_input("condition", DataType::kBool, {});
             net.add_select(condition, operand(net, "a", dtype, {}), operand(net, "b", dtype, {}));
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtSelect, selects());

std::vector<Case> matrix_products() {
  using enum MatrixOperation;
  return {{"weights", kFloats,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_matrix_multiply(operand(net, "x", dtype, {n, 4}), kNone, zeros(net, {3, 4}, dtype), kTranspose);
           }},
          {"batched", kFloats, [](Network& net, DataType dtype, const Expr& n) {
             const ValueId a = operand(net, "a", dtype, {n, 1, 4, 5});
             net.add_matrix_multiply(a, kTranspose, operand(net, "b", dtype, {1, 3, 4, n}), kNone);
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtMatrixMultiply, matrix_products());

std::vector<Case> reductions() {
  std::vector<Case> cases;
  for (int i = 0; i <= static_cast<int>(ReduceOperation::kAvg); ++i) {
    const auto operation = static_cast<ReduceOperation>(i);
    const std::string name(to_string(operation));
    const std::vector<DataType>& builds =
        operation == ReduceOperation::kAvg || operation == ReduceOperation::kProd ? kFloats : kNumbers;
    cases.push_back({name, builds, [operation](Network& net, DataType dtype, const Expr& n) {
                       net.add_reduce(operand(net, "x", dtype, {3, n, 4}), operation, {1, 2}, false);
                     }});
    cases.push_back({name + "_keep", builds, [operation](Network& net, DataType dtype, const Expr& n) {
                       net.add_reduce(operand(net, "x", dtype, {n, 4}), operation, {0}, true);
                     }});
    cases.push_back({name + "_all", builds, [operation](Network& net, DataType dtype, const Expr& n) {
                       net.add_reduce(operand(net, "x", dtype, {n, 4}), operation, {0, 1}, false);
                     }});
  }
  cases.push_back({"no_axes", kNumbers, [](Network& net, DataType dtype, const Expr& n) {
                     net.add_reduce(operand(net, "x", dtype, {n}), ReduceOperation::kSum, {}, false);
                   }});
  return cases;
}
TORCHTRT_TENSORRT_CASES(TensorRtReduce, reductions());

std::vector<Case> along_an_axis() {
  const auto softmax = [](std::int64_t axis) {
    return [axis](Network& net, DataType dtype, const Expr& n) {
      net.add_softmax(operand(net, "x", dtype, {n, 3, n}), axis);
    };
  };
  const auto top = [](network::TopKOperation operation, std::int64_t axis, std::int64_t k) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      net.add_layer(network::TopK{operation, Expr(k), axis}, {operand(net, "x", dtype, {4, n})});
    };
  };
  const auto cumulate = [](bool exclusive, bool reverse) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      net.add_layer(network::CumulativeSum{1, exclusive, reverse}, {operand(net, "x", dtype, {3, n})});
    };
  };
  return {{"softmax_first", kFloats, softmax(0)},
          {"softmax_last", kFloats, softmax(2)},
          {"softmax_of_a_vector", kFloats,
           [](Network& net, DataType dtype, const Expr& n) { net.add_softmax(operand(net, "x", dtype, {n}), 0); }},
          {"greatest", kNumbers, top(network::TopKOperation::kMax, 0, 1)},
          {"least", kNumbers, top(network::TopKOperation::kMin, 1, 1)},
          {"two_greatest", kNone, top(network::TopKOperation::kMax, 0, 2)},
          {"greatest_of_a_vector", kNumbers,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_layer(network::TopK{network::TopKOperation::kMax, Expr(1), 0}, {operand(net, "x", dtype, {n})});
           }},
          {"sum", kNumbers, cumulate(false, false)},
          {"exclusive_sum", kNumbers, cumulate(true, false)},
          {"reverse_sum", kNumbers, cumulate(false, true)}};
}
TORCHTRT_TENSORRT_CASES(TensorRtAlongAnAxis, along_an_axis());

}  // namespace
}  // namespace torchtrt::tensorrt::testing
