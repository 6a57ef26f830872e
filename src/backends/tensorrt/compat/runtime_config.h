// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <NvInfer.h>
#include <torchtrt/backend/runtime_settings.h>
#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/native_cache.h"
#include "backends/tensorrt/logger.h"

/// Runtime settings: kernel specialization, CUDA graph strategy and runtime cache are TensorRT-RTX's alone.
namespace torchtrt::tensorrt::compat {

#ifdef TRT_MAJOR_RTX

inline constexpr bool kHasRuntimeSettings = true;

class RtxCache final : public NativeCache {
 public:
  /// `owners`: what made the cache, and has to live as long, for all that is documented.
  RtxCache(std::unique_ptr<nvinfer1::IRuntimeCache> cache, std::vector<std::shared_ptr<const void>> owners)
      : owners_(std::move(owners)), cache_(std::move(cache)) {}
  bool load(std::span<const std::byte> bytes) override { return cache_->deserialize(bytes.data(), bytes.size()); }
  std::vector<std::byte> serialize() override {
    const std::unique_ptr<nvinfer1::IHostMemory> memory(cache_->serialize());
    if (memory == nullptr) return {};
    const auto* first = static_cast<const std::byte*>(memory->data());
    return {first, first + memory->size()};
  }
  [[nodiscard]] const nvinfer1::IRuntimeCache& get() const { return *cache_; }

 private:
  std::vector<std::shared_ptr<const void>> owners_;
  std::unique_ptr<nvinfer1::IRuntimeCache> cache_;
};

inline std::unique_ptr<NativeCache> create_runtime_cache(const std::shared_ptr<nvinfer1::ICudaEngine>& engine,
                                                         const std::shared_ptr<nvinfer1::IRuntime>& runtime) {
  const std::shared_ptr<nvinfer1::IRuntimeConfig> config(engine->createRuntimeConfig());
  std::unique_ptr<nvinfer1::IRuntimeCache> cache(config == nullptr ? nullptr : config->createRuntimeCache());
  TORCHTRT_CHECK(cache != nullptr, kInternal, "TensorRT-RTX gives no runtime cache: ", Logger::take_errors());
  return std::make_unique<RtxCache>(std::move(cache),
                                    std::vector<std::shared_ptr<const void>>{runtime, engine, config});
}

/// A context with these settings, and with a cache that create_runtime_cache() made or none; null with the reason in the
/// log. `config_of_context`: what it was made with, to live as long.
inline nvinfer1::IExecutionContext* create_context(nvinfer1::ICudaEngine& engine,
                                                   const backend::RuntimeSettings& settings, NativeCache* cache,
                                                   std::shared_ptr<const void>& config_of_context) {
  const auto config = std::shared_ptr<nvinfer1::IRuntimeConfig>(engine.createRuntimeConfig());
  if (config == nullptr) return nullptr;
  using Kernels = backend::KernelSpecialization;
  using Strategy = nvinfer1::DynamicShapesKernelSpecializationStrategy;
  config->setExecutionContextAllocationStrategy(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED);
  config->setDynamicShapesKernelSpecializationStrategy(
      settings.dynamic_shapes_kernel_specialization == Kernels::kLazy    ? Strategy::kLAZY
      : settings.dynamic_shapes_kernel_specialization == Kernels::kEager ? Strategy::kEAGER
                                                                         : Strategy::kNONE);
  const bool graphs = settings.cuda_graph_strategy == backend::CudaGraphStrategy::kWholeGraphCapture;
  using Graphs = nvinfer1::CudaGraphStrategy;
  if (!config->setCudaGraphStrategy(graphs ? Graphs::kWHOLE_GRAPH_CAPTURE : Graphs::kDISABLED)) return nullptr;
  if (cache != nullptr && !config->setRuntimeCache(static_cast<RtxCache*>(cache)->get())) return nullptr;
  config_of_context = config;
  return engine.createExecutionContext(config.get());
}

#else

inline constexpr bool kHasRuntimeSettings = false;

inline std::unique_ptr<NativeCache> create_runtime_cache(const std::shared_ptr<nvinfer1::ICudaEngine>&,
                                                         const std::shared_ptr<nvinfer1::IRuntime>&) {
  return nullptr;
}

inline nvinfer1::IExecutionContext* create_context(nvinfer1::ICudaEngine& engine, const backend::RuntimeSettings&,
                                                   NativeCache*, std::shared_ptr<const void>&) {
  return engine.createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED);
}

#endif

}  // namespace torchtrt::tensorrt::compat
