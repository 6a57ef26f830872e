// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/base/expr.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <ostream>
#include <sstream>
#include <utility>

#include <torchtrt/base/error.h>

namespace torchtrt {

// A factor that polynomials cannot look into: a symbol, or one of // % max min over two expressions.
struct Expr::Atom {
  Kind kind = Kind::kSymbol;
  std::string key;  // the symbol's name, or the operation's text: identity and order
  std::shared_ptr<const std::pair<Expr, Expr>> operands;

  bool operator==(const Atom& other) const { return key == other.key; }
  bool operator<(const Atom& other) const { return key < other.key; }
};

// coefficient * product of factors (sorted, repeated for powers). No factors: the constant term.
struct Expr::Term {
  std::int64_t coefficient = 0;
  std::vector<Atom> factors;

  bool same_factors(const Term& other) const { return factors == other.factors; }
};

namespace {

// Bounds the expansion of products: text from a file must not be able to ask for 2^n terms.
constexpr std::size_t kMaxTerms = 4096;
constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMinInt = std::numeric_limits<std::int64_t>::min();

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  TORCHTRT_CHECK(!__builtin_add_overflow(a, b, &result), kOutOfRange, "dimension arithmetic overflows: ", a, " + ", b);
  return result;
}

std::int64_t checked_mul(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  TORCHTRT_CHECK(!__builtin_mul_overflow(a, b, &result), kOutOfRange, "dimension arithmetic overflows: ", a, " * ", b);
  return result;
}

std::int64_t floor_div_values(std::int64_t a, std::int64_t b) {
  TORCHTRT_CHECK(b != 0, kOutOfRange, "division by zero in dimension arithmetic: ", a, " // 0");
  TORCHTRT_CHECK(!(a == kMinInt && b == -1), kOutOfRange, "dimension arithmetic overflows: ", a, " // -1");
  const std::int64_t quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

std::int64_t mod_values(std::int64_t a, std::int64_t b) { return a - floor_div_values(a, b) * b; }

std::int64_t apply(Expr::Kind kind, std::int64_t a, std::int64_t b) {
  switch (kind) {
    case Expr::Kind::kFloorDiv: return floor_div_values(a, b);
    case Expr::Kind::kMod: return mod_values(a, b);
    case Expr::Kind::kMax: return std::max(a, b);
    case Expr::Kind::kMin: return std::min(a, b);
    default: break;
  }
  fail(ErrorCode::kInternal, "not an opaque operation");
}

// Interval arithmetic that treats both ends of int64 as infinite.
std::int64_t saturating_add(std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (a == kMaxInt || b == kMaxInt) return kMaxInt;
  if (a == kMinInt || b == kMinInt) return kMinInt;
  if (__builtin_add_overflow(a, b, &result)) return a > 0 ? kMaxInt : kMinInt;
  return result;
}

std::int64_t saturating_mul(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  std::int64_t result = 0;
  const bool infinite = a == kMaxInt || a == kMinInt || b == kMaxInt || b == kMinInt;
  if (infinite || __builtin_mul_overflow(a, b, &result)) return (a < 0) == (b < 0) ? kMaxInt : kMinInt;
  return result;
}

Interval multiply(const Interval& a, const Interval& b) {
  const auto [low, high] = std::minmax({saturating_mul(a.min, b.min), saturating_mul(a.min, b.max),
                                        saturating_mul(a.max, b.min), saturating_mul(a.max, b.max)});
  return {low, high};
}

Interval bounds_of(Expr::Kind kind, const Interval& a, const Interval& b) {
  switch (kind) {
    case Expr::Kind::kMax: return {std::max(a.min, b.min), std::max(a.max, b.max)};
    case Expr::Kind::kMin: return {std::min(a.min, b.min), std::min(a.max, b.max)};
    case Expr::Kind::kMod:
      if (b.min > 0) {
        return {0,
                b.max == kMaxInt ? (a.min >= 0 ? a.max : kMaxInt) : std::min(b.max - 1, a.min >= 0 ? a.max : kMaxInt)};
      }
      return {kMinInt, kMaxInt};
    case Expr::Kind::kFloorDiv:
      if (b.min > 0) {
        const auto divide = [](std::int64_t value, std::int64_t by) {
          if (value == kMaxInt || value == kMinInt) return by == kMaxInt ? (value > 0 ? kMaxInt : -1) : value;
          return by == kMaxInt ? (value < 0 ? -1 : 0) : floor_div_values(value, by);
        };
        return {std::min(divide(a.min, b.min), divide(a.min, b.max)),
                std::max(divide(a.max, b.min), divide(a.max, b.max))};
      }
      return {kMinInt, kMaxInt};
    default: break;
  }
  fail(ErrorCode::kInternal, "not an opaque operation");
}

bool is_identifier_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Recursive descent over Python's grammar for the few operators we have.
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
  static constexpr int kMaxDepth = 200;  // input may be hostile; the stack is not endless

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
    Expr result = parse_product();
    while (true) {
      if (accept("+")) {
        result = result + parse_product();
      } else if (accept("-")) {
        result = result - parse_product();
      } else {
        --depth_;
        return result;
      }
    }
  }
  Expr parse_product() {
    Expr result = parse_unary();
    while (true) {
      if (accept("//")) {
        result = floor_div(result, parse_unary());
      } else if (accept("*")) {
        result = result * parse_unary();
      } else if (accept("%")) {
        result = mod(result, parse_unary());
      } else {
        return result;
      }
    }
  }
  Expr parse_unary() {
    bool negative = false;
    while (accept("-")) negative = !negative;
    Expr operand = parse_primary();
    return negative ? Expr(0) - operand : operand;
  }
  Expr parse_primary() {
    if (accept("(")) {
      Expr inner = parse_sum();
      check(accept(")"), "')'");
      return inner;
    }
    skip_spaces();
    check(position_ < text_.size(), "a number, a name or '('");
    if (is_digit(text_[position_])) {
      std::int64_t value = 0;
      while (position_ < text_.size() && is_digit(text_[position_])) {
        value = checked_add(checked_mul(value, 10), text_[position_++] - '0');
      }
      return Expr(value);
    }
    check(is_identifier_start(text_[position_]), "a number, a name or '('");
    const std::size_t start = position_;
    while (position_ < text_.size() && (is_identifier_start(text_[position_]) || is_digit(text_[position_])))
      ++position_;
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

}  // namespace

Expr::Expr(std::int64_t value) {
  if (value != 0) {
    terms_ = std::make_shared<const Terms>(Terms{Term{value, {}}});
  }
  // Zero is the empty sum; a null pointer stands for it.
}

Expr::Expr(Terms terms) {
  std::sort(terms.begin(), terms.end(), [](const Term& a, const Term& b) {
    if (a.factors.size() != b.factors.size()) return a.factors.size() > b.factors.size();
    return std::lexicographical_compare(a.factors.begin(), a.factors.end(), b.factors.begin(), b.factors.end());
  });
  Terms merged;
  for (Term& term : terms) {
    if (!merged.empty() && merged.back().same_factors(term)) {
      merged.back().coefficient = checked_add(merged.back().coefficient, term.coefficient);
    } else {
      merged.push_back(std::move(term));
    }
  }
  std::erase_if(merged, [](const Term& term) { return term.coefficient == 0; });
  if (!merged.empty()) {
    terms_ = std::make_shared<const Terms>(std::move(merged));
  }
}

Expr Expr::symbol(std::string name) {
  bool valid = !name.empty() && is_identifier_start(name.front());
  for (const char c : name) valid = valid && (is_identifier_start(c) || is_digit(c));
  TORCHTRT_CHECK(valid, kInvalidArgument, "a symbol is named like an identifier, not \"", name, "\"");
  return Expr(Terms{Term{1, {Atom{Kind::kSymbol, std::move(name), nullptr}}}});
}

Expr Expr::parse(std::string_view text) { return Parser(text).parse_all(); }

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
  return Expr(Terms{Term{1, {Atom{kind, std::move(key), std::make_shared<const std::pair<Expr, Expr>>(a, b)}}}});
}

