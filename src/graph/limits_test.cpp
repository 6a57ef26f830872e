// SPDX-License-Identifier: Apache-2.0
// No text of a graph, however it is made, takes more memory and time than its length allows.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/graph/graph.h>

#include "base/testing/hostile.h"
#include "base/testing/limits.h"

namespace torchtrt::graph {
namespace {

using torchtrt::testing::Hostile;
using torchtrt::testing::repeated;

constexpr const char* kHead = "graph \"g\"\n";

std::vector<Hostile> hostile_graphs(std::size_t size) {
  std::vector<Hostile> result;
  for (const std::size_t length : {40, 300, 3000, 15000}) {
    for (const auto& [name, text] : torchtrt::testing::hostile_expressions(std::min(length, size / 2))) {
      const std::string label = name + " of " + std::to_string(text.size());
      result.push_back({label, kHead + repeated("input %x#: float32[" + text + "]\n", size)});
      result.push_back({label + " as an argument", kHead + repeated("%y# = f(<" + text + ">)\n", size)});
    }
  }
  for (const Hostile& part :
       {Hostile{"constants", kHead + repeated("constant %c#: float32[500000000]\n", size)},
        Hostile{"a constant too large", kHead + std::string("constant %c: float64[9223372036854775807]\n")},
        Hostile{"lists", kHead + ("%y = f(" + repeated("[", size) + ")\n")},
        Hostile{"empty lists", kHead + ("%y = f(" + repeated("[]", size, ",") + ")\n")},
        Hostile{"arguments", kHead + ("%y = f(" + repeated("a#=1", size, ",") + ")\n")},
        Hostile{"symbols", kHead + repeated("symbol a# = [1, 1, 2]\n", size)},
        Hostile{"results", kHead + (repeated("%y#", size, ",") + " = f()\n")},
        Hostile{"a string", kHead + ("%y = f(\"" + std::string(size, '\\') + "\")\n")}}) {
    result.push_back(part);
  }
  return result;
}

class GraphLimits : public ::testing::TestWithParam<std::size_t> {};

TEST_P(GraphLimits, Hold) {
  for (const auto& [name, text] : hostile_graphs(GetParam())) {
    SCOPED_TRACE(name);
    torchtrt::testing::expect_within_limits(text.size(), [&text = text] { (void)parse(text); });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, GraphLimits, ::testing::Values(24'000, 100'000));

}  // namespace
}  // namespace torchtrt::graph
