// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <torchtrt/base/export.h>

namespace torchtrt {

/// Limits the calling thread's arithmetic on expressions while it lives. Whatever reads a text from outside opens one, so
/// that a text cannot ask for more time than a multiple of its length: a few characters can stand for thousands of terms.
/// Budgets nest: what is spent comes off every one that is open.
class TORCHTRT_API ExprBudget {
 public:
  /// `text_size`: the length of the text in bytes.
  explicit ExprBudget(std::size_t text_size);
  ~ExprBudget();
  ExprBudget(const ExprBudget&) = delete;
  ExprBudget& operator=(const ExprBudget&) = delete;

  /// Error(kOutOfRange) once an open budget has less than `steps` left. A step is a term or factor that is made or read.
  static void spend(std::size_t steps);

 private:
  ExprBudget* outer_;
  std::size_t steps_;
};

}  // namespace torchtrt