bool Expr::is_constant() const { return !terms_ || (terms_->size() == 1 && terms_->front().factors.empty()); }

std::int64_t Expr::value() const {
  TORCHTRT_CHECK(is_constant(), kInternal, "not a constant dimension: ", str());
  return terms_ ? terms_->front().coefficient : 0;
}

bool Expr::is_symbol() const { return kind() == Kind::kSymbol; }

const std::string& Expr::symbol_name() const {
  TORCHTRT_CHECK(is_symbol(), kInternal, "not a lone symbol: ", str());
  return terms_->front().factors.front().key;
}

void Expr::collect_symbols(std::set<std::string>& names) const {
  if (!terms_) return;
  for (const Term& term : *terms_) {
    for (const Atom& atom : term.factors) {
      if (atom.kind == Kind::kSymbol) {
        names.insert(atom.key);
      } else {
        atom.operands->first.collect_symbols(names);
        atom.operands->second.collect_symbols(names);
      }
    }
  }
}

std::string Expr::str() const {
  if (!terms_) return "0";
  std::ostringstream out;
  bool first = true;
  for (const Term& term : *terms_) {
    // The magnitude in unsigned arithmetic: the smallest int64 has no positive counterpart.
    const std::uint64_t magnitude = term.coefficient < 0 ? 0 - static_cast<std::uint64_t>(term.coefficient)
                                                         : static_cast<std::uint64_t>(term.coefficient);
    if (first) {
      out << (term.coefficient < 0 ? "-" : "");
    } else {
      out << (term.coefficient < 0 ? " - " : " + ");
    }
    first = false;
    const char* separator = "";
    if (magnitude != 1 || term.factors.empty()) {
      out << magnitude;
      separator = "*";
    }
    for (const Atom& atom : term.factors) {
      out << separator << atom.key;
      separator = "*";
    }
  }
  return out.str();
}

