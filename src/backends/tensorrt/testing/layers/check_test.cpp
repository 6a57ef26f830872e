// SPDX-License-Identifier: Apache-2.0
// What is refused, with which reason; needs no vendor library.
#include <gtest/gtest.h>

#include "backends/tensorrt/compat/functions.h"
#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/testing/layers/harness.h"

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
            compat::kIsRtx ? std::optional(Reason::kBackend) : std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32,
                    [](Network& net, ValueId) {
                      net.add_symbol("u0", {0, 1, 8});
                      const ValueId boxes = net.add_input("boxes", DataType::kFloat32, {8, 4});
                      const ValueId scores = net.add_input("scores", DataType::kFloat32, {8});
                      net.add_layer(network::NonMaxSuppression{0.5, "u0"}, {boxes, scores});
                    }),
            Reason::kBackend);
}

TEST(TensorRtCheck, ConstantsThatAreNaN) {
  const auto with = [](float value) {
    return refused(DataType::kFloat32, [value](Network& net, ValueId x) {
      const auto storage = std::make_shared<float>(value);
      const ValueId number = net.add_constant({1, 1}, DataType::kFloat32, {storage, sizeof(float)});
      net.add_elementwise(x, number, network::ElementWiseOperation::kSum);
    });
  };
  EXPECT_EQ(with(1), std::nullopt);
  EXPECT_EQ(with(-std::numeric_limits<float>::infinity()), std::nullopt);
  EXPECT_EQ(with(std::numeric_limits<float>::quiet_NaN()), Reason::kBackend);
}

TEST(TensorRtCheck, IntegersBecomeBFloat16WhereItHoldsThem) {
  const auto in = [](std::int64_t low, std::int64_t high) {
    return refused(DataType::kFloat32, [=](Network& net, ValueId) {
      net.add_layer(network::Cast{DataType::kBFloat16}, {indices(net, "i", {3}, low, high)});
    });
  };
  EXPECT_EQ(in(-256, 256), std::nullopt);
  EXPECT_EQ(in(0, 257), Reason::kDataType);
}

TEST(TensorRtCheck, ProductsOfIntegers) {
  EXPECT_EQ(refused(DataType::kFloat32, reduce(ReduceOperation::kProd)), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt64, reduce(ReduceOperation::kProd)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt32, reduce(ReduceOperation::kSum)), std::nullopt);
}

TEST(TensorRtCheck, CastsBetweenTheHalves) {
  const auto chain = [](std::vector<DataType> types) {
    return refused(DataType::kFloat32, [types](Network& net, ValueId x) {
      for (const DataType type : types) x = net.add_cast(x, type);
    });
  };
  using enum DataType;
  EXPECT_EQ(chain({kFloat16, kFloat32}), std::nullopt);
  EXPECT_EQ(chain({kBFloat16, kFloat32}), std::nullopt);
  EXPECT_EQ(chain({kFloat16, kFloat32, kBFloat16}), std::nullopt);
  EXPECT_EQ(chain({kBFloat16, kFloat16}), Reason::kDataType);
  EXPECT_EQ(chain({kBFloat16, kFloat32, kFloat16}), Reason::kDataType);
  EXPECT_EQ(chain({kBFloat16, kFloat32}), std::nullopt);
  EXPECT_EQ(chain({kFloat16, kBFloat16}), Reason::kDataType);
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
  EXPECT_EQ(compat::split(10701).minor, 7);
  EXPECT_EQ(compat::split(110201).patch, 1);
  std::vector<int> fits;
  for (const int number :
       {10400, 10500, 10701, 90300, 100300, 100600, 100700, 100800, 100900, 101601, 110100, 110201}) {
    if (compat::is_compatible(compat::split(number))) fits.push_back(number);
  }
  const std::vector<int> of_rtx{10500, 10701};                   // older ones crash
  const std::vector<int> of_10{100600, 100700, 100900, 101601};  // 10.8 has functions in other places
  EXPECT_EQ(fits, compat::kIsRtx ? of_rtx : compat::kCompiled.major == 10 ? of_10 : std::vector<int>{110201});
}

TEST(TensorRtVersion, WhatOlderLibrariesLack) {
  if (compat::kIsRtx || compat::kCompiled.major != 10) GTEST_SKIP() << "all of them have the same functions";
  const compat::Functions oldest = compat::functions_of({10, 6, 0});
  EXPECT_FALSE(oldest.cumulative || oldest.int64_shape_values || oldest.attention || oldest.int64_indices ||
               oldest.normalization_v2);
  EXPECT_TRUE(compat::functions_of({10, 9, 0}).cumulative);
  EXPECT_FALSE(compat::functions_of({10, 14, 0}).normalization_v2);
  EXPECT_TRUE(compat::functions_of({10, 14, 0}).attention);
  EXPECT_TRUE(compat::functions_of({10, 15, 0}).normalization_v2);
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
