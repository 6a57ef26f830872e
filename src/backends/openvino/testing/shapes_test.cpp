// SPDX-License-Identifier: Apache-2.0
// Layers that move elements, and shapes as data.
#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "backends/openvino/testing/harness.h"

namespace torchtrt::openvino::testing {
namespace {

template <typename T>
std::vector<T> counting(std::size_t count) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<T>(i);
  return values;
}

// x[s0, 3, 4] of float32 with s0 = 2: 0, 1, 2, ..
struct Dynamic {
  Dynamic() {
    net.add_symbol("s0", {1, 2, 64});
    x = net.add_input("x", DataType::kFloat32, {s0, 3, 4});
  }
  Tensor run(ValueId y) {
    net.mark_output(y, "y");
    return evaluate(net, {Tensor::of<float>({2, 3, 4}, counting<float>(24))})[0];
  }
  Network net{"test"};
  Expr s0 = Expr::symbol("s0");
  ValueId x;
};

TEST(OpenVinoShuffle, DynamicReshapes) {
  const std::vector<std::pair<std::function<Dims(const Expr&)>, Shape>> cases{
      {[](const Expr& s0) { return Dims{s0, 12}; }, {2, 12}},
      {[](const Expr& s0) { return Dims{s0 * Expr(3), 4}; }, {6, 4}},
      {[](const Expr& s0) { return Dims{3, s0, 4}; }, {3, 2, 4}},
      {[](const Expr& s0) { return Dims{s0, 3, 2, 2}; }, {2, 3, 2, 2}},
      {[](const Expr& s0) { return Dims{12 * s0 + 0}; }, {24}},
      {[](const Expr& s0) { return Dims{1, s0, 1, 12}; }, {1, 2, 1, 12}},
      {[](const Expr& s0) { return Dims{floor_div(s0 * Expr(12), Expr(4)), 4}; }, {6, 4}},
  };
  for (const auto& [dims, shape] : cases) {
    Dynamic d;
    const Tensor y = d.run(d.net.add_reshape(d.x, dims(d.s0)));
    EXPECT_EQ(y.shape, shape);
    expect_same(y.as<float>(), counting<float>(24));
  }
}

TEST(OpenVinoShuffle, TransposesAroundAReshape) {
  Dynamic d;
  // [s0, 3, 4] -> [4, s0, 3] -> [4, s0 * 3] -> [s0 * 3, 4]
  const Tensor y = d.run(d.net.add_layer(network::Shuffle{{2, 0, 1}, Dims{4, d.s0 * Expr(3)}, {1, 0}}, {d.x})[0]);
  EXPECT_EQ(y.shape, (Shape{6, 4}));
  expect_same(y.as<float>(), counting<float>(24));
}

TEST(OpenVinoShuffle, EmptyBatch) {
  Network net("test");
  net.add_symbol("s0", {0, 2, 64});
  const Expr s0 = Expr::symbol("s0");
  const ValueId x = net.add_input("x", DataType::kFloat32, {s0, 3, 4});
  net.mark_output(net.add_reshape(x, {3, s0 * Expr(4)}), "y");
  Engine engine(net);
  EXPECT_EQ(engine({Tensor::of<float>({0, 3, 4}, {})})[0].shape, (Shape{3, 0}));
  EXPECT_EQ(engine({Tensor::of<float>({2, 3, 4}, counting<float>(24))})[0].shape, (Shape{3, 8}));
}

TEST(OpenVinoBroadcast, ToASymbolicShape) {
  Dynamic d;
  const ValueId row = constant<float>(d.net, {3, 1}, {1, 2, 3});
  const Tensor y =
      d.run(d.net.add_elementwise(d.net.add_broadcast(row, {d.s0, 3, 4}), d.x, network::ElementWiseOperation::kSum));
  std::vector<float> expected = counting<float>(24);
  for (std::size_t i = 0; i < 24; ++i) expected[i] += static_cast<float>(i / 4 % 3 + 1);
  expect_same(y.as<float>(), expected);
}

TEST(OpenVinoSlice, StridesAndDirections) {
  struct Case {
    std::int64_t start, size, stride;
    std::vector<float> expected;
  };
  for (const Case& c :
       {Case{1, 2, 1, {1, 2}}, Case{0, 2, 2, {0, 2}}, Case{1, 2, 2, {1, 3}}, Case{3, 4, -1, {3, 2, 1, 0}},
        Case{3, 2, -2, {3, 1}}, Case{2, 2, -2, {2, 0}}, Case{3, 2, -1, {3, 2}}, Case{1, 0, 3, {}}, Case{0, 0, 1, {}}}) {
    SCOPED_TRACE(::testing::Message() << c.start << " " << c.size << " " << c.stride);
    Network net("test");
    const ValueId x = net.add_input("x", DataType::kFloat32, {4});
    net.mark_output(net.add_slice(x, {c.start}, {c.size}, {c.stride}), "y");
    expect_same(evaluate(net, {Tensor::of<float>({4}, {0, 1, 2, 3})})[0].as<float>(), c.expected);
  }
}

TEST(OpenVinoSlice, SymbolicBoundsAndReversal) {
  Dynamic d;
  // The last row, rows reversed: x[s0 - 1 :: -1] is all of x, backwards.
  const ValueId last = d.net.add_slice(d.x, {d.s0 - 1, 0, 0}, {1, 3, 4}, {1, 1, 1});
  const ValueId reversed = d.net.add_slice(d.x, {d.s0 - 1, 0, 0}, {d.s0, 3, 4}, {-1, 1, 1});
  const Tensor y = d.run(d.net.add_concatenation({last, reversed}, 0));
  std::vector<float> expected;
  for (const int row : {1, 1, 0}) {
    for (int i = 0; i < 12; ++i) expected.push_back(static_cast<float>(row * 12 + i));
  }
  EXPECT_EQ(y.shape, (Shape{3, 3, 4}));
  expect_same(y.as<float>(), expected);
}

TEST(OpenVinoSlice, PadsAndCrops) {
  using network::SliceMode;
  const std::vector<std::pair<SliceMode, std::vector<std::int32_t>>> cases{
      {SliceMode::kFill, {7, 7, 16777217, 1, 2, 7}},
      {SliceMode::kReflect, {2, 1, 16777217, 1, 2, 1}},
      {SliceMode::kClamp, {16777217, 16777217, 16777217, 1, 2, 2}}};
  for (const auto& [mode, expected] : cases) {
    Network net("test");
    const ValueId x = net.add_input("x", DataType::kInt32, {3});
    std::vector<ValueId> operands{x};
    if (mode == SliceMode::kFill) operands.push_back(net.add_int_scalar(DataType::kInt32, 7));
    net.mark_output(net.add_layer(network::Slice{{-2}, {6}, {1}, mode}, operands)[0], "y");
    EXPECT_EQ(evaluate(net, {Tensor::of<std::int32_t>({3}, {16777217, 1, 2})})[0].as<std::int32_t>(), expected);
  }
  Network net("test");  // cropped at the front, padded with zeros at the back
  const ValueId x = net.add_input("x", DataType::kInt32, {3});
  net.mark_output(net.add_layer(network::Slice{{1}, {4}, {1}, SliceMode::kFill}, {x})[0], "y");
  EXPECT_EQ(evaluate(net, {Tensor::of<std::int32_t>({3}, {5, 6, 7})})[0].as<std::int32_t>(),
            (std::vector<std::int32_t>{6, 7, 0, 0}));
}

template <typename T>
void expect_moves() {
  Network net("test");
  net.add_symbol("s0", {1, 2, 8});
  const ValueId x = net.add_input("x", dtype_of<T>(), {Expr::symbol("s0"), 3});
  if (dtype_of<T>() == DataType::kInt64) net.refine_range(x, {INT32_MIN, INT32_MAX});
  const ValueId twice = net.add_concatenation({x, x}, 1);   // [s0, 6]
  const ValueId turned = net.add_transpose(twice, {1, 0});  // [6, s0]
  const ValueId rows = constant<std::int64_t>(net, {2}, {5, 0});
  const ValueId picked = net.add_gather(turned, rows, 0);  // [2, s0]
  const ValueId swapped = net.add_slice(picked, {1, 0}, {2, Expr::symbol("s0")}, {-1, 1});
  net.mark_output(swapped, "y");
  const Tensor y = evaluate(net, {Tensor::of<T>({2, 3}, {1, 0, 1, 0, 1, 1})})[0];
  EXPECT_EQ(y.shape, (Shape{2, 2}));
  EXPECT_EQ(y.as<T>(), (std::vector<T>{1, 0, 1, 1})) << to_string(dtype_of<T>());
}
TEST(OpenVinoMoves, EveryDtype) {
  expect_moves<float>();
  expect_moves<std::int64_t>();
  expect_moves<std::int32_t>();
  expect_moves<std::int16_t>();
  expect_moves<std::int8_t>();
  expect_moves<std::uint8_t>();
  expect_moves<bool>();
}

TEST(OpenVinoGather, Modes) {
  const Tensor data = Tensor::of<float>({3, 4}, counting<float>(12));
  const auto run = [&](network::GatherMode mode, std::int64_t axis, const Shape& shape,
                       const std::vector<std::int64_t>& indices) {
    Network net("test");
    const ValueId x = net.add_input("x", DataType::kFloat32, {3, 4});
    const ValueId i = net.add_input("i", DataType::kInt64, Dims(shape.begin(), shape.end()));
    net.refine_range(i, {0, 2});
    net.mark_output(net.add_layer(network::Gather{mode, axis}, {x, i})[0], "y");
    return evaluate(net, {data, Tensor::of<std::int64_t>(shape, indices)})[0];
  };
  const Tensor rows = run(network::GatherMode::kDefault, 0, {2, 1}, {2, 0});
  EXPECT_EQ(rows.shape, (Shape{2, 1, 4}));
  expect_same(rows.as<float>(), {8, 9, 10, 11, 0, 1, 2, 3});
  expect_same(run(network::GatherMode::kElement, 1, {3, 2}, {0, 1, 2, 2, 1, 0}).as<float>(), {0, 1, 6, 6, 9, 8});
  expect_same(run(network::GatherMode::kNd, 0, {2, 2}, {0, 1, 2, 2}).as<float>(), {1, 10});
}

TEST(OpenVinoScatter, Modes) {
  const auto run = [&](network::ScatterMode mode, const Shape& shape, const std::vector<std::int64_t>& indices,
                       const Shape& update_shape) {
    Network net("test");
    const ValueId x = net.add_input("x", DataType::kInt32, {2, 3});
    const ValueId i = net.add_input("i", DataType::kInt64, Dims(shape.begin(), shape.end()));
    const ValueId u = net.add_input("u", DataType::kInt32, Dims(update_shape.begin(), update_shape.end()));
    net.refine_range(i, {0, 1});
    net.mark_output(net.add_layer(network::Scatter{mode, 0}, {x, i, u})[0], "y");
    return evaluate(net,
                    {Tensor::of<std::int32_t>({2, 3}, {0, 1, 2, 3, 4, 5}), Tensor::of<std::int64_t>(shape, indices),
                     Tensor::of<std::int32_t>(update_shape, {16777217, -2})})[0]
        .as<std::int32_t>();
  };
  EXPECT_EQ(run(network::ScatterMode::kElement, {1, 2}, {1, 0}, {1, 2}),
            (std::vector<std::int32_t>{0, -2, 2, 16777217, 4, 5}));
  EXPECT_EQ(run(network::ScatterMode::kNd, {2, 2}, {0, 1, 1, 1}, {2}),
            (std::vector<std::int32_t>{0, 16777217, 2, 3, -2, 5}));
}

TEST(OpenVinoShapeOf, ArithmeticOfEveryKind) {
  Network net("test");
  net.add_symbol("s0", {1, 2, 64});
  net.add_symbol("s1", {1, 2, 64});
  const Expr a = Expr::symbol("s0");
  const Expr b = Expr::symbol("s1");
  net.add_input("x", DataType::kFloat32, {a, 3});
  net.add_shape_input("n", "s1");
  const std::vector<Expr> values{a,
                                 b,
                                 a + b * 2 - 1,
                                 a * b,
                                 floor_div(a, Expr(4)),
                                 floor_div(a - Expr(10), Expr(4)),
                                 mod(a, Expr(4)),
                                 max(a, b),
                                 min(a, b),
                                 Expr(42)};
  net.mark_output(net.add_layer(network::ShapeOf{values, false}, {})[0], "y");
  net.mark_output(net.add_layer(network::ShapeOf{{a * a}, true}, {})[0], "z");
  const std::vector<Tensor> y =
      evaluate(net, {Tensor::of<float>({7, 3}, counting<float>(21)), Tensor::of<std::int64_t>({}, {5})});
  EXPECT_EQ(y[0].as<std::int64_t>(), (std::vector<std::int64_t>{7, 5, 16, 35, 1, -1, 3, 7, 5, 42}));
  EXPECT_EQ(y[1].shape, Shape{});
  EXPECT_EQ(y[1].as<std::int64_t>(), (std::vector<std::int64_t>{49}));
}

TEST(OpenVinoFill, StaticAndSymbolicLength) {
  Network net("test");
  net.add_symbol("s0", {1, 2, 64});
  net.add_input("x", DataType::kFloat32, {Expr::symbol("s0")});
  const auto fill = [&](DataType dtype, const Expr& length, double start, double step) {
    return net.add_layer(network::Fill{network::FillOperation::kLinspace, dtype, length, start, step}, {})[0];
  };
  net.mark_output(fill(DataType::kInt64, Expr::symbol("s0"), 0, 1), "a");
  net.mark_output(fill(DataType::kInt32, Expr::symbol("s0") * Expr(2), 10, -3), "b");
  net.mark_output(fill(DataType::kFloat32, Expr(4), 0.5, 0.25), "c");
  const std::vector<Tensor> y = evaluate(net, {Tensor::of<float>({3}, {0, 0, 0})});
  EXPECT_EQ(y[0].as<std::int64_t>(), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(y[1].as<std::int32_t>(), (std::vector<std::int32_t>{10, 7, 4, 1, -2, -5}));
  expect_same(y[2].as<float>(), {0.5, 0.75, 1.0, 1.25});
}

TEST(OpenVinoNonZero, CountFlowsIntoLaterShapes) {
  Network net("test");
  net.add_symbol("u0", {0, 2, 12});
  const ValueId x = net.add_input("x", DataType::kFloat32, {3, 4});
  const ValueId where = net.add_layer(network::NonZero{"u0"}, {x})[0];
  net.refine_range(where, {0, 3});
  net.mark_output(net.add_transpose(where, {1, 0}), "index");
  net.mark_output(net.add_layer(network::ShapeOf{{Expr::symbol("u0") * Expr(2)}, true}, {})[0], "twice");
  EXPECT_TRUE(net.has_data_dependent_outputs());
  Engine engine(net);
  const std::vector<Tensor> some = engine({Tensor::of<float>({3, 4}, {0, 1, 0, 0, 0, 0, NAN, 0, 0, 0, 0, -2})});
  EXPECT_EQ(some[0].shape, (Shape{3, 2}));
  EXPECT_EQ(some[0].as<std::int64_t>(), (std::vector<std::int64_t>{0, 1, 1, 2, 2, 3}));
  EXPECT_EQ(some[1].as<std::int64_t>(), (std::vector<std::int64_t>{6}));
  const std::vector<Tensor> none = engine({Tensor::of<float>({3, 4}, std::vector<float>(12))});
  EXPECT_EQ(none[0].shape, (Shape{0, 2}));
  EXPECT_EQ(none[1].as<std::int64_t>(), (std::vector<std::int64_t>{0}));
}

TEST(OpenVinoNonMaxSuppression, KeepsTheOrderOfScores) {
  Network net("test");
  net.add_symbol("s0", {0, 4, 10});
  net.add_symbol("u0", {0, 2, 10});
  const ValueId boxes = net.add_input("boxes", DataType::kFloat32, {Expr::symbol("s0"), 4});
  const ValueId scores = net.add_input("scores", DataType::kFloat32, {Expr::symbol("s0")});
  // The quotient of the second and the fourth box is 0.5: not above the threshold.
  const ValueId kept = net.add_layer(network::NonMaxSuppression{0.5, "u0"}, {boxes, scores})[0];
  net.mark_output(kept, "kept");
  net.mark_output(net.add_layer(network::ShapeOf{{Expr::symbol("u0") * Expr(2)}, true}, {})[0], "twice");
  EXPECT_TRUE(net.has_data_dependent_outputs());
  Engine engine(net);
  const std::vector<Tensor> some = engine({Tensor::of<float>({4, 4}, {5, 5, 6, 6, 0, 0, 2, 2, 0, 0, 2, 2, 0, 0, 2, 1}),
                                           Tensor::of<float>({4}, {0.1F, 0.5F, 0.5F, NAN})});
  EXPECT_EQ(some[0].as<std::int64_t>(), (std::vector<std::int64_t>{3, 1, 0}));
  EXPECT_EQ(some[1].as<std::int64_t>(), (std::vector<std::int64_t>{6}));
  const std::vector<Tensor> none = engine({Tensor::of<float>({0, 4}, {}), Tensor::of<float>({0}, {})});
  EXPECT_EQ(none[0].shape, (Shape{0}));
  EXPECT_EQ(none[1].as<std::int64_t>(), (std::vector<std::int64_t>{0}));
}

}  // namespace
}  // namespace torchtrt::openvino::testing
