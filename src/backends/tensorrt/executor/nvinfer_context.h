// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <NvInfer.h>

#include "backends/tensorrt/executor/native.h"

namespace torchtrt::tensorrt {

/// NativeContext over the real thing: names instead of indices, the library's types instead of ours.
class NvInferContext final : public NativeContext {
 public:
  /// `layout` outlives it. `owners`: what the context was made with and may still use.
  NvInferContext(const Layout& layout, std::unique_ptr<nvinfer1::IExecutionContext> context,
                 std::vector<std::shared_ptr<const void>> owners = {});
  ~NvInferContext() override;

  bool set_profile(std::size_t profile, void* stream) override;
  bool set_input_shape(std::size_t input, Shape shape) override;
  bool set_input(std::size_t input, const void* data) override;
  bool set_output(std::size_t output, void* data) override;
  bool defer_output(std::size_t output, DeferredOutputs& outputs) override;
  bool output_shape(std::size_t output, std::vector<std::int64_t>& shape) override;
  std::optional<std::size_t> scratch_size() override;
  void set_scratch(void* memory, std::size_t bytes) override;
  bool enqueue(void* stream) override;
  std::string take_errors() override;
  bool infer_shapes() override;
  void set_profiler(backend::LayerTimes* times) override;

 private:
  class OutputAllocator;
  class Profiler;

  const Layout& layout_;
  std::vector<std::unique_ptr<OutputAllocator>> allocators_;  // by output; outlive the context, which calls them
  std::unique_ptr<Profiler> profiler_;                        // likewise; null until the first run that is profiled
  std::vector<std::shared_ptr<const void>> owners_;
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
};

}  // namespace torchtrt::tensorrt
