// SPDX-License-Identifier: Apache-2.0
#include "base/classic_numbers.h"

#include <clocale>
#include <locale>
#include <mutex>
#include <string>

namespace torchtrt {
namespace {

// Of the process: its C++ locale is replaced by the first that needs it and comes back with the last.
std::mutex mutex;
int users = 0;
std::locale replaced;

bool is_classic(const std::locale& locale) {
  const auto& numbers = std::use_facet<std::numpunct<char>>(locale);
  return numbers.decimal_point() == '.' && numbers.grouping().empty();
}

bool replace_global_locale() {
  const std::lock_guard lock(mutex);
  const std::locale global;
  if (users == 0) {
    if (is_classic(global)) return false;
    replaced = global;
    // Without a name, so that the C locale stays.
    std::locale::global(std::locale(global, new std::numpunct<char>));
  }
  ++users;
  return true;
}

void restore_global_locale() {
  const std::lock_guard lock(mutex);
  if (--users > 0) return;
  // To set a locale with a name sets the C locale as well.
  const std::string c_locale = std::setlocale(LC_ALL, nullptr);
  std::locale::global(replaced);
  if (c_locale != std::setlocale(LC_ALL, nullptr)) std::setlocale(LC_ALL, c_locale.c_str());
}

}  // namespace

ClassicNumbers::ClassicNumbers() : replaced_(replace_global_locale()) {
  own_ = newlocale(LC_NUMERIC_MASK, "C", duplocale(uselocale(nullptr)));
  if (own_ != nullptr) before_ = uselocale(own_);
}

ClassicNumbers::~ClassicNumbers() {
  if (own_ != nullptr) {
    uselocale(before_);
    freelocale(own_);
  }
  if (replaced_) restore_global_locale();
}

}  // namespace torchtrt
