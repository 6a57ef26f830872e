// SPDX-License-Identifier: Apache-2.0
// The algebra of expressions; expr_parse.cpp reads their text.
#include <torchtrt/base/expr.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <ostream>
#include <utility>

#include <torchtrt/base/error.h>

#include "base/expr_budget.h"
#include "base/integers.h"

namespace torchtrt {

// A factor that polynomials cannot look into: a symbol, or one of // % max min over two expressions. Terms share it.
struct Expr::Atom {
  Kind kind = Kind::kSymbol;
  std::string key;  // the symbol's name, or the operation's text: identity and order
  std::optional<std::pair<Expr, Expr>> operands = std::nullopt;
  std::size_t nesting = 0;  // of operations in their operands
};

// coefficient * product of factors (sorted by key, repeated for powers). No factors: the constant term.
struct Expr::Term {
  std::int64_t coefficient = 0;
  std::vector<std::shared_ptr<const Atom>> factors;
};

namespace {

// Bounds of one expression, far beyond any shape's, because operations expand: what comes from a file must not be able
// to ask for 2^n terms.
constexpr std::size_t kMaxNesting = 100;
constexpr std::size_t kMaxProducts = 4096;  // of terms, when two sums are multiplied

// The order of factors, and whether they are the same.
constexpr auto kBefore = [](const auto& a, const auto& b) { return a != b && a->key < b->key; };
constexpr auto kSame = [](const auto& a, const auto& b) { return a == b || a->key == b->key; };

std::int64_t apply(Expr::Kind kind, std::int64_t a, std::int64_t b) {
  switch (kind) {
    case Expr::Kind::kFloorDiv: return checked_floor_div(a, b);
    case Expr::Kind::kMod: return checked_mod(a, b);
    case Expr::Kind::kMax: return std::max(a, b);
    case Expr::Kind::kMin: return std::min(a, b);
    default: break;
  }
  fail(ErrorCode::kInternal, "not an opaque operation");
}

// --- intervals: the lower end INT64_MIN and the upper end INT64_MAX stand for no limit; other ends are numbers
// ------------------------------------------------------------------------------------------------------------

Interval add(const Interval& a, const Interval& b) {
  return {a.min == INT64_MIN || b.min == INT64_MIN ? INT64_MIN : clamp_to_int64(Wide{a.min} + b.min),
          a.max == INT64_MAX || b.max == INT64_MAX ? INT64_MAX : clamp_to_int64(Wide{a.max} + b.max)};
}

Interval multiply(const Interval& a, const Interval& b) {
  // No limit is one more than the largest number: its multiples are outside of int64, as those of INT64_MIN are.
  const auto upper = [](const Interval& x) { return Wide{x.max} + (x.max == INT64_MAX ? 1 : 0); };
  const auto [low, high] =
      std::minmax({Wide{a.min} * b.min, Wide{a.min} * upper(b), upper(a) * b.min, upper(a) * upper(b)});
  return {clamp_to_int64(low), clamp_to_int64(high)};
}

// By a divisor > 0. The quotients are furthest from zero where the divisor is least.
Interval floor_divide(const Interval& a, const Interval& b) {
  const auto quotient = [&](std::int64_t value, bool least) {
    if (least) return checked_floor_div(value, b.min);
    return b.max != INT64_MAX ? checked_floor_div(value, b.max) : value < 0 ? -1 : 0;
  };
  return {a.min == INT64_MIN ? INT64_MIN : quotient(a.min, a.min < 0),
          a.max == INT64_MAX ? INT64_MAX : quotient(a.max, a.max >= 0)};
}

// By a divisor > 0.
Interval remainder(const Interval& a, const Interval& b) {
  return {0, std::min(b.max == INT64_MAX ? INT64_MAX : b.max - 1, a.min >= 0 ? a.max : INT64_MAX)};
}

Interval bounds_of(Expr::Kind kind, const Interval& a, const Interval& b) {
  switch (kind) {
    case Expr::Kind::kMax: return {std::max(a.min, b.min), std::max(a.max, b.max)};
    case Expr::Kind::kMin: return {std::min(a.min, b.min), std::min(a.max, b.max)};
    case Expr::Kind::kFloorDiv: return b.min > 0 ? floor_divide(a, b) : Interval{INT64_MIN, INT64_MAX};
    case Expr::Kind::kMod: return b.min > 0 ? remainder(a, b) : Interval{INT64_MIN, INT64_MAX};
    default: break;
  }
  fail(ErrorCode::kInternal, "not an opaque operation");
}

// Python's text of a coefficient's magnitude. The smallest int64 has no positive counterpart: it is a sum, in
// parentheses, that is negative itself.
constexpr std::string_view kSmallest = "(-9223372036854775807 - 1)";

std::string magnitude_text(std::int64_t value) {
  return value == INT64_MIN ? std::string(kSmallest) : std::to_string(value < 0 ? -value : value);
}

bool is_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !name.empty() && is_letter(name.front()) &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

Expr::Expr(std::int64_t value) {
  if (value != 0) {
    terms_ = std::make_shared<const Terms>(Terms{Term{value, {}}});
  }
  // Zero is the empty sum; a null pointer stands for it.
}

Expr::Expr(Terms terms) {
  ExprBudget::spend(steps_of(terms));
  std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) {
    if (a.factors.size() != b.factors.size()) return a.factors.size() > b.factors.size();
    return std::lexicographical_compare(a.factors.begin(), a.factors.end(), b.factors.begin(), b.factors.end(),
                                        kBefore);
  });
  Terms merged;
  for (Term& term : terms) {
    if (!merged.empty() && has_same_factors(merged.back(), term)) {
      merged.back().coefficient = checked_add(merged.back().coefficient, term.coefficient);
    } else {
      merged.push_back(std::move(term));
    }
  }
  std::erase_if(merged, [](const Term& term) { return term.coefficient == 0; });
  std::size_t size = 0;
  for (const Term& term : merged) size += text_size(term);
  TORCHTRT_CHECK(size <= kMaxText, kOutOfRange, "a dimension expression of ", size,
                 " characters is too large; at most ", kMaxText, " are allowed");
  if (!merged.empty()) {
    terms_ = std::make_shared<const Terms>(std::move(merged));
  }
}

