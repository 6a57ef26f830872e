// SPDX-License-Identifier: Apache-2.0
#include "runtime/binding_plan.h"
#include "base/testing/expect_error.h"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace torchtrt::runtime {
namespace {

using torchtrt::testing::expect_error;
using Shape = std::vector<std::int64_t>;

/// DLTensors over shapes and data that live as long as the object.
class Inputs {
 public:
  Inputs& add(DataType dtype, Shape shape, const void* data = nullptr, DLDevice device = {kDLCPU, 0}) {
    shapes_.push_back(std::make_unique<Shape>(std::move(shape)));
    DLTensor tensor{};
    tensor.data = const_cast<void*>(data);
    tensor.device = device;
    tensor.ndim = static_cast<std::int32_t>(shapes_.back()->size());
    tensor.dtype = to_dlpack(dtype);
    tensor.shape = shapes_.back()->data();
    tensors.push_back(tensor);
    return *this;
  }
  std::vector<DLTensor> tensors;

 private:
  std::vector<std::unique_ptr<Shape>> shapes_;
};

/// ids [b, s] int64 in 0..9; mask [b, 1, s + 2] float32; count: the shape input n.
format::Metadata metadata() {
  format::Metadata result;
  const Expr b = Expr::symbol("b"), s = Expr::symbol("s"), n = Expr::symbol("n");
  result.name = "encoder";
  result.inputs = {{"ids", DataType::kInt64, {b, s}, "", Interval{0, 9}},
                   {"mask", DataType::kFloat32, {b, 1, s + 2}, "", std::nullopt},
                   {"count", DataType::kInt64, {}, "n", std::nullopt}};
  result.outputs = {{"y", DataType::kFloat32, {b * n, floor_div(s, 2)}}};
  result.symbols = {{"b", {1, 2, 32}}, {"s", {0, 8, 128}}, {"n", {2, 2, 4}}};
  result.targets = {{"fake", "", {}, {}}};
  return result;
}

constexpr DLDevice kCpu{kDLCPU, 0};
constexpr std::int64_t kThree = 3;

Inputs good(std::int64_t b, std::int64_t s, const void* ids = nullptr) {
  Inputs inputs;
  inputs.add(DataType::kInt64, {b, s}, ids).add(DataType::kFloat32, {b, 1, s + 2}).add(DataType::kInt64, {}, &kThree);
  return inputs;
}

TEST(BindingPlan, ResolvesShapes) {
  const format::Metadata data = metadata();
  const BindingPlan plan(data);
  const Inputs inputs = good(4, 7);
  plan.check_bindings(inputs.tensors, kCpu);
  const ResolvedShapes shapes = plan.resolve(inputs.tensors);
  EXPECT_EQ(shapes.outputs, (std::vector<Shape>{{12, 3}}));
  EXPECT_TRUE(plan.matches(shapes, inputs.tensors));
  EXPECT_FALSE(plan.matches(shapes, good(4, 8).tensors));
  // The value of a shape input is part of the key.
  const std::int64_t two = 2;
  Inputs other;
  other.add(DataType::kInt64, {4, 7}).add(DataType::kFloat32, {4, 1, 9}).add(DataType::kInt64, {}, &two);
  EXPECT_FALSE(plan.matches(shapes, other.tensors));
  // A key of another rank never matches, whatever its numbers.
  Inputs flat;
  flat.add(DataType::kInt64, {4}).add(DataType::kFloat32, {7, 4, 1, 9}).add(DataType::kInt64, {}, &kThree);
  EXPECT_FALSE(plan.matches(shapes, flat.tensors));
}

TEST(BindingPlan, EmptyDimensionsAreShapesLikeOthers) {
  const format::Metadata data = metadata();
  const BindingPlan plan(data);
  EXPECT_EQ(plan.resolve(good(1, 0).tensors).outputs, (std::vector<Shape>{{3, 0}}));
  EXPECT_NO_THROW(plan.check_values(good(1, 0).tensors));
}

TEST(BindingPlan, WrongBindings) {
  const format::Metadata data = metadata();
  const BindingPlan plan(data);
  expect_error(ErrorCode::kInvalidArgument, R"(engine "encoder": expected 3 inputs (ids, mask, count), but got 0)",
               [&] { plan.check_bindings({}, kCpu); });
  Inputs inputs = good(4, 7);
  inputs.tensors[0].dtype = to_dlpack(DataType::kInt32);
  expect_error(ErrorCode::kTypeMismatch, R"(input "ids": expected dtype int64, but got int32)",
               [&] { plan.check_bindings(inputs.tensors, kCpu); });
  inputs = good(4, 7);
  inputs.tensors[1].device = {kDLCUDA, 1};
  expect_error(ErrorCode::kInvalidArgument, R"(input "mask": expected a tensor on cpu, but got one on cuda:1)",
               [&] { plan.check_bindings(inputs.tensors, kCpu); });
  Shape strides{1, 4};
  inputs = good(4, 7);
  inputs.tensors[0].strides = strides.data();
  expect_error(ErrorCode::kInvalidArgument, "contiguous", [&] { plan.check_bindings(inputs.tensors, kCpu); });
  strides = {7, 1};
  EXPECT_NO_THROW(plan.check_bindings(inputs.tensors, kCpu));
}

TEST(BindingPlan, ShapeInputsStayOnTheCpu) {
  const format::Metadata data = metadata();
  const BindingPlan plan(data);
  Inputs inputs = good(4, 7);
  inputs.tensors[0].device = inputs.tensors[1].device = {kDLCUDA, 1};
  EXPECT_NO_THROW(plan.check_bindings(inputs.tensors, {kDLCUDA, 1}));
  inputs.tensors[2].device = {kDLCUDA, 1};
  expect_error(ErrorCode::kInvalidArgument, R"(input "count": expected a tensor on cpu)",
               [&] { plan.check_bindings(inputs.tensors, {kDLCUDA, 1}); });
}

TEST(BindingPlan, WrongShapes) {
  const format::Metadata data = metadata();
  const BindingPlan plan(data);
  const auto with = [&](Shape ids, Shape mask, const std::int64_t* count = & kThree) {
    Inputs inputs;
    inputs.add(DataType::kInt64, std::move(ids))
        .add(DataType::kFloat32, std::move(mask))
        .add(DataType::kInt64, {}, count);
    return plan.resolve(inputs.tensors);
  };
  expect_error(ErrorCode::kInvalidArgument, R"(input "ids": expected 2 dimensions [b, s], but got 1: [4])",
               [&] { with({4}, {4, 1, 9}); });
  expect_error(ErrorCode::kOutOfRange, R"(input "ids", dimension 0: 33 is outside the range [1, 32])",
               [&] { with({33, 7}, {33, 1, 9}); });
  expect_error(ErrorCode::kOutOfRange, R"(input "ids", dimension 0: 0 is outside the range [1, 32])",
               [&] { with({0, 7}, {0, 1, 9}); });
  expect_error(
      ErrorCode::kOutOfRange,
      R"(input "mask", dimension 0: expected 4, as in input "ids", dimension 0 (both are symbol b), but got 5)",
      [&] { with({4, 7}, {5, 1, 9}); });
  expect_error(ErrorCode::kInvalidArgument, R"(input "mask", dimension 1: expected 1, but got 2 in shape [4, 2, 9])",
               [&] { with({4, 7}, {4, 2, 9}); });
  expect_error(ErrorCode::kInvalidArgument, R"(input "mask", dimension 2: expected 9 (s + 2), but got 10)",
               [&] { with({4, 7}, {4, 1, 10}); });
  const std::int64_t five = 5;
  expect_error(ErrorCode::kOutOfRange, R"(input "count", value: 5 is outside the range [2, 4])",
               [&] { with({4, 7}, {4, 1, 9}, &five); });
}

TEST(BindingPlan, Guards) {
  format::Metadata data = metadata();
  using Sign = format::GuardSpec::Sign;
  data.guards = {
      {{{mod(Expr::symbol("s"), 2), Sign::kNonzero}}, "ids.size(1) % 2 != 0"},
      {{{Expr::symbol("b") - 4, Sign::kZero}, {Expr::symbol("s") - 9, Sign::kNotNegative}}, "b == 4 or s >= 9"},
      {{{Expr::symbol("unknown"), Sign::kZero}}, "what no input has"}};
  const BindingPlan plan(data);
  const auto with = [&](std::int64_t b, std::int64_t s) {
    Inputs inputs;
    inputs.add(DataType::kInt64, {b, s}).add(DataType::kFloat32, {b, 1, s + 2}).add(DataType::kInt64, {}, &kThree);
    return plan.resolve(inputs.tensors);
  };
  EXPECT_NO_THROW(with(4, 7));
  EXPECT_NO_THROW(with(3, 9));
  expect_error(ErrorCode::kOutOfRange, "was captured for sizes with ids.size(1) % 2 != 0, which do not hold here",
               [&] { with(4, 8); });
  expect_error(ErrorCode::kOutOfRange, R"(input "ids", dimension 1: 8)", [&] { with(4, 8); });
  expect_error(ErrorCode::kOutOfRange, "b == 4 or s >= 9", [&] { with(3, 7); });
}

TEST(BindingPlan, WrongValues) {
  const format::Metadata data = metadata();
  const BindingPlan plan(data);
  std::vector<std::int64_t> ids{0, 1, 2, 3, 9, 4};
  EXPECT_NO_THROW(plan.check_values(good(2, 3, ids.data()).tensors));
  ids[4] = 10;
  expect_error(ErrorCode::kOutOfRange, R"(input "ids", element 4 of 6: the value 10 is outside [0, 9])",
               [&] { plan.check_values(good(2, 3, ids.data()).tensors); });
  ids[4] = -1;
  expect_error(ErrorCode::kOutOfRange, "the value -1 is outside",
               [&] { plan.check_values(good(2, 3, ids.data()).tensors); });
}

TEST(BindingPlan, DataDependentOutputsAreLeftToTheEngine) {
  format::Metadata data = metadata();
  data.outputs.push_back({"found", DataType::kInt64, {Expr::symbol("u9"), 2}});
  const BindingPlan plan(data);
  EXPECT_TRUE(plan.resolve(good(4, 7).tensors).outputs.empty());
  const std::vector<Shape> shapes{{4, 7}, {4, 1, 9}, {}};
  EXPECT_EQ(plan.infer_output_shapes(shapes), (std::vector<Shape>{{-1, 3}, {-1, 2}}));
}

TEST(BindingPlan, InferOutputShapesChecks) {
  const format::Metadata data = metadata();
  const BindingPlan plan(data);
  const std::vector<Shape> few{{4, 7}}, outside{{4, 700}, {4, 1, 702}, {}};
  expect_error(ErrorCode::kInvalidArgument, "expected the shapes of 3 inputs, but got 1",
               [&] { return plan.infer_output_shapes(few); });
  expect_error(ErrorCode::kOutOfRange, "700 is outside", [&] { return plan.infer_output_shapes(outside); });
}

}  // namespace
}  // namespace torchtrt::runtime
