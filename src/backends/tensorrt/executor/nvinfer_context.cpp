// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/nvinfer_context.h"

#include <utility>

#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/types.h"

namespace torchtrt::tensorrt {

class NvInferContext::OutputAllocator final : public nvinfer1::IOutputAllocator {
 public:
  OutputAllocator(std::size_t output, DeferredOutputs& outputs) : output_(output), outputs_(outputs) {}
  void* reallocateOutputAsync(const char*, void*, std::uint64_t size, std::uint64_t, cudaStream_t) override {
    return outputs_.reserve(output_, size);
  }
  void notifyShape(const char*, const nvinfer1::Dims& dims) noexcept override {
    outputs_.set_shape(output_, {dims.d, static_cast<std::size_t>(dims.nbDims < 0 ? 0 : dims.nbDims)});
  }

 private:
  std::size_t output_;
  DeferredOutputs& outputs_;
};

class NvInferContext::Profiler final : public nvinfer1::IProfiler {
 public:
  void reportLayerTime(const char* layer, float milliseconds) noexcept override {
    if (times != nullptr) times->add(layer == nullptr ? "" : layer, milliseconds, milliseconds);
  }
  backend::LayerTimes* times = nullptr;
};

NvInferContext::NvInferContext(const Layout& layout, std::unique_ptr<nvinfer1::IExecutionContext> context,
                               std::vector<std::shared_ptr<const void>> owners)
    : layout_(layout), allocators_(layout.outputs.size()), owners_(std::move(owners)), context_(std::move(context)) {}

NvInferContext::~NvInferContext() = default;

bool NvInferContext::set_profile(std::size_t profile, void* stream) {
  return context_->setOptimizationProfileAsync(static_cast<std::int32_t>(profile), static_cast<cudaStream_t>(stream));
}

bool NvInferContext::set_input_shape(std::size_t input, Shape shape) {
  return context_->setInputShape(layout_.inputs[input].name.c_str(), to_dims(shape));
}

bool NvInferContext::set_input(std::size_t input, const void* data) {
  return context_->setInputTensorAddress(layout_.inputs[input].name.c_str(), data);
}

bool NvInferContext::set_output(std::size_t output, void* data) {
  return context_->setOutputTensorAddress(layout_.outputs[output].name.c_str(), data);
}

bool NvInferContext::defer_output(std::size_t output, DeferredOutputs& outputs) {
  allocators_[output] = std::make_unique<OutputAllocator>(output, outputs);
  return context_->setOutputAllocator(layout_.outputs[output].name.c_str(), allocators_[output].get());
}

bool NvInferContext::output_shape(std::size_t output, std::vector<std::int64_t>& shape) {
  const nvinfer1::Dims dims = context_->getTensorShape(layout_.outputs[output].name.c_str());
  if (dims.nbDims < 0) return false;
  shape.assign(dims.d, dims.d + dims.nbDims);
  return true;
}

// The library's 0 is a failure as well as no need.
std::optional<std::size_t> NvInferContext::scratch_size() {
  const std::size_t bytes = context_->updateDeviceMemorySizeForShapes();
  if (bytes == 0 && !Logger::take_errors().empty()) return std::nullopt;
  return bytes;
}

void NvInferContext::set_scratch(void* memory, std::size_t bytes) {
  context_->setDeviceMemoryV2(memory, static_cast<std::int64_t>(bytes));
}

bool NvInferContext::enqueue(void* stream) { return context_->enqueueV3(static_cast<cudaStream_t>(stream)); }

std::string NvInferContext::take_errors() { return Logger::take_errors(); }

bool NvInferContext::infer_shapes() { return context_->inferShapes(0, nullptr) == 0; }

void NvInferContext::set_profiler(backend::LayerTimes* times) {
  if (profiler_ == nullptr) profiler_ = std::make_unique<Profiler>();
  profiler_->times = times;
  context_->setProfiler(times == nullptr ? nullptr : profiler_.get());
}

}  // namespace torchtrt::tensorrt
