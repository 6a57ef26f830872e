// SPDX-License-Identifier: Apache-2.0
#include "torch/engine_call.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/SmallVector.h>

#include <optional>
#include <utility>

#include <torchtrt/base/error.h>
#include <torchtrt/runtime.h>

#include "runtime/device.h"
#include "torch/bindings.h"

namespace torchtrt::torch_adapter {
namespace {

/// Engine outputs as torch tensors.
class TensorSink final : public backend::OutputSink {
 public:
  /// `ready`: outputs allocated ahead; used where they have the wanted shape.
  TensorSink(const SharedEngine& engine, at::Device device, std::vector<at::Tensor> ready)
      : tensors(engine.output_types.size()), types_(engine.output_types), device_(device), ready_(std::move(ready)) {}

  void* allocate(std::size_t index, std::span<const std::int64_t> shape) override {
    const at::IntArrayRef sizes(shape.data(), shape.size());
    at::Tensor& tensor = tensors.at(index);
    if (!ready_.empty() && ready_[index].sizes() == sizes) {
      tensor = std::move(ready_[index]);
    } else {
      tensor = empty(index, sizes);
    }
    return tensor.mutable_data_ptr();
  }

  void adopt(std::size_t index, std::span<const std::int64_t> shape, void* data, std::shared_ptr<void> owner) override {
    const at::IntArrayRef sizes(shape.data(), shape.size());
    tensors.at(index) = at::for_blob(data, sizes)
                            .options(at::TensorOptions().dtype(types_[index]).device(device_))
                            .deleter([owner = std::move(owner)](void*) {})
                            .make_tensor();
  }

  /// Tensors like those that the engine just wrote, in the vector that the ready ones came in. To be called once.
  [[nodiscard]] std::vector<at::Tensor> next() {
    ready_.resize(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) ready_[i] = empty(i, tensors[i].sizes());
    return std::move(ready_);
  }

  std::vector<at::Tensor> tensors;

 private:
  [[nodiscard]] at::Tensor empty(std::size_t index, at::IntArrayRef sizes) const {
    return device_.is_cpu() ? at::Tensor(at::detail::empty_cpu(sizes, types_[index]))
                            : at::empty(sizes, at::TensorOptions().dtype(types_[index]).device(device_));
  }

  const std::vector<at::ScalarType>& types_;
  at::Device device_;
  std::vector<at::Tensor> ready_;
};

at::Device cuda(DLDevice device) { return {at::kCUDA, static_cast<at::DeviceIndex>(device.device_id)}; }

/// Where multi-device safe mode has to move the inputs; nullopt if they may stay.
std::optional<at::Device> wanted_elsewhere(runtime::Engine& engine, at::TensorList inputs) {
  c10::SmallVector<DLDevice, 8> devices;
  for (const at::Tensor& input : inputs) devices.push_back(input.defined() ? to_dlpack(input).device : DLDevice{});
  const std::optional<runtime::Placement> placement = engine.place(std::span(devices.data(), devices.size()));
  if (!placement || !placement->moves_inputs) return std::nullopt;
  return cuda(placement->device);
}

/// The inputs on `target`; shape inputs stay on the host.
std::vector<at::Tensor> moved(const runtime::Engine& engine, at::TensorList inputs, at::Device target) {
  std::vector<at::Tensor> result = inputs.vec();
  const auto& specs = engine.metadata().inputs;
  for (std::size_t i = 0; i < result.size() && i < specs.size(); ++i) {
    if (specs[i].shape_symbol.empty() && result[i].defined()) result[i] = result[i].to(target);
  }
  return result;
}

std::vector<at::Tensor> run(SharedEngine& shared, at::TensorList inputs) {
  c10::SmallVector<DLTensor, 8> bindings, as_given;  // contiguous; with the caller's strides
  std::vector<at::Tensor> copies;
  at::Device device = at::kCPU;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_has_elements(inputs[i], i, shared.engine.metadata());
    if (readable_in_place(inputs[i])) {
      const DLTensor& binding = bindings.emplace_back(to_dlpack(inputs[i]));
      as_given.push_back(with_strides(binding, inputs[i]));
    } else {
      const at::Tensor elements = copies.emplace_back(inputs[i].resolve_conj().resolve_neg());
      as_given.push_back(with_strides(to_dlpack(elements), elements));
      bindings.push_back(to_dlpack(copies.emplace_back(elements.contiguous())));
    }
    if (device.is_cpu() && !inputs[i].is_cpu()) device = inputs[i].device();
  }
  if (!shared.engine.has_bound_inputs()) {
    const DLDevice where = shared.engine.default_device();
    if (where.device_type == kDLCUDA) device = cuda(where);
  }
  void* const stream = device.is_cuda() ? runtime::device_api().current_stream(device.index()) : nullptr;
  const bool ahead = shared.engine.is_on(runtime::EngineMode::kPreAllocatedOutputs) &&
                     shared.engine.call_modes().pre_allocated_outputs;
  TensorSink sink(shared, device, ahead ? shared.reserve.take(device, stream) : std::vector<at::Tensor>());
  shared.engine.run({bindings.data(), bindings.size()}, sink, stream, {as_given.data(), as_given.size()});
  for (std::size_t i = 0; i < sink.tensors.size(); ++i) {
    TORCHTRT_CHECK(sink.tensors[i].defined(), kInternal, "engine \"", shared.engine.metadata().name,
                   "\": the backend returned without output ", i, " (", shared.engine.metadata().outputs[i].name,
                   "): a defect of the backend");
  }
  if (ahead) {
    shared.reserve.put(device, stream, sink.next());
  } else {
    shared.reserve.clear();
  }
  return std::move(sink.tensors);
}

}  // namespace

std::vector<at::Tensor> run_engine(const EngineHolder& holder, at::TensorList inputs) {
  SharedEngine& shared = holder.shared();
  if (runtime::multi_device_safe_mode()) [[unlikely]] {
    if (const auto target = wanted_elsewhere(shared.engine, inputs)) {
      return run(shared, moved(shared.engine, inputs, *target));
    }
  }
  return run(shared, inputs);
}

}  // namespace torchtrt::torch_adapter
