// SPDX-License-Identifier: Apache-2.0
#pragma once

#if !__has_include(<cuda_runtime_api.h>)
#error "torchtrt/torch/cuda_graph_recorder.h needs CUDA's headers: add the toolkit's include folder, or record nothing"
#endif

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <torchtrt/torch/whole_graph.h>

/// PyTorch's CUDA graphs for WholeGraph. Header-only, so that nothing of torchtrt needs CUDA: a program that includes it
/// links libtorch_cuda.so, libc10_cuda.so and CUDA's runtime itself.
namespace torchtrt::runtime {

/// One memory pool for all recordings; WholeGraph's turns are what makes that safe. Not thread-safe by itself.
class CudaGraphRecorder {
 public:
  [[nodiscard]] bool can_record(const Tensors& inputs) const {
    const at::Device device = inputs.front().device();
    if (!device.is_cuda() ||
        !std::all_of(inputs.begin(), inputs.end(), [&](const at::Tensor& input) { return input.device() == device; })) {
      return false;
    }
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    C10_CUDA_CHECK(cudaStreamIsCapturing(c10::cuda::getCurrentCUDAStream(device.index()).stream(), &status));
    return status == cudaStreamCaptureStatusNone;
  }

  /// The inputs' device is the thread's meanwhile. The device does one turn after the other, whatever the streams.
  class Turn {
   public:
    Turn(at::cuda::CUDAEvent& done, at::Device device) : guard_(device), done_(done) {
      done_.block(c10::cuda::getCurrentCUDAStream());  // nothing, if it was never recorded
    }
    ~Turn() {
      try {
        done_.record(c10::cuda::getCurrentCUDAStream());
      } catch (const std::exception& error) {
        TORCHTRT_LOG(kError, "a CUDA event could not be recorded: ", error.what());
      }
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    c10::cuda::CUDAGuard guard_;
    at::cuda::CUDAEvent& done_;
  };
  Turn turn(const Tensors& inputs) { return Turn(done_[inputs.front().device().index()], inputs.front().device()); }

  Recording record(const std::function<Tensors()>& run, const Tensors& memory) {
    if (pool_ == at::cuda::MempoolId_t{0, 0}) pool_ = at::cuda::graph_pool_handle();
    const c10::cuda::CUDAStream home = c10::cuda::getCurrentCUDAStream();
    const c10::cuda::CUDAStream side = c10::cuda::getStreamFromPool();  // the default stream cannot be recorded
    const auto graph = std::make_shared<at::cuda::CUDAGraph>();
    Tensors results;
    wait(side, home);
    {
      const c10::cuda::CUDAStreamGuard guard(side);
      for (int i = 0; i < kWarmUps; ++i) run();
      at::Generator generator = at::cuda::detail::getDefaultCUDAGenerator(home.device_index());
      const at::Generator before = generator.clone();
      try {
        // Other threads may do what they like meanwhile.
        graph->capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
        try {
          results = run();
        } catch (...) {
          ignoring_errors([&] { graph->capture_end(); });  // the first error says more
          throw;
        }
        graph->capture_end();
      } catch (...) {
        // PyTorch (2.11) leaves its random generator and allocator as they are within a recording if the driver refuses
        // to end it. The allocator is through with the pool if the recording did end.
        generator.graphsafe_set_state(before);
        ignoring_errors([&] {
          c10::cuda::CUDACachingAllocator::endAllocateToPool(home.device_index(), pool_);
          c10::cuda::CUDACachingAllocator::releasePool(home.device_index(), pool_);
        });
        throw;
      }
    }
    wait(home, side);
    const auto replay = [graph, memory, home] {
      const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream();
      if (stream != home) {
        // So that the allocator gives the memory to nobody before this stream is done with it.
        for (const at::Tensor& tensor : memory) tensor.record_stream(stream.unwrap());
      }
      graph->replay();
    };
    return {replay, std::move(results)};
  }

 private:
  static constexpr int kWarmUps = 3;  // what PyTorch's documentation asks for before a capture

  template <typename Action>
  static void ignoring_errors(const Action& action) {
    try {
      action();
    } catch (const std::exception&) {
    }
  }

  static void wait(const c10::cuda::CUDAStream& stream, const c10::cuda::CUDAStream& other) {
    at::cuda::CUDAEvent event;
    event.record(other);
    event.block(stream);
  }

  at::cuda::MempoolId_t pool_{0, 0};
  std::map<c10::DeviceIndex, at::cuda::CUDAEvent> done_;  // behind the last turn on each device
};

}  // namespace torchtrt::runtime
