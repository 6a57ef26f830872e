// SPDX-License-Identifier: Apache-2.0
// Plans whose weights can be replaced: names, marks and properties with the library's own network definition where it is
// there, the refitter over a fake.
#include "backends/tensorrt/builder/refit.h"

#include <gtest/gtest.h>

#include <cstring>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/properties.h"
#include "backends/tensorrt/testing/layers/harness.h"

namespace torchtrt::tensorrt::testing {
namespace {

network::Weights floats(std::size_t count, float value) {
  const auto storage = std::make_shared<std::vector<float>>(count, value);
  return {std::shared_ptr<const void>(storage, storage->data()), count * sizeof(float)};
}

/// (x * w + b)[index], with the given elements; `factor` is a constant that the lowering looks at.
Network linear(float weight, float bias, std::int64_t index = 1, float factor = 1) {
  Network net("linear");
  const ValueId x = net.add_input("x", DataType::kFloat32, {2, 4});
  const ValueId w = net.add_constant({4, 4}, DataType::kFloat32, floats(16, weight));
  const ValueId b = net.add_constant({1, 4}, DataType::kFloat32, floats(4, bias));
  const ValueId least = net.add_constant({1, 4}, DataType::kFloat32, floats(4, factor));
  const auto indices = std::make_shared<std::vector<std::int64_t>>(1, index);
  const ValueId i = net.add_constant({1}, DataType::kInt64, {std::shared_ptr<const void>(indices, indices->data()), 8});
  const ValueId product =
      net.add_matrix_multiply(x, network::MatrixOperation::kNone, w, network::MatrixOperation::kNone);
  const ValueId sum = net.add_elementwise(product, b, network::ElementWiseOperation::kSum);
  const ValueId most = net.add_elementwise(sum, least, network::ElementWiseOperation::kMax);
  net.mark_output(net.add_layer(network::Gather{network::GatherMode::kDefault, 0}, {most, i})[0], "y");
  return net;
}

class TensorRtRefit : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_library()) GTEST_SKIP() << "the library is not there";
  }
  struct Lowered {
    std::unique_ptr<nvinfer1::IBuilder> builder = create_builder();
    std::unique_ptr<nvinfer1::INetworkDefinition> definition{builder->createNetworkV2(compat::network_flags())};
    Lowering lowering;
    explicit Lowered(const Network& net) : lowering(net, *definition, Library::get().functions(), /*refittable=*/true) {
      lowering.run();
    }
  };
  static Properties properties_of(const Network& net, backend::Refit refit) {
    Lowered lowered(net);
    Properties properties = make_refittable(net, lowered.lowering, refit, *lowered.definition);
    if (!properties.empty()) properties[kVersionProperty] = Library::get().version();
    return properties;
  }
  static std::string misfit(const Network& net, const Properties& properties) {
    Lowered lowered(net);
    return misfit_of(net, lowered.lowering, properties);
  }
};

// A convolution that takes constants as tensors runs many times slower: only a refitter needs that.
TEST_F(TensorRtRefit, OthersConvolveWithWeightsOfTheirOwn) {
  Network net("convolution");
  const ValueId x = net.add_input("x", DataType::kFloat32, {1, 2, 8, 8});
  const ValueId w = net.add_constant({4, 2, 3, 3}, DataType::kFloat32, floats(72, 1));
  const ValueId b = net.add_constant({4}, DataType::kFloat32, floats(4, 1));
  network::Convolution op;
  op.stride = op.dilation = {1, 1};
  op.pre_padding = op.post_padding = {0, 0};
  net.mark_output(net.add_layer(op, {x, w, b})[0], "y");
  for (const bool refittable : {false, true}) {
    const std::unique_ptr<nvinfer1::IBuilder> builder = create_builder();
    const std::unique_ptr<nvinfer1::INetworkDefinition> definition{builder->createNetworkV2(compat::network_flags())};
    Lowering lowering(net, *definition, Library::get().functions(), refittable);
    lowering.run();
    ASSERT_EQ(definition->getNbLayers(), refittable ? 3 : 1);
    const nvinfer1::ILayer* layer = definition->getLayer(refittable ? 2 : 0);
    ASSERT_EQ(layer->getType(), nvinfer1::LayerType::kCONVOLUTION);
    const auto* convolution = static_cast<const nvinfer1::IConvolutionLayer*>(layer);
    EXPECT_EQ(convolution->getKernelWeights().count, refittable ? 0 : 72);
    EXPECT_EQ(convolution->getBiasWeights().count, refittable ? 0 : 4);
  }
}

TEST_F(TensorRtRefit, ProductsOfFloat16AddUpInFloat32UnlessTheirWeightsWillBeReplaced) {
  for (const DataType dtype : {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16}) {
    Network net("product");
    const ValueId x = net.add_input("x", dtype, {2, 3});
    const ValueId y = net.add_matrix_multiply(x, network::MatrixOperation::kNone, net.add_input("w", dtype, {3, 4}),
                                              network::MatrixOperation::kNone);
    net.mark_output(y, "y");
    for (const bool refittable : {false, true}) {
      for (const bool wanted : {false, true}) {
        const std::unique_ptr<nvinfer1::IBuilder> builder = create_builder();
        const std::unique_ptr<nvinfer1::INetworkDefinition> definition{
            builder->createNetworkV2(compat::network_flags())};
        Lowering lowering(net, *definition, Library::get().functions(), refittable, wanted);
        lowering.run();
        int casts = 0;
        for (int i = 0; i < definition->getNbLayers(); ++i) {
          casts += definition->getLayer(i)->getType() == nvinfer1::LayerType::kCAST ? 1 : 0;
        }
        EXPECT_EQ(casts, dtype == DataType::kFloat16 && wanted && !refittable ? 3 : 0);
        EXPECT_EQ(lowering.tensor(y).getType(), data_type(dtype));
      }
    }
  }
}

