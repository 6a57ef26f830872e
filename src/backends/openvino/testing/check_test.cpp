// SPDX-License-Identifier: Apache-2.0
// What is refused, with which reason.
#include <cmath>

#include <gtest/gtest.h>

#include <functional>

#include "backends/openvino/testing/harness.h"

namespace torchtrt::openvino::testing {
namespace {

using backend::Reason;
using network::ElementWiseOperation;
using network::ReduceOperation;

/// The reason for which the network that `add` makes of an input [s0, 4] is refused; nullopt if it is not.
std::optional<Reason> refused(DataType dtype, const std::function<void(Network&, ValueId)>& add,
                              Interval range = {INT32_MIN, INT32_MAX}, std::int64_t smallest = 1) {
  Network net("test");
  net.add_symbol("s0", {smallest, 2, 8});
  const ValueId x = net.add_input("x", dtype, {Expr::symbol("s0"), 4});
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

TEST(OpenVinoCheck, Dtypes) {
  EXPECT_EQ(refused(DataType::kFloat64, elementwise(ElementWiseOperation::kSum)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kFloat32, cast(DataType::kFloat64)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kFloat32, elementwise(ElementWiseOperation::kSum)), std::nullopt);
  EXPECT_EQ(refused(DataType::kBFloat16, elementwise(ElementWiseOperation::kSum)), std::nullopt);
}

TEST(OpenVinoCheck, Int64MustStayWithin32Bits) {
  const auto sum = elementwise(ElementWiseOperation::kSum);
  EXPECT_EQ(refused(DataType::kInt64, sum), Reason::kDataType);  // twice the largest leaves 32 bits
  EXPECT_EQ(refused(DataType::kInt64, sum, {0, 30522}), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt64, elementwise(ElementWiseOperation::kEqual)), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt32, sum), std::nullopt);  // wraps around in both
  EXPECT_EQ(refused(DataType::kFloat32, cast(DataType::kInt64)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kFloat32, cast(DataType::kInt32)), std::nullopt);
}

TEST(OpenVinoCheck, IntegersThatAreComputedInFloat32) {
  const auto divide = [](Interval divisor) {
    return [divisor](Network& net, ValueId x) {
      const ValueId y = net.add_input("y", DataType::kInt64, {Expr::symbol("s0"), 4});
      net.refine_range(y, divisor);
      net.add_elementwise(x, y, ElementWiseOperation::kFloorDiv);
    };
  };
  EXPECT_EQ(refused(DataType::kInt64, divide({1, 10}), {-1000, 1000}), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt64, divide({0, 10}), {-1000, 1000}),
            Reason::kDataType);  // the quotient's range is unknown
  EXPECT_EQ(refused(DataType::kInt64, divide({1, 10})), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt32, elementwise(ElementWiseOperation::kMod), {-10, 10}), Reason::kDataDependent);
  EXPECT_EQ(refused(DataType::kInt32, elementwise(ElementWiseOperation::kPow), {0, 3}), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt32, reduce(ReduceOperation::kSum)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt32, reduce(ReduceOperation::kMax)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt32, reduce(ReduceOperation::kSum), {0, 1}), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt32, reduce(ReduceOperation::kMin), {0, 1000}), std::nullopt);
}

TEST(OpenVinoCheck, FloatsWhoseQuotientIsRounded) {
  EXPECT_EQ(refused(DataType::kFloat32, elementwise(ElementWiseOperation::kMod)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kFloat32, elementwise(ElementWiseOperation::kFloorDiv)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kFloat32, elementwise(ElementWiseOperation::kDiv)), std::nullopt);
}

TEST(OpenVinoCheck, ReductionsOfNothing) {
  for (const ReduceOperation operation : {ReduceOperation::kAvg, ReduceOperation::kMax, ReduceOperation::kMin}) {
    EXPECT_EQ(refused(DataType::kFloat32, reduce(operation, 0), {}, 0), Reason::kDynamicShape);
    EXPECT_EQ(refused(DataType::kFloat32, reduce(operation, 0)), std::nullopt);
  }
  EXPECT_EQ(refused(DataType::kFloat32, reduce(ReduceOperation::kSum, 0), {}, 0), std::nullopt);
}

TEST(OpenVinoCheck, Int16IsKeptIn32Bits) {
  EXPECT_EQ(refused(DataType::kInt16, elementwise(ElementWiseOperation::kSum)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt16, elementwise(ElementWiseOperation::kMax)), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt32, cast(DataType::kInt16)), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kInt32, cast(DataType::kInt16), {0, 32767}), std::nullopt);
}

TEST(OpenVinoCheck, BFloat16) {
  const auto cumulate = [](Network& net, ValueId x) { net.add_layer(network::CumulativeSum{1}, {x}); };
  EXPECT_EQ(refused(DataType::kBFloat16, cumulate), Reason::kDataType);
  EXPECT_EQ(refused(DataType::kFloat32, cumulate), std::nullopt);
  EXPECT_EQ(refused(DataType::kInt32, cast(DataType::kBFloat16)), std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32, cast(DataType::kBFloat16)), std::nullopt);
}

