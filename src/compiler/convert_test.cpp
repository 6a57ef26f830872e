// SPDX-License-Identifier: Apache-2.0
// The cases in tests/convert/*.txt, what a graph becomes and what stays in PyTorch, with a backend that can do
// everything; then how the driver asks backends. A case is a line "=== <kind>: <name>", then
//   ok        a graph, a line "---", and the network that it becomes
//   refused   lines "%node REASON part of the message" in the graph's order, a line "---", and the graph
#include "compiler/convert.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <torchtrt/converters/registry.h>

#include "base/testing/text_cases.h"

namespace torchtrt::compiler {
namespace {

class FakeBackend final : public backend::Builder {
 public:
  [[nodiscard]] std::string_view name() const override { return "fake"; }
  std::string version() override { return "1"; }
  [[nodiscard]] bool narrows_int64() const override { return narrow; }
  [[nodiscard]] std::optional<backend::Refusal> check(const network::Network&,
                                                      const network::Layer& layer) const override {
    if (network::kind_name(layer.op) != refused_kind) return std::nullopt;
    return backend::Refusal{backend::Reason::kBackend, "it has no " + refused_kind};
  }
  backend::BuiltEngine build(const network::Network&, const backend::BuildSettings&) override { return {}; }

  bool narrow = false;
  std::string refused_kind;
};

std::vector<NodeRefusal> refusals_of(const std::string& graph, FakeBackend& backend) {
  backend::Builder* const backends[] = {&backend};
  return query(graph::parse(graph), backends);
}

class ConvertTest : public ::testing::TestWithParam<testing::TextCase> {};

TEST_P(ConvertTest, Holds) {
  const testing::TextCase& c = GetParam();
  FakeBackend backend;
  backend::Builder* const backends[] = {&backend};
  if (c.kind == "ok") {
    EXPECT_TRUE(refusals_of(c.first, backend).empty());
    EXPECT_EQ(network::print(convert(graph::parse(c.first), backends).network), c.second);
    return;
  }
  ASSERT_EQ(c.kind, "refused");
  const std::vector<NodeRefusal> refusals = refusals_of(c.second, backend);
  std::istringstream lines(c.first);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    ASSERT_LT(count, refusals.size()) << line;
    const NodeRefusal& refusal = refusals[count];
    const std::string start = "%" + refusal.node + " " + std::string(to_string(refusal.refusal.reason)) + " ";
    EXPECT_TRUE(line.starts_with(start)) << line << "\nis not\n" << start;
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, line.substr(std::min(line.size(), start.size())),
                        refusal.refusal.message);
  }
  EXPECT_EQ(count, refusals.size());
}

INSTANTIATE_TEST_SUITE_P(Cases, ConvertTest, ::testing::ValuesIn(testing::load_text_cases("convert")),
                         testing::test_name);

constexpr const char* kChain = R"(graph "chain"
input %x: float32[4, 8]
%a: float32[4, 8] = aten.relu.default(%x)
%b: float32[4, 8] = aten.softmax.int(%a, -1)
%c: float32[4, 8] = aten.tanh.default(%b)
output %c
)";

TEST(ConvertDriver, AsksEveryBackend) {
  FakeBackend all;
  FakeBackend some;
  some.refused_kind = "softmax";
  backend::Builder* const backends[] = {&all, &some};
  const std::vector<NodeRefusal> refusals = query(graph::parse(kChain), backends);
  ASSERT_EQ(refusals.size(), 1U);  // what comes after a refused node is asked for all the same
  EXPECT_EQ(refusals[0].node, "b");
  EXPECT_EQ(refusals[0].target, "aten.softmax.int");
  EXPECT_EQ(refusals[0].refusal.reason, backend::Reason::kBackend);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "it has no softmax", refusals[0].refusal.message);
}