TEST_F(TensorRtRefit, TakesOtherWeights) {
  const Properties properties = properties_of(linear(1, 2), backend::Refit::kAny);
  EXPECT_EQ(properties.at("refit"), "any");
  EXPECT_EQ(misfit(linear(1, 2), properties), "");
  EXPECT_EQ(misfit(linear(3, 4), properties), "");
}

TEST_F(TensorRtRefit, TakesNothingElse) {
  const Properties properties = properties_of(linear(1, 2), backend::Refit::kAny);
  EXPECT_NE(misfit(linear(1, 2, /*index=*/0), properties), "") << "integers decide shapes";
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(misfit(linear(1, 2, 1, nan), properties), "") << "with NaN there are other layers";
  Network other("linear");
  const ValueId x = other.add_input("x", DataType::kFloat32, {2, 4});
  other.mark_output(other.add_activation(x, network::ActivationType::kRelu), "y");
  EXPECT_NE(misfit(other, properties).find("differs from its own in more than weights"), std::string::npos);
}

TEST_F(TensorRtRefit, IdenticalMeansIdentical) {
  const Properties properties = properties_of(linear(1, 2), backend::Refit::kIdentical);
  EXPECT_EQ(properties.at("refit"), "identical");
  EXPECT_EQ(misfit(linear(1, 2), properties), "");
  EXPECT_NE(misfit(linear(1, 3), properties).find("the very weights only"), std::string::npos);
}

TEST_F(TensorRtRefit, OtherReleasesAreRefused) {
  Properties properties = properties_of(linear(1, 2), backend::Refit::kAny);
  properties["version"] = "1.0.0";
  EXPECT_NE(misfit(linear(1, 2), properties).find("built by " + std::string(compat::kProductName) + " 1.0.0"),
            std::string::npos);
  EXPECT_TRUE(properties_of(linear(1, 2), backend::Refit::kNone).empty());
  EXPECT_EQ(misfit(linear(1, 2), {}), "it was not built for that");
}

TEST_F(TensorRtRefit, NamesFollowFromTheStructure) {
  const auto names = [](const Network& net) {
    Lowered lowered(net);
    std::vector<std::pair<std::string, std::int64_t>> result;
    for (const auto& named : lowered.lowering.weights()) result.emplace_back(named.name, named.weights.count);
    return result;
  };
  EXPECT_EQ(names(linear(1, 2)), names(linear(3, 4)));
  EXPECT_GE(names(linear(1, 2)).size(), 4U);
}

TEST_F(TensorRtRefit, StrippedPlansNeedAWayBack) {
  backend::BuildSettings settings;
  settings.strip_weights = true;
  try {
    builder().build(linear(1, 2), settings);
    ADD_FAILURE() << "it was built";
  } catch (const Error& error) {
    // Without a GPU TensorRT gives no builder at all.
    EXPECT_TRUE(error.code() == ErrorCode::kInvalidArgument || error.code() == ErrorCode::kNotFound) << error.what();
  }
}

struct FakeRefitter {
  std::vector<std::string> known;
  std::map<std::string, const void*> given;
  std::string refused;
  bool refits = true;

  std::int32_t getAllWeights(std::int32_t size, const char** names) {
    for (std::int32_t i = 0; i < size; ++i) names[i] = known[static_cast<std::size_t>(i)].c_str();
    return static_cast<std::int32_t>(known.size());
  }
  bool setNamedWeights(const char* name, nvinfer1::Weights weights) {
    if (name == refused) return false;
    given[name] = weights.values;
    return true;
  }
  std::int32_t getMissingWeights(std::int32_t, const char**) const {
    return static_cast<std::int32_t>(known.size() - given.size());
  }
  bool refitCudaEngine() const { return refits; }
};

TEST(TensorRtRefitter, GetsWhatItKnows) {
  const float a = 1, b = 2;
  const std::vector<Lowering::NamedWeights> weights{{"w0", {nvinfer1::DataType::kFLOAT, &a, 1}, std::nullopt},
                                                    {"w1", {nvinfer1::DataType::kFLOAT, &b, 1}, std::nullopt}};
  FakeRefitter one{{"w1"}, {}, "", true};
  EXPECT_EQ(replace_weights(one, weights), "");
  EXPECT_EQ(one.given, (std::map<std::string, const void*>{{"w1", &b}}));
  FakeRefitter unknown{{"w1", "w7"}, {}, "", true};
  EXPECT_NE(replace_weights(unknown, weights).find("\"w7\" are not known"), std::string::npos);
  FakeRefitter refusing{{"w0", "w1"}, {}, "w1", true};
  EXPECT_NE(replace_weights(refusing, weights).find("\"w1\" are refused"), std::string::npos);
  FakeRefitter failing{{"w0"}, {}, "", false};
  EXPECT_NE(replace_weights(failing, weights), "");
}

}  // namespace
}  // namespace torchtrt::tensorrt::testing
