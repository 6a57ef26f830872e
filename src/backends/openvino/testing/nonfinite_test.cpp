// SPDX-License-Identifier: Apache-2.0
// Which operations get their slow exact form, and when: a network of finite numbers must not pay for NaN.
#include "backends/openvino/nonfinite.h"

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <openvino/op/ops.hpp>

namespace torchtrt::openvino {
namespace {

namespace v0 = ov::op::v0;
namespace v1 = ov::op::v1;
using Output = ov::Output<ov::Node>;

Output number(float value) { return v0::Constant::create(ov::element::f32, {}, std::vector<float>{value})->output(0); }

// relu(body(x)) of x [2, 8], of float32.
std::shared_ptr<ov::Model> relu_after(const std::function<Output(const Output&)>& body) {
  const auto x = std::make_shared<v0::Parameter>(ov::element::f32, ov::Shape{2, 8});
  const auto relu = std::make_shared<v0::Relu>(body(x));
  return std::make_shared<ov::Model>(ov::OutputVector{relu}, ov::ParameterVector{x});
}

bool is_replaced(const std::function<Output(const Output&)>& body) {
  return make_exact_for_finite_inputs(*relu_after(body)) == 1;
}

TEST(Nonfinite, FiniteStaysFinite) {
  const auto axes = v0::Constant::create(ov::element::i64, {1}, {1});
  EXPECT_FALSE(is_replaced([](const Output& x) { return x; }));
  EXPECT_FALSE(is_replaced([](const Output& x) { return std::make_shared<v1::Divide>(x, number(8)); }));
  EXPECT_FALSE(is_replaced([](const Output& x) { return std::make_shared<v1::Power>(x, number(3)); }));
  EXPECT_FALSE(is_replaced([](const Output& x) { return std::make_shared<v0::Sqrt>(std::make_shared<v0::Abs>(x)); }));
  // x / sqrt(mean(x^2) + eps)
  EXPECT_FALSE(is_replaced([&](const Output& x) {
    const auto mean = std::make_shared<v1::ReduceMean>(std::make_shared<v1::Power>(x, number(2)), axes, true);
    const auto root = std::make_shared<v0::Sqrt>(std::make_shared<v1::Add>(mean, number(1e-5F)));
    return std::make_shared<v1::Multiply>(x, std::make_shared<v1::Divide>(number(1), root));
  }));
  // A mask of -inf under a softmax.
  EXPECT_FALSE(is_replaced([](const Output& x) {
    return std::make_shared<ov::op::v8::Softmax>(std::make_shared<v1::Add>(x, number(-INFINITY)), 1);
  }));
}

TEST(Nonfinite, WhatMayMakeNanOrInfinity) {
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v0::Log>(x); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v0::Exp>(x); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v0::Sqrt>(x); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v1::Divide>(number(1), x); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v1::Divide>(x, number(0)); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v1::Power>(x, number(0.5F)); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v1::Power>(x, x); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v1::Multiply>(x, number(NAN)); }));
  EXPECT_TRUE(is_replaced([](const Output& x) { return std::make_shared<v1::Add>(x, number(-INFINITY)); }));
  // ... and what comes after it.
  EXPECT_TRUE(is_replaced([](const Output& x) {
    return std::make_shared<v1::Add>(x, std::make_shared<v0::Tanh>(std::make_shared<v0::Log>(x)));
  }));
}

bool looks_at_inputs(ov::Model& model) { return std::isfinite(add_guards(model).inputs.at(0)); }

TEST(Nonfinite, InputsAreLookedAtWhereItMatters) {
  EXPECT_TRUE(looks_at_inputs(*relu_after([](const Output& x) { return x; })));
  const auto x = std::make_shared<v0::Parameter>(ov::element::f32, ov::Shape{2});
  ov::Model tanh(ov::OutputVector{std::make_shared<v0::Tanh>(x)}, {x});
  EXPECT_FALSE(looks_at_inputs(tanh));
  const auto model = relu_after([](const Output& input) { return input; });
  make_exact_for_all_inputs(*model);
  EXPECT_FALSE(looks_at_inputs(*model));
}

// What add_guards does to relu(body(x)): the input's limit, and how many values are measured.
std::pair<float, std::size_t> guards_of(const std::function<Output(const Output&)>& body) {
  const Guards guards = add_guards(*relu_after(body));
  return {guards.inputs.at(0), guards.limits.size()};
}

constexpr float kLargest = std::numeric_limits<float>::max();

Output times(const Output& x, float factor) { return std::make_shared<v1::Multiply>(x, number(factor)); }
Output squared(const Output& x) { return std::make_shared<v1::Multiply>(x, x); }
Output product_with(const Output& x, float weight) {
  const auto weights = v0::Constant::create(ov::element::f32, {8, 8}, std::vector<float>(64, weight));
  return std::make_shared<v0::MatMul>(x, weights);
}

