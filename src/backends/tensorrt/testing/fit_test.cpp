// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/fit.h"

#include <gtest/gtest.h>

namespace torchtrt::tensorrt {
namespace {

TEST(TensorRtFit, Releases) {
  EXPECT_TRUE(fits_release("11.2.1", "11.2.1", false));
  EXPECT_FALSE(fits_release("11.2.1", "11.4.0", false));
  EXPECT_TRUE(fits_release("11.2.1", "11.4.0", true));
  EXPECT_FALSE(fits_release("10.15.1", "11.4.0", true));
  EXPECT_FALSE(fits_release("1.2.1", "11.4.0", true));
  EXPECT_TRUE(fits_release("", "11.4.0", false)) << "nothing is known";
  EXPECT_FALSE(fits_release("eleven", "11.4.0", true));
}

TEST(TensorRtFit, Capabilities) {
  EXPECT_TRUE(fits_capability("9.0", "9.0", false));
  EXPECT_FALSE(fits_capability("9.0", "8.6", false));
  EXPECT_TRUE(fits_capability("9.0", "8.6", true));
  EXPECT_TRUE(fits_capability("8.0", "12.0", true));
  EXPECT_FALSE(fits_capability("8.0", "7.5", true));
  EXPECT_FALSE(fits_capability("7.5", "8.0", true));
  EXPECT_TRUE(fits_capability("7.5", "7.5", true));
}

}  // namespace
}  // namespace torchtrt::tensorrt
