// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <string>

#include <NvInfer.h>
#include <torchtrt/backend/builder.h>
#include <torchtrt/base/error.h>

#include "backends/tensorrt/builder/check.h"
#include "backends/tensorrt/builder/library.h"
#include "backends/tensorrt/builder/lowering.h"
#include "backends/tensorrt/compat/compute_capability.h"
#include "backends/tensorrt/compat/version.h"

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
          TORCHTRT_CHECK(size <= INT32_MAX, kUnsupported, kProductName,
                         " needs an upper limit for every dimension: input ", value.name, " has ",
                         to_string(value.dims), ", and no maximum is known");
          dims.push_back(size);
        }
        accepted = profile->setDimensions(value.name.c_str(), selector, to_dims(dims));
      }
      TORCHTRT_CHECK(accepted, kUnsupported, kProductName, " refuses the shape range of input ", value.name, ": ",
                     Logger::take_errors());
    }
  }
  if (profile != nullptr) {
    TORCHTRT_CHECK(config.addOptimizationProfile(profile) >= 0, kUnsupported, kProductName,
                   " refuses the optimization profile: ", Logger::take_errors());
  }
}

void set_compute_capabilities(nvinfer1::IBuilderConfig& config, const std::vector<int>& capabilities) {
  TORCHTRT_CHECK(capabilities.empty() || compat::kIsRtx, kInvalidArgument, "compute_capabilities is a setting of ",
                 "TensorRT-RTX; TensorRT builds for the GPU of this machine");
  if (capabilities.empty()) return;
  for (std::size_t i = 0; i < capabilities.size(); ++i) {
    TORCHTRT_CHECK(compat::set_compute_capability(config, capabilities[i], i, capabilities.size()), kInvalidArgument,
                   kProductName, " does not build for compute capability ", capabilities[i],
                   " (expected 75, 80, 86, 89, 120 or 121)");
  }
}

std::string joined(const std::vector<int>& values) {
  std::string text;
  for (const int value : values) text += (text.empty() ? "" : ",") + std::to_string(value);
  return text;
}

class TensorRtBuilder final : public backend::Builder {
 public:
  [[nodiscard]] std::string_view name() const override { return kBackendName; }
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
    TORCHTRT_CHECK(definition && config, kUnsupported, kProductName,
                   " gives no network or configuration: ", Logger::take_errors());

    Lowering lowering(net, *definition);  // holds constants until the build is over
    lowering.run();
    std::vector<std::shared_ptr<std::int64_t>> shape_values;
    add_profile(net, *builder, *config, shape_values);
    set_compute_capabilities(*config, settings.compute_capabilities);
    if (settings.workspace_size > 0) {
      config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, settings.workspace_size);
    }
    if (settings.optimization_level) config->setBuilderOptimizationLevel(*settings.optimization_level);

    const std::shared_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*definition, *config));
    TORCHTRT_CHECK(plan != nullptr, kUnsupported, kProductName, " cannot build engine ", net.name(), ": ",
                   Logger::take_errors());
    return {{{"plan", plan, plan->data(), plan->size()}},
            {{"version", version()}, {"compute_capabilities", joined(settings.compute_capabilities)}},
            std::string(kProductName) + " " + version()};
  }
};

}  // namespace
}  // namespace torchtrt::tensorrt

extern "C" TORCHTRT_API torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version) {
  static auto* builder = new torchtrt::tensorrt::TensorRtBuilder;
  return interface_version == torchtrt::backend::kBuilderInterfaceVersion ? builder : nullptr;
}
