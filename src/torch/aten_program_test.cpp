// SPDX-License-Identifier: Apache-2.0
#include "torch/aten_program.h"
#include "base/testing/expect_error.h"

#include <string>
#include <utility>
#include <vector>

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <torchtrt/base/error.h>

namespace torchtrt::torch_adapter {
namespace {

using torchtrt::testing::expect_error;

const AtenProgram::Sections kNoSections;

// x: float32[rows, 3], i: int64[] with the value of n; y = x.reshape(3*rows) + w, z = x
const std::string kProgram = R"({
  "inputs": [{"name": "x", "dtype": "float32", "shape": ["rows", 3]},
             {"name": "i", "dtype": "int64", "shape": [], "shape_symbol": "n"}],
  "constants": [{"dtype": "float32", "shape": [1], "section": "weights", "offset": 4}],
  "sizes": ["3*rows", "n"],
  "nodes": [
    {"name": "flat", "operator": "aten::reshape", "arguments": [{"tensor": 0}, [{"size": 0}]],
     "results": [{"dtype": "float32", "shape": ["3*rows"]}]},
    {"name": "sum", "operator": "aten::add.Tensor", "arguments": [{"tensor": 3}, {"tensor": 2}],
     "keywords": {"alpha": {"number": "0.5"}}, "results": [{"dtype": "float32", "shape": ["3*rows"]}]},
    {"name": "more", "operator": "aten::mul.Scalar", "arguments": [{"tensor": 4}, {"size": 1}],
     "results": [{"dtype": "float32", "shape": ["3*rows"]}]}],
  "outputs": [5, 0, 5]})";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kProgram;
  const std::size_t found = text.find(from);
  EXPECT_NE(found, std::string::npos) << from;
  return text.replace(found, from.size(), to);
}

class AtenProgramTest : public ::testing::Test {
 protected:
  const std::vector<float> weights_{100, 8, 200};
  const AtenProgram::Sections sections_{{"weights", std::as_bytes(std::span(weights_))}};
};

TEST_F(AtenProgramTest, RunsForAnySize) {
  const AtenProgram program(kProgram, sections_);
  for (const std::int64_t rows : {0, 1, 4}) {
    const at::Tensor x = at::full({rows, 3}, 2.0F);
    const std::vector<at::Tensor> outputs = program.run({x, at::full({}, 5, at::kLong)});
    ASSERT_EQ(outputs.size(), 3u);
    EXPECT_TRUE(at::equal(outputs[0], at::full({3 * rows}, 30.0F)));
    EXPECT_TRUE(at::equal(outputs[1], x));
    if (rows > 0) {
      EXPECT_NE(outputs[1].const_data_ptr(), x.const_data_ptr());
      EXPECT_NE(outputs[0].const_data_ptr(), outputs[2].const_data_ptr());
    }
  }
}

TEST_F(AtenProgramTest, ConstantsMayHaveNoElements) {
  const std::string constant = R"("shape": [1], "section": "weights", "offset": 4)";
  for (const std::string shape : {"[0]", "[8, 0, 3, 4]", "[0, 8]", "[1000, 0]"}) {
    for (const std::string section : {"weights", "nothing"}) {
      AtenProgram::Sections sections = sections_;
      sections["nothing"];
      const AtenProgram program(
          replaced(constant, R"("shape": )" + shape + R"(, "section": ")" + section + R"(", "offset": 0)"), sections);
      (void)program;
    }
  }
  expect_error(ErrorCode::kDataLoss, "does not fit", [&] {
    const std::string large = "[4611686018427387904, 4611686018427387904, 0]";
    const AtenProgram program(replaced(constant, R"("shape": )" + large + R"(, "section": "weights", "offset": 0)"),
                              sections_);
  });
}

