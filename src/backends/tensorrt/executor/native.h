// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torchtrt/backend/executor.h>

#include "backends/tensorrt/executor/layout.h"

namespace torchtrt::tensorrt {

/// Where outputs go whose shape the engine finds out while it runs. Called during NativeContext::enqueue.
class DeferredOutputs {
 public:
  /// Memory for `bytes` of an output; null makes the run fail.
  virtual void* reserve(std::size_t output, std::size_t bytes) noexcept = 0;
  virtual void set_shape(std::size_t output, Shape shape) noexcept = 0;

 protected:
  ~DeferredOutputs() = default;
};

/// What a run asks of nvinfer1::IExecutionContext, with inputs and outputs by their index in the layout. The slice is thin
/// so that a test can take TensorRT's place. Where a function gives a bool, false is the library's refusal, and
/// take_errors() its reason. Not thread-safe.
class NativeContext {
 public:
  virtual ~NativeContext() = default;
  virtual bool set_profile(std::size_t profile, void* stream) = 0;
  virtual bool set_input_shape(std::size_t input, Shape shape) = 0;
  /// Device memory; of a shape input host memory, whose elements are read by output_shape() and enqueue().
  virtual bool set_input(std::size_t input, const void* data) = 0;
  /// Device memory; of an output on the host host memory, which infer_shapes() writes.
  virtual bool set_output(std::size_t output, void* data) = 0;
  /// Makes the engine ask `outputs` for the memory of this output.
  virtual bool defer_output(std::size_t output, DeferredOutputs& outputs) = 0;
  /// The shape that follows from the inputs' shapes; -1 where it depends on data. False if they are not complete.
  virtual bool output_shape(std::size_t output, std::vector<std::int64_t>& shape) = 0;
  /// Bytes of scratch memory that a run with the inputs' shapes needs, or 0 if it needs none. std::nullopt where the library
  /// does not say. What set_scratch() gave before is forgotten.
  virtual std::optional<std::size_t> scratch_size() = 0;
  virtual void set_scratch(void* memory, std::size_t bytes) = 0;
  virtual bool enqueue(void* stream) = 0;
  virtual std::string take_errors() = 0;
  /// Computes what follows from the inputs' shapes and shape inputs: the elements of outputs on the host.
  virtual bool infer_shapes() = 0;
  /// Not null: enqueue() waits for its work, and says how long the layers took.
  virtual void set_profiler(backend::LayerTimes* times) = 0;
};

}  // namespace torchtrt::tensorrt
