// SPDX-License-Identifier: Apache-2.0
// Elementwise layers, reductions and orderings, against formulas in double precision and PyTorch's rules for special
// values.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backends/openvino/stable_top_k.h"
#include "backends/openvino/testing/harness.h"

namespace torchtrt::openvino::testing {
namespace {

using network::ActivationType;
using network::ElementWiseOperation;
using network::ReduceOperation;
using network::UnaryOperation;

constexpr double kNan = NAN;
constexpr double kInf = INFINITY;

Tensor apply(const std::vector<Tensor>& inputs,
             const std::function<ValueId(Network&, const std::vector<ValueId>&)>& add) {
  Network net("test");
  std::vector<ValueId> ids;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    ids.push_back(
        net.add_input("x" + std::to_string(i), inputs[i].dtype, Dims(inputs[i].shape.begin(), inputs[i].shape.end())));
    if (inputs[i].dtype == DataType::kInt64) net.refine_range(ids.back(), {INT32_MIN, INT32_MAX});
  }
  net.mark_output(add(net, ids), "y");
  return evaluate(net, inputs)[0];
}

Tensor floats(const std::vector<float>& values) {
  return Tensor::of<float>({static_cast<std::int64_t>(values.size())}, values);
}

std::vector<float> sample() {
  std::vector<float> values{0.0F, -0.0F, 0.5F, -0.5F, 1.5F, 2.5F, -2.5F, 1e-30F, 20.5F, -20.5F};
  for (int i = -60; i <= 60; ++i) values.push_back(static_cast<float>(i) / 7.0F);
  return values;
}

void expect_unary(const std::string& name, const std::vector<float>& values, double tolerance,
                  const std::function<ValueId(Network&, ValueId)>& add, const std::function<double(double)>& formula) {
  SCOPED_TRACE(name);
  std::vector<double> expected;
  for (const float value : values) expected.push_back(formula(value));
  expect_close(apply({floats(values)}, [&](Network& net, const auto& x) { return add(net, x[0]); }).as<float>(),
               expected, tolerance);
}

TEST(OpenVinoActivation, MatchesItsFormula) {
  struct Case {
    ActivationType type;
    double alpha, beta;
    std::function<double(double)> formula;
  };
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  const std::vector<Case> cases{
      {ActivationType::kRelu, 0, 0, [](double x) { return std::max(x, 0.0); }},
      {ActivationType::kSigmoid, 0, 0, sigmoid},
      {ActivationType::kTanh, 0, 0, [](double x) { return std::tanh(x); }},
      {ActivationType::kLeakyRelu, 0.01, 0, [](double x) { return x > 0 ? x : 0.01 * x; }},
      {ActivationType::kElu, 1.5, 0, [](double x) { return x > 0 ? x : 1.5 * std::expm1(x); }},
      {ActivationType::kSelu, 1.6732632423543772, 1.0507009873554805,
       [](double x) { return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x)); }},
      {ActivationType::kSoftsign, 0, 0, [](double x) { return x / (1 + std::fabs(x)); }},
      {ActivationType::kSoftplus, 1, 1, [](double x) { return std::log1p(std::exp(x)); }},
      {ActivationType::kSoftplus, 0.5, 2, [](double x) { return 0.5 * std::log1p(std::exp(2 * x)); }},
      {ActivationType::kClip, -1, 6, [](double x) { return std::clamp(x, -1.0, 6.0); }},
      {ActivationType::kClip, -kInf, 6, [](double x) { return std::min(x, 6.0); }},
      {ActivationType::kHardSigmoid, 1.0 / 6, 0.5, [](double x) { return std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
      {ActivationType::kGeluErf, 0, 0, [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }},
      {ActivationType::kGeluTanh, 0, 0,
       [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }},
      {ActivationType::kSilu, 0, 0, [&](double x) { return x * sigmoid(x); }},
      {ActivationType::kHardSwish, 0, 0, [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; }},
      {ActivationType::kMish, 0, 0, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
      {ActivationType::kScale, 1.0117, 0, [](double x) { return 1.0117 * x; }},
      {ActivationType::kQuotient, 3, 0, [](double x) { return x / 3; }},
  };
  for (const Case& c : cases) {
    expect_unary(
        std::string(to_string(c.type)), sample(), 2e-6,
        [&](Network& net, ValueId x) { return net.add_activation(x, c.type, c.alpha, c.beta); }, c.formula);
  }
}

TEST(OpenVinoActivation, PropagatesNanWhereTheReadmeSaysSo) {
  for (const ActivationType type :
       {ActivationType::kSigmoid, ActivationType::kTanh, ActivationType::kGeluErf, ActivationType::kGeluTanh,
        ActivationType::kSilu, ActivationType::kElu, ActivationType::kLeakyRelu, ActivationType::kSoftplus}) {
    expect_unary(
        std::string(to_string(type)), {NAN, 1.0F}, INFINITY,
        [&](Network& net, ValueId x) { return net.add_activation(x, type, 1, 1); },
        [](double x) { return std::isnan(x) ? kNan : 0.0; });
  }
  expect_unary(
      "one-sided clip", {NAN, INFINITY, -INFINITY, 3.0F}, 0,
      [](Network& net, ValueId x) { return net.add_activation(x, ActivationType::kClip, 0, kInf); },
      [](double x) { return std::isnan(x) ? kNan : std::max(x, 0.0); });
}

TEST(OpenVinoUnary, MatchesItsFormula) {
  struct Case {
    UnaryOperation operation;
    std::function<double(double)> formula;
  };
  const std::vector<Case> cases{
      {UnaryOperation::kExp, [](double x) { return std::exp(x); }},
      {UnaryOperation::kLog, [](double x) { return std::log(x); }},
      {UnaryOperation::kSqrt, [](double x) { return std::sqrt(x); }},
      {UnaryOperation::kAbs, [](double x) { return std::fabs(x); }},
      {UnaryOperation::kNeg, [](double x) { return -x; }},
      {UnaryOperation::kSin, [](double x) { return std::sin(x); }},
      {UnaryOperation::kCos, [](double x) { return std::cos(x); }},
      {UnaryOperation::kSinh, [](double x) { return std::sinh(x); }},
      {UnaryOperation::kCosh, [](double x) { return std::cosh(x); }},
      {UnaryOperation::kAsin, [](double x) { return std::asin(x); }},
      {UnaryOperation::kAcos, [](double x) { return std::acos(x); }},
      {UnaryOperation::kAtan, [](double x) { return std::atan(x); }},
      {UnaryOperation::kAsinh, [](double x) { return std::asinh(x); }},
      {UnaryOperation::kAcosh, [](double x) { return std::acosh(x); }},
      {UnaryOperation::kAtanh, [](double x) { return std::atanh(x); }},
      {UnaryOperation::kCeil, [](double x) { return std::ceil(x); }},
      {UnaryOperation::kFloor, [](double x) { return std::floor(x); }},
      {UnaryOperation::kErf, [](double x) { return std::erf(x); }},
      {UnaryOperation::kRound, [](double x) { return std::nearbyint(x); }},
      {UnaryOperation::kRecip, [](double x) { return 1 / x; }},
      {UnaryOperation::kSign, [](double x) { return x > 0   ? 1.0
                                                    : x < 0 ? -1.0
                                                            : 0.0; }},
  };
  std::vector<float> values = sample();
  values.insert(values.end(), {NAN, INFINITY, -INFINITY});
  for (const Case& c : cases) {
    expect_unary(
        std::string(to_string(c.operation)), values, 2e-6,
        [&](Network& net, ValueId x) { return net.add_unary(x, c.operation); }, c.formula);
  }
}

TEST(OpenVinoUnary, ClassifiesAndNegates) {
  const Tensor x = floats({1.0F, NAN, INFINITY, -INFINITY});
  const auto run = [&](UnaryOperation operation) {
    return apply({x}, [&](Network& net, const auto& in) { return net.add_unary(in[0], operation); }).as<bool>();
  };
  EXPECT_EQ(run(UnaryOperation::kIsNan), (std::vector<bool>{false, true, false, false}));
  EXPECT_EQ(run(UnaryOperation::kIsInf), (std::vector<bool>{false, false, true, true}));
  EXPECT_EQ(apply({Tensor::of<bool>({2}, {true, false})},
                  [](Network& net, const auto& in) { return net.add_unary(in[0], UnaryOperation::kNot); })
                .as<bool>(),
            (std::vector<bool>{false, true}));
}

// Every pair of special values.
void all_pairs(const std::vector<float>& values, std::vector<float>& a, std::vector<float>& b) {
  for (const float x : values) {
    for (const float y : values) {
      a.push_back(x);
      b.push_back(y);
    }
  }
}

TEST(OpenVinoElementWise, FloatsWithSpecialValues) {
  std::vector<float> a;
  std::vector<float> b;
  all_pairs({0.0F, 1.0F, -1.0F, 2.5F, -3.0F, NAN, INFINITY, -INFINITY, 3e38F}, a, b);
  const std::vector<std::pair<ElementWiseOperation, std::function<double(float, float)>>> cases{
      {ElementWiseOperation::kSum, [](float x, float y) { return x + y; }},
      {ElementWiseOperation::kSub, [](float x, float y) { return x - y; }},
      {ElementWiseOperation::kProd, [](float x, float y) { return x * y; }},
      {ElementWiseOperation::kDiv, [](float x, float y) { return x / y; }},
      {ElementWiseOperation::kPow, [](float x, float y) { return std::pow(x, y); }},
      {ElementWiseOperation::kMax,
       [](float x, float y) { return std::isnan(x) || std::isnan(y) ? kNan : std::max(x, y); }},
      {ElementWiseOperation::kMin,
       [](float x, float y) { return std::isnan(x) || std::isnan(y) ? kNan : std::min(x, y); }},
  };
  for (const auto& [operation, formula] : cases) {
    SCOPED_TRACE(to_string(operation));
    std::vector<double> expected;
    for (std::size_t i = 0; i < a.size(); ++i) expected.push_back(formula(a[i], b[i]));
    const auto kind = operation;
    expect_close(apply({floats(a), floats(b)},
                       [&](Network& net, const auto& x) { return net.add_elementwise(x[0], x[1], kind); })
                     .as<float>(),
                 expected, 3e-7);
  }
  const std::vector<std::pair<ElementWiseOperation, std::function<bool(float, float)>>> comparisons{
      {ElementWiseOperation::kEqual, [](float x, float y) { return x == y; }},
      {ElementWiseOperation::kGreater, [](float x, float y) { return x > y; }},
      {ElementWiseOperation::kLess, [](float x, float y) { return x < y; }},
  };
  for (const auto& [operation, formula] : comparisons) {
    SCOPED_TRACE(to_string(operation));
    std::vector<bool> expected;
    for (std::size_t i = 0; i < a.size(); ++i) expected.push_back(formula(a[i], b[i]));
    const auto kind = operation;
    EXPECT_EQ(apply({floats(a), floats(b)},
                    [&](Network& net, const auto& x) { return net.add_elementwise(x[0], x[1], kind); })
                  .as<bool>(),
              expected);
  }
}

TEST(OpenVinoElementWise, MaximumWithAConstantPropagatesNan) {
  for (const bool constant_first : {false, true}) {
    const Tensor y = apply({floats({NAN, -1.0F, 2.0F})}, [&](Network& net, const auto& x) {
      const ValueId zero = net.add_scalar(DataType::kFloat32, 0, 1);
      return net.add_elementwise(constant_first ? zero : x[0], constant_first ? x[0] : zero,
                                 ElementWiseOperation::kMax);
    });
    expect_close(y.as<float>(), {kNan, 0, 2}, 0);
  }
}

template <typename T>
void expect_integers(const std::vector<T>& a, const std::vector<T>& b, ElementWiseOperation operation,
                     const std::function<T(std::int64_t, std::int64_t)>& formula,
                     Interval limit_a = {INT64_MIN, INT64_MAX}, Interval limit_b = {INT64_MIN, INT64_MAX}) {
  SCOPED_TRACE(to_string(operation));
  const auto count = static_cast<std::int64_t>(a.size());
  std::vector<T> expected;
  for (std::size_t i = 0; i < a.size(); ++i) expected.push_back(formula(a[i], b[i]));
  EXPECT_EQ(apply({Tensor::of<T>({count}, a), Tensor::of<T>({count}, b)},
                  [&](Network& net, const auto& x) {
                    net.refine_range(x[0], limit_a);
                    net.refine_range(x[1], limit_b);
                    return net.add_elementwise(x[0], x[1], operation);
                  })
                .template as<T>(),
            expected);
}

std::int64_t floor_quotient(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

template <typename T>
void expect_wide_integers() {
  const std::vector<T> a{7, -7, 7, -7, 6, 0, 4194303, -4194304, 1000003, 46341};
  const std::vector<T> b{2, 2, 3, 3, 3, 5, 7, 9, 1000, 46341};
  const Interval small{-(1 << 22), 1 << 22};
  const Interval positive{1, 1 << 22};
  using enum ElementWiseOperation;
  expect_integers<T>(a, b, kDiv, [](auto x, auto y) { return static_cast<T>(x / y); }, small, positive);
  expect_integers<T>(
      a, b, kFloorDiv, [](auto x, auto y) { return static_cast<T>(floor_quotient(x, y)); }, small, positive);
  expect_integers<T>(
      a, b, kMod, [](auto x, auto y) { return static_cast<T>(x - floor_quotient(x, y) * y); }, small, positive);
  expect_integers<T>(a, b, kSum, [](auto x, auto y) { return static_cast<T>(x + y); }, small, small);
  expect_integers<T>(a, b, kMax, [](auto x, auto y) { return static_cast<T>(std::max(x, y)); });
}
TEST(OpenVinoElementWise, Int32Arithmetic) { expect_wide_integers<std::int32_t>(); }
TEST(OpenVinoElementWise, Int64Arithmetic) { expect_wide_integers<std::int64_t>(); }

TEST(OpenVinoElementWise, Int32WrapsAround) {
  const std::vector<std::int32_t> a{INT32_MAX, INT32_MIN, 123456789, 65536};
  const std::vector<std::int32_t> b{1, -1, 987654321, 65536};
  expect_integers<std::int32_t>(a, b, ElementWiseOperation::kSum,
                                [](auto x, auto y) { return static_cast<std::int32_t>(x + y); });
  expect_integers<std::int32_t>(a, b, ElementWiseOperation::kProd,
                                [](auto x, auto y) { return static_cast<std::int32_t>(x * y); });
}

template <typename T>
void expect_narrow_integers() {
  std::vector<T> a;
  std::vector<T> b;
  for (int x = std::numeric_limits<T>::min(); x <= std::numeric_limits<T>::max(); x += sizeof(T) == 1 ? 5 : 1009) {
    for (const int y : {-128, -7, -1, 1, 3, 100, 127, 255}) {
      a.push_back(static_cast<T>(x));
      b.push_back(static_cast<T>(y));
    }
  }
  using enum ElementWiseOperation;
  expect_integers<T>(a, b, kSum, [](auto x, auto y) { return static_cast<T>(x + y); });
  expect_integers<T>(a, b, kSub, [](auto x, auto y) { return static_cast<T>(x - y); });
  expect_integers<T>(a, b, kProd, [](auto x, auto y) { return static_cast<T>(x * y); });
  expect_integers<T>(a, b, kMin, [](auto x, auto y) { return static_cast<T>(std::min(x, y)); });
}
TEST(OpenVinoElementWise, Int8WrapsAround) { expect_narrow_integers<std::int8_t>(); }
TEST(OpenVinoElementWise, UInt8WrapsAround) { expect_narrow_integers<std::uint8_t>(); }

template <typename T>
void expect_exact_comparison() {
  // Neighbours that are one number in float32.
  const std::vector<T> a{16777216, 16777217, 16777217, INT32_MAX, INT32_MAX, INT32_MIN, -5, INT32_MIN};
  const std::vector<T> b{16777217, 16777216, 16777217, INT32_MAX - 1, INT32_MAX, INT32_MAX, -5, INT32_MIN + 1};
  using enum ElementWiseOperation;
  for (const ElementWiseOperation operation : {kEqual, kGreater, kLess}) {
    std::vector<bool> expected;
    for (std::size_t i = 0; i < a.size(); ++i) {
      expected.push_back(operation == kEqual ? a[i] == b[i] : operation == kGreater ? a[i] > b[i] : a[i] < b[i]);
    }
    EXPECT_EQ(apply({Tensor::of<T>({8}, a), Tensor::of<T>({8}, b)},
                    [&](Network& net, const auto& x) { return net.add_elementwise(x[0], x[1], operation); })
                  .template as<bool>(),
              expected)
        << to_string(operation);
  }
}
TEST(OpenVinoElementWise, ComparesInt32Exactly) { expect_exact_comparison<std::int32_t>(); }
TEST(OpenVinoElementWise, ComparesInt64Exactly) { expect_exact_comparison<std::int64_t>(); }

TEST(OpenVinoElementWise, Logic) {
  const Tensor a = Tensor::of<bool>({4}, {true, true, false, false});
  const Tensor b = Tensor::of<bool>({4}, {true, false, true, false});
  const auto run = [&](ElementWiseOperation operation) {
    return apply({a, b}, [&](Network& net, const auto& x) { return net.add_elementwise(x[0], x[1], operation); })
        .as<bool>();
  };
  EXPECT_EQ(run(ElementWiseOperation::kAnd), (std::vector<bool>{true, false, false, false}));
  EXPECT_EQ(run(ElementWiseOperation::kOr), (std::vector<bool>{true, true, true, false}));
  EXPECT_EQ(run(ElementWiseOperation::kXor), (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(run(ElementWiseOperation::kEqual), (std::vector<bool>{true, false, false, true}));
}

TEST(OpenVinoElementWise, HalfPrecisionResultsAreRounded) {
  // 1 + 2^-8 is exact in neither type's product; the sum of the two needs rounding to bfloat16's 8 bits.
  for (const DataType dtype : {DataType::kFloat16, DataType::kBFloat16}) {
    const Tensor y = apply({floats({1.0F, 256.0F, 3.0F})}, [&](Network& net, const auto& x) {
      const ValueId half = net.add_cast(x[0], dtype);
      return net.add_elementwise(half, net.add_scalar(dtype, 1.0 / 3, 1), ElementWiseOperation::kSum);
    });
    ASSERT_EQ(y.dtype, dtype);
    const double unit = dtype == DataType::kFloat16 ? 0x1p-11 : 0x1p-8;
    expect_close(y.as_float(), {1 + 1.0 / 3, 256 + 1.0 / 3, 3 + 1.0 / 3}, unit);
  }
}

TEST(OpenVinoCast, FollowsPyTorch) {
  const auto cast = [](const Tensor& x, DataType to) {
    return apply({x}, [&](Network& net, const auto& in) { return net.add_cast(in[0], to); });
  };
  const Tensor x = floats({0.0F, -0.0F, 0.5F, -0.5F, 1.9F, -1.9F, 100.7F});
  EXPECT_EQ(cast(x, DataType::kInt32).as<std::int32_t>(), (std::vector<std::int32_t>{0, 0, 0, 0, 1, -1, 100}));
  EXPECT_EQ(cast(x, DataType::kInt8).as<std::int8_t>(), (std::vector<std::int8_t>{0, 0, 0, 0, 1, -1, 100}));
  EXPECT_EQ(cast(floats({0.0F, -0.0F, 0.5F, 1e-40F, NAN, -INFINITY}), DataType::kBool).as<bool>(),
            (std::vector<bool>{false, false, true, true, true, true}));
  const Tensor i = Tensor::of<std::int64_t>({5}, {0, -1, 255, 300, INT32_MIN});
  EXPECT_EQ(cast(i, DataType::kUInt8).as<std::uint8_t>(), (std::vector<std::uint8_t>{0, 255, 255, 44, 0}));
  EXPECT_EQ(cast(i, DataType::kBool).as<bool>(), (std::vector<bool>{false, true, true, true, true}));
  EXPECT_EQ(cast(i, DataType::kInt32).as<std::int32_t>(), (std::vector<std::int32_t>{0, -1, 255, 300, INT32_MIN}));
  expect_same(cast(i, DataType::kFloat32).as<float>(), {0, -1, 255, 300, -2147483648.0F});
  EXPECT_EQ(cast(Tensor::of<bool>({2}, {true, false}), DataType::kInt64).as<std::int64_t>(),
            (std::vector<std::int64_t>{1, 0}));
  // Ties to even.
  EXPECT_EQ(cast(floats({1.00390625F, 1.01171875F, 3e38F}), DataType::kBFloat16).as_float()[0], 1.0F);
  EXPECT_EQ(cast(floats({1.00390625F, 1.01171875F}), DataType::kBFloat16).as_float()[1], 1.015625F);
  EXPECT_EQ(cast(floats({2049.0F, 65519.0F, 70000.0F}), DataType::kFloat16).as_float(),
            (std::vector<float>{2048.0F, 65504.0F, INFINITY}));
}

TEST(OpenVinoSelect, Broadcasts) {
  const Tensor y = apply({Tensor::of<bool>({2, 1}, {true, false}), Tensor::of<std::int32_t>({1, 3}, {16777217, 2, 3}),
                          Tensor::of<std::int32_t>({2, 3}, {-1, -2, -3, -4, -5, -16777217})},
                         [](Network& net, const auto& x) { return net.add_select(x[0], x[1], x[2]); });
  EXPECT_EQ(y.shape, (Shape{2, 3}));
  EXPECT_EQ(y.as<std::int32_t>(), (std::vector<std::int32_t>{16777217, 2, 3, -4, -5, -16777217}));
}

TEST(OpenVinoReduce, MatchesItsFormula) {
  const std::vector<float> values = noise(2 * 3 * 4);
  for (const auto& [operation, start] : std::vector<std::pair<ReduceOperation, double>>{{ReduceOperation::kSum, 0},
                                                                                        {ReduceOperation::kProd, 1},
                                                                                        {ReduceOperation::kMax, -kInf},
                                                                                        {ReduceOperation::kMin, kInf},
                                                                                        {ReduceOperation::kAvg, 0}}) {
    std::vector<double> expected(3, start);
    for (std::size_t i = 0; i < values.size(); ++i) {
      double& result = expected[i / 4 % 3];
      const double x = values[i];
      result = operation == ReduceOperation::kProd  ? result * x
               : operation == ReduceOperation::kMax ? std::max(result, x)
               : operation == ReduceOperation::kMin ? std::min(result, x)
                                                    : result + x;
    }
    if (operation == ReduceOperation::kAvg) {
      for (double& result : expected) result /= 8;
    }
    const auto kind = operation;
    for (const bool keep : {false, true}) {
      const Tensor y = apply({Tensor::of<float>({2, 3, 4}, values)},
                             [&](Network& net, const auto& x) { return net.add_reduce(x[0], kind, {0, 2}, keep); });
      EXPECT_EQ(y.shape, keep ? (Shape{1, 3, 1}) : (Shape{3}));
      expect_close(y.as<float>(), expected, 1e-6);
    }
  }
}

TEST(OpenVinoReduce, ExtremesOfSpecialValues) {
  const Tensor x =
      Tensor::of<float>({5, 2}, {1, NAN, -INFINITY, -INFINITY, INFINITY, INFINITY, INFINITY, NAN, -INFINITY, 2});
  const auto run = [&](ReduceOperation operation) {
    return apply({x}, [&](Network& net, const auto& in) { return net.add_reduce(in[0], operation, {1}, false); })
        .as<float>();
  };
  expect_close(run(ReduceOperation::kMax), {kNan, -kInf, kInf, kNan, 2}, 0);
  expect_close(run(ReduceOperation::kMin), {kNan, -kInf, kInf, kNan, -kInf}, 0);
}

TEST(OpenVinoReduce, Integers) {
  const Tensor y = apply({Tensor::of<std::int64_t>({2, 3}, {1, 2, 3, -4, 5, 6})}, [](Network& net, const auto& x) {
    net.refine_range(x[0], {-1000, 1000});
    return net.add_reduce(x[0], ReduceOperation::kSum, {1}, false);
  });
  EXPECT_EQ(y.as<std::int64_t>(), (std::vector<std::int64_t>{6, 7}));
}

TEST(OpenVinoSoftmax, MatchesItsFormula) {
  const std::vector<float> values{1, 2, 3, -INFINITY, 1000, 999, -INFINITY, -INFINITY};
  const Tensor y =
      apply({Tensor::of<float>({2, 4}, values)}, [](Network& net, const auto& x) { return net.add_softmax(x[0], 1); });
  const double sum = std::exp(-2) + std::exp(-1) + 1;
  const double pair = 1 + std::exp(-1);
  expect_close(y.as<float>(), {std::exp(-2) / sum, std::exp(-1) / sum, 1 / sum, 0, 1 / pair, std::exp(-1) / pair, 0, 0},
               1e-6);
}

TEST(OpenVinoCumulativeSum, BothDirections) {
  const Tensor x = Tensor::of<std::int32_t>({2, 3}, {16777217, 1, 1, 4, 5, 6});
  const auto run = [&](bool exclusive, bool reverse) {
    return apply({x},
                 [&](Network& net, const auto& in) {
                   return net.add_layer(network::CumulativeSum{1, exclusive, reverse}, {in[0]})[0];
                 })
        .as<std::int32_t>();
  };
  EXPECT_EQ(run(false, false), (std::vector<std::int32_t>{16777217, 16777218, 16777219, 4, 9, 15}));
  EXPECT_EQ(run(true, false), (std::vector<std::int32_t>{0, 16777217, 16777218, 0, 4, 9}));
  EXPECT_EQ(run(false, true), (std::vector<std::int32_t>{16777219, 2, 1, 15, 11, 6}));
}

TEST(OpenVinoTopK, LowerIndexFirstAmongEquals) {
  std::vector<float> values = noise(3 * 97);
  for (float& value : values) value = std::floor(value);
  for (const bool largest : {true, false}) {
    Network net("test");
    const ValueId x = net.add_input("x", DataType::kFloat32, {3, 97});
    const auto out =
        net.add_layer(network::TopK{largest ? network::TopKOperation::kMax : network::TopKOperation::kMin, 20, 1}, {x});
    net.mark_output(out[0], "values");
    net.mark_output(out[1], "indices");
    const std::vector<Tensor> results = evaluate(net, {Tensor::of<float>({3, 97}, values)});
    std::vector<float> expected_values;
    std::vector<std::int64_t> expected_indices;
    for (std::size_t row = 0; row < 3; ++row) {
      std::vector<std::int64_t> order(97);
      std::iota(order.begin(), order.end(), 0);
      const float* begin = values.data() + row * 97;
      std::stable_sort(order.begin(), order.end(),
                       [&](auto a, auto b) { return largest ? begin[a] > begin[b] : begin[a] < begin[b]; });
      for (std::size_t i = 0; i < 20; ++i) {
        expected_indices.push_back(order[i]);
        expected_values.push_back(begin[order[i]]);
      }
    }
    expect_same(results[0].as<float>(), expected_values);
    EXPECT_EQ(results[1].as<std::int64_t>(), expected_indices);
  }
}

#if defined(__x86_64__)
TEST(OpenVinoTopK, SubnormalNumbersAreNoZeros) {
  StableTopK operation;
  std::vector<float> values{1e-40F, 0.0F, -1e-40F, -0.0F};
  ov::TensorVector inputs{ov::Tensor(ov::element::f32, {values.size()}, values.data()),
                          ov::Tensor(ov::element::i64, ov::Shape{})};
  *inputs[1].data<std::int64_t>() = static_cast<std::int64_t>(values.size());
  ov::TensorVector outputs{ov::Tensor(ov::element::i32, ov::Shape{values.size()})};
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);  // what is subnormal is read and written as 0, as the plugin's threads may do
  ASSERT_TRUE(operation.evaluate(outputs, inputs));
  _mm_setcsr(before);
  const auto* indices = outputs[0].data<const std::int32_t>();
  EXPECT_EQ(std::vector<std::int32_t>(indices, indices + values.size()), (std::vector<std::int32_t>{0, 1, 3, 2}));
}
#endif

}  // namespace
}  // namespace torchtrt::openvino::testing