TEST_F(AtenProgramTest, OperatorsErrorsGoThrough) {
  const AtenProgram program(
      replaced(R"({"name": "more", "operator": "aten::mul.Scalar", "arguments": [{"tensor": 4}, {"size": 1}])",
               R"({"name": "more", "operator": "aten::select.int", "arguments": [{"tensor": 4}, 0, {"size": 1}])"),
      sections_);
  EXPECT_NO_THROW((void)program.run({at::full({2, 3}, 1.0F), at::full({}, 5, at::kLong)}));
  EXPECT_THROW((void)program.run({at::full({2, 3}, 1.0F), at::full({}, 6, at::kLong)}), c10::IndexError);
}

TEST_F(AtenProgramTest, ChecksItsInputs) {
  const AtenProgram program(kProgram, sections_);
  expect_error(ErrorCode::kInvalidArgument, "expected 2 inputs, got 1",
               [&] { (void)program.run({at::full({2, 3}, 1.0F)}); });
  expect_error(ErrorCode::kInvalidArgument, "input \"x\"",
               [&] { (void)program.run({at::full({2, 3}, 1), at::full({}, 5, at::kLong)}); });
  expect_error(ErrorCode::kInvalidArgument, "rank 2",
               [&] { (void)program.run({at::full({2}, 1.0F), at::full({}, 5, at::kLong)}); });
}

struct Damage {
  std::string from, to, message;
};

class DamagedProgramTest : public AtenProgramTest, public ::testing::WithParamInterface<Damage> {};

TEST_P(DamagedProgramTest, IsAnError) {
  const auto& [from, to, message] = GetParam();
  try {
    const AtenProgram program(replaced(from, to), sections_);
    FAIL() << "it was read: " << to;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, DamagedProgramTest,
    ::testing::Values(
        Damage{"aten::reshape", "aten::no_such_operator", "has no operator"},
        Damage{"aten::reshape", "aten::add_.Tensor", "writes to its arguments"},
        Damage{"aten::reshape", "aten::resize_", "writes to its arguments"},
        Damage{"aten::reshape", "prim::TupleConstruct", "has no operator"},
        Damage{R"({"tensor": 0})", R"({"tensor": 3})", "tensor 3 of 3"},
        Damage{R"({"tensor": 0})", R"({"tensor": -1})", "tensor -1"},
        Damage{R"({"tensor": 0})", R"({"tensor": 18446744073709551615})", "of 3"},
        Damage{R"({"tensor": 0})", R"({"tensor": "x"})", "tensor"}, Damage{R"({"tensor": 0})", R"("x")", "cannot be"},
        Damage{R"([{"size": 0}])", R"([{"size": 9}])", "size 9 of 2"},
        Damage{R"([{"size": 0}])", R"([[1]])", "cannot be [1]"}, Damage{R"([{"size": 0}])", R"({"a": 1})", "cannot be"},
        Damage{R"([{"size": 0}])", R"(["torch.strided_"])", "cannot be"},
        Damage{R"("3*rows", "n")", R"("3*columns", "n")", "nothing determines columns"},
        Damage{R"("3*rows", "n")", R"("3*", "n")", "expression"},
        Damage{R"({"number": "0.5"})", R"({"number": "half"})", "is no number"},
        Damage{R"("alpha")", R"("beta")", "does not know every one of the keywords"},
        Damage{R"("offset": 4)", R"("offset": 9)", "does not fit"},
        Damage{R"("offset": 4)", R"("offset": 18446744073709551615)", "is no size"},
        Damage{R"("shape": [1])", R"("shape": [4294967296, 4294967296])", "does not fit"},
        Damage{R"("shape": [1])", R"("shape": [-1])", "is no size"},
        Damage{R"("weights")", R"("wheights")", "section \"wheights\" is missing"},
        Damage{R"("dtype": "float32", "shape": [1])", R"("dtype": "complex64", "shape": [1])", "is no dtype"},
        Damage{R"("outputs": [5)", R"("outputs": [6)", "output 6"},
        Damage{R"("outputs": [5)", R"("outputs": [null)", "is no size"},
        Damage{R"("nodes": [)", R"("knots": [)", "\"nodes\" is missing"},
        Damage{R"("nodes": [)", R"("nodes": [[], )", "expected an object"},
        Damage{R"("outputs": [5, 0, 5]})", "", "parse error"}));

}  // namespace
}  // namespace torchtrt::torch_adapter
