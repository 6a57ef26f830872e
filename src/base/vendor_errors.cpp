// SPDX-License-Identifier: Apache-2.0
#include "base/vendor_errors.h"

#include <utility>

namespace torchtrt {
namespace {

thread_local std::string messages;
constexpr std::size_t kMaxLength = 8192;  // a library that repeats itself must not fill the memory

}  // namespace

void note_vendor_error(std::string_view message) {
  if (messages.size() > kMaxLength) return;
  if (!messages.empty()) messages += "; ";
  messages += message;
}

std::string take_vendor_errors() {
  return messages.empty() ? "no reason given" : std::exchange(messages, std::string());
}

}  // namespace torchtrt
