// SPDX-License-Identifier: Apache-2.0
// Reads the text of an expression: recursive descent over Python's grammar for the few operators that we have.
#include <charconv>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/base/expr.h>

#include "base/expr_budget.h"

namespace torchtrt {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The operands folded by halves, because adding them one by one would copy the first of n terms n times.
template <typename Fold>
Expr fold(const std::vector<Expr>& operands, std::size_t begin, std::size_t end, Fold operation) {
  if (end - begin == 1) return operands[begin];
  const std::size_t middle = begin + (end - begin) / 2;
  return operation(fold(operands, begin, middle, operation), fold(operands, middle, end, operation));
}
Expr sum_of(const std::vector<Expr>& operands) {
  return fold(operands, 0, operands.size(), [](const Expr& a, const Expr& b) { return a + b; });
}
Expr product_of(const std::vector<Expr>& operands) {
  return fold(operands, 0, operands.size(), [](const Expr& a, const Expr& b) { return a * b; });
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Expr parse_all() {
    Expr result = parse_sum();
    skip_spaces();
    check(position_ == text_.size(), "the end");
    return result;
  }

 private:
  static constexpr int kMaxDepth = 256;  // the stack is not endless; what str() prints needs less

  void skip_spaces() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\t')) ++position_;
  }
  bool accept(std::string_view token) {
    skip_spaces();
    if (text_.substr(position_, token.size()) != token) return false;
    position_ += token.size();
    return true;
  }
  void check(bool condition, std::string_view expected) const {
    TORCHTRT_CHECK(condition, kInvalidArgument, "dimension expression \"", text_.substr(0, 200), "\": expected ",
                   expected, " at position ", position_);
  }
  Expr parse_sum() {
    check(++depth_ <= kMaxDepth, "fewer nested parentheses");
    std::vector<Expr> operands{parse_product()};
    while (true) {
      if (accept("+")) {
        operands.push_back(parse_product());
      } else if (accept("-")) {
        operands.push_back(Expr(-1) * parse_product());
      } else {
        --depth_;
        return sum_of(operands);
      }
    }
  }
  Expr parse_product() {
    std::vector<Expr> factors{parse_unary()};
    while (true) {
      if (accept("//")) {
        factors = {floor_div(product_of(factors), parse_unary())};
      } else if (accept("*")) {
        factors.push_back(parse_unary());
      } else if (accept("%")) {
        factors = {mod(product_of(factors), parse_unary())};
      } else {
        return product_of(factors);
      }
    }
  }
  Expr parse_unary() {
    bool negative = false;
    while (accept("-")) negative = !negative;
    skip_spaces();
    // A number with its sign, because the smallest one has no positive counterpart.
    if (position_ < text_.size() && is_digit(text_[position_])) return parse_number(negative);
    Expr operand = parse_primary();
    return negative ? Expr(-1) * operand : operand;
  }
  Expr parse_number(bool negative) {
    std::string digits(negative ? "-" : "");
    while (position_ < text_.size() && is_digit(text_[position_])) digits += text_[position_++];
    std::int64_t value = 0;
    const auto error = std::from_chars(digits.data(), digits.data() + digits.size(), value).ec;
    check(error == std::errc(), "a number of at most 64 bits before");
    return Expr(value);
  }
  Expr parse_primary() {
    if (accept("(")) {
      Expr inner = parse_sum();
      check(accept(")"), "')'");
      return inner;
    }
    skip_spaces();
    check(position_ < text_.size() && is_letter(text_[position_]), "a number, a name or '('");
    const std::size_t start = position_;
    while (position_ < text_.size() && (is_letter(text_[position_]) || is_digit(text_[position_]))) ++position_;
    std::string name(text_.substr(start, position_ - start));
    if (!accept("(")) {
      return Expr::symbol(std::move(name));
    }
    check(name == "max" || name == "min", "max(..) or min(..)");
    Expr first = parse_sum();
    check(accept(","), "','");
    Expr second = parse_sum();
    check(accept(")"), "')'");
    return name == "max" ? max(first, second) : min(first, second);
  }

  std::string_view text_;
  std::size_t position_ = 0;
  int depth_ = 0;
};

// What is kept of a text grows with its length: products expand, but not in the texts that str() writes.
constexpr std::size_t kMaxExpansion = 8;
constexpr std::size_t kAlwaysAllowed = 256;

}  // namespace

Expr Expr::parse(std::string_view text) {
  TORCHTRT_CHECK(text.size() <= kMaxText, kOutOfRange, "a dimension expression of ", text.size(),
                 " characters is too large; at most ", kMaxText, " are allowed");
  const ExprBudget budget(text.size());
  Expr expr = Parser(text).parse_all();
  const std::size_t size = expr.str().size();
  TORCHTRT_CHECK(size <= text.size() * kMaxExpansion + kAlwaysAllowed, kOutOfRange, "dimension expression \"",
                 text.substr(0, 200), "\": multiplied out, its ", text.size(), " characters become ", size);
  return expr;
}

}  // namespace torchtrt
