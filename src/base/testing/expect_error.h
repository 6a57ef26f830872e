// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <gtest/gtest.h>

#include <torchtrt/base/error.h>

namespace torchtrt::testing {

/// Expects `function` to throw an Error of this code whose message contains `part`.
template <typename Function>
void expect_error(ErrorCode code, const std::string& part, Function&& function) {
  try {
    function();
    ADD_FAILURE() << "no error; expected: " << part;
  } catch (const Error& error) {
    EXPECT_STREQ(to_string(error.code()), to_string(code));
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace torchtrt::testing