std::int64_t Expr::evaluate(const std::function<std::int64_t(const std::string&)>& lookup) const {
  std::int64_t sum = 0;
  if (!terms_) return sum;
  for (const Term& term : *terms_) {
    std::int64_t product = term.coefficient;
    for (const Atom& atom : term.factors) {
      const std::int64_t factor = atom.kind == Kind::kSymbol ? lookup(atom.key)
                                                             : apply(atom.kind, atom.operands->first.evaluate(lookup),
                                                                     atom.operands->second.evaluate(lookup));
      product = checked_mul(product, factor);
    }
    sum = checked_add(sum, product);
  }
  return sum;
}

Interval Expr::bounds(const std::map<std::string, Interval>& ranges) const {
  Interval sum{0, 0};
  if (!terms_) return sum;
  for (const Term& term : *terms_) {
    Interval product{term.coefficient, term.coefficient};
    for (const Atom& atom : term.factors) {
      Interval factor{0, kMaxInt};
      if (atom.kind != Kind::kSymbol) {
        factor = bounds_of(atom.kind, atom.operands->first.bounds(ranges), atom.operands->second.bounds(ranges));
      } else if (const auto found = ranges.find(atom.key); found != ranges.end()) {
        factor = found->second;
      }
      product = multiply(product, factor);
    }
    sum = {saturating_add(sum.min, product.min), saturating_add(sum.max, product.max)};
  }
  return sum;
}

