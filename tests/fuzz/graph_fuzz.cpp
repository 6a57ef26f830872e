// SPDX-License-Identifier: Apache-2.0
// The text form of a graph. What the parser accepts must print to a text that parses to the same text.
#include <cstdlib>
#include <string>

#include <torchtrt/base/error.h>

#include <torchtrt/graph/graph.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace torchtrt;
  try {
    const std::string text = graph::print(graph::parse({reinterpret_cast<const char*>(data), size}));
    if (graph::print(graph::parse(text)) != text) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
