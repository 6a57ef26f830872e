// SPDX-License-Identifier: Apache-2.0
#include "base/expr_budget.h"

#include <torchtrt/base/error.h>

namespace torchtrt {
namespace {

// Texts that we write need less than 10 steps a character, whatever they hold.
constexpr std::size_t kStepsPerByte = 64;
constexpr std::size_t kStepsForAny = 4096;

thread_local ExprBudget* innermost = nullptr;

}  // namespace

ExprBudget::ExprBudget(std::size_t text_size) : outer_(innermost), steps_(text_size * kStepsPerByte + kStepsForAny) {
  innermost = this;
}

ExprBudget::~ExprBudget() { innermost = outer_; }

void ExprBudget::spend(std::size_t steps) {
  for (ExprBudget* budget = innermost; budget != nullptr; budget = budget->outer_) {
    TORCHTRT_CHECK(steps <= budget->steps_, kOutOfRange,
                   "dimension expressions that are too much work for the length of their text");
    budget->steps_ -= steps;
  }
}

}  // namespace torchtrt
