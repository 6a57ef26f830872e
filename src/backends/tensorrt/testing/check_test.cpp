// SPDX-License-Identifier: Apache-2.0
// What is refused, with which reason; needs no vendor library.
#include <gtest/gtest.h>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/testing/harness.h"

namespace torchtrt::tensorrt::testing {
namespace {

using backend::Reason;
using network::ElementWiseOperation;
using network::ReduceOperation;

/// The reason for which the network that `add` makes of an input [n, 4] is refused; nullopt if it is not.
std::optional<Reason> refused(DataType dtype, const std::function<void(Network&, ValueId)>& add,
                              Interval range = {INT32_MIN, INT32_MAX}, network::SymbolRange n = {1, 2, 8}) {
  Network net("test");
  net.add_symbol("n", n);
  const ValueId x = net.add_input("x", dtype, {Expr::symbol("n"), 4});
  if (is_integral(dtype)) net.refine_range(x, range);
  add(net, x);
  const std::optional<backend::Refusal> refusal = first_refusal(net);
  if (!refusal) return std::nullopt;
  EXPECT_GT(refusal->message.size(), 20U);
  return refusal->reason;
}

auto elementwise(ElementWiseOperation operation) {
  return [operation](Network& net, ValueId x) { net.add_elementwise(x, x, operation); };
}
auto reduce(ReduceOperation operation, std::int64_t axis = 1) {
  return [operation, axis](Network& net, ValueId x) { net.add_reduce(x, operation, {axis}, false); };
}
auto cast(DataType to) {
  return [to](Network& net, ValueId x) { net.add_cast(x, to); };
}

TEST(TensorRtCheck, Dtypes) {
  const auto sum = elementwise(ElementWiseOperation::kSum);
  for (const DataType dtype : {DataType::kFloat64, DataType::kInt16, DataType::kInt8, DataType::kUInt8}) {
    EXPECT_EQ(refused(dtype, sum, {0, 10}), Reason::kDataType) << to_string(dtype);
  }
  EXPECT_EQ(refused(DataType::kFloat32, cast(DataType::kFloat64)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kUInt8, cast(DataType::kFloat32), {0, 255}), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt64, sum), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt64, cast(DataType::kUInt8), {0, 255}), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt64, cast(DataType::kUInt8), {0, 256}), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt64, cast(DataType::kUInt8), {-1, 255}), Reason::kDataType);
}

TEST(TensorRtCheck, Quotients) {
  const auto divide = [](ElementWiseOperation operation, Interval divisor) {
    return [=](Network& net, ValueId x) {
      const ValueId y = net.add_input("y", net.value(x).dtype, {Expr::symbol("n"), 4});
      if (is_integral(net.value(x).dtype)) net.refine_range(y, divisor);
      net.add_elementwise(x, y, operation);
    };
  };
  using enum ElementWiseOperation;
  for (const ElementWiseOperation operation : {kDiv, kFloorDiv, kMod}) {
    EXPECT_EQ(refused(DataType::kInt64, divide(operation, {1, 10}), {0, 1000}), std::nullopt);
    EXPECT_EQ(refused(DataType::kInt64, divide(operation, {1, 10}), {-1, 1000}), Reason::kDataType);
    EXPECT_EQ(refused(DataType::kInt64, divide(operation, {0, 10}), {0, 1000}), Reason::kDataType);
  }
  EXPECT_EQ(refused(DataType::kFloat32, divide(kDiv, {})), std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32, divide(kFloorDiv, {})), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kFloat32, divide(kMod, {})), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt32, elementwise(kPow), {0, 3}), Reason::kDataType);
}

TEST(TensorRtCheck, ReductionsOfNothing) {
  for (const auto operation :
       {ReduceOperation::kSum, ReduceOperation::kAvg, ReduceOperation::kMax, ReduceOperation::kMin}) {
    EXPECT_EQ(refused(DataType::kFloat32, reduce(operation, 0), {}, {0, 2, 8}), Reason::kDynamicShape);
    EXPECT_EQ(refused(DataType::kFloat32, reduce(operation, 1), {}, {0, 2, 8}), std::nullopt);
    EXPECT_EQ(refused(DataType::kFloat32, reduce(operation, 0)), std::nullopt);
  }
}

TEST(TensorRtCheck, DimensionsNeedAnUpperLimit) {
  EXPECT_EQ(refused(DataType::kFloat32, reduce(ReduceOperation::kSum), {}, {1, 2, Interval::kUnbounded}),
            Reason::kDynamicShape);
  EXPECT_EQ(refused(DataType::kFloat32, reduce(ReduceOperation::kSum), {}, {1, 2, INT32_MAX}), std::nullopt);
}

TEST(TensorRtCheck, OrderedElements) {
  const auto top = [](std::int64_t k) {
    return
        [k](Network& net, ValueId x) { net.add_layer(network::TopK{network::TopKOperation::kMax, Expr(k), 1}, {x}); };
  };
  EXPECT_EQ(refused(DataType::kFloat32, top(1)), std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32, top(2)), Reason::kBackend);
}

TEST(TensorRtCheck, WhatDataSelects) {
  EXPECT_EQ(refused(DataType::kFloat32,
                    [](Network& net, ValueId x) {
                      net.add_symbol("u0", {0, 1, 32});
                      net.add_layer(network::NonZero{"u0"}, {x});
                    }),
            Reason::kBackend);
  EXPECT_EQ(refused(DataType::kFloat32,
                    [](Network& net, ValueId) {
                      net.add_symbol("u0", {0, 1, 8});
                      const ValueId boxes = net.add_input("boxes", DataType::kFloat32, {8, 4});
                      const ValueId scores = net.add_input("scores", DataType::kFloat32, {8});
                      net.add_layer(network::NonMaxSuppression{0.5, "u0"}, {boxes, scores});
                    }),
            Reason::kBackend);
}

TEST(TensorRtCheck, DynamicWeights) {
  EXPECT_EQ(refused(DataType::kFloat32,
                    [](Network& net, ValueId) {
                      const ValueId x = net.add_input("image", DataType::kFloat32, {1, 3, 8, 8});
                      const ValueId w = net.add_input("w", DataType::kFloat32, {Expr::symbol("n"), 3, 3, 3});
                      net.add_layer(network::Convolution{{1, 1}, {1, 1}, {0, 0}, {0, 0}, 1}, {x, w});
                    }),
            Reason::kDynamicShape);
}

TEST(TensorRtVersion, WhichLibrariesFit) {
  static_assert(compat::kIsRtx);  // these tests are compiled with TensorRT-RTX's headers
  EXPECT_EQ(compat::split(10701).minor, 7);
  EXPECT_TRUE(compat::is_compatible(compat::split(10701)));
  EXPECT_TRUE(compat::is_compatible(compat::split(10500)));
  EXPECT_FALSE(compat::is_compatible(compat::split(10400)));   // crashes
  EXPECT_FALSE(compat::is_compatible(compat::split(110201)));  // TensorRT, not TensorRT-RTX
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
