// SPDX-License-Identifier: Apache-2.0
#include "base/scanner.h"

#include <algorithm>

namespace torchtrt {
namespace {

bool is_word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '$';
}

}  // namespace

bool Scanner::next_line() {
  while (next_ < text_.size()) {
    line_start_ = position_ = next_;
    line_end_ = std::min(text_.find('\n', next_), text_.size());
    next_ = line_end_ + 1;
    ++line_;
    if (const char c = peek(); c != 0 && c != '#') return true;
  }
  return false;
}

void Scanner::skip_blanks() {
  while (position_ < line_end_ && (text_[position_] == ' ' || text_[position_] == '\t' || text_[position_] == '\r'))
    ++position_;
}

char Scanner::peek() {
  skip_blanks();
  return position_ < line_end_ ? text_[position_] : '\0';
}

bool Scanner::at_end() {
  const char c = peek();
  return c == 0 || c == '#';
}

bool Scanner::accept(std::string_view token) {
  skip_blanks();
  if (text_.substr(position_, std::min(token.size(), line_end_ - position_)) != token) return false;
  position_ += token.size();
  return true;
}

void Scanner::expect(std::string_view token) {
  if (!accept(token)) fail_here("expected '", token, "'");
}

std::string Scanner::word(std::string_view what) {
  skip_blanks();
  const std::size_t start = position_;
  while (position_ < line_end_) {
    const bool scope = text_.substr(position_, 2) == "::";
    if (!scope && !is_word_character(text_[position_])) break;
    position_ += scope ? 2 : 1;
  }
  if (position_ == start) fail_here("expected ", what);
  return std::string(text_.substr(start, position_ - start));
}

std::string Scanner::quoted() {
  expect("\"");
  std::string result;
  while (position_ < line_end_ && text_[position_] != '"') {
    char c = text_[position_++];
    if (c == '\\' && position_ < line_end_) {
      c = text_[position_++];
      if (c == 'n') c = '\n';
      if (c == 'r') c = '\r';
    }
    result += c;
  }
  if (position_ >= line_end_) fail_here("expected the end of the string");
  ++position_;
  return result;
}

std::string Scanner::whole_string() {
  if (!next_line()) fail_here("expected a string");
  std::string result = quoted();
  if (position_ != text_.size()) fail_here("expected nothing after the string");
  return result;
}

std::string Scanner::balanced() {
  skip_blanks();
  const std::size_t start = position_;
  int depth = 0;
  for (; position_ < line_end_; ++position_) {
    const char c = text_[position_];
    if (c == '"') {
      (void)quoted();
      --position_;  // the closing quote, which the loop steps over
      continue;
    }
    if (c == '[' || c == '(' || c == '{') ++depth;
    if (c == ']' || c == ')' || c == '}') {
      if (depth == 0) break;
      --depth;
    }
    if (c == ',' && depth == 0) break;
  }
  std::size_t end = position_;
  while (end > start && text_[end - 1] == ' ') --end;
  if (end == start) fail_here("expected a value");
  return std::string(text_.substr(start, end - start));
}

std::string Scanner::comment() {
  if (!accept("#")) return "";
  skip_blanks();
  std::string result;
  while (position_ < line_end_) {
    const char c = take();
    if (c != '\\' || position_ == line_end_) {
      result += c;
      continue;
    }
    const char next = take();
    result += next == 'n' ? '\n' : next == 'r' ? '\r' : next;
  }
  return result;
}

std::string escaped(std::string_view text, bool quotes) {
  std::string result;
  for (const char c : text) {
    if (c == '\n' || c == '\r') {
      result += c == '\n' ? "\\n" : "\\r";
    } else {
      if (c == '\\' || (quotes && c == '"')) result += '\\';
      result += c;
    }
  }
  return result;
}

}  // namespace torchtrt