TEST(ConvertDriver, ConvertingWhatIsRefusedNamesTheNode) {
  FakeBackend backend;
  backend.refused_kind = "softmax";
  backend::Builder* const backends[] = {&backend};
  try {
    convert(graph::parse(kChain), backends);
    FAIL() << "no error";
  } catch (const ConversionError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_EQ(error.refusal().node, "b");
  }
}

// A converter adds layers one by one; where a later one is refused the earlier ones must not stay.
TEST(ConvertDriver, ARefusedNodeLeavesNoLayers) {
  FakeBackend backend;
  backend.refused_kind = "select";
  backend::Builder* const backends[] = {&backend};
  const std::string text = R"(graph "where"
input %c: bool[4]
input %x: float32[4]
input %y: int32[4]
%w: float32[4] = aten.where.self(%c, %x, %y)
%z: float32[4] = aten.neg.default(%x)
output %w
output %z
)";
  const graph::Graph graph = graph::parse(text);
  const std::vector<NodeRefusal> refusals = query(graph, backends);
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(refusals[0].node, "w");
}

TEST(ConvertDriver, WhatPassesThroughIsAskedForAsAnIdentity) {
  FakeBackend backend;
  const char* graph = R"(graph "through"
input %x: int16[4, 8]
%a: int16[4, 8] = aten.view.default(%x, [4, 8])
output %a
)";
  EXPECT_TRUE(refusals_of(graph, backend).empty());
  backend.refused_kind = "identity";  // as one refuses that has no int16
  const std::vector<NodeRefusal> refusals = refusals_of(graph, backend);
  ASSERT_EQ(refusals.size(), 1U);
  EXPECT_EQ(refusals[0].node, "a");
  EXPECT_EQ(refusals[0].refusal.reason, backend::Reason::kBackend);
}

TEST(ConvertDriver, NarrowBackendsRequireTheRangeOfInputs) {
  FakeBackend wide;
  FakeBackend narrow;
  narrow.narrow = true;
  const graph::Graph graph = graph::parse(R"(graph "ids"
input %ids: int64[4]
%y: float32[4] = aten._to_copy.default(%ids, dtype=torch.float32)
output %y
)");
  const auto range = [&](FakeBackend& backend) {
    backend::Builder* const backends[] = {&backend};
    const network::Network net = convert(graph, backends).network;
    return net.value(net.inputs().at(0).value).range;
  };
  EXPECT_EQ(range(wide), (Interval{INT64_MIN, INT64_MAX}));
  EXPECT_EQ(range(narrow), (Interval{INT32_MIN, INT32_MAX}));
}

TEST(ConvertDriver, ElementsThatNothingReadsHaveNoRange) {
  FakeBackend backend;
  backend.narrow = true;
  backend::Builder* const backends[] = {&backend};
  const network::Network net = convert(graph::parse(R"(graph "like"
input %ids: int64[4]
%y: int64[4] = aten.full_like.default(%ids, 15)
output %y
)"),
                                       backends)
                                   .network;
  EXPECT_EQ(net.value(net.inputs().at(0).value).range, (Interval{INT64_MIN, INT64_MAX}));
}

// --- converters of users -------------------------------------------------------------------------------------------------

converters::Converter negation_of(const char* target) {
  converters::Converter converter;
  converter.target = target;
  converter.name = "negation";
  converter.convert = [](converters::Context& ctx, const graph::Node& node) {
    ctx.set_output(node, ctx.net().add_unary(ctx.tensor(node, 0, "self"), network::UnaryOperation::kNeg));
  };
  return converter;
}

std::string converted(const std::string& text) {
  FakeBackend backend;
  backend::Builder* const backends[] = {&backend};
  return network::print(convert(graph::parse(text), backends).network);
}

constexpr const char* kTanh = R"(graph "one"
input %x: float32[4]
%y: float32[4] = aten.tanh.default(%x)  # model.py:3 in forward
output %y
)";

