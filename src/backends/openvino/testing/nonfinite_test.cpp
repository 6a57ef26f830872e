// SPDX-License-Identifier: Apache-2.0
// Which operations get their slow exact form, and when: a network of finite numbers must not pay for NaN.
#include "backends/openvino/nonfinite.h"

#include <cmath>
#include <functional>
#include <memory>
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

TEST(Nonfinite, InputsAreLookedAtWhereItMatters) {
  EXPECT_TRUE(needs_finite_inputs(*relu_after([](const Output& x) { return x; })));
  const auto x = std::make_shared<v0::Parameter>(ov::element::f32, ov::Shape{2});
  EXPECT_FALSE(needs_finite_inputs(ov::Model(ov::OutputVector{std::make_shared<v0::Tanh>(x)}, {x})));
  const auto model = relu_after([](const Output& input) { return input; });
  make_exact_for_all_inputs(*model);
  EXPECT_FALSE(needs_finite_inputs(*model));
}

TEST(Nonfinite, EveryPositionIsLookedAt) {
  for (const std::size_t count : {1, 7, 1024, 1025, 5000}) {
    std::vector<float> values(count, -3.4e38F);
    EXPECT_FALSE(any_nonfinite(ov::element::f32, values.data(), count));
    for (const float special : {NAN, INFINITY, -INFINITY}) {
      for (std::size_t i = 0; i < count; i += count / 7 + 1) {
        values[i] = special;
        EXPECT_TRUE(any_nonfinite(ov::element::f32, values.data(), count));
        values[i] = 0;
      }
      values[count - 1] = special;
      EXPECT_TRUE(any_nonfinite(ov::element::f32, values.data(), count));
      values[count - 1] = 0;
    }
  }
  const std::vector<ov::float16> half{1.0F, 65504.0F, INFINITY};
  EXPECT_FALSE(any_nonfinite(ov::element::f16, half.data(), 2));
  EXPECT_TRUE(any_nonfinite(ov::element::f16, half.data(), 3));
  const std::vector<ov::bfloat16> brain{1.0F, 3e38F, -INFINITY};
  EXPECT_FALSE(any_nonfinite(ov::element::bf16, brain.data(), 2));
  EXPECT_TRUE(any_nonfinite(ov::element::bf16, brain.data(), 3));
  const std::vector<std::int32_t> integers{-1, 0x7f800000};
  EXPECT_FALSE(any_nonfinite(ov::element::i32, integers.data(), 2));
  EXPECT_FALSE(any_nonfinite(ov::element::f32, nullptr, 0));
}

}  // namespace
}  // namespace torchtrt::openvino
