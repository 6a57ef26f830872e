// SPDX-License-Identifier: Apache-2.0
#include "python/weights_watch.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include <pybind11/stl.h>

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/python_variable.h>

namespace torchtrt::python {
namespace {

namespace py = pybind11;

constexpr std::int64_t kSamples = 8;

/// The bytes of up to kSamples elements, from the first to the last: what is written around PyTorch's count of changes
/// (through `.data`, numpy, a pointer) shows there if it changes the whole tensor.
class Samples {
 public:
  explicit Samples(const at::Tensor& tensor) : size_(tensor.element_size()) {
    const std::int64_t elements = tensor.numel();
    const std::int64_t count = std::min(elements, kSamples);
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t rest = count == 1 ? 0 : i * (elements - 1) / (count - 1);
      std::int64_t offset = 0;
      for (std::int64_t dim = tensor.dim() - 1; dim >= 0; --dim) {
        offset += rest % tensor.size(dim) * tensor.stride(dim);
        rest /= tensor.size(dim);
      }
      offsets_.push_back(static_cast<std::size_t>(offset) * size_);
    }
    bytes_.resize(offsets_.size() * size_);
    const auto* data = static_cast<const std::byte*>(tensor.const_data_ptr());
    for (std::size_t i = 0; i < offsets_.size(); ++i) std::memcpy(&bytes_[i * size_], data + offsets_[i], size_);
  }

  [[nodiscard]] bool are_at(const void* data) const {
    // Of the usual sizes without a call.
    if (size_ == 4) return are_at<4>(static_cast<const std::byte*>(data));
    if (size_ == 2) return are_at<2>(static_cast<const std::byte*>(data));
    for (std::size_t i = 0; i < offsets_.size(); ++i) {
      if (std::memcmp(&bytes_[i * size_], static_cast<const std::byte*>(data) + offsets_[i], size_) != 0) return false;
    }
    return true;
  }

 private:
  template <std::size_t size>
  [[nodiscard]] bool are_at(const std::byte* data) const {
    bool same = true;  // without a branch, the reads from memory go on side by side
    for (std::size_t i = 0; i < offsets_.size(); ++i) {
      same &= std::memcmp(&bytes_[i * size], data + offsets_[i], size) == 0;
    }
    return same;
  }

  std::size_t size_;
  std::vector<std::size_t> offsets_;  // bytes from the tensor's first element
  std::vector<std::byte> bytes_;
};

class WeightsWatch {
 public:
  /// `indices`: which of `args` are weights; `contents`: those of them whose elements are compiled in.
  WeightsWatch(const py::sequence& args, const std::vector<std::size_t>& indices,
               const std::unordered_set<std::size_t>& contents) {
    for (const std::size_t index : indices) {
      const py::object object = args[index];
      const at::Tensor& tensor = THPVariable_Unpack(object.ptr());
      Weight& weight = weights_.emplace_back(Weight{index, object, address(tensor), std::nullopt, std::nullopt});
      if (!contents.contains(index)) continue;
      if (!tensor.is_inference()) weight.version = tensor._version();
      if (weight.data != nullptr && tensor.is_cpu()) weight.samples = Samples(tensor);
    }
  }

  /// Whether `args` has the same tensors, in the same memory, unwritten since.
  [[nodiscard]] bool hold(const py::args& args) const {
    for (const Weight& weight : weights_) {
      if (weight.index >= args.size() || PyTuple_GET_ITEM(args.ptr(), weight.index) != weight.object.ptr())
        return false;
      const at::Tensor& tensor = THPVariable_Unpack(weight.object.ptr());
      if (address(tensor) != weight.data || (weight.version && tensor._version() != *weight.version) ||
          (weight.samples && !weight.samples->are_at(weight.data))) {
        return false;
      }
    }
    return true;
  }

 private:
  struct Weight {
    std::size_t index;
    py::object object;
    const void* data;
    std::optional<std::int64_t> version;
    std::optional<Samples> samples;
  };

  // Null for what has no dense memory.
  static const void* address(const at::Tensor& tensor) {
    return tensor.has_storage() && tensor.numel() > 0 ? tensor.const_data_ptr() : nullptr;
  }

  std::vector<Weight> weights_;
};

}  // namespace

void bind_weights_watch(py::module_& module) {
  py::class_<WeightsWatch>(module, "WeightsWatch", "The weights that were compiled into engines of torch.compile.")
      .def(py::init<const py::sequence&, const std::vector<std::size_t>&, const std::unordered_set<std::size_t>&>(),
           py::arg("args"), py::arg("indices"), py::arg("contents"))
      .def("hold", &WeightsWatch::hold,
           "Whether the arguments have the same tensors, in the same memory, unwritten since.");
}

}  // namespace torchtrt::python
