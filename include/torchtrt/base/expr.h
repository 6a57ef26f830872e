// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <torchtrt/base/export.h>

namespace torchtrt {

/// A closed range of integers. kUnbounded stands for "no limit known" on either side.
struct Interval {
  static constexpr std::int64_t kUnbounded = INT64_MAX;
  std::int64_t min = 0;
  std::int64_t max = kUnbounded;
  bool operator==(const Interval&) const = default;
};

/// An integer expression over symbols: a dimension that may be known only when inputs come.
///
/// Immutable, cheap to copy and thread-safe. Kept in a canonical form (a sum of products with integer coefficients,
/// whose factors are symbols or the opaque operations //, %, max and min), so that two expressions which are equal as
/// polynomials compare equal. All symbols stand for dimensions, hence for integers >= 0.
///
/// Text form: Python's syntax for `+ - * // %`, `max(a, b)`, `min(a, b)`, integers and identifiers; `str()` prints it
/// and `parse()` reads it. Division rounds down and the remainder has the divisor's sign, as in Python.
///
/// Every operation is Error(kOutOfRange) where a coefficient leaves 64 bits, the text would exceed kMaxText, or more than
/// 100 of the opaque operations would be nested.
class TORCHTRT_API Expr {
 public:
  /// The most characters that an expression's text may have.
  static constexpr std::size_t kMaxText = 16384;

  Expr() : Expr(0) {}
  Expr(std::int64_t value);  // NOLINT(google-explicit-constructor): an integer is an expression
  Expr(int value) : Expr(static_cast<std::int64_t>(value)) {}  // NOLINT(google-explicit-constructor)

  /// A symbol, named like an identifier ("s0", "u1", "batch").
  static Expr symbol(std::string name);
  /// Error(kInvalidArgument) naming the position of the first thing that is not an expression; Error(kOutOfRange) for a
  /// text that asks for more than a multiple of its length, in time or in what comes out. Reads whatever str() printed.
  static Expr parse(std::string_view text);

  [[nodiscard]] bool is_constant() const;
  /// The constant's value; Error(kInternal) if not constant.
  [[nodiscard]] std::int64_t value() const;
  [[nodiscard]] bool is_symbol() const;
  /// The symbol's name; Error(kInternal) if it is not a lone symbol.
  [[nodiscard]] const std::string& symbol_name() const;
  void collect_symbols(std::set<std::string>& names) const;
  [[nodiscard]] std::string str() const;

  /// The value with each symbol replaced by `lookup(name)`. Overflow and division by zero are Error(kOutOfRange).
  [[nodiscard]] std::int64_t evaluate(const std::function<std::int64_t(const std::string&)>& lookup) const;
  /// Bounds that hold for every choice of the symbols within their ranges (symbols not named: 0..unbounded). Not always
  /// the tightest.
  [[nodiscard]] Interval bounds(const std::map<std::string, Interval>& ranges) const;
  /// The expression with each symbol replaced.
  [[nodiscard]] Expr substitute(const std::function<Expr(const std::string&)>& replacement) const;

  /// How a lowering walks an expression: the operation at the root and its operands, in canonical form.
  enum class Kind { kConstant, kSymbol, kAdd, kMul, kFloorDiv, kMod, kMax, kMin };
  [[nodiscard]] Kind kind() const;
  /// Operands of kAdd, kMul (two or more), kFloorDiv, kMod, kMax, kMin (two); none for constants and symbols.
  [[nodiscard]] std::vector<Expr> operands() const;

  friend TORCHTRT_API bool operator==(const Expr& a, const Expr& b);
  friend TORCHTRT_API Expr operator+(const Expr& a, const Expr& b);
  friend TORCHTRT_API Expr operator-(const Expr& a, const Expr& b);
  friend TORCHTRT_API Expr operator*(const Expr& a, const Expr& b);
  friend TORCHTRT_API Expr floor_div(const Expr& a, const Expr& b);
  friend TORCHTRT_API Expr mod(const Expr& a, const Expr& b);
  friend TORCHTRT_API Expr max(const Expr& a, const Expr& b);
  friend TORCHTRT_API Expr min(const Expr& a, const Expr& b);
  friend TORCHTRT_API std::ostream& operator<<(std::ostream& out, const Expr& expr);

 private:
  struct Atom;
  struct Term;
  using Terms = std::vector<Term>;
  explicit Expr(Terms terms);
  static Expr from_atom(Kind kind, const Expr& a, const Expr& b);
  static Expr extreme(Kind kind, const Expr& a, const Expr& b);
  static std::optional<Expr> exact_quotient(const Expr& a, const Expr& b);
  static bool has_same_factors(const Term& a, const Term& b);
  static std::size_t text_size(const Term& term);
  static std::size_t steps_of(const Terms& terms);
  [[nodiscard]] std::size_t nesting() const;
  std::shared_ptr<const Terms> terms_;
};

TORCHTRT_API Expr floor_div(const Expr& a, const Expr& b);
TORCHTRT_API Expr mod(const Expr& a, const Expr& b);
TORCHTRT_API Expr max(const Expr& a, const Expr& b);
TORCHTRT_API Expr min(const Expr& a, const Expr& b);

/// A tensor's shape. A constant expression is a static dimension.
using Dims = std::vector<Expr>;

/// "[s0, 128]"
TORCHTRT_API std::string to_string(const Dims& dims);
[[nodiscard]] TORCHTRT_API bool is_static(const Dims& dims);
/// The product of the dims.
[[nodiscard]] TORCHTRT_API Expr volume(const Dims& dims);

}  // namespace torchtrt