TEST(OpenVinoCheck, ConstantsThatAreNotFinite) {
  for (const DataType dtype : {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16}) {
    const auto times = [](double number) {
      return [=](Network& net, ValueId x) {
        const network::Value& value = net.value(x);
        const ValueId factor = net.add_scalar(value.dtype, number, value.dims.size());
        net.add_elementwise(x, factor, network::ElementWiseOperation::kProd);
      };
    };
    EXPECT_EQ(refused(dtype, times(INFINITY)), std::nullopt);
    // A layer that loses them, of a constant.
    const auto normalize = [](double number) {
      return [=](Network& net, ValueId x) {
        const Dims dims{Expr(2), Expr(3)};
        const ValueId constant = net.add_broadcast(net.add_scalar(net.value(x).dtype, number, 2), dims);
        network::Normalization op;
        op.kind = network::NormalizationKind::kLayer;
        op.axes = {1};
        net.add_layer(op, {constant});
      };
    };
    for (const double number : {double{INFINITY}, -double{INFINITY}, double{NAN}}) {
      EXPECT_EQ(refused(dtype, normalize(number)), Reason::kBackend);
    }
    EXPECT_EQ(refused(dtype, normalize(1e4)), std::nullopt);
  }
}

TEST(OpenVinoCheck, Attributes) {
  const auto clip = [](double low, double high) {
    return [=](Network& net, ValueId x) { net.add_activation(x, network::ActivationType::kClip, low, high); };
  };
  EXPECT_EQ(refused(DataType::kFloat32, clip(0, 6)), std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32, clip(6, 0)), Reason::kAttribute);
  const auto pool = [](bool ceil, bool count_padding, std::int64_t dilation) {
    return [=](Network& net, ValueId x) {
      const ValueId image = net.add_reshape(x, {Expr::symbol("s0"), 1, 4});
      net.add_layer(
          network::Pooling{network::PoolingType::kAverage, {3}, {2}, {dilation}, {1}, {1}, ceil, count_padding},
          {image});
    };
  };
  EXPECT_EQ(refused(DataType::kFloat32, pool(false, true, 1)), std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32, pool(true, false, 1)), std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32, pool(true, true, 1)), Reason::kBackend);
  EXPECT_EQ(refused(DataType::kFloat32, pool(false, false, 2)), Reason::kBackend);
  // Of what is no input: an average of a constant, through any layers.
  for (const DataType dtype : {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16}) {
    const auto of_constant = [](Network& net, ValueId x) {
      const DataType type = net.value(x).dtype;
      const ValueId number = net.add_scalar(type, 2, 3);
      const ValueId w = net.add_elementwise(number, number, ElementWiseOperation::kSum);
      net.add_layer(network::Pooling{network::PoolingType::kAverage, {1}, {1}, {1}, {0}, {0}, false, false}, {w});
    };
    EXPECT_EQ(refused(dtype, of_constant),
              dtype == DataType::kBFloat16 ? std::optional(Reason::kBackend) : std::nullopt);
  }
  const auto slice = [](const Expr& start, const Expr& size) {
    return [=](Network& net, ValueId x) { net.add_slice(x, {start, 0}, {size, 4}, {-1, 1}); };
  };
  const Expr s0 = Expr::symbol("s0");
  EXPECT_EQ(refused(DataType::kFloat32, slice(s0 - 1, s0)), std::nullopt);
  EXPECT_EQ(refused(DataType::kFloat32, slice(s0 - 1, floor_div(s0 + 1, Expr(2)))), Reason::kDynamicShape);
}

TEST(OpenVinoCheck, ScaleFactors) {
  const auto resize = [](const Dims& dims, const Dims& size, double scale) {
    Network net("test");
    net.add_symbol("s0", {1, 2, 8});
    network::Resize op;
    op.size = size;
    op.scales = {scale};
    net.add_layer(op, {net.add_input("x", DataType::kFloat32, dims)});
    const auto refusal = first_refusal(net);
    return refusal ? std::optional(refusal->reason) : std::nullopt;
  };
  const Expr s0 = Expr::symbol("s0");
  EXPECT_EQ(resize({1, 1, 5}, {10}, 2), std::nullopt);
  EXPECT_EQ(resize({1, 1, s0}, {s0 * Expr(2)}, 2), std::nullopt);
  EXPECT_EQ(resize({1, 1, 4}, {6}, 1.5), std::nullopt);
  EXPECT_EQ(resize({1, 1, 5}, {7}, 1.5), Reason::kAttribute);  // 7.5, cut off
}

}  // namespace
}  // namespace torchtrt::openvino::testing
