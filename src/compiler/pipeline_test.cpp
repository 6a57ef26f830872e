// SPDX-License-Identifier: Apache-2.0
#include "compiler/pipeline.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include <torchtrt/base/error.h>

namespace torchtrt::compiler {
namespace {

TEST(Pipeline, ABuildIsAskedForBeforeItBegins) {
  const graph::Graph graph = graph::parse(R"(graph "relu"
input %x: float32[2, 3]
%y: float32[2, 3] = aten.relu.default(%x)
output %y
)");
  CompileSettings settings;
  int asked = 0;
  settings.build.keep_going = [&] { return ++asked > 1; };
  try {
    compile(graph, settings);
    ADD_FAILURE() << "it was built";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
    EXPECT_STREQ(error.what(), "the build of engine relu for openvino was cancelled");
  }
  EXPECT_GT(compile(graph, settings).payload.size(), 0U) << "the second time the answer is yes";
  EXPECT_EQ(asked, 2);
  settings.build.keep_going = []() -> bool { throw std::runtime_error("interrupted"); };
  EXPECT_THROW(compile(graph, settings), std::runtime_error);
}

}  // namespace
}  // namespace torchtrt::compiler
