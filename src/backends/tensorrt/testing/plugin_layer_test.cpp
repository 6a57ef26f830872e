// SPDX-License-Identifier: Apache-2.0
// Plugin layers as TensorRT asks them: what is carried in a plan, types, formats, shapes, errors. TensorRT's part is played
// by this file: TensorRT-RTX, which the tests run with, takes no plugins.
#include <gtest/gtest.h>

#include <deque>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/plugin_layer.h"

namespace torchtrt::tensorrt::testing {
namespace {

using nvinfer1::DataType;

class Nothing final : public backend::Plugin {
 public:
  void run(std::span<const DLTensor> /*inputs*/, std::span<const DLTensor> /*results*/,
           void* /*stream*/) const override {}
};

struct Number final : nvinfer1::IDimensionExpr {
  Number() { mImpl = nullptr; }
  ~Number() noexcept override = default;
  std::int64_t value = 0;
};

/// Makes constants, which is all that a plugin layer asks for.
class Expressions final : public nvinfer1::IExprBuilder, private nvinfer1::apiv::VExprBuilder {
 public:
  Expressions() { mImpl = this; }
  ~Expressions() noexcept override = default;
  const nvinfer1::IDimensionExpr* constant(std::int64_t value) override {
    numbers_.emplace_back().value = value;
    return &numbers_.back();
  }
  const nvinfer1::IDimensionExpr* operation(nvinfer1::DimensionOperation, const nvinfer1::IDimensionExpr&,
                                            const nvinfer1::IDimensionExpr&) override {
    return nullptr;
  }
  const nvinfer1::IDimensionExpr* declareSizeTensor(std::int32_t, const nvinfer1::IDimensionExpr&,
                                                    const nvinfer1::IDimensionExpr&) override {
    return nullptr;
  }

 private:
  std::deque<Number> numbers_;
};

std::int64_t value_of(const nvinfer1::IDimensionExpr* number) { return static_cast<const Number*>(number)->value; }

backend::PluginRegistration register_nothing() {
  return backend::register_plugin("nothing", [](const std::string&) { return std::make_unique<Nothing>(); });
}

PluginSpec spec() {
  return {"nothing",
          R"({"k": [1, "\"x\""]})",
          "libnothing.so",
          {DataType::kFLOAT, DataType::kINT64},
          {DataType::kHALF, DataType::kBOOL, DataType::kFLOAT},
          {{2, -1, 3}, {}, {5}}};
}

TEST(PluginLayer, ItsSpecTravelsAsText) {
  const PluginSpec read = read_spec(write_spec(spec()));
  EXPECT_EQ(read.name, "nothing");
  EXPECT_EQ(read.attributes, spec().attributes);
  EXPECT_EQ(read.library, "libnothing.so");
  EXPECT_EQ(read.inputs, spec().inputs);
  EXPECT_EQ(read.results, spec().results);
  EXPECT_EQ(read.dims, spec().dims);
}

TEST(PluginLayer, DamagedSpecsAreErrors) {
  const std::string whole = write_spec(spec());
  PluginSpec nine = spec();
  nine.dims[0].assign(9, 1);
  PluginSpec fewer = spec();
  fewer.dims.pop_back();
  for (const std::string& text : {std::string(), whole.substr(0, whole.size() / 2), std::string("[]"),
                                  std::string("{\"plugin\": 3}"), write_spec(nine), write_spec(fewer)}) {
    EXPECT_THROW(read_spec(text), Error) << text;
  }
}

TEST(PluginLayer, AMissingPluginNamesItsLibrary) {
  try {
    const PluginLayer layer(spec());
    FAIL() << "there is no such plugin";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(error.what()).find("libnothing.so"), std::string::npos) << error.what();
  }
}

