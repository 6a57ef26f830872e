// SPDX-License-Identifier: Apache-2.0
// Layers that move elements: which dtypes build.
#include <gtest/gtest.h>

#include <memory>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/testing/layers/harness.h"

namespace torchtrt::tensorrt::testing {
namespace {

using network::GatherMode;
using network::ScatterMode;
using network::SliceMode;

std::vector<Case> constants() {
  return {{"matrix", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_input("x", DataType::kFloat32, {n});
             net.add_identity(zeros(net, {2, 3}, dtype));
           }},
          {"scalar", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_input("x", DataType::kFloat32, {n});
             zeros(net, {}, dtype);
           }},
          {"empty", kNone, [](Network& net, DataType dtype, const Expr& n) {
             net.add_input("x", DataType::kFloat32, {n});
             zeros(net, {0, 3}, dtype);
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtConstant, constants());

std::vector<Case> shuffles() {
  const auto shuffle = [](network::Shuffle op) {
    return [op](Network& net, DataType dtype, const Expr& n) {
      network::Shuffle made = op;
      if (made.reshape) made.reshape->push_back(n);
      net.add_layer(made, {net.add_input("x", dtype, {n, 4, 3})});
    };
  };
  return {{"nothing", kAny, shuffle({{}, std::nullopt, {}})},
          {"transpose", kAny, shuffle({{2, 0, 1}, std::nullopt, {}})},
          {"reshape", kAny, shuffle({{}, Dims{6, 2}, {}})},
          {"all", kAny, shuffle({{1, 2, 0}, Dims{3, 4}, {2, 1, 0}})},
          {"flatten", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_reshape(net.add_input("x", dtype, {n, 4, n}), {n * Expr(4) * n});
           }},
          {"two_sizes", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_reshape(net.add_input("x", dtype, {n, 6, n}), {n * Expr(2), 3, n});
           }},
          {"of_a_scalar", kAny,
           [](Network& net, DataType dtype, const Expr&) { net.add_reshape(net.add_input("x", dtype, {}), {1, 1}); }},
          {"to_a_scalar", kAny,
           [](Network& net, DataType dtype, const Expr&) { net.add_reshape(net.add_input("x", dtype, {1, 1}), {}); }},
          {"eight_dims", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_transpose(net.add_input("x", dtype, {n, 1, 2, 1, 2, 1, 2, 1}), {7, 6, 5, 4, 3, 2, 1, 0});
           }},
          {"nine_dims", kNone, [](Network& net, DataType dtype, const Expr& n) {
             net.add_reshape(net.add_input("x", dtype, {n, 4}), {n, 1, 1, 1, 1, 1, 1, 1, 4});
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtShuffle, shuffles());

std::vector<Case> slices() {
  const auto slice = [](Dims start, Dims size, std::vector<std::int64_t> stride, SliceMode mode) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      std::vector<ValueId> inputs{net.add_input("x", dtype, {n, 6})};
      if (mode == SliceMode::kFill) inputs.push_back(net.add_input("fill", dtype, {}));
      Dims sizes = size;
      sizes.insert(sizes.begin(), n);
      net.add_layer(network::Slice{start, sizes, stride, mode}, inputs);
    };
  };
  return {{"strict", kAny, slice({0, 1}, {3}, {1, 2}, SliceMode::kStrict)},
          {"backwards", kAny, slice({0, 5}, {6}, {1, -1}, SliceMode::kStrict)},
          {"fill", kAny, slice({-1, -2}, {9}, {1, 1}, SliceMode::kFill)},
          {"reflect", kAny, slice({0, -3}, {12}, {1, 1}, SliceMode::kReflect)},
          {"clamp", kAny, slice({-1, -3}, {12}, {1, 1}, SliceMode::kClamp)},
          {"last_row", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_slice(net.add_input("x", dtype, {n, 6}), {n - Expr(1), 0}, {1, 6}, {1, 1});
           }},
          {"half", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_slice(net.add_input("x", dtype, {n, 6}), {0, 0}, {floor_div(n + Expr(1), Expr(2)), 6}, {2, 1});
           }},
          {"nothing", kAny, [](Network& net, DataType dtype, const Expr& n) {
             net.add_slice(net.add_input("x", dtype, {n, 6}), {0, 2}, {n, 0}, {1, 1});
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtSlice, slices());

std::vector<Case> joins() {
  return {{"broadcast", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_broadcast(net.add_input("x", dtype, {n, 1, 3}), {5, n, 4, 3});
           }},
          {"broadcast_scalar", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_input("y", DataType::kFloat32, {n});
             net.add_broadcast(net.add_input("x", dtype, {}), {n, 3});
           }},
          {"broadcast_to_the_same", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_broadcast(net.add_input("x", dtype, {n, 3}), {n, 3});
           }},
          {"concatenation", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             const ValueId x = net.add_input("x", dtype, {3, n});
             net.add_concatenation({x, net.add_input("y", dtype, {3, 4}), x}, 1);
           }},
          {"concatenation_of_one", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_concatenation({net.add_input("x", dtype, {3, n})}, 0);
           }},
          {"identity", kAny,
           [](Network& net, DataType dtype, const Expr& n) { net.add_identity(net.add_input("x", dtype, {3, n})); }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtJoin, joins());