bool Expr::has_same_factors(const Term& a, const Term& b) {
  return std::equal(a.factors.begin(), a.factors.end(), b.factors.begin(), b.factors.end(), kSame);
}

// Of its text within a sum, or a little more.
std::size_t Expr::text_size(const Term& term) {
  std::size_t size = 3 + (term.coefficient == 1 ? 0 : magnitude_text(term.coefficient).size());
  for (const auto& atom : term.factors) size += 1 + atom->key.size();
  return size;
}

std::size_t Expr::steps_of(const Terms& terms) {
  std::size_t steps = terms.size();
  for (const Term& term : terms) steps += term.factors.size();
  return steps;
}

Expr Expr::symbol(std::string name) {
  TORCHTRT_CHECK(is_name(name), kInvalidArgument, "a symbol is named like an identifier, not \"", name, "\"");
  return Expr(Terms{Term{1, {std::make_shared<const Atom>(Atom{Kind::kSymbol, std::move(name)})}}});
}

Expr Expr::from_atom(Kind kind, const Expr& a, const Expr& b) {
  const auto parenthesized = [](const Expr& expr) {
    const bool simple = expr.is_symbol() || (expr.is_constant() && expr.value() >= 0);
    return simple ? expr.str() : "(" + expr.str() + ")";
  };
  std::string key;
  switch (kind) {
    case Kind::kFloorDiv: key = "(" + parenthesized(a) + " // " + parenthesized(b) + ")"; break;
    case Kind::kMod: key = "(" + parenthesized(a) + " % " + parenthesized(b) + ")"; break;
    case Kind::kMax: key = "max(" + a.str() + ", " + b.str() + ")"; break;
    case Kind::kMin: key = "min(" + a.str() + ", " + b.str() + ")"; break;
    default: fail(ErrorCode::kInternal, "not an opaque operation");
  }
  const std::size_t nesting = 1 + std::max(a.nesting(), b.nesting());
  TORCHTRT_CHECK(nesting <= kMaxNesting, kOutOfRange, "a dimension expression with more than ", kMaxNesting,
                 " nested operations");
  return Expr(Terms{Term{1, {std::make_shared<const Atom>(Atom{kind, std::move(key), std::pair(a, b), nesting})}}});
}

std::size_t Expr::nesting() const {
  std::size_t deepest = 0;
  if (!terms_) return deepest;
  for (const Term& term : *terms_) {
    for (const auto& atom : term.factors) deepest = std::max(deepest, atom->nesting);
  }
  return deepest;
}

bool Expr::is_constant() const { return !terms_ || (terms_->size() == 1 && terms_->front().factors.empty()); }

std::int64_t Expr::value() const {
  TORCHTRT_CHECK(is_constant(), kInternal, "not a constant dimension: ", str());
  return terms_ ? terms_->front().coefficient : 0;
}

bool Expr::is_symbol() const { return kind() == Kind::kSymbol; }

const std::string& Expr::symbol_name() const {
  TORCHTRT_CHECK(is_symbol(), kInternal, "not a lone symbol: ", str());
  return terms_->front().factors.front()->key;
}

void Expr::collect_symbols(std::set<std::string>& names) const {
  if (!terms_) return;
  ExprBudget::spend(steps_of(*terms_));
  for (const Term& term : *terms_) {
    for (const auto& atom : term.factors) {
      if (atom->kind == Kind::kSymbol) {
        names.insert(atom->key);
      } else {
        atom->operands->first.collect_symbols(names);
        atom->operands->second.collect_symbols(names);
      }
    }
  }
}

