// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <locale.h>

namespace torchtrt::openvino {

/// While it lives, OpenVINO writes and reads numbers on this thread as C++ does, whatever locale the program has set:
/// with a decimal point and without separators between thousands. OpenVINO writes floating numbers of its IR under the C
/// locale, which a thread may choose for itself, and integers through streams, which take the process's C++ locale. That
/// one is replaced by itself with C++'s punctuation where it has another, so that streams that other threads make
/// meanwhile print 0.5 instead of 0,5.
class ClassicNumbers {
 public:
  ClassicNumbers();
  ClassicNumbers(const ClassicNumbers&) = delete;
  ClassicNumbers& operator=(const ClassicNumbers&) = delete;
  ~ClassicNumbers();

 private:
  locale_t own_ = nullptr, before_ = nullptr;
  bool replaced_ = false;
};

}  // namespace torchtrt::openvino