TEST(UserConverters, ComeFirstAndEndWithTheirRegistration) {
  for (const auto priority : {converters::Priority::kStandard, converters::Priority::kHigh}) {
    converters::Converter converter = negation_of("aten.tanh.default");
    converter.priority = priority;
    {
      const converters::Registration registration = converters::register_converter(converter);
      EXPECT_PRED_FORMAT2(::testing::IsSubstring, "operation = neg", converted(kTanh));
    }
    EXPECT_PRED_FORMAT2(::testing::IsSubstring, "type = tanh", converted(kTanh));
  }
}

TEST(UserConverters, HighPriorityComesBeforeStandardWhateverTheOrder) {
  converters::Converter high = negation_of("aten.tanh.default");
  high.priority = converters::Priority::kHigh;
  converters::Converter standard = negation_of("aten.tanh.default");
  standard.convert = [](converters::Context&, const graph::Node&) { FAIL() << "the standard one is tried"; };
  const converters::Registration first = converters::register_converter(high);
  const converters::Registration second = converters::register_converter(standard);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "operation = neg", converted(kTanh));
}

TEST(UserConverters, OursTakesWhatTheyRefuse) {
  converters::Converter converter = negation_of("aten.tanh.default");
  converter.validate = [](const graph::Node&) { return false; };
  const converters::Registration registration = converters::register_converter(converter);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "type = tanh", converted(kTanh));
  const converters::Registration other = converters::register_converter(negation_of("my_lib.op.default"));
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "operation = neg", converted(R"(graph "one"
input %x: float32[4]
%y: float32[4] = my_lib.op.default(%x)
output %y
)"));
}

TEST(UserConverters, DynamicShapesAndValidatorsRefuse) {
  const std::string text = R"(graph "one"
symbol s0 = [1, 2, 8]
input %x: float32[s0]
%y: float32[s0] = my_lib.op.default(%x)
output %y
)";
  FakeBackend backend;
  backend::Builder* const backends[] = {&backend};
  converters::Converter converter = negation_of("my_lib.op.default");
  {
    const converters::Registration registration = converters::register_converter(converter);
    EXPECT_EQ(query(graph::parse(text), backends).at(0).refusal.reason, backend::Reason::kDynamicShape);
  }
  converter.supports_dynamic_shapes = true;
  converter.validate = [](const graph::Node& node) { return node.name != "y"; };
  const converters::Registration registration = converters::register_converter(converter);
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, "not for this node",
                      query(graph::parse(text), backends).at(0).refusal.message);
}

TEST(UserConverters, FailuresNameTheConverterTheNodeAndItsSource) {
  converters::Converter converter = negation_of("my_lib.op.default");
  converter.convert = [](converters::Context& ctx, const graph::Node& node) {
    ctx.net().add_unary(ctx.tensor(node, 3, "missing"), network::UnaryOperation::kNeg);
    fail(ErrorCode::kInvalidArgument, "no such thing");
  };
  const converters::Registration registration = converters::register_converter(converter);
  const std::string text = R"(graph "one"
input %x: float32[4]
%y: float32[4] = my_lib.op.default(%x, 1, 2, %x)  # model.py:3 in forward
output %y
)";
  try {
    converted(text);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "negation failed on node y (my_lib.op.default); from model.py:3 in forward: no such thing");
  }
}

TEST(UserConverters, MayAskForTheOutputAllocator) {
  converters::Converter converter = negation_of("my_lib.op.default");
  converter.requires_output_allocator = true;
  const converters::Registration registration = converters::register_converter(converter);
  FakeBackend backend;
  backend::Builder* const backends[] = {&backend};
  const std::string text = R"(graph "one"
input %x: float32[4]
%y: float32[4] = my_lib.op.default(%x)
output %y
)";
  EXPECT_TRUE(convert(graph::parse(text), backends).requires_output_allocator);
  EXPECT_FALSE(convert(graph::parse(kTanh), backends).requires_output_allocator);
}

}  // namespace
}  // namespace torchtrt::compiler