std::string Expr::str() const {
  if (!terms_) return "0";
  std::string text;
  for (const Term& term : *terms_) {
    const bool minus = term.coefficient < 0 && term.coefficient != INT64_MIN;
    text += text.empty() ? (minus ? "-" : "") : (minus ? " - " : " + ");
    const char* separator = "";
    if ((term.coefficient != 1 && term.coefficient != -1) || term.factors.empty()) {
      text += magnitude_text(term.coefficient);
      separator = "*";
    }
    for (const auto& atom : term.factors) {
      text += separator;
      text += atom->key;
      separator = "*";
    }
  }
  return text;
}

std::int64_t Expr::evaluate(const std::function<std::int64_t(const std::string&)>& lookup) const {
  std::int64_t sum = 0;
  if (!terms_) return sum;
  for (const Term& term : *terms_) {
    std::int64_t product = term.coefficient;
    for (const auto& atom : term.factors) {
      const std::int64_t factor =
          atom->kind == Kind::kSymbol
              ? lookup(atom->key)
              : apply(atom->kind, atom->operands->first.evaluate(lookup), atom->operands->second.evaluate(lookup));
      product = checked_mul(product, factor);
    }
    sum = checked_add(sum, product);
  }
  return sum;
}

Interval Expr::bounds(const std::map<std::string, Interval>& ranges) const {
  Interval sum{0, 0};
  if (!terms_) return sum;
  ExprBudget::spend(steps_of(*terms_));
  for (const Term& term : *terms_) {
    Interval product{term.coefficient, term.coefficient};
    for (const auto& atom : term.factors) {
      Interval factor{0, INT64_MAX};
      if (atom->kind != Kind::kSymbol) {
        factor = bounds_of(atom->kind, atom->operands->first.bounds(ranges), atom->operands->second.bounds(ranges));
      } else if (const auto found = ranges.find(atom->key); found != ranges.end()) {
        factor = found->second;
      }
      product = multiply(product, factor);
    }
    sum = add(sum, product);
  }
  return sum;
}

Expr Expr::substitute(const std::function<Expr(const std::string&)>& replacement) const {
  Expr sum(0);
  if (!terms_) return sum;
  for (const Term& term : *terms_) {
    Expr product(term.coefficient);
    for (const auto& atom : term.factors) {
      if (atom->kind == Kind::kSymbol) {
        product = product * replacement(atom->key);
        continue;
      }
      const Expr a = atom->operands->first.substitute(replacement);
      const Expr b = atom->operands->second.substitute(replacement);
      switch (atom->kind) {
        case Kind::kFloorDiv: product = product * floor_div(a, b); break;
        case Kind::kMod: product = product * mod(a, b); break;
        case Kind::kMax: product = product * max(a, b); break;
        default: product = product * min(a, b); break;
      }
    }
    sum = sum + product;
  }
  return sum;
}

Expr::Kind Expr::kind() const {
  if (is_constant()) return Kind::kConstant;
  if (terms_->size() > 1) return Kind::kAdd;
  const Term& term = terms_->front();
  if (term.coefficient != 1 || term.factors.size() > 1) return Kind::kMul;
  return term.factors.front()->kind;
}

std::vector<Expr> Expr::operands() const {
  std::vector<Expr> result;
  switch (kind()) {
    case Kind::kConstant:
    case Kind::kSymbol: break;
    case Kind::kAdd:
      for (const Term& term : *terms_) result.push_back(Expr(Terms{term}));
      break;
    case Kind::kMul: {
      const Term& term = terms_->front();
      if (term.coefficient != 1) result.emplace_back(term.coefficient);
      for (const auto& atom : term.factors) result.push_back(Expr(Terms{Term{1, {atom}}}));
      break;
    }
    default: {
      const auto& [a, b] = *terms_->front().factors.front()->operands;
      result = {a, b};
    }
  }
  return result;
}

bool operator==(const Expr& a, const Expr& b) {
  if (!a.terms_ || !b.terms_) return !a.terms_ && !b.terms_;
  return std::equal(a.terms_->begin(), a.terms_->end(), b.terms_->begin(), b.terms_->end(),
                    [](const Expr::Term& x, const Expr::Term& y) {
                      return x.coefficient == y.coefficient && Expr::has_same_factors(x, y);
                    });
}

Expr operator+(const Expr& a, const Expr& b) {
  Expr::Terms terms;
  if (a.terms_) terms = *a.terms_;
  if (b.terms_) terms.insert(terms.end(), b.terms_->begin(), b.terms_->end());
  return Expr(std::move(terms));
}

