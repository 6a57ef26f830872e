// SPDX-License-Identifier: Apache-2.0
#include "torch/engine_call.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/SmallVector.h>

#include <torchtrt/base/error.h>

#include "torch/bindings.h"

namespace torchtrt::torch_adapter {
namespace {

/// Engine outputs as torch tensors.
class TensorSink final : public backend::OutputSink {
 public:
  TensorSink(const SharedEngine& engine, at::Device device)
      : tensors(engine.output_types.size()), types_(engine.output_types), device_(device) {}

  void* allocate(std::size_t index, std::span<const std::int64_t> shape) override {
    const at::IntArrayRef sizes(shape.data(), shape.size());
    at::Tensor& tensor = tensors.at(index);
    tensor = device_.is_cpu() ? at::Tensor(at::detail::empty_cpu(sizes, types_[index]))
                              : at::empty(sizes, at::TensorOptions().dtype(types_[index]).device(device_));
    return tensor.mutable_data_ptr();
  }

  void adopt(std::size_t index, std::span<const std::int64_t> shape, void* data, std::shared_ptr<void> owner) override {
    const at::IntArrayRef sizes(shape.data(), shape.size());
    tensors.at(index) = at::for_blob(data, sizes)
                            .options(at::TensorOptions().dtype(types_[index]).device(device_))
                            .deleter([owner = std::move(owner)](void*) {})
                            .make_tensor();
  }

  std::vector<at::Tensor> tensors;

 private:
  const std::vector<at::ScalarType>& types_;
  at::Device device_;
};

}  // namespace

std::vector<at::Tensor> run_engine(const EngineHolder& holder, at::TensorList inputs) {
  SharedEngine& shared = holder.shared();
  c10::SmallVector<DLTensor, 8> bindings;
  std::vector<at::Tensor> copies;
  at::Device device = at::kCPU;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_has_elements(inputs[i], i, shared.engine.metadata());
    const at::Tensor& tensor = readable_in_place(inputs[i])
                                   ? inputs[i]
                                   : copies.emplace_back(inputs[i].resolve_conj().resolve_neg().contiguous());
    bindings.push_back(to_dlpack(tensor));
    if (!tensor.is_cpu()) {
      device = tensor.device();
    }
  }
  TensorSink sink(shared, device);
  shared.engine.run(std::span(bindings.data(), bindings.size()), sink);
  for (std::size_t i = 0; i < sink.tensors.size(); ++i) {
    TORCHTRT_CHECK(sink.tensors[i].defined(), kInternal, "engine \"", holder.name(),
                   "\": the backend returned without output ", i, " (", shared.engine.metadata().outputs[i].name,
                   "): a defect of the backend");
  }
  return std::move(sink.tensors);
}

}  // namespace torchtrt::torch_adapter
