// SPDX-License-Identifier: Apache-2.0
// Dimension expressions as text. What the parser accepts must print to a text that parses to the same expression.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include <torchtrt/base/error.h>
#include <torchtrt/base/expr.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace torchtrt;
  std::optional<Expr> expr;
  try {
    expr = Expr::parse({reinterpret_cast<const char*>(data), size});
  } catch (const Error&) {
    return 0;
  }
  if (!(Expr::parse(expr->str()) == *expr)) std::abort();
  return 0;
}
