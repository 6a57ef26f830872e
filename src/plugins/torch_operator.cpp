// SPDX-License-Identifier: Apache-2.0
// The plugin that calls an operator of PyTorch's dispatcher; README.md has its attributes.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/DLConvertor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/StreamGuard.h>
#include <nlohmann/json.hpp>

#include <torchtrt/backend/plugin.h>
#include <torchtrt/base/error.h>

#include "torch/dtypes.h"
#include "torch/operator_call.h"

namespace torchtrt::plugins {
namespace {

using nlohmann::json;

/// A plugin's sizes are elements of an operand, whose count only a call knows.
constexpr std::size_t kMaxSizes = 1024;

at::ScalarType read_dtype(const json& name) {
  const std::optional<DataType> dtype = parse_dtype(name.get<std::string>());
  TORCHTRT_CHECK(dtype, kDataLoss, name.dump(), " is no dtype");
  return torch_adapter::to_scalar_type(*dtype);
}

std::vector<at::ScalarType> read_dtypes(const json& names) {
  std::vector<at::ScalarType> dtypes;
  for (const json& name : names) dtypes.push_back(read_dtype(name));
  return dtypes;
}

c10::Device device_of(const DLTensor& tensor) {
  if (tensor.device.device_type == kDLCPU) return {c10::kCPU};
  TORCHTRT_CHECK(tensor.device.device_type == kDLCUDA, kInvalidArgument, "a tensor on a device of DLPack's type ",
                 static_cast<int>(tensor.device.device_type), "; plugins run on CPUs and on CUDA devices");
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(tensor.device.device_id)};
}

at::Tensor borrow(const DLTensor& tensor) {
  auto* data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  const at::TensorOptions options = at::TensorOptions(at::toScalarType(tensor.dtype)).device(device_of(tensor));
  return at::from_blob(data, {tensor.shape, static_cast<std::size_t>(tensor.ndim)}, options);
}

class TorchOperator final : public backend::Plugin {
 public:
  explicit TorchOperator(const json& text)
      : has_sizes_(text.value("has_sizes", false)),
        inputs_(read_dtypes(text.at("inputs"))),
        results_(read_dtypes(text.at("results"))),
        call_(text.at("operator").get<std::string>(), text.value("library", ""), text.at("arguments"),
              text.at("keywords"), inputs_.size(), has_sizes_ ? kMaxSizes : 0) {
    TORCHTRT_CHECK(!results_.empty(), kDataLoss, call_.name(), " as a plugin has results");
  }

  void run(std::span<const DLTensor> inputs, std::span<const DLTensor> results, void* stream) const override {
    TORCHTRT_CHECK(inputs.size() == inputs_.size() + (has_sizes_ ? 1 : 0) && results.size() == results_.size(),
                   kDataLoss, call_.name(), ": ", inputs.size(), " inputs and ", results.size(),
                   " results; its plugin has ", inputs_.size() + (has_sizes_ ? 1 : 0), " and ", results_.size());
    const torch_adapter::EngineScope scope;
    std::optional<c10::StreamGuard> on_stream;
    if (device_of(results[0]).is_cuda()) {
      // A stream that PyTorch did not make is known to it by its handle.
      on_stream.emplace(c10::Stream(c10::Stream::UNSAFE, device_of(results[0]),
                                    static_cast<c10::StreamId>(reinterpret_cast<std::intptr_t>(stream))));
    }
    std::vector<at::Tensor> operands;
    for (std::size_t i = 0; i < inputs_.size(); ++i) operands.push_back(borrow(inputs[i]).to(inputs_[i]));
    const at::Tensor sizes = has_sizes_ ? borrow(inputs.back()).to(at::kCPU, at::kLong) : at::empty({0}, at::kLong);
    const std::size_t needed = call_.sizes().empty() ? 0 : call_.sizes().back() + 1;
    TORCHTRT_CHECK(static_cast<std::size_t>(sizes.numel()) >= needed, kDataLoss, call_.name(), ": ", sizes.numel(),
                   " symbolic sizes, expected ", needed);
    try {
      deliver(call_({operands, {sizes.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(sizes.numel())}}),
              results);
    } catch (const c10::Error& error) {
      fail(ErrorCode::kInternal, call_.name(), " failed: ", error.what_without_backtrace());
    }
  }

 private:
  void deliver(const std::vector<at::Tensor>& tensors, std::span<const DLTensor> results) const {
    TORCHTRT_CHECK(tensors.size() == results.size(), kInternal, call_.name(), " gave ", tensors.size(),
                   " results, not ", results.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      TORCHTRT_CHECK(tensors[i].defined(), kInternal, call_.name(), " gave no tensor as result ", i);
      const at::Tensor target = borrow(results[i]);
      // copy_ would broadcast and convert what is not what was compiled.
      TORCHTRT_CHECK(tensors[i].scalar_type() == results_[i] && tensors[i].sizes() == target.sizes(), kInternal,
                     call_.name(), " gave ", tensors[i].scalar_type(), tensors[i].sizes(), " instead of the compiled ",
                     results_[i], target.sizes());
      target.copy_(tensors[i]);
    }
  }

  const bool has_sizes_;
  const std::vector<at::ScalarType> inputs_, results_;
  const torch_adapter::OperatorCall call_;
};

std::unique_ptr<const backend::Plugin> make_torch_operator(const std::string& attributes) {
  try {
    return std::make_unique<TorchOperator>(json::parse(attributes));
  } catch (const json::exception& error) {
    fail(ErrorCode::kDataLoss, "these are no attributes of ", backend::kTorchOperatorPlugin, ": ", error.what());
  }
}

const backend::PluginRegistration registration =
    backend::register_plugin(backend::kTorchOperatorPlugin, &make_torch_operator);

}  // namespace
}  // namespace torchtrt::plugins
