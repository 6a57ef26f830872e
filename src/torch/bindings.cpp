// SPDX-License-Identifier: Apache-2.0
#include "torch/bindings.h"

#include <torchtrt/base/error.h>

#include "torch/dtypes.h"

namespace torchtrt::torch_adapter {
namespace {

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

}  // namespace

void check_has_elements(const at::Tensor& tensor, std::size_t index, const format::Metadata& metadata) {
  const auto require = [&](bool condition, const auto&... parts) {
    if (!condition) [[unlikely]] {
      fail(ErrorCode::kInvalidArgument, runtime::subject_of(metadata), ": input ", index, " is ", parts...);
    }
  };
  require(tensor.defined(), "not a tensor (undefined)");
  require(tensor.layout() == at::kStrided, "a ", tensor.layout(), " tensor; convert it with .to_dense()");
  require(!tensor.is_meta() && tensor.unsafeGetTensorImpl()->has_storage(), "a tensor without data, on device ",
          tensor.device().str(), " (meta or fake); give it data before the call");
}

bool readable_in_place(const at::Tensor& tensor) {
  return tensor.is_contiguous() && !tensor.is_neg() && !tensor.is_conj();
}

DLTensor to_dlpack(const at::Tensor& tensor) {
  DLTensor binding{};
  binding.data = const_cast<void*>(tensor.const_data_ptr());
  binding.device = to_dlpack_device(tensor.device());
  binding.ndim = static_cast<std::int32_t>(tensor.dim());
  binding.dtype = to_dlpack_type(tensor.scalar_type());
  binding.shape = const_cast<std::int64_t*>(tensor.sizes().data());
  return binding;
}

DLTensor with_strides(DLTensor binding, const at::Tensor& tensor) {
  binding.strides = const_cast<std::int64_t*>(tensor.strides().data());
  return binding;
}

}  // namespace torchtrt::torch_adapter
