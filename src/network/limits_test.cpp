// SPDX-License-Identifier: Apache-2.0
// No text of a network, however it is made, takes more memory and time than its length allows.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/network/network.h>

#include "base/testing/hostile.h"
#include "base/testing/limits.h"

namespace torchtrt::network {
namespace {

using torchtrt::testing::Hostile;
using torchtrt::testing::repeated;

constexpr const char* kHead = "network \"n\"\n";

std::string repeat_list(const std::string& item, std::size_t count) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += (i == 0 ? "" : ", ") + item;
  return "[" + list + "]";
}

std::vector<Hostile> hostile_networks(std::size_t size) {
  std::vector<Hostile> result;
  for (const std::size_t length : {40, 300, 3000, 15000}) {
    for (const auto& [name, text] : torchtrt::testing::hostile_expressions(std::min(length, size / 2))) {
      const std::string label = name + " of " + std::to_string(text.size());
      result.push_back({label, kHead + repeated("input %x#: float32[" + text + "]\n", size)});
      // One large dimension that short lines compute with again and again.
      const std::string large = "input %x: float32[" + text + ", 3*" + text.substr(0, 9000) + "+1, a1]\n";
      result.push_back(
          {label + " in a reshape", kHead + large + repeated("%y#: float32[a] = shuffle(%x) {reshape = [a]}\n", size)});
      result.push_back({label + " in a concatenation",
                        kHead + large + repeated("%y#: float32[a,a,a] = concatenation(%x, %x) {axis = 0}\n", size)});
      result.push_back({label + " in an index",
                        kHead + large +
                            repeated("%y#.0: float32[a,a,a], %y#.1: int64[a,a,a] = topk(%x) {operation = max, "
                                     "k = 1, axis = 0}\n",
                                     size)});
    }
  }
  const std::string symbols = "symbols " + repeated("a#=[1,1,2]", size / 2, ", ") + "\n";
  const std::string ranks = repeat_list("2", size / 8);
  for (const Hostile& part :
       {Hostile{"layers beside many symbols",
                kHead + symbols + "input %x: float32[a1, 2]\n" +
                    repeated("%y#.0: float32[1, 2], %y#.1: int64[1, 2] = topk(%x) {operation = max, k = 1, axis = 0}\n",
                             size / 2)},
        Hostile{"many outputs", kHead + ("input %x: float32[2]\n" + repeated("output %x as \"o#\"\n", size))},
        Hostile{"one output many times", kHead + ("input %x: float32[2]\n" + repeated("output %x as \"o\"\n", size))},
        Hostile{"many dimensions", kHead + ("input %x: float32" + ranks + "\n") +
                                       repeated("%y#: float32[2] = shuffle(%x) {reshape = [2]}\n", size / 2)},
        Hostile{"dimensions out of nothing",
                kHead + ("input %x: float32[2]\n" +
                         repeated("%y#: float32[2] = broadcast(%x) {dims = " + repeat_list("2", 60) + "}\n", size))},
        Hostile{"constants elsewhere", kHead + repeated("%c#: float32[500000000] = constant() {digest = 0x1}\n", size)},
        Hostile{
            "a constant too large",
            kHead + std::string("%c: float32[9223372036854775807, 9223372036854775807] = constant() {digest = 0x1}\n")},
        Hostile{"many elements", kHead + ("%c: int8[" + std::to_string(size / 2) + "] = constant() {elements = [" +
                                          repeated("1", size, ",") + "]}\n")},
        Hostile{"elements that are missing",
                kHead + repeated("%c#: float64[200000000] = constant() {elements = [1]}\n", size)},
        Hostile{"attributes", kHead + ("input %x: float32[2]\n%y: float32[2] = softmax(%x) {" +
                                       repeated("a# = 1", size, ", ") + "}\n")},
        Hostile{"nested lists", kHead + ("input %x: float32[2]\n%y: float32[2] = plugin(%x) {dims = " +
                                         std::string(size, '[') + "}\n")},
        Hostile{"operands", kHead + ("input %x: float32[a1, a2]\n%y: float32[a, a2] = concatenation(" +
                                     repeated("%x", size, ",") + ") {axis = 0}\n")},
        Hostile{"one name", kHead + repeated("input %x: float32[2]\n", size)},
        Hostile{"names with suffixes",
                kHead + (repeated("input %y_#: float32[2]\n", size / 2) +
                         repeated("%y.#: float32[2], %z#: int64[2] = topk(%y_1) {operation = max, k = 2, axis = 0}\n",
                                  size / 2))},
        Hostile{"blank lines", kHead + std::string(size, '\n')},
        Hostile{"a long comment", kHead + ("input %x: float32[2]  # " + std::string(size, '\\') + "\n")}}) {
    result.push_back(part);
  }
  return result;
}

class NetworkLimits : public ::testing::TestWithParam<std::size_t> {};

TEST_P(NetworkLimits, Hold) {
  for (const auto& [name, text] : hostile_networks(GetParam())) {
    SCOPED_TRACE(name);
    torchtrt::testing::expect_within_limits(text.size(), [&text = text] { (void)parse(text); });
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, NetworkLimits, ::testing::Values(24'000, 100'000));

}  // namespace
}  // namespace torchtrt::network
