// SPDX-License-Identifier: Apache-2.0
// Dimension expressions as computations: the input is a program of a stack machine, each byte an operand or an operator,
// so that most inputs are valid and meet the ends of int64. What is computed must agree with the same program in wide
// integers, with its own text, and with its own bounds.
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/base/expr.h>

#include "base/integers.h"

namespace {

using namespace torchtrt;

constexpr std::int64_t kNumbers[] = {0,
                                     1,
                                     -1,
                                     2,
                                     -2,
                                     3,
                                     7,
                                     -7,
                                     64,
                                     4096,
                                     INT32_MAX,
                                     INT32_MIN,
                                     INT64_MAX,
                                     INT64_MIN,
                                     INT64_MAX - 1,
                                     INT64_MIN + 1,
                                     INT64_C(1) << 62,
                                     3037000500};
constexpr const char* kSymbols[] = {"a", "b", "s0"};
constexpr std::int64_t kValues[][3] = {{0, 1, 2}, {5, 3, 7}, {INT64_MAX, 1, 0}, {12, INT32_MAX, INT64_MAX}};
constexpr std::size_t kAssignments = std::size(kValues);
constexpr std::size_t kMaxInstructions = 100;

// A value in exact arithmetic; none where it is undefined or too large to be told.
using Exact = std::optional<Wide>;
constexpr Wide kLargest = Wide{1} << 120;

Exact exact_product(Wide a, Wide b) {
  Wide product = 0;
  if (__builtin_mul_overflow(a, b, &product) || product > kLargest || product < -kLargest) return std::nullopt;
  return product;
}
Exact exact_quotient(Wide a, Wide b) {
  if (b == 0) return std::nullopt;
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
Exact exact_sum(Wide a, Wide b) {
  const Wide sum = a + b;
  return sum > kLargest || sum < -kLargest ? std::nullopt : Exact(sum);
}

struct Operand {
  Expr expr;
  std::string text;
  Exact values[kAssignments];
};

enum class Operation { kAdd, kSub, kMul, kDiv, kMod, kMax, kMin, kCount };

Exact compute(Operation operation, const Exact& a, const Exact& b) {
  if (!a || !b) return std::nullopt;
  switch (operation) {
    case Operation::kAdd: return exact_sum(*a, *b);
    case Operation::kSub: return exact_sum(*a, -*b);
    case Operation::kMul: return exact_product(*a, *b);
    case Operation::kDiv: return exact_quotient(*a, *b);
    case Operation::kMod: {
      const Exact quotient = exact_quotient(*a, *b);
      return quotient ? Exact(*a - *quotient * *b) : std::nullopt;
    }
    case Operation::kMax: return std::max(*a, *b);
    default: return std::min(*a, *b);
  }
}

Expr compute(Operation operation, const Expr& a, const Expr& b) {
  switch (operation) {
    case Operation::kAdd: return a + b;
    case Operation::kSub: return a - b;
    case Operation::kMul: return a * b;
    case Operation::kDiv: return floor_div(a, b);
    case Operation::kMod: return mod(a, b);
    case Operation::kMax: return max(a, b);
    default: return min(a, b);
  }
}

std::string text_of(Operation operation, const std::string& a, const std::string& b) {
  static constexpr const char* kInfix[] = {" + ", " - ", "*", " // ", " % "};
  if (operation == Operation::kMax) return "max(" + a + ", " + b + ")";
  if (operation == Operation::kMin) return "min(" + a + ", " + b + ")";
  return "(" + a + kInfix[static_cast<int>(operation)] + b + ")";
}

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const Operand& result) {
  // The text: of the program where it does not ask for too much, and always of what was computed.
  try {
    require(Expr::parse(result.text) == result.expr);
  } catch (const Error&) {
  }
  const std::string text = result.expr.str();
  const Expr read = Expr::parse(text);
  require(read == result.expr && read.str() == text);

  std::map<std::string, Interval> ranges[2];
  for (std::size_t i = 0; i < std::size(kSymbols); ++i) {
    Interval range{INT64_MAX, 0};
    for (const auto& values : kValues) range = {std::min(range.min, values[i]), std::max(range.max, values[i])};
    ranges[0][kSymbols[i]] = range;
  }
  for (std::size_t k = 0; k < kAssignments; ++k) {
    std::map<std::string, std::int64_t> values;
    for (std::size_t i = 0; i < std::size(kSymbols); ++i) values[kSymbols[i]] = kValues[k][i];
    std::optional<std::int64_t> value;
    try {
      value = result.expr.evaluate([&](const std::string& name) { return values.at(name); });
    } catch (const Error&) {  // out of 64 bits, or a division by zero
    }
    if (!value) continue;
    require(!result.values[k] || *result.values[k] == *value);
    for (const auto& known : ranges) {
      const Interval bounds = result.expr.bounds(known);
      require(bounds.min <= *value && *value <= bounds.max);
    }
    try {
      const Expr constant = result.expr.substitute([&](const std::string& name) { return Expr(values.at(name)); });
      require(constant == Expr(*value));
    } catch (const Error&) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<Operand> stack;
  try {
    for (std::size_t i = 0; i < std::min(size, kMaxInstructions); ++i) {
      const std::size_t operand = data[i] % 64;
      if (stack.size() >= 2 && data[i] >= 100) {
        const auto operation = static_cast<Operation>(data[i] % static_cast<unsigned>(Operation::kCount));
        const Operand b = std::move(stack.back());
        stack.pop_back();
        Operand& a = stack.back();
        for (std::size_t k = 0; k < kAssignments; ++k) a.values[k] = compute(operation, a.values[k], b.values[k]);
        a.expr = compute(operation, a.expr, b.expr);
        a.text = text_of(operation, a.text, b.text);
      } else if (operand < std::size(kNumbers)) {
        const Expr number(kNumbers[operand]);
        Operand& pushed = stack.emplace_back(Operand{number, "(" + number.str() + ")", {}});
        for (Exact& value : pushed.values) value = kNumbers[operand];
      } else {
        const std::size_t symbol = operand % std::size(kSymbols);
        Operand& pushed = stack.emplace_back(Operand{Expr::symbol(kSymbols[symbol]), kSymbols[symbol], {}});
        for (std::size_t k = 0; k < kAssignments; ++k) pushed.values[k] = kValues[k][symbol];
      }
    }
  } catch (const Error&) {  // out of 64 bits, too large, or a division by zero: the stack holds what came before
    if (!stack.empty()) stack.pop_back();
  }
  for (const Operand& result : stack) check(result);
  return 0;
}
