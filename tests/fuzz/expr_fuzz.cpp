// SPDX-License-Identifier: Apache-2.0
// Dimension expressions as text. What the parser accepts must print to a text that parses to the same expression.
#include <cstdlib>
#include <string_view>

#include <torchtrt/base/error.h>
#include <torchtrt/base/expr.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace torchtrt;
  try {
    const Expr expr = Expr::parse({reinterpret_cast<const char*>(data), size});
    if (!(Expr::parse(expr.str()) == expr)) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
