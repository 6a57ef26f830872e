// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include <NvInfer.h>
#include <torchtrt/backend/builder.h>
#include <torchtrt/backend/properties.h>
#include <torchtrt/base/error.h>

#include "backends/tensorrt/builder/check.h"
#include "backends/tensorrt/builder/lowering.h"
#include "backends/tensorrt/builder/profiles.h"
#include "backends/tensorrt/builder/progress.h"
#include "backends/tensorrt/builder/refit.h"
#include "backends/tensorrt/builder/timing_cache.h"
#include "backends/tensorrt/compat/builder_config.h"
#include "backends/tensorrt/compat/compute_capability.h"
#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/properties.h"

namespace torchtrt::tensorrt {
namespace {

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

void configure(nvinfer1::IBuilderConfig& config, const backend::BuildSettings& settings) {
  set_compute_capabilities(config, settings.compute_capabilities);
  if (settings.workspace_size > 0) {
    config.setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, settings.workspace_size);
  }
  config.clearFlag(nvinfer1::BuilderFlag::kTF32);                         // on by default; float32 means float32
  config.setProfilingVerbosity(nvinfer1::ProfilingVerbosity::kDETAILED);  // else engines tell names only
  if (settings.optimization_level) config.setBuilderOptimizationLevel(*settings.optimization_level);
  if (settings.hardware_compatible) compat::set_hardware_compatible(config);
  if (settings.version_compatible) config.setFlag(nvinfer1::BuilderFlag::kVERSION_COMPATIBLE);
  if (settings.weight_streaming) config.setFlag(nvinfer1::BuilderFlag::kWEIGHT_STREAMING);
  set_refit_flags(config, settings);
}

std::string joined(const std::vector<int>& values) {
  std::string text;
  for (const int value : values) text += (text.empty() ? "" : ",") + std::to_string(value);
  return text;
}

// What the executor compares with the machine that it is on (executor/engine.cpp).
std::map<std::string, std::string> properties(const network::Network& net, const backend::BuildSettings& settings,
                                              std::size_t profiles, std::map<std::string, std::string> refittable) {
  std::map<std::string, std::string> result = std::move(refittable);
  result[kVersionProperty] = Library::get().version();
  if (settings.strip_weights) result[kStrippedProperty] = "true";
  const bool has_plugins = std::any_of(net.layers().begin(), net.layers().end(), [](const network::Layer& layer) {
    return std::holds_alternative<network::Plugin>(layer.op);
  });
  if (has_plugins) result[backend::kRecordableProperty] = "false";
  if (profiles > 1) result[backend::kProfilesProperty] = std::to_string(profiles);
  if (settings.version_compatible) result[kVersionCompatibleProperty] = "true";
  if (settings.weight_streaming) result[kWeightStreamingProperty] = "true";
  if (compat::kIsRtx) {
    result[kComputeCapabilitiesProperty] = joined(settings.compute_capabilities);
  } else {
    const Gpu gpu = Driver::get().gpu(Driver::get().current());
    result[kComputeCapabilityProperty] = gpu.compute_capability();
    result[kGpuProperty] = gpu.name;
    if (settings.hardware_compatible) result[kHardwareCompatibleProperty] = "true";
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

  backend::BuiltEngine build(const network::Network& net, const backend::BuildSettings& wanted) override {
    Logger::take_errors();
    backend::BuildSettings settings = wanted;
    // TensorRT-RTX builds in seconds and without a GPU, but plans that can be refitted only with one.
    if (compat::kIsRtx && !settings.strip_weights) settings.refit = backend::Refit::kNone;
    // Whether TensorRT-RTX makes one kernel of a product and the casts around it has not been seen.
    if (compat::kIsRtx) settings.use_fp32_acc = false;
    const std::unique_ptr<nvinfer1::IBuilder> builder = Library::get().create_builder();
    const std::unique_ptr<nvinfer1::INetworkDefinition> definition(builder->createNetworkV2(compat::network_flags()));
    const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
    TORCHTRT_CHECK(definition && config, kUnsupported, compat::kProductName,
                   " gives no network or configuration: ", Logger::take_errors());

    // Holds constants until the build is over.
    Lowering lowering(net, *definition, Library::get().functions(), settings.refit != backend::Refit::kNone,
                      settings.use_fp32_acc);
    lowering.run();
    auto refittable = make_refittable(net, lowering, settings.refit, *definition);
    const std::vector<ProfileInputs> profiles = plan_profiles(net, settings);
    add_profiles(profiles, *builder, *config);
    configure(*config, settings);
    Progress progress(net.name(), settings.keep_going);
    config->setProgressMonitor(&progress);
    const bool has_timings = !compat::kIsRtx && !settings.timing_cache_path.empty();
    compat::TimingCache timings;  // outlives the build
    std::string timings_path;
    std::vector<std::byte> former_timings, known_timings;
    if (has_timings) {
      timings_path = timing_cache_file(settings.timing_cache_path, compat::kProductName + (" " + version()),
                                       Driver::get().gpu(Driver::get().current()).name);
      former_timings = read_timing_cache(
          timings_path, [&](std::span<const std::byte> bytes) { return timings.attach(*config, bytes); });
      known_timings = timings.serialized();
    }

    const std::shared_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*definition, *config));
    progress.throw_if_cancelled();
    // Nothing new: the file is left alone, for which processes would queue.
    if (has_timings && timings.serialized() != known_timings) {
      write_timing_cache(
          timings_path, former_timings, [&](std::span<const std::byte> others) { timings.combine(*config, others); },
          [&] { return timings.serialized(); });
    }
    TORCHTRT_CHECK(plan != nullptr, kUnsupported, compat::kProductName, " cannot build engine ", net.name(),
                   settings.strip_weights && compat::kIsRtx ? " without its weights, for which it needs a GPU: " : ": ",
                   Logger::take_errors());
    return {{{kPlanSection, plan, plan->data(), plan->size()}},
            properties(net, settings, profiles.size(), std::move(refittable)),
            std::string(compat::kProductName) + " " + version()};
  }

  std::optional<backend::BuiltEngine> refit(const network::Network& net, const backend::FormerEngine& former) override {
    Logger::take_errors();
    return tensorrt::refit(net, former);
  }
};

}  // namespace
}  // namespace torchtrt::tensorrt

extern "C" TORCHTRT_API torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version) {
  static auto* builder = new torchtrt::tensorrt::TensorRtBuilder;
  return interface_version == torchtrt::backend::kBuilderInterfaceVersion ? builder : nullptr;
}
