// SPDX-License-Identifier: Apache-2.0
// The cases in tests/graph/*.txt:
//   ok      parses, verifies and prints as it stands
//   form    a graph, a line "---", and how it is printed
//   error   does not parse or does not verify; the first line after the head is part of the message
#include <gtest/gtest.h>

#include <torchtrt/graph/graph.h>
#include "base/testing/text_cases.h"

namespace torchtrt::graph {
namespace {

using testing::TextCase;

class GraphText : public ::testing::TestWithParam<TextCase> {};

TEST_P(GraphText, Holds) {
  TextCase c = GetParam();
  if (c.kind == "error") {
    const std::string message = c.take_line();
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, message, testing::error_of([&] { parse(c.first); }));
    return;
  }
  ASSERT_TRUE(c.kind == "ok" || c.kind == "form") << c.kind;
  const std::string printed = print(parse(c.first));
  EXPECT_EQ(printed, c.kind == "ok" ? c.first : c.second);
  EXPECT_EQ(print(parse(printed)), printed);
}

INSTANTIATE_TEST_SUITE_P(Cases, GraphText, ::testing::ValuesIn(testing::load_text_cases("graph")), testing::test_name);

TEST(Graph, CountsUses) {
  const Graph graph = parse(R"(graph "g"
input %x: float32[2]
%a: float32[2] = aten.add.Tensor(%x, %x, alpha=2)
%b: float32[4] = aten.cat.default([%a, %x])
output %a
output %a
)");
  const auto counts = use_counts(graph);
  EXPECT_EQ(counts.at("x"), 3U);
  EXPECT_EQ(counts.at("a"), 3U);
  EXPECT_FALSE(counts.contains("b"));
}

}  // namespace
}  // namespace torchtrt::graph
