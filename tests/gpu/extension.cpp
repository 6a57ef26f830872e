// SPDX-License-Identifier: Apache-2.0
// What test_cpp.py calls: C++ that a program with CUDA would have, as a Python extension.
#include <ATen/DLConvertor.h>
#include <c10/cuda/CUDAException.h>
#include <pybind11/functional.h>
#include <torch/extension.h>

#include <torchtrt/backend/plugin.h>
#include <torchtrt/torch/cuda_graph_recorder.h>

namespace {

using torchtrt::runtime::Tensors;
using WholeGraph = torchtrt::runtime::WholeGraph<torchtrt::runtime::CudaGraphRecorder>;

DLTensor view(const at::Tensor& tensor) {
  DLTensor result{};
  result.data = tensor.data_ptr();
  result.device = {tensor.is_cuda() ? kDLCUDA : kDLCPU, tensor.is_cuda() ? tensor.get_device() : 0};
  result.ndim = static_cast<std::int32_t>(tensor.dim());
  result.dtype = at::getDLDataType(tensor);
  result.shape = const_cast<std::int64_t*>(tensor.sizes().data());
  return result;
}

// Runs the plugin on a stream that PyTorch did not make, behind what is on the current one, and waits for it.
void run_plugin(const std::string& attributes, const Tensors& inputs, const at::Tensor& result) {
  const auto plugin = torchtrt::backend::make_plugin(torchtrt::backend::kTorchOperatorPlugin, attributes,
                                                     torchtrt::backend::kPluginsLibrary, "test");
  std::vector<DLTensor> from;
  for (const at::Tensor& input : inputs) from.push_back(view(input));
  const std::vector<DLTensor> to{view(result)};
  C10_CUDA_CHECK(cudaStreamSynchronize(c10::cuda::getCurrentCUDAStream().stream()));
  cudaStream_t stream = nullptr;
  C10_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream();
  plugin->run(from, to, stream);
  TORCH_CHECK(c10::cuda::getCurrentCUDAStream() == before, "the plugin left another stream behind");
  C10_CUDA_CHECK(cudaStreamSynchronize(stream));
  C10_CUDA_CHECK(cudaStreamDestroy(stream));
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  namespace py = pybind11;
  py::class_<WholeGraph>(module, "WholeGraph")
      .def(py::init([](const std::function<Tensors(const Tensors&)>& function) {
        return std::make_unique<WholeGraph>(function);
      }))
      .def("__call__", [](WholeGraph& graph, const Tensors& inputs) { return graph(inputs); });
  module.def("run_plugin", &run_plugin);
}
