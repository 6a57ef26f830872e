// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/base/expr.h>

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <torchtrt/base/error.h>

#include "base/integers.h"
#include "base/testing/hostile.h"
#include "base/testing/limits.h"

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

// Every operation on every pair of numbers at the ends of int64: Python's result where it is an int64, else an error.
TEST(ExprTest, NumbersAtTheEnds) {
  const std::int64_t numbers[] = {
      0, 1, -1, 2, -2, 3, INT64_C(1) << 62, INT64_MAX, INT64_MAX - 1, INT64_MIN, INT64_MIN + 1};
  const auto expect = [](const std::string& text, std::optional<Wide> expected) {
    try {
      const Expr expr = Expr::parse(text);
      ASSERT_TRUE(expected.has_value()) << text << " gives " << expr;
      EXPECT_TRUE(Wide{expr.value()} == *expected) << text << " gives " << expr;
      EXPECT_EQ(Expr::parse(expr.str()), expr);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfRange);
      EXPECT_TRUE(!expected || *expected > INT64_MAX || *expected < INT64_MIN) << text << ": " << error.what();
    }
  };
  for (const std::int64_t x : numbers) {
    for (const std::int64_t y : numbers) {
      const std::string a = "(" + Expr(x).str() + ")", b = "(" + Expr(y).str() + ")";
      const Wide u = x, v = y;
      expect(a + " + " + b, u + v);
      expect(a + " * " + b, u * v);
      expect("max(" + a + ", " + b + ")", std::max(u, v));
      expect("min(" + a + ", " + b + ")", std::min(u, v));
      std::optional<Wide> quotient, remainder;
      if (v != 0) {
        quotient = u / v - (u % v != 0 && (u < 0) != (v < 0) ? 1 : 0);
        remainder = u - *quotient * v;
      }
      expect(a + " // " + b, quotient);
      expect(a + " % " + b, remainder);
      // The same with symbols, where the operations are the expressions' own.
      for (const char* operation : {" + ", " - ", "*", " // ", " % "}) {
        for (const std::string& text :
             {a + "*s" + operation + b, a + operation + "(" + b + "*s)", a + "*s" + operation + "(" + b + "*t)",
              a + "*s*t" + operation + "(" + b + "*t)"}) {
          try {
            const Expr expr = Expr::parse(text);
            EXPECT_EQ(Expr::parse(expr.str()), expr) << text;
            (void)expr.bounds({{"s", {1, INT64_MAX}}});
            (void)at(expr, {{"s", 1}, {"t", 1}});
          } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::kOutOfRange) << text << ": " << error.what();
          }
        }
      }
    }
  }
  EXPECT_EQ(Expr::parse("-9223372036854775808"), Expr(INT64_MIN));
  EXPECT_EQ(at(floor_div(Expr(INT64_MIN) * Expr::symbol("s"), -1), {{"s", 0}}), 0);
  EXPECT_EQ(at(mod(Expr(INT64_MIN) * Expr::symbol("s"), -1), {{"s", 1}}), 0);
}

// No limit is no number: an end of an interval must not become one by arithmetic.
TEST(ExprTest, BoundsAtTheEndsHold) {
  const Expr a = Expr::symbol("a"), b = Expr::symbol("b");
  EXPECT_EQ((max(a, Expr(INT64_MAX)) - b).bounds({}).min, INT64_MIN);
  EXPECT_EQ((a * -1).bounds({{"a", {INT64_MAX, INT64_MAX}}}), (Interval{INT64_MIN, -INT64_MAX}));
  EXPECT_EQ((a - 5).bounds({{"a", {0, INT64_MAX}}}), (Interval{-5, INT64_MAX}));
  EXPECT_EQ((a * b).bounds({{"a", {2, INT64_MAX}}, {"b", {3, 4}}}), (Interval{6, INT64_MAX}));
  EXPECT_EQ(floor_div(a, b).bounds({{"a", {7, INT64_MAX}}, {"b", {2, INT64_MAX}}}), (Interval{0, INT64_MAX}));
  EXPECT_EQ(mod(a, b).bounds({{"a", {7, 9}}, {"b", {2, INT64_MAX}}}), (Interval{0, 9}));
}

// Whatever an expression has become, its text is read back: as large and as deep as they are allowed to be.
TEST(ExprTest, EverythingPrintedIsRead) {
  const auto grow = [](const auto& step) {
    Expr expr = Expr::symbol("a");
    std::size_t steps = 0;
    try {
      for (;; ++steps) {
        const std::string text = expr.str();
        const bool is_read = steps % 64 == 0 || steps < 10 || text.size() > 16000;  // the others take time
        EXPECT_TRUE(!is_read || Expr::parse(text) == expr) << text.size() << " characters";
        expr = step(expr, Expr::symbol("s" + std::to_string(steps)));
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfRange) << error.what();
      EXPECT_GT(steps, 5U) << error.what();
    }
  };
  grow([](const Expr& x, const Expr& s) { return x + s * 3; });
  grow([](const Expr& x, const Expr& s) { return x * s; });
  grow([](const Expr& x, const Expr& s) { return x * (s + 1); });
  grow([](const Expr& x, const Expr&) { return floor_div(x + 1, 2) + 1; });
  grow([](const Expr& x, const Expr& s) { return mod(x + s, 7); });
  grow([](const Expr& x, const Expr& s) { return max(x * 2, s) - 1; });
  grow([](const Expr& x, const Expr& s) { return min(x + s, s * 2 + 100) + x; });
  grow([](const Expr& x, const Expr& s) { return floor_div(max(x, s) * 3 + mod(x, 5), 2 + s); });
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

TEST(ExprTest, NoTextTakesMoreThanItsLengthAllows) {
  for (const std::size_t size : {40, 200, 1000, 4000, 16000}) {
    for (const auto& [name, text] : testing::hostile_expressions(size)) {
      SCOPED_TRACE(name + ", " + std::to_string(text.size()) + " characters");
      testing::expect_within_limits(text.size(), [&text = text] { (void)Expr::parse(text); });
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
