// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/base/expr.h>

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <torchtrt/base/error.h>

namespace torchtrt {
namespace {

std::int64_t at(const Expr& expr, std::map<std::string, std::int64_t> values) {
  return expr.evaluate([&](const std::string& name) { return values.at(name); });
}

TEST(ExprTest, EqualPolynomialsCompareEqual) {
  const Expr a = Expr::symbol("a");
  const Expr b = Expr::symbol("b");
  EXPECT_EQ((a + b) * (a - b), a * a - b * b);
  EXPECT_EQ(a + 1 - 1, a);
  EXPECT_EQ(a * 0, Expr(0));
  EXPECT_NE(a, b);
  EXPECT_FALSE(a + 1 == a);
}

TEST(ExprTest, DivisionSimplifiesOnlyWhereExact) {
  const Expr a = Expr::symbol("a");
  const Expr b = Expr::symbol("b");
  EXPECT_EQ(floor_div(a * b * 6, b * 2), a * 3);
  EXPECT_EQ(floor_div(a * 4 + 8, Expr(4)), a + 2);
  EXPECT_EQ(floor_div(a + 1, Expr(2)).kind(), Expr::Kind::kFloorDiv);
  EXPECT_EQ(floor_div(Expr(-7), Expr(2)), Expr(-4));
  EXPECT_EQ(mod(Expr(-7), Expr(2)), Expr(1));
  EXPECT_EQ(mod(a * 12, Expr(4)), Expr(0));
  EXPECT_EQ(mod(a, Expr(2)).kind(), Expr::Kind::kMod);
}

TEST(ExprTest, TextRoundTrips) {
  for (const std::string text : {"0", "-3", "s0", "2*s0 + 1", "s0*s1 - 4", "((s0 + 1) // 2) + 3", "(s0 % 7)*s1",
                                 "max(s0, s1*3) + min(4, s0)", "-s0", "((s0 + -3) // (s1 + 1))"}) {
    const Expr expr = Expr::parse(text);
    EXPECT_EQ(Expr::parse(expr.str()), expr) << text << " printed as " << expr.str();
    EXPECT_EQ(Expr::parse(expr.str()).str(), expr.str());
  }
}

TEST(ExprTest, PrecedenceIsPythons) {
  EXPECT_EQ(at(Expr::parse("7 - 2 * 3 // 4"), {}), 6);
  EXPECT_EQ(at(Expr::parse("-7 // 2"), {}), -4);
  EXPECT_EQ(at(Expr::parse("a // b * b + a % b"), {{"a", 17}, {"b", 5}}), 17);
}

TEST(ExprTest, RejectsWhatIsNotAnExpression) {
  for (const std::string text :
       {"", "s0 +", "(s0", "s0 s1", "1.5", "f(s0, 1)", "s0 / 2", "99999999999999999999", "3 // 0"}) {
    EXPECT_THROW(Expr::parse(text), Error) << text;
  }
  EXPECT_THROW(Expr::parse(std::string(100000, '(')), Error);
  EXPECT_THROW(Expr::symbol("2x"), Error);
}

TEST(ExprTest, OverflowIsAnError) {
  const Expr product = Expr::symbol("a") * Expr::symbol("b");
  EXPECT_THROW(at(product, {{"a", INT64_MAX}, {"b", 2}}), Error);
  EXPECT_THROW(Expr(INT64_MAX) + Expr(1), Error);
}

// Bounds hold for every choice within the ranges, and simplification never changes a value: random expressions.
TEST(ExprTest, BoundsAndTextHoldForRandomExpressions) {
  std::mt19937 random(7);
  const std::map<std::string, Interval> ranges{{"a", {1, 9}}, {"b", {2, 5}}};
  for (int round = 0; round < 300; ++round) {
    Expr expr = Expr::symbol(random() % 2 ? "a" : "b");
    for (int step = 0; step < 4; ++step) {
      const Expr other =
          random() % 2 ? Expr::symbol(random() % 2 ? "a" : "b") : Expr(static_cast<int>(random() % 7) + 1);
      switch (random() % 7) {
        case 0: expr = expr + other; break;
        case 1: expr = expr - other; break;
        case 2: expr = expr * other; break;
        case 3: expr = floor_div(expr, other); break;
        case 4: expr = mod(expr, other); break;
        case 5: expr = max(expr, other); break;
        default: expr = min(expr, other); break;
      }
    }
    const Interval bounds = expr.bounds(ranges);
    const Expr reparsed = Expr::parse(expr.str());
    for (std::int64_t a = 1; a <= 9; ++a) {
      for (std::int64_t b = 2; b <= 5; ++b) {
        const std::int64_t value = at(expr, {{"a", a}, {"b", b}});
        EXPECT_LE(bounds.min, value) << expr;
        EXPECT_GE(bounds.max, value) << expr;
        EXPECT_EQ(at(reparsed, {{"a", a}, {"b", b}}), value) << expr;
      }
    }
  }
}

TEST(ExprTest, WalksIntoOperands) {
  const Expr expr = Expr::parse("2*s0 + max(s1, 3)");
  EXPECT_EQ(expr.kind(), Expr::Kind::kAdd);
  Expr sum(0);
  for (const Expr& part : expr.operands()) sum = sum + part;
  EXPECT_EQ(sum, expr);
  std::set<std::string> names;
  expr.collect_symbols(names);
  EXPECT_EQ(names, (std::set<std::string>{"s0", "s1"}));
  EXPECT_EQ(expr.substitute([](const std::string& name) { return name == "s0" ? Expr(5) : Expr(1); }), Expr(13));
}

}  // namespace
}  // namespace torchtrt
