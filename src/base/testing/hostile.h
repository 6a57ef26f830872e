// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace torchtrt::testing {

/// A text that asks for more than it is long.
struct Hostile {
  std::string name, text;
};

/// `text` again and again, up to `size` characters; "#" in it stands for the number of the repetition.
inline std::string repeated(const std::string& text, std::size_t size, const std::string& separator = "") {
  std::string result;
  for (std::size_t i = 0; result.size() + text.size() + separator.size() <= size; ++i) {
    if (i != 0) result += separator;
    for (const char c : text) result += c == '#' ? std::to_string(i) : std::string(1, c);
  }
  return result;
}

/// Expressions of up to `size` characters over symbols that begin with the letter a.
inline std::vector<Hostile> hostile_expressions(std::size_t size) {
  const auto nested = [&](const std::string& open, const std::string& close) {
    const std::size_t count = std::min<std::size_t>(size / (open.size() + close.size() + 4), 99);
    std::string begin, end;
    for (std::size_t i = 0; i < count; ++i) begin += open, end += close;
    return begin + "a" + end;
  };
  std::string doubled = "(a+1)";
  while (2 * doubled.size() + 20 <= size) doubled = "((" + doubled + "//3)*(a+a1))";
  return {{"product of sums", repeated("(a#+a)", size, "*")},
          {"power of a sum", repeated("(a+a1+a2+a3)", size, "*")},
          {"long sum", repeated("a#", size, "+")},
          {"long product", repeated("a#", size, "*")},
          {"sum that cancels", "(" + repeated("a#", size / 2, "+") + ")" + repeated("+1-1", size / 2 - 2)},
          {"product that cancels", "(" + repeated("a#", size / 2, "+") + ")" + repeated("*2//2", size / 2 - 2)},
          {"division of a power", "((a+a1+a2)*(a+a1+a2)*(a+a1+a2)//3)*((a+a1)//5+1)*((a+a2)//7+1)*(a+a3)*(a+a4)"},
          {"nested divisions", nested("((", "+1)//2)")},
          {"nested divisions that double", nested("(a*((", ")//2)+a1)")},
          {"nested maxima", nested("max(a1*3,", "+1)")},
          {"nested minima of sums", nested("(a+a2)*min(a1-a,", "+1)")},
          {"divisions and products", doubled},
          {"parentheses", std::string(size / 2, '(') + "a" + std::string(size / 2, ')')},
          {"signs", std::string(size, '-') + "a"},
          {"one name", std::string(size, 'a')},
          {"powers of one name", repeated("a", size, "*")},
          {"digits", std::string(size, '9')}};
}

}  // namespace torchtrt::testing