TEST(Nonfinite, OverflowIsKeptAwayByTheInputsLimitWhereThatIsEnough) {
  using Found = std::pair<float, std::size_t>;
  EXPECT_EQ(guards_of([](const Output& x) { return x; }), Found(kLargest, 0));
  EXPECT_EQ(guards_of([](const Output& x) { return times(x, 0.5F); }), Found(kLargest, 0));
  EXPECT_EQ(guards_of([](const Output& x) { return times(x, 2); }), Found(0x1p64F, 0));
  EXPECT_EQ(guards_of([](const Output& x) { return squared(times(x, 8)); }), Found(0x1p48F, 0));
  EXPECT_EQ(guards_of([](const Output& x) { return squared(squared(x)); }), Found(0x1p24F, 0));
  EXPECT_EQ(guards_of([](const Output& x) { return product_with(x, 3); }), Found(0x1p64F, 0));
  EXPECT_EQ(guards_of([](const Output& x) { return std::make_shared<v0::Tanh>(x); }), Found(kLargest, 0));
}

TEST(Nonfinite, AFewValuesInBetweenAreMeasuredWhereInputsAreNotEnough) {
  // Each product may make numbers 2^20 times larger; the inputs' limit leaves room for five.
  const auto layers = [](int count) {
    return [count](const Output& input) {
      Output x = input;
      for (int i = 0; i < count; ++i) x = std::make_shared<v0::Relu>(product_with(x, 0x1p17F));
      return x;
    };
  };
  EXPECT_EQ(guards_of(layers(5)).second, 0);
  EXPECT_EQ(guards_of(layers(9)).second, 1);
  EXPECT_LE(guards_of(layers(40)).second, 8);
  // A normalization bounds what comes behind it.
  EXPECT_EQ(guards_of([&](const Output& input) {
              Output x = input;
              for (int i = 0; i < 20; ++i) {
                const auto axes = v0::Constant::create(ov::element::i64, {1}, {1});
                x = layers(2)(std::make_shared<ov::op::v6::MVN>(x, axes, true, 1e-5F, ov::op::MVNEpsMode::INSIDE_SQRT));
              }
              return x;
            }).second,
            0);
}

TEST(Nonfinite, MasksAreNoOverflow) {
  // softmax(x + (1 - mask) * lowest)
  const auto x = std::make_shared<v0::Parameter>(ov::element::f32, ov::Shape{2, 8});
  const auto mask = std::make_shared<v0::Parameter>(ov::element::boolean, ov::Shape{2, 8});
  const auto open = std::make_shared<v1::Subtract>(number(1), std::make_shared<v0::Convert>(mask, ov::element::f32));
  const auto added = std::make_shared<v1::Multiply>(open, number(-kLargest));
  const auto scores = std::make_shared<v1::Add>(std::make_shared<v1::Add>(x, added), added);
  ov::Model model(ov::OutputVector{std::make_shared<ov::op::v8::Softmax>(scores, 1)}, {x, mask});
  const Guards guards = add_guards(model);
  EXPECT_TRUE(guards.limits.empty());
  EXPECT_TRUE(std::isinf(guards.inputs[1]));
}

TEST(Nonfinite, EveryPositionIsLookedAt) {
  for (const std::size_t count : {1, 7, 1024, 1025, 5000}) {
    std::vector<float> values(count, -3.4e38F);
    EXPECT_TRUE(all_within(ov::element::f32, values.data(), count, kLargest));
    EXPECT_FALSE(all_within(ov::element::f32, values.data(), count, 0x1p64F));
    for (const float special : {NAN, INFINITY, -INFINITY}) {
      for (std::size_t i = 0; i < count; i += count / 7 + 1) {
        values[i] = special;
        EXPECT_FALSE(all_within(ov::element::f32, values.data(), count, kLargest));
        values[i] = 0;
      }
      values[count - 1] = special;
      EXPECT_FALSE(all_within(ov::element::f32, values.data(), count, kLargest));
      values[count - 1] = 0;
    }
  }
  const std::vector<ov::float16> half{1.0F, 65504.0F, INFINITY};
  EXPECT_TRUE(all_within(ov::element::f16, half.data(), 2, kLargest));
  EXPECT_FALSE(all_within(ov::element::f16, half.data(), 3, kLargest));
  const std::vector<ov::bfloat16> brain{1.0F, 3e38F, -INFINITY};
  EXPECT_TRUE(all_within(ov::element::bf16, brain.data(), 2, kLargest));
  EXPECT_FALSE(all_within(ov::element::bf16, brain.data(), 3, kLargest));
  EXPECT_FALSE(all_within(ov::element::bf16, brain.data(), 2, 0x1p64F));
  const std::vector<std::int32_t> integers{-1, 0x7f800000};
  EXPECT_TRUE(all_within(ov::element::i32, integers.data(), 2, kLargest));
  EXPECT_TRUE(all_within(ov::element::f32, nullptr, 0, kLargest));
}

}  // namespace
}  // namespace torchtrt::openvino
