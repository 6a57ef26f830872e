// SPDX-License-Identifier: Apache-2.0
#include "torch/engine_call.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/SmallVector.h>

#include <torchtrt/base/error.h>

#include "torch/dtypes.h"

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

DLDataType to_dlpack_type(at::ScalarType type) {
  // An unknown type becomes one that matches no engine; the check of the inputs then names the input.
  const std::optional<DataType> dtype = from_scalar_type(type);
  return dtype ? runtime::to_dlpack(*dtype)
               : DLDataType{kDLOpaqueHandle, static_cast<std::uint8_t>(8 * c10::elementSize(type)), 1};
}

DLDevice to_dlpack_device(at::Device device) {
  const int index = device.has_index() ? device.index() : 0;
  switch (device.type()) {
    case at::kCPU: return {kDLCPU, 0};
    case at::kCUDA: return {kDLCUDA, index};
    default: return {kDLExtDev, index};
  }
}

void check_has_elements(const at::Tensor& tensor, std::size_t index, const EngineHolder& holder) {
  TORCHTRT_CHECK(tensor.defined(), kInvalidArgument, "engine \"", holder.name(), "\": input ", index,
                 " is not a tensor (undefined)");
  TORCHTRT_CHECK(tensor.layout() == at::kStrided, kInvalidArgument, "engine \"", holder.name(), "\": input ", index,
                 " is a ", tensor.layout(), " tensor; convert it with .to_dense()");
  TORCHTRT_CHECK(!tensor.is_meta() && tensor.unsafeGetTensorImpl()->has_storage(), kInvalidArgument, "engine \"",
                 holder.name(), "\": input ", index, " is a tensor without data (meta or fake)");
}

/// Whether the memory holds the elements themselves, in order. (A lazy negation's memory holds their opposites.)
bool readable_in_place(const at::Tensor& tensor) {
  return tensor.is_contiguous() && !tensor.is_neg() && !tensor.is_conj();
}

}  // namespace

std::vector<at::Tensor> run_engine(const EngineHolder& holder, at::TensorList inputs) {
  c10::SmallVector<DLTensor, 8> bindings;
  std::vector<at::Tensor> copies;
  at::Device device = at::kCPU;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_has_elements(inputs[i], i, holder);
    const at::Tensor& tensor = readable_in_place(inputs[i])
                                   ? inputs[i]
                                   : copies.emplace_back(inputs[i].resolve_conj().resolve_neg().contiguous());
    DLTensor& binding = bindings.emplace_back();
    binding.data = const_cast<void*>(tensor.const_data_ptr());  // DLPack has no const; engines do not write to inputs
    binding.device = to_dlpack_device(tensor.device());
    binding.ndim = static_cast<std::int32_t>(tensor.dim());
    binding.dtype = to_dlpack_type(tensor.scalar_type());
    binding.shape = const_cast<std::int64_t*>(tensor.sizes().data());
    binding.strides = nullptr;  // contiguous
    binding.byte_offset = 0;
    if (!tensor.is_cpu()) {
      device = tensor.device();
    }
  }
  SharedEngine& shared = holder.shared();
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