Expr Expr::substitute(const std::function<Expr(const std::string&)>& replacement) const {
  Expr sum(0);
  if (!terms_) return sum;
  for (const Term& term : *terms_) {
    Expr product(term.coefficient);
    for (const Atom& atom : term.factors) {
      if (atom.kind == Kind::kSymbol) {
        product = product * replacement(atom.key);
        continue;
      }
      const Expr a = atom.operands->first.substitute(replacement);
      const Expr b = atom.operands->second.substitute(replacement);
      switch (atom.kind) {
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
  return term.factors.front().kind;
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
      for (const Atom& atom : term.factors) result.push_back(Expr(Terms{Term{1, {atom}}}));
      break;
    }
    default: {
      const Atom& atom = terms_->front().factors.front();
      result = {atom.operands->first, atom.operands->second};
    }
  }
  return result;
}

bool operator==(const Expr& a, const Expr& b) {
  if (!a.terms_ || !b.terms_) return !a.terms_ && !b.terms_;
  return std::equal(
      a.terms_->begin(), a.terms_->end(), b.terms_->begin(), b.terms_->end(),
      [](const Expr::Term& x, const Expr::Term& y) { return x.coefficient == y.coefficient && x.same_factors(y); });
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
  TORCHTRT_CHECK(a.terms_->size() <= kMaxTerms / b.terms_->size(), kOutOfRange,
                 "a product of dimension expressions of ", a.terms_->size(), " and ", b.terms_->size(),
                 " terms is too large");
  for (const Expr::Term& x : *a.terms_) {
    for (const Expr::Term& y : *b.terms_) {
      Expr::Term product{checked_mul(x.coefficient, y.coefficient), x.factors};
      product.factors.insert(product.factors.end(), y.factors.begin(), y.factors.end());
      std::sort(product.factors.begin(), product.factors.end());
      terms.push_back(std::move(product));
    }
  }
  return Expr(std::move(terms));
}

Expr operator-(const Expr& a, const Expr& b) { return a + Expr(-1) * b; }

Expr floor_div(const Expr& a, const Expr& b) {
  TORCHTRT_CHECK(!(b.is_constant() && b.value() == 0), kOutOfRange, "division by zero: ", a, " // 0");
  if (a.is_constant() && b.is_constant()) return Expr(floor_div_values(a.value(), b.value()));
  if (b == Expr(1)) return a;
  if (a == Expr(0)) return a;
  // Exact division by a single product: every term of the dividend is a multiple of it. (A divisor with symbols is not
  // zero where the division has a value at all.)
  if (b.terms_->size() == 1) {
    const Expr::Term& divisor = b.terms_->front();
    Expr::Terms quotient;
    for (const Expr::Term& term : *a.terms_) {
      if (term.coefficient % divisor.coefficient != 0 ||
          !std::includes(term.factors.begin(), term.factors.end(), divisor.factors.begin(), divisor.factors.end())) {
        return Expr::from_atom(Expr::Kind::kFloorDiv, a, b);
      }
      Expr::Term part{term.coefficient / divisor.coefficient, {}};
      std::set_difference(term.factors.begin(), term.factors.end(), divisor.factors.begin(), divisor.factors.end(),
                          std::back_inserter(part.factors));
      quotient.push_back(std::move(part));
    }
    return Expr(std::move(quotient));
  }
  if (a == b) return Expr(1);
  return Expr::from_atom(Expr::Kind::kFloorDiv, a, b);
}

Expr mod(const Expr& a, const Expr& b) {
  TORCHTRT_CHECK(!(b.is_constant() && b.value() == 0), kOutOfRange, "division by zero: ", a, " % 0");
  if (a.is_constant() && b.is_constant()) return Expr(mod_values(a.value(), b.value()));
  const Expr quotient = floor_div(a, b);
  if (quotient * b == a) return Expr(0);  // exact, or a < b never known: only exact quotients multiply back to a
  return Expr::from_atom(Expr::Kind::kMod, a, b);
}

Expr max(const Expr& a, const Expr& b) {
  const Expr difference = a - b;
  const Interval range = difference.bounds({});
  if (range.min >= 0) return a;
  if (range.max <= 0) return b;
  return b.str() < a.str() ? Expr::from_atom(Expr::Kind::kMax, b, a) : Expr::from_atom(Expr::Kind::kMax, a, b);
}

Expr min(const Expr& a, const Expr& b) {
  const Expr difference = a - b;
  const Interval range = difference.bounds({});
  if (range.min >= 0) return b;
  if (range.max <= 0) return a;
  return b.str() < a.str() ? Expr::from_atom(Expr::Kind::kMin, b, a) : Expr::from_atom(Expr::Kind::kMin, a, b);
}

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
