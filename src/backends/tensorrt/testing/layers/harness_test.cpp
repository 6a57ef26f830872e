// SPDX-License-Identifier: Apache-2.0
// The harness itself; its name makes it part of the test program.
#include "backends/tensorrt/testing/layers/harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>
#include <ostream>
#include <string_view>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/builder/lowering.h"
#include "backends/tensorrt/builder/profiles.h"
#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/logger.h"

extern "C" torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version);

namespace torchtrt::tensorrt::testing {

backend::Builder& builder() { return *torchtrt_builder(backend::kBuilderInterfaceVersion); }

namespace {

bool builds_plans() {
  static const bool builds = [] {
    if (compat::kBuildsWithoutGpu) return true;
    try {
      Driver::get();
      return true;
    } catch (const Error&) {
      return false;
    }
  }();
  return builds;
}

}  // namespace

bool has_library() {
  static const bool found = [] {
    // The build found it in the Python environment; a path that the user set wins.
    if (TORCHTRT_TEST_LIBRARY[0] != '\0') setenv(compat::kLibraryVariable, TORCHTRT_TEST_LIBRARY, /*overwrite=*/0);
    // Not documented, and for these tests only: without a GPU it lets TensorRT make networks, though no plans.
    if (!builds_plans()) setenv("TRT_INTERNAL_OPTIONS", "--cpu_only=1", /*overwrite=*/0);
    try {
      builder().version();
      // Seen: 10.6 ends the process where there is no GPU, 10.15 and 11.2 understand the option.
      return builds_plans() || Library::get().functions().normalization_v2;
    } catch (const Error& error) {
      std::cerr << "without " << compat::kProductName << ": " << error.what() << '\n';
      return false;
    }
  }();
  return found;
}

std::unique_ptr<nvinfer1::IBuilder> create_builder() {
  return Library::get().create_builder(/*without_gpu=*/compat::kBuildsWithoutGpu || !builds_plans());
}

std::optional<backend::Refusal> first_refusal(const Network& net) {
  for (const network::Layer& layer : net.layers()) {
    if (std::optional<backend::Refusal> refusal = builder().check(net, layer)) return refusal;
  }
  return std::nullopt;
}

namespace {

// The difference between our inference and the library's, or "".
std::string compare(const Network& net, Lowering& lowering, ValueId id) {
  const network::Value& value = net.value(id);
  nvinfer1::ITensor& tensor = lowering.tensor(id);
  const nvinfer1::Dims found = tensor.getDimensions();
  std::string text;
  for (std::int32_t i = 0; i < found.nbDims; ++i) text += (i == 0 ? "" : ", ") + std::to_string(found.d[i]);
  const nvinfer1::Dims expected = to_dims(value.dims);
  if (found.nbDims != expected.nbDims || !std::equal(found.d, found.d + found.nbDims, expected.d)) {
    return value.name + " has dims " + to_string(value.dims) + ", the library infers [" + text + "]";
  }
  if (tensor.getType() != data_type(value.dtype)) return value.name + " has another type than the library infers";
  return "";
}

// Whether an older library gets other layers for the network.
bool depends_on_functions(const Network& net) {
  return std::any_of(net.layers().begin(), net.layers().end(), [](const network::Layer& layer) {
    return std::holds_alternative<network::Normalization>(layer.op) ||
           std::holds_alternative<network::CumulativeSum>(layer.op) ||
           std::holds_alternative<network::Attention>(layer.op);
  });
}

std::string problem_of_lowering(const Network& net, const compat::Functions& functions, bool refittable, bool build) {
  const std::unique_ptr<nvinfer1::IBuilder> trt = create_builder();
  const std::unique_ptr<nvinfer1::INetworkDefinition> definition(trt->createNetworkV2(compat::network_flags()));
  Lowering lowering(net, *definition, functions, refittable);
  lowering.run();
  for (const network::Layer& layer : net.layers()) {
    for (const ValueId id : layer.outputs) {
      if (std::string difference = compare(net, lowering, id); !difference.empty()) return difference;
    }
  }
  if (!build) return "";
  const std::unique_ptr<nvinfer1::IBuilderConfig> config(trt->createBuilderConfig());
  add_profiles(plan_profiles(net, {}), *trt, *config);
  const std::unique_ptr<nvinfer1::IHostMemory> plan(trt->buildSerializedNetwork(*definition, *config));
  return plan == nullptr ? "for an older library no plan was built: " + Logger::take_errors() : "";
}

}  // namespace

std::string problem_of(const Network& net) {
  try {
    net.verify();
    std::string problem;
    for (const bool refittable : {false, true}) {
      if (problem.empty()) problem = problem_of_lowering(net, Library::get().functions(), refittable, /*build=*/false);
    }
    if (problem.empty() && depends_on_functions(net)) {
      problem = problem_of_lowering(net, {false, true, false, true, true, false}, /*refittable=*/false, builds_plans());
    }
    if (!problem.empty() || !builds_plans()) return problem;
    const backend::BuiltEngine built = builder().build(net, {});
    return built.sections.size() == 1 && built.sections[0].name == "plan" && built.sections[0].size > 1000
               ? ""
               : "no plan was built";
  } catch (const Error& error) {
    return error.what();
  }
}

namespace {

// What a release has no implementation for, though it takes the network. Blocks with such a layer stay in PyTorch.
struct Limit {
  std::string_view release, name;
  DataType dtype;
};
constexpr Limit kLimits[]{
    {"10.6.", "grouped", DataType::kFloat16},
    {"10.6.", "grouped1d", DataType::kFloat16},
};

bool is_known(const Case& value, DataType dtype, const std::string& problem) {
  return problem.find("Could not find any implementation") != std::string::npos &&
         std::any_of(std::begin(kLimits), std::end(kLimits), [&](const Limit& limit) {
           return builder().version().starts_with(limit.release) && limit.name == value.name && limit.dtype == dtype;
         });
}

}  // namespace

Expr size_n(Network& net, bool dynamic) {
  if (!dynamic) return {2};
  net.add_symbol("n", {1, 2, 8});
  return Expr::symbol("n");
}

ValueId indices(Network& net, const std::string& name, Dims dims, std::int64_t low, std::int64_t high, DataType dtype) {
  const ValueId id = net.add_input(name, dtype, std::move(dims));
  net.refine_range(id, {low, high});
  return id;
}

ValueId zeros(Network& net, const Dims& dims, DataType dtype) {
  const std::size_t bytes = static_cast<std::size_t>(volume(dims).value()) * size_of(dtype);
  const auto storage = std::make_shared<std::vector<std::byte>>(bytes);
  return net.add_constant(dims, dtype, {std::shared_ptr<const void>(storage, storage->data()), bytes});
}

void PrintTo(const Case& value, std::ostream* stream) { *stream << value.name; }

void run(const Case& value) {
  if (!has_library()) GTEST_SKIP() << "the library is not there";
  for (const DataType dtype :
       {DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16, DataType::kInt64, DataType::kInt32,
        DataType::kBool, DataType::kUInt8, DataType::kFloat64, DataType::kInt16, DataType::kInt8}) {
    const bool expected = std::find(value.builds.begin(), value.builds.end(), dtype) != value.builds.end();
    for (const bool dynamic : {false, true}) {
      SCOPED_TRACE(std::string(to_string(dtype)) + (dynamic ? ", dynamic" : ", static"));
      Network net("test");
      try {
        value.add(net, dtype, size_n(net, dynamic));
      } catch (const Error& error) {
        EXPECT_TRUE(!expected && error.code() == ErrorCode::kInvalidArgument) << error.what();
        continue;
      }
      if (net.outputs().empty()) {
        for (const ValueId id : net.layers().back().outputs) net.mark_output(id, "out" + std::to_string(id.index));
      }
      const std::optional<backend::Refusal> refusal = first_refusal(net);
      if (refusal) {
        EXPECT_FALSE(expected) << refusal->message;
        EXPECT_GT(refusal->message.size(), 15U);
      } else {
        const std::string problem = problem_of(net);
        if (is_known(value, dtype, problem)) {
          std::cout << "known limit of " << builder().version() << ": " << value.name << ", " << to_string(dtype)
                    << '\n';
          continue;
        }
        EXPECT_EQ(problem, "");
        EXPECT_TRUE(expected) << "is not refused";
      }
    }
  }
}

TEST(TensorRtHarness, SeesWhatCannotBeBuilt) {
  if (!has_library()) GTEST_SKIP() << "the library is not there";
  Network net("test");
  const ValueId x = net.add_input("x", DataType::kFloat32, {2, 3});
  net.mark_output(net.add_layer(network::TopK{network::TopKOperation::kMax, Expr(2), 1}, {x})[1], "y");
  ASSERT_TRUE(first_refusal(net));
  EXPECT_NE(problem_of(net), "");
}

}  // namespace torchtrt::tensorrt::testing
