// SPDX-License-Identifier: Apache-2.0
// Ranges of integer values: sound against brute force, and as tight as index proofs need.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torchtrt/base/error.h>
#include <torchtrt/network/network.h>

namespace torchtrt::network {

// How GoogleTest shows an interval.
void PrintTo(const Interval& range, std::ostream* out) { *out << "[" << range.min << ", " << range.max << "]"; }

namespace {

constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
constexpr Interval kUnknown{kLowest, kHighest};

// A network with one int64 input x of a range.
struct OneInput {
  explicit OneInput(Interval range, Dims dims = {Expr(4)}, DataType dtype = DataType::kInt64) {
    net.add_symbol("n", {1, 8, 100});
    net.add_symbol("u", {});
    x = net.add_input("x", dtype, std::move(dims));
    net.refine_range(x, range);
  }
  ValueId input(Interval range) {
    const ValueId id = net.add_input("y", DataType::kInt64, {Expr(4)});
    net.refine_range(id, range);
    return id;
  }
  Interval of(Op op, std::vector<ValueId> operands, std::size_t result = 0) {
    return net.value(net.add_layer(std::move(op), std::move(operands)).at(result)).range;
  }

  Network net;
  ValueId x;
};

Interval binary(ElementWiseOperation operation, Interval a, Interval b) {
  OneInput n(a);
  return n.of(ElementWise{operation}, {n.x, n.input(b)});
}

Interval unary(UnaryOperation operation, Interval x) {
  OneInput n(x);
  return n.of(Unary{operation}, {n.x});
}

// Python's.
std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  const std::int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

TEST(RangeTest, ArithmeticIsExactOnSmallRanges) {
  using enum ElementWiseOperation;
  struct Operation {
    ElementWiseOperation operation;
    std::int64_t (*compute)(std::int64_t, std::int64_t);
    bool divides, tight;
  };
  const std::vector<Operation> operations{
      {kSum, [](std::int64_t a, std::int64_t b) { return a + b; }, false, true},
      {kSub, [](std::int64_t a, std::int64_t b) { return a - b; }, false, true},
      {kProd, [](std::int64_t a, std::int64_t b) { return a * b; }, false, true},
      {kMax, [](std::int64_t a, std::int64_t b) { return std::max(a, b); }, false, true},
      {kMin, [](std::int64_t a, std::int64_t b) { return std::min(a, b); }, false, true},
      {kDiv, [](std::int64_t a, std::int64_t b) { return a / b; }, true, true},
      {kFloorDiv, floor_div, true, true},
      {kMod, [](std::int64_t a, std::int64_t b) { return a - floor_div(a, b) * b; }, true, false},
  };
  for (const Operation& operation : operations) {
    for (std::int64_t low = -4; low <= 4; ++low) {
      for (std::int64_t high = low; high <= 5; ++high) {
        for (std::int64_t other_low = operation.divides ? 1 : -3; other_low <= 3; ++other_low) {
          for (std::int64_t other_high = other_low; other_high <= 4; ++other_high) {
            Interval exact{kHighest, kLowest};
            for (std::int64_t a = low; a <= high; ++a) {
              for (std::int64_t b = other_low; b <= other_high; ++b) {
                const std::int64_t result = operation.compute(a, b);
                exact = {std::min(exact.min, result), std::max(exact.max, result)};
              }
            }
            const Interval inferred = binary(operation.operation, {low, high}, {other_low, other_high});
            const std::string text = std::string(to_string(operation.operation)) + " of " + std::to_string(low) + ".." +
                                     std::to_string(high) + " and " + std::to_string(other_low) + ".." +
                                     std::to_string(other_high);
            if (operation.tight) {
              EXPECT_EQ(inferred, exact) << text;
            } else {
              EXPECT_TRUE(inferred.min <= exact.min && inferred.max >= exact.max) << text;
            }
          }
        }
      }
    }
  }
}

TEST(RangeTest, WrappingAroundLeavesNothingKnown) {
  using enum ElementWiseOperation;
  EXPECT_EQ(binary(kSum, {0, kHighest}, {1, 1}), kUnknown);
  EXPECT_EQ(binary(kSub, {kLowest, 0}, {1, 1}), kUnknown);
  EXPECT_EQ(binary(kProd, {0, kHighest}, {0, 2}), kUnknown);
  EXPECT_EQ(binary(kProd, {kLowest, kLowest}, {-1, -1}), kUnknown);
  EXPECT_EQ(unary(UnaryOperation::kNeg, kUnknown), kUnknown);
  EXPECT_EQ(unary(UnaryOperation::kAbs, kUnknown), kUnknown);  // abs of the least integer is itself
  EXPECT_EQ(unary(UnaryOperation::kAbs, {kLowest + 1, 3}), (Interval{0, kHighest}));
  OneInput narrow({100, 127}, {Expr(4)}, DataType::kInt8);
  EXPECT_EQ(narrow.of(ElementWise{kSum}, {narrow.x, narrow.x}), range_of(DataType::kInt8));
}

TEST(RangeTest, DivisorsThatMayNotBePositiveLeaveNothingKnown) {
  for (const auto operation :
       {ElementWiseOperation::kDiv, ElementWiseOperation::kFloorDiv, ElementWiseOperation::kMod}) {
    EXPECT_EQ(binary(operation, {1, 9}, {0, 3}), kUnknown);
    EXPECT_EQ(binary(operation, {1, 9}, {-3, -1}), kUnknown);
  }
}

TEST(RangeTest, RemainderIsAnIndex) {
  EXPECT_EQ(binary(ElementWiseOperation::kMod, kUnknown, {10, 10}), (Interval{0, 9}));
  EXPECT_EQ(binary(ElementWiseOperation::kMod, {0, 5}, {10, 10}), (Interval{0, 5}));
}

TEST(RangeTest, UnaryOperations) {
  EXPECT_EQ(unary(UnaryOperation::kNeg, {-3, 5}), (Interval{-5, 3}));
  EXPECT_EQ(unary(UnaryOperation::kAbs, {-3, 2}), (Interval{0, 3}));
  EXPECT_EQ(unary(UnaryOperation::kAbs, {-3, -2}), (Interval{2, 3}));
  EXPECT_EQ(unary(UnaryOperation::kSign, {-3, 0}), (Interval{-1, 0}));
  EXPECT_EQ(unary(UnaryOperation::kSign, {2, 9}), (Interval{1, 1}));
}

TEST(RangeTest, ConstantsAreScanned) {
  Network net;
  const auto add = [&](const std::vector<std::int64_t>& elements) {
    const auto storage = std::make_shared<const std::vector<std::int64_t>>(elements);
    const Weights weights{{storage, storage->data()}, elements.size() * sizeof(std::int64_t)};
    return net.value(net.add_constant({Expr(static_cast<std::int64_t>(elements.size()))}, DataType::kInt64, weights))
        .range;
  };
  EXPECT_EQ(add({3, -7, 5}), (Interval{-7, 5}));
  EXPECT_EQ(add({}), (Interval{0, 0}));
  EXPECT_EQ(net.value(net.add_int_scalar(DataType::kUInt8, 200)).range, (Interval{200, 200}));
}

TEST(RangeTest, SizesAndPositions) {
  const Expr n = Expr::symbol("n");  // 1 to 100
  const Expr u = Expr::symbol("u");  // 0 to unlimited
  OneInput of_n({-2, 3}, {n, Expr(2)});
  EXPECT_EQ(of_n.of(ShapeOf{{n, n * 2 + 1}, false}, {}), (Interval{1, 201}));
  EXPECT_EQ(of_n.of(Fill{FillOperation::kLinspace, DataType::kInt64, n, 0, 1}, {}), (Interval{0, 99}));
  EXPECT_EQ(of_n.of(Fill{FillOperation::kLinspace, DataType::kInt32, n, 5, -2}, {}), (Interval{-193, 5}));
  EXPECT_EQ(of_n.of(Fill{FillOperation::kLinspace, DataType::kInt64, u, 0, 1}, {}), kUnknown);
  EXPECT_EQ(of_n.of(TopK{TopKOperation::kMax, Expr(1), 0}, {of_n.x}, 0), (Interval{-2, 3}));
  EXPECT_EQ(of_n.of(TopK{TopKOperation::kMax, Expr(1), 0}, {of_n.x}, 1), (Interval{0, 99}));
  EXPECT_EQ(of_n.of(NonZero{"count"}, {of_n.x}), (Interval{0, 99}));
  const ValueId boxes = of_n.net.add_input("boxes", DataType::kFloat32, {n, Expr(4)});
  const ValueId scores = of_n.net.add_input("scores", DataType::kFloat32, {n});
  EXPECT_EQ(of_n.of(NonMaxSuppression{0.5, "kept"}, {boxes, scores}), (Interval{0, 99}));
  EXPECT_EQ(of_n.of(Reduce{ReduceOperation::kSum, {0, 1}, false}, {of_n.x}), (Interval{-400, 600}));
  EXPECT_EQ(of_n.of(Reduce{ReduceOperation::kMax, {0}, false}, {of_n.x}), (Interval{-2, 3}));
  EXPECT_EQ(of_n.of(CumulativeSum{0, false, false}, {of_n.x}), (Interval{-200, 300}));
  OneInput of_u({0, 1}, {u});
  EXPECT_EQ(of_u.of(CumulativeSum{0, false, false}, {of_u.x}).min, 0);
}

TEST(RangeTest, MovedElementsKeepTheirs) {
  OneInput n({2, 5});
  EXPECT_EQ(n.of(Identity{}, {n.x}), (Interval{2, 5}));
  EXPECT_EQ(n.of(Broadcast{{Expr(3), Expr(4)}}, {n.x}), (Interval{2, 5}));
  EXPECT_EQ(n.of(Slice{{Expr(0)}, {Expr(2)}, {1}, SliceMode::kStrict}, {n.x}), (Interval{2, 5}));
  EXPECT_EQ(n.of(Slice{{Expr(-1)}, {Expr(6)}, {1}, SliceMode::kFill}, {n.x}), (Interval{0, 5}));
  EXPECT_EQ(n.of(Concatenation{0}, {n.x, n.net.add_cast(n.x, DataType::kInt64)}), (Interval{2, 5}));
  const ValueId y = n.input({-1, 3});
  EXPECT_EQ(n.of(Concatenation{0}, {n.x, y}), (Interval{-1, 5}));
  const ValueId condition = n.net.add_elementwise(n.x, y, ElementWiseOperation::kLess);
  EXPECT_EQ(n.of(Select{}, {condition, n.x, y}), (Interval{-1, 5}));
  EXPECT_EQ(n.of(Cast{DataType::kInt64}, {condition}), (Interval{0, 1}));
  EXPECT_EQ(n.of(Cast{DataType::kUInt8}, {n.x}), (Interval{2, 5}));
  EXPECT_EQ(n.of(Cast{DataType::kUInt8}, {y}), (Interval{0, 255}));  // -1 wraps around
  EXPECT_EQ(n.of(Cast{DataType::kInt64}, {n.net.add_cast(n.x, DataType::kFloat32)}), kUnknown);
}

TEST(RangeTest, RefiningIntersects) {
  OneInput n({0, 9});
  n.net.refine_range(n.x, {-5, 7});
  EXPECT_EQ(n.net.value(n.x).range, (Interval{0, 7}));
  EXPECT_THROW(n.net.refine_range(n.x, {8, 10}), Error);
  EXPECT_EQ(n.net.value(n.x).range, (Interval{0, 7}));
}

}  // namespace
}  // namespace torchtrt::network
