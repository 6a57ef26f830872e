// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include <NvInfer.h>
#include <torchtrt/backend/executor.h>

#include "backends/tensorrt/executor/layout.h"

namespace torchtrt::tensorrt {

class TensorRtEngine final : public backend::ExecutableEngine {
 public:
  /// Loads the plan on the request's device. Errors: Library::get's and Driver::get's, and deserialize's;
  /// Error(kVersionMismatch) for a plan of another release of TensorRT, Error(kUnsupported) for one of another GPU,
  /// Error(kDataLoss) for one that does not have the package's inputs and outputs.
  explicit TensorRtEngine(const backend::LoadRequest& request);
  std::unique_ptr<backend::Context> create_context() override;

 private:
  Layout layout_;
  std::unique_ptr<nvinfer1::IRuntime> runtime_;  // outlives the engine
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
  std::mutex mutex_;  // of create_context: thread-safe by TensorRT's documents for running contexts only
};

/// The library's engine of a plan. Error(kDataLoss) for bytes that are none, Error(kVersionMismatch) or
/// Error(kUnsupported) where the library says that the plan is for another release or GPU, with what `request` says of
/// the plan's origin.
std::unique_ptr<nvinfer1::ICudaEngine> deserialize(nvinfer1::IRuntime& runtime, std::span<const std::byte> plan,
                                                   const backend::LoadRequest& request);

}  // namespace torchtrt::tensorrt