Expr operator*(const Expr& a, const Expr& b) {
  Expr::Terms terms;
  if (!a.terms_ || !b.terms_) return Expr(0);
  // Before anything is made.
  TORCHTRT_CHECK(a.terms_->size() <= kMaxProducts / b.terms_->size(), kOutOfRange,
                 "a product of dimension expressions of ", a.terms_->size(), " and ", b.terms_->size(),
                 " terms is too large");
  ExprBudget::spend(Expr::steps_of(*a.terms_) * b.terms_->size() + Expr::steps_of(*b.terms_) * a.terms_->size());
  for (const Expr::Term& x : *a.terms_) {
    for (const Expr::Term& y : *b.terms_) {
      Expr::Term product{checked_mul(x.coefficient, y.coefficient), {}};
      product.factors.reserve(x.factors.size() + y.factors.size());
      std::merge(x.factors.begin(), x.factors.end(), y.factors.begin(), y.factors.end(),
                 std::back_inserter(product.factors), kBefore);
      terms.push_back(std::move(product));
    }
  }
  return Expr(std::move(terms));
}

Expr operator-(const Expr& a, const Expr& b) { return a + Expr(-1) * b; }

// a / b where the quotient is an expression: b is 1, or a itself, or a single product that every term of a is a multiple
// of. (A divisor with symbols is not zero where the division has a value at all.)
std::optional<Expr> Expr::exact_quotient(const Expr& a, const Expr& b) {
  if (!a.terms_ || b == Expr(1)) return a;
  if (b.terms_->size() > 1) return a == b ? std::optional(Expr(1)) : std::nullopt;
  const Term& divisor = b.terms_->front();
  ExprBudget::spend(steps_of(*a.terms_) + a.terms_->size() * divisor.factors.size());
  Terms quotient;
  for (const Term& term : *a.terms_) {
    const bool overflows = term.coefficient == INT64_MIN && divisor.coefficient == -1;
    if (overflows || term.coefficient % divisor.coefficient != 0 ||
        !std::includes(term.factors.begin(), term.factors.end(), divisor.factors.begin(), divisor.factors.end(),
                       kBefore)) {
      return std::nullopt;
    }
    Term part{term.coefficient / divisor.coefficient, {}};
    std::set_difference(term.factors.begin(), term.factors.end(), divisor.factors.begin(), divisor.factors.end(),
                        std::back_inserter(part.factors), kBefore);
    quotient.push_back(std::move(part));
  }
  return Expr(std::move(quotient));
}

Expr floor_div(const Expr& a, const Expr& b) {
  TORCHTRT_CHECK(b != Expr(0), kOutOfRange, "division by zero: ", a, " // 0");
  if (a.is_constant() && b.is_constant()) return Expr(checked_floor_div(a.value(), b.value()));
  if (std::optional<Expr> quotient = Expr::exact_quotient(a, b)) return *std::move(quotient);
  return Expr::from_atom(Expr::Kind::kFloorDiv, a, b);
}

Expr mod(const Expr& a, const Expr& b) {
  TORCHTRT_CHECK(b != Expr(0), kOutOfRange, "division by zero: ", a, " % 0");
  if (a.is_constant() && b.is_constant()) return Expr(checked_mod(a.value(), b.value()));
  if (Expr::exact_quotient(a, b)) return Expr(0);
  return Expr::from_atom(Expr::Kind::kMod, a, b);
}

// max and min, which are symmetric: the operands are ordered before anything depends on their order.
Expr Expr::extreme(Kind kind, const Expr& a, const Expr& b) {
  if (a.is_constant() && b.is_constant()) return Expr(apply(kind, a.value(), b.value()));
  if (b.str() < a.str()) return extreme(kind, b, a);
  const Interval difference = (a - b).bounds({});
  if (difference.min >= 0) return kind == Kind::kMax ? a : b;
  if (difference.max <= 0) return kind == Kind::kMax ? b : a;
  return from_atom(kind, a, b);
}

Expr max(const Expr& a, const Expr& b) { return Expr::extreme(Expr::Kind::kMax, a, b); }
Expr min(const Expr& a, const Expr& b) { return Expr::extreme(Expr::Kind::kMin, a, b); }

std::ostream& operator<<(std::ostream& out, const Expr& expr) { return out << expr.str(); }

std::string to_string(const Dims& dims) {
  std::string text = "[";
  for (std::size_t i = 0; i < dims.size(); ++i) {
    text += (i == 0 ? "" : ", ") + dims[i].str();
  }
  return text + "]";
}

bool is_static(const Dims& dims) {
  return std::all_of(dims.begin(), dims.end(), [](const Expr& dim) { return dim.is_constant(); });
}

Expr volume(const Dims& dims) {
  Expr product(1);
  for (const Expr& dim : dims) product = product * dim;
  return product;
}

}  // namespace torchtrt