TEST(PluginLayer, TypesAndFormats) {
  const backend::PluginRegistration registration = register_nothing();
  PluginLayer layer(spec());
  ASSERT_EQ(layer.getNbOutputs(), 3);
  DataType types[3]{};
  EXPECT_EQ(layer.getOutputDataTypes(types, 3, nullptr, 2), 0);
  EXPECT_EQ(std::vector<DataType>(types, types + 3), spec().results);
  EXPECT_NE(layer.getOutputDataTypes(types, 2, nullptr, 2), 0);

  nvinfer1::DynamicPluginTensorDesc tensors[5]{};
  const DataType right[]{DataType::kFLOAT, DataType::kINT64, DataType::kHALF, DataType::kBOOL, DataType::kFLOAT};
  for (std::int32_t i = 0; i < 5; ++i) {
    tensors[i].desc.type = right[i];
    EXPECT_TRUE(layer.supportsFormatCombination(i, tensors, 2, 3)) << i;
    tensors[i].desc.format = nvinfer1::TensorFormat::kHWC8;
    EXPECT_FALSE(layer.supportsFormatCombination(i, tensors, 2, 3)) << i;
    tensors[i].desc.format = nvinfer1::TensorFormat::kLINEAR;
    tensors[i].desc.type = DataType::kINT8;
    EXPECT_FALSE(layer.supportsFormatCombination(i, tensors, 2, 3)) << i;
  }
}

TEST(PluginLayer, ShapesComeFromTheShapeInputsWhereTheyAreNotStatic) {
  const backend::PluginRegistration registration = register_nothing();
  PluginLayer layer(spec());
  Expressions expressions;
  nvinfer1::DimsExprs shape{3, {expressions.constant(20), expressions.constant(21), expressions.constant(22)}};
  nvinfer1::DimsExprs outputs[3]{};
  ASSERT_EQ(layer.getOutputShapes(nullptr, 2, &shape, 1, outputs, 3, expressions), 0);
  ASSERT_EQ(outputs[0].nbDims, 3);
  EXPECT_EQ(value_of(outputs[0].d[0]), 2);
  EXPECT_EQ(outputs[0].d[1], shape.d[1]);
  EXPECT_EQ(value_of(outputs[0].d[2]), 3);
  EXPECT_EQ(outputs[1].nbDims, 0);
  ASSERT_EQ(outputs[2].nbDims, 1);
  EXPECT_EQ(value_of(outputs[2].d[0]), 5);
  EXPECT_NE(layer.getOutputShapes(nullptr, 2, nullptr, 0, outputs, 3, expressions), 0) << "no shape input";
  shape.nbDims = 2;
  EXPECT_NE(layer.getOutputShapes(nullptr, 2, &shape, 1, outputs, 3, expressions), 0) << "of another rank";
}

TEST(PluginLayer, CopiesCarryTheSameText) {
  const backend::PluginRegistration registration = register_nothing();
  PluginLayer layer(spec());
  const std::unique_ptr<nvinfer1::IPluginV3> copy(layer.clone());
  ASSERT_NE(copy, nullptr);
  auto* runtime = static_cast<nvinfer1::IPluginV3OneRuntime*>(
      copy->getCapabilityInterface(nvinfer1::PluginCapabilityType::kRUNTIME));
  const nvinfer1::PluginFieldCollection& fields = *runtime->getFieldsToSerialize();
  ASSERT_EQ(fields.nbFields, 1);
  const auto& field = fields.fields[0];
  EXPECT_EQ(std::string(static_cast<const char*>(field.data), static_cast<std::size_t>(field.length)),
            write_spec(spec()));
  auto* core =
      static_cast<nvinfer1::IPluginV3OneCore*>(copy->getCapabilityInterface(nvinfer1::PluginCapabilityType::kCORE));
  EXPECT_STREQ(core->getPluginName(), "torchtrt_plugin");
}

TEST(PluginLayer, FailsToRunWithoutAGpuAndSaysSo) {
  const backend::PluginRegistration registration = register_nothing();
  PluginLayer layer(spec());
  Logger::take_errors();
  nvinfer1::PluginTensorDesc tensors[3]{};
  tensors[0].type = DataType::kFP4;
  const void* inputs[3]{};
  void* results[3]{};
  EXPECT_NE(layer.enqueue(tensors, tensors, inputs, results, nullptr, nullptr), 0);
  EXPECT_NE(Logger::take_errors().find("plugin nothing failed to run"), std::string::npos);
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
