// SPDX-License-Identifier: Apache-2.0
// GoogleTest's main, in the locale that TORCHTRT_TEST_LOCALE names: as in a program that takes its user's.
#include <cstdlib>
#include <locale>

#include <gtest/gtest.h>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  if (const char* name = std::getenv("TORCHTRT_TEST_LOCALE")) std::locale::global(std::locale(name));
  return RUN_ALL_TESTS();
}