std::vector<Case> gathers() {
  const auto gather = [](GatherMode mode, std::int64_t axis, Dims index_dims, DataType index_dtype) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      Dims shape = index_dims;
      shape.insert(shape.begin(), n);
      const ValueId data = net.add_input("x", dtype, {n, 5, 4});
      net.add_layer(network::Gather{mode, axis}, {data, indices(net, "i", shape, 0, 0, index_dtype)});
    };
  };
  return {{"default", kAny, gather(GatherMode::kDefault, 1, {2}, DataType::kInt64)},
          {"default_int32", kAny, gather(GatherMode::kDefault, 0, {}, DataType::kInt32)},
          {"element", kAny, gather(GatherMode::kElement, 1, {3, 4}, DataType::kInt64)},
          {"nd", kAny, gather(GatherMode::kNd, 0, {2}, DataType::kInt64)},
          {"one", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             net.add_gather(net.add_input("x", dtype, {n, 5}), indices(net, "i", {}, 0, 0), 0);
           }},
          {"embedding", kAny, [](Network& net, DataType dtype, const Expr& n) {
             net.add_gather(zeros(net, {10, 4}, dtype), indices(net, "i", {n, 3}, 0, 9), 0);
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtGather, gathers());

std::vector<Case> scatters() {
  return {{"element", kAny,
           [](Network& net, DataType dtype, const Expr& n) {
             const ValueId data = net.add_input("x", dtype, {n, 5});
             const ValueId at = indices(net, "i", {n, 2}, 0, 4);
             net.add_layer(network::Scatter{ScatterMode::kElement, 1}, {data, at, net.add_input("u", dtype, {n, 2})});
           }},
          {"nd", kAny, [](Network& net, DataType dtype, const Expr& n) {
             const ValueId data = net.add_input("x", dtype, {5, n});
             const ValueId at = indices(net, "i", {3, 1}, 0, 4);
             net.add_layer(network::Scatter{ScatterMode::kNd, 0}, {data, at, net.add_input("u", dtype, {3, n})});
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtScatter, scatters());

std::vector<Case> shapes_as_data() {
  const auto fill = [](double start, double step) {
    return [=](Network& net, DataType dtype, const Expr& n) {
      net.add_input("x", DataType::kFloat32, {n});
      net.add_layer(network::Fill{network::FillOperation::kLinspace, dtype, n * Expr(3), start, step}, {});
    };
  };
  const std::vector<DataType> fills{DataType::kFloat32, DataType::kInt64, DataType::kInt32};
  return {{"count", fills, fill(0, 1)},
          {"fill", fills, fill(5, -2)},
          {"non_zero", compat::kIsRtx ? kNone : kAny, [](Network& net, DataType dtype, const Expr& n) {
             const ValueId x = net.add_input("x", dtype, {n, 3});
             net.add_symbol("u0", {0, 1, 24});
             net.add_layer(network::NonZero{"u0"}, {x});
           }}};
}
TORCHTRT_TENSORRT_CASES(TensorRtShapesAsData, shapes_as_data());

/// y: int64[1 + the expressions], of inputs x[n, m] and m's own value as a shape input.
std::string problem_of_shapes(const std::vector<Expr>& values, bool scalar = false) {
  Network net("test");
  net.add_symbol("n", {1, 2, 8});
  net.add_symbol("m", {0, 3, 9});
  net.add_input("x", DataType::kFloat32, {Expr::symbol("n"), 3});
  net.add_shape_input("m", "m");
  net.mark_output(net.add_layer(network::ShapeOf{values, scalar}, {})[0], "y");
  EXPECT_FALSE(first_refusal(net));
  return problem_of(net);
}

TEST(TensorRtShapeOf, Expressions) {
  if (!has_library()) GTEST_SKIP() << "the library is not there";
  const Expr n = Expr::symbol("n");
  const Expr m = Expr::symbol("m");
  EXPECT_EQ(problem_of_shapes({n}, /*scalar=*/true), "");
  EXPECT_EQ(problem_of_shapes({m}, /*scalar=*/true), "");
  EXPECT_EQ(problem_of_shapes({Expr(7)}, /*scalar=*/true), "");
  EXPECT_EQ(problem_of_shapes({Expr(1), n, m, Expr(2), Expr(3)}), "");
  EXPECT_EQ(problem_of_shapes({n * m - Expr(1), floor_div(n + Expr(1), Expr(2)), mod(m, n), max(n, m), min(n, m)}), "");
}

// What the library computes from constants shows in the dims it infers: expressions must mean the same in both.
TEST(TensorRtShapeOf, ArithmeticIsPythons) {
  if (!has_library()) GTEST_SKIP() << "the library is not there";
  const std::unique_ptr<nvinfer1::IBuilder> trt = create_builder();
  const std::unique_ptr<nvinfer1::INetworkDefinition> net(trt->createNetworkV2(compat::network_flags()));
  const auto constant = [&](const std::int64_t& value) {
    return net->addConstant({1, {1}}, {nvinfer1::DataType::kINT64, &value, 1})->getOutput(0);
  };
  using nvinfer1::ElementWiseOperation;
  const auto inferred = [&](const std::int64_t& a, const std::int64_t& b, ElementWiseOperation operation,
                            const std::int64_t& offset) {
    auto* value = net->addElementWise(*constant(a), *constant(b), operation)->getOutput(0);
    auto* fill = net->addFill({1, {1}}, nvinfer1::FillOperation::kLINSPACE, nvinfer1::DataType::kINT64);
    fill->setInput(0, *net->addElementWise(*value, *constant(offset), ElementWiseOperation::kSUM)->getOutput(0));
    return fill->getOutput(0)->getDimensions().d[0] - offset;
  };
  const std::int64_t seven = 7, minus_seven = -7, two = 2, minus_two = -2, offset = 100;
  EXPECT_EQ(inferred(seven, two, ElementWiseOperation::kFLOOR_DIV, offset), 3);
  EXPECT_EQ(inferred(minus_seven, two, ElementWiseOperation::kFLOOR_DIV, offset), -4);
  EXPECT_EQ(inferred(seven, minus_two, ElementWiseOperation::kFLOOR_DIV, offset), -4);
  EXPECT_EQ(inferred(minus_seven, minus_two, ElementWiseOperation::kFLOOR_DIV, offset), 3);
  EXPECT_EQ(inferred(minus_seven, two, ElementWiseOperation::kMAX, offset), 2);
  EXPECT_EQ(inferred(minus_seven, two, ElementWiseOperation::kMIN, offset), -7);
  EXPECT_EQ(inferred(minus_seven, two, ElementWiseOperation::kPROD, offset), -14);
  EXPECT_EQ(inferred(minus_seven, two, ElementWiseOperation::kSUB, offset), -9);
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
