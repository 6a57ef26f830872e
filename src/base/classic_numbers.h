// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <locale.h>

#include <torchtrt/base/export.h>

namespace torchtrt {

/// While it lives, libraries that this thread calls write and read numbers as C++ does, whatever locale the program has
/// set: with a decimal point and without separators between thousands. OpenVINO writes floating numbers of its IR under
/// the C locale, which a thread may choose for itself, and integers through streams, as PyTorch writes all numbers of
/// TorchScript; those take the process's C++ locale. That one is replaced by itself with C++'s punctuation where it has
/// another, so that streams that other threads make meanwhile print 0.5 instead of 0,5.
class TORCHTRT_API ClassicNumbers {
 public:
  ClassicNumbers();
  ClassicNumbers(const ClassicNumbers&) = delete;
  ClassicNumbers& operator=(const ClassicNumbers&) = delete;
  ~ClassicNumbers();

 private:
  locale_t own_ = nullptr, before_ = nullptr;
  bool replaced_ = false;
};

}  // namespace torchtrt
