// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include <NvInfer.h>
#include <torchtrt/backend/executor.h>

#include "backends/tensorrt/executor/layout.h"
#include "backends/tensorrt/executor/runtime_cache.h"

namespace torchtrt::tensorrt {

class TensorRtEngine final : public backend::ExecutableEngine {
 public:
  /// Loads the plan on the request's device. Errors: Library::get's and Driver::get's, and deserialize's;
  /// Error(kVersionMismatch) for a plan of another release of TensorRT, Error(kUnsupported) for one of another GPU,
  /// Error(kDataLoss) for one that does not have the package's inputs and outputs.
  explicit TensorRtEngine(const backend::LoadRequest& request);
  ~TensorRtEngine() override;
  std::unique_ptr<backend::Context> create_context() override;
  std::string inspect() override;
  bool configure(const backend::RuntimeSettings& settings) override;
  void save_runtime_cache() override;
  backend::WeightStreaming weight_streaming() override;
  void set_weight_streaming_budget(std::int64_t bytes) override;

 private:
  const bool streams_weights_;                   // the plan was built for it
  Layout layout_;                                // constant while a context exists
  std::string identity_;                         // what a runtime cache is for
  std::shared_ptr<nvinfer1::IRuntime> runtime_;  // outlives the engine
  std::shared_ptr<nvinfer1::ICudaEngine> engine_;
  std::mutex mutex_;  // of the rest, and of the engine: thread-safe by TensorRT's documents for running contexts only
  backend::RuntimeSettings settings_;
  std::shared_ptr<RuntimeCache> cache_;  // null: none is wanted, or the library has none
};

/// The library's engine of a plan. Error(kDataLoss) for bytes that are none, Error(kVersionMismatch) or
/// Error(kUnsupported) where the library says that the plan is for another release or GPU, with what `request` says of
/// the plan's origin.
std::unique_ptr<nvinfer1::ICudaEngine> deserialize(nvinfer1::IRuntime& runtime, std::span<const std::byte> plan,
                                                   const backend::LoadRequest& request);

}  // namespace torchtrt::tensorrt
