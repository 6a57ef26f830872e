// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include <NvInfer.h>
#include <torchtrt/backend/builder.h>
#include <torchtrt/backend/properties.h>
#include <torchtrt/base/error.h>

#include "backends/tensorrt/builder/check.h"
#include "backends/tensorrt/builder/lowering.h"
#include "backends/tensorrt/compat/compute_capability.h"
#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/properties.h"

namespace torchtrt::tensorrt {
namespace {

// The dims of every input that is not static, at the least, usual and greatest value of their symbols.
void add_profile(const network::Network& net, nvinfer1::IBuilder& builder, nvinfer1::IBuilderConfig& config,
                 std::vector<std::shared_ptr<std::int64_t>>& values) {
  nvinfer1::IOptimizationProfile* profile = nullptr;
  const auto at = [&](const Expr& dim, std::int64_t network::SymbolRange::* which) {
    return dim.evaluate([&](const std::string& name) { return net.symbols().at(name).*which; });
  };
  constexpr std::pair<nvinfer1::OptProfileSelector, std::int64_t network::SymbolRange::*> kSelectors[]{
      {nvinfer1::OptProfileSelector::kMIN, &network::SymbolRange::min},
      {nvinfer1::OptProfileSelector::kOPT, &network::SymbolRange::opt},
      {nvinfer1::OptProfileSelector::kMAX, &network::SymbolRange::max},
  };
  for (const network::Input& input : net.inputs()) {
    const network::Value& value = net.value(input.value);
    if (is_static(value.dims) && !input.is_shape_tensor) continue;
    if (profile == nullptr) profile = builder.createOptimizationProfile();
    for (const auto& [selector, which] : kSelectors) {
      bool accepted = false;
      if (input.is_shape_tensor) {
        values.push_back(std::make_shared<std::int64_t>(net.symbols().at(input.symbol).*which));
        accepted = profile->setShapeValuesV2(value.name.c_str(), selector, values.back().get(), 1);
      } else {
        std::vector<std::int64_t> dims;
        for (const Expr& dim : value.dims) {
          const std::int64_t size = at(dim, which);
          TORCHTRT_CHECK(size <= INT32_MAX, kUnsupported, compat::kProductName,
                         " needs an upper limit for every dimension: input ", value.name, " has ",
                         to_string(value.dims), ", and no maximum is known");
          dims.push_back(size);
        }
        accepted = profile->setDimensions(value.name.c_str(), selector, to_dims(dims));
      }
      TORCHTRT_CHECK(accepted, kUnsupported, compat::kProductName, " refuses the shape range of input ", value.name,
                     ": ", Logger::take_errors());
    }
  }
  if (profile != nullptr) {
    TORCHTRT_CHECK(config.addOptimizationProfile(profile) >= 0, kUnsupported, compat::kProductName,
                   " refuses the optimization profile: ", Logger::take_errors());
  }
}

void set_compute_capabilities(nvinfer1::IBuilderConfig& config, const std::vector<int>& capabilities) {
  TORCHTRT_CHECK(capabilities.empty() || compat::kIsRtx, kInvalidArgument, "compute_capabilities is a setting of ",
                 "TensorRT-RTX; TensorRT builds for the GPU of this machine");
  if (capabilities.empty()) return;
  for (std::size_t i = 0; i < capabilities.size(); ++i) {
    TORCHTRT_CHECK(compat::set_compute_capability(config, capabilities[i], i, capabilities.size()), kInvalidArgument,
                   compat::kProductName, " does not build for compute capability ", capabilities[i],
                   " (expected 75, 80, 86, 89, 120 or 121)");
  }
}

std::string joined(const std::vector<int>& values) {
  std::string text;
  for (const int value : values) text += (text.empty() ? "" : ",") + std::to_string(value);
  return text;
}

// What the executor compares with the machine that it is on (executor/engine.cpp).
std::map<std::string, std::string> properties(const network::Network& net, const backend::BuildSettings& settings) {
  std::map<std::string, std::string> result{{kVersionProperty, Library::get().version()}};
  const bool has_plugins = std::any_of(net.layers().begin(), net.layers().end(), [](const network::Layer& layer) {
    return std::holds_alternative<network::Plugin>(layer.op);
  });
  if (has_plugins) result[backend::kRecordableProperty] = "false";
  if (compat::kIsRtx) {
    result[kComputeCapabilitiesProperty] = joined(settings.compute_capabilities);
  } else {
    const Gpu gpu = Driver::get().gpu(Driver::get().current());
    result[kComputeCapabilityProperty] = gpu.compute_capability();
    result[kGpuProperty] = gpu.name;
    result[backend::kModuleProperty] = compat::kModuleName;
  }
  return result;
}

class TensorRtBuilder final : public backend::Builder {
 public:
  [[nodiscard]] std::string_view name() const override { return compat::kBackendName; }
  std::string version() override { return Library::get().version(); }

  [[nodiscard]] std::optional<backend::Refusal> check(const network::Network& net,
                                                      const network::Layer& layer) const override {
    return tensorrt::check(net, layer);
  }

  backend::BuiltEngine build(const network::Network& net, const backend::BuildSettings& settings) override {
    Logger::take_errors();
    const std::unique_ptr<nvinfer1::IBuilder> builder = Library::get().create_builder();
    const std::unique_ptr<nvinfer1::INetworkDefinition> definition(builder->createNetworkV2(compat::network_flags()));
    const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
    TORCHTRT_CHECK(definition && config, kUnsupported, compat::kProductName,
                   " gives no network or configuration: ", Logger::take_errors());

    Lowering lowering(net, *definition);  // holds constants until the build is over
    lowering.run();
    std::vector<std::shared_ptr<std::int64_t>> shape_values;
    add_profile(net, *builder, *config, shape_values);
    set_compute_capabilities(*config, settings.compute_capabilities);
    if (settings.workspace_size > 0) {
      config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, settings.workspace_size);
    }
    config->clearFlag(nvinfer1::BuilderFlag::kTF32);  // on by default; float32 means float32
    if (settings.optimization_level) config->setBuilderOptimizationLevel(*settings.optimization_level);

    const std::shared_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*definition, *config));
    TORCHTRT_CHECK(plan != nullptr, kUnsupported, compat::kProductName, " cannot build engine ", net.name(), ": ",
                   Logger::take_errors());
    return {{{kPlanSection, plan, plan->data(), plan->size()}},
            properties(net, settings),
            std::string(compat::kProductName) + " " + version()};
  }
};

}  // namespace
}  // namespace torchtrt::tensorrt

extern "C" TORCHTRT_API torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version) {
  static auto* builder = new torchtrt::tensorrt::TensorRtBuilder;
  return interface_version == torchtrt::backend::kBuilderInterfaceVersion ? builder : nullptr;
}
