// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <torchtrt/base/error.h>

namespace torchtrt {

/// Reads the words of a text form (networks, graphs), one line at a time, and knows where it is for error messages.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// Of the whole text, in bytes.
  [[nodiscard]] std::size_t size() const { return text_.size(); }
  /// Moves to the next line that has anything on it but a comment ("# ..."); false at the end.
  bool next_line();
  /// Whether anything is left on the line.
  [[nodiscard]] bool at_end();

  /// Takes `token` if it comes next (after blanks).
  bool accept(std::string_view token);
  /// Takes `token`; Error(kInvalidArgument) if something else comes.
  void expect(std::string_view token);
  /// The next character after blanks; 0 at the end of the line.
  [[nodiscard]] char peek();
  /// Takes the next character as it is.
  char take() { return text_[position_++]; }

  /// Letters, digits, '_', '.', '$' and "::".
  std::string word(std::string_view what);
  /// "..." with \", \\, \n and \r.
  std::string quoted();
  /// The whole text as one such string.
  std::string whole_string();
  /// The text up to the matching end: a ',' or closing bracket outside of any bracket and string.
  std::string balanced();
  /// The text after "#" at the end of the line, with what `escaped` writes undone; empty if there is none.
  std::string comment();

  template <typename... Parts>
  [[noreturn]] void fail_here(const Parts&... parts) const {
    fail(ErrorCode::kInvalidArgument, "line ", line_, ", column ", position_ - line_start_ + 1, ": ",
         detail::concat(parts...));
  }

 private:
  void skip_blanks();

  std::string_view text_;
  std::size_t position_ = 0, line_start_ = 0, line_end_ = 0, next_ = 0;
  int line_ = 0;
};

/// Escapes what would end a line or, with `quotes`, a string. Other bytes stay as they are.
std::string escaped(std::string_view text, bool quotes);
/// The text as Scanner::quoted reads it.
inline std::string quoted(std::string_view text) { return '"' + escaped(text, true) + '"'; }

}  // namespace torchtrt
