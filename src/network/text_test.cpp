// SPDX-License-Identifier: Apache-2.0
// The cases in tests/network/*.txt. A case is a line "=== <kind>: <name>" and the text of a network:
//   ok        parses, verifies, prints as it stands, and every layer's inferred dims are the written ones
//   refined   as ok, but some dims are written in another form than the inferred one
//   error     does not parse; the first line after the head is part of the message
//   broken    parses, but does not verify; the first line after the head is part of the message
#include <gtest/gtest.h>
#include <torchtrt/network/network.h>

#include "base/testing/text_cases.h"
#include "network/infer.h"

namespace torchtrt::network {
namespace {

using testing::error_of;
using testing::TextCase;

class TextTest : public ::testing::TestWithParam<TextCase> {};

TEST_P(TextTest, Holds) {
  TextCase c = GetParam();
  const std::string message = c.kind == "error" || c.kind == "broken" ? c.take_line() : "";
  if (c.kind == "error") {
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, message, error_of([&] { parse(c.first); }));
    return;
  }
  const Network network = parse(c.first);
  if (c.kind == "broken") {
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, message, error_of([&] { network.verify(); }));
    return;
  }
  ASSERT_TRUE(c.kind == "ok" || c.kind == "refined") << c.kind;
  network.verify();
  EXPECT_EQ(print(network), c.first);
  for (const Layer& layer : network.layers()) {
    const std::vector<ValueType> types = infer(network, layer);
    for (std::size_t i = 0; c.kind == "ok" && i < types.size(); ++i) {
      EXPECT_EQ(to_string(types[i].dims), to_string(network.value(layer.outputs[i]).dims)) << layer.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, TextTest, ::testing::ValuesIn(testing::load_text_cases("network")), testing::test_name);

}  // namespace
}  // namespace torchtrt::network
