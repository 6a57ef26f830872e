// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torchtrt/base/error.h>
#include <torchtrt/base/export.h>
#include <torchtrt/base/log.h>

/// What a C++ program that runs saved models may call. None of it is required: a program that links or dlopens
/// libtorchtrt_runtime.so runs TorchScript and AOTInductor files with PyTorch's own loaders. All functions are
/// thread-safe.
namespace torchtrt {

/// "0.1.0"
TORCHTRT_API const char* version();

/// Makes sure that the torch class `tensorrt.Engine` and the operators `tensorrt::*` are registered. Call it once
/// before torch::jit::load or AOTIModelPackageLoader: the call also keeps the linker from dropping the library, which
/// otherwise ends in "Unknown type name '__torch__.torch.classes.tensorrt.Engine'". Cheap; opens no vendor library.
TORCHTRT_API void load_runtime();

namespace runtime {

/// How CPU engines use the machine. Applies to engines that are run for the first time after the call.
struct CpuSettings {
  /// 1 (default): one call uses all `threads`; lowest latency. More: that many concurrent calls run side by side, each
  /// on threads / streams of them; best throughput for a server with at least that many callers. Costs some megabytes
  /// per stream, and a hand-over to another thread (about 10 microseconds) per call; a lone call takes up to `streams`
  /// times longer. Weights are shared.
  int streams = 1;
  /// Threads per engine; 0 (default): as many as PyTorch uses (at::get_num_threads, torch.set_num_threads).
  int threads = 0;
};
/// Error(kInvalidArgument) unless streams >= 1 and threads >= 0.
TORCHTRT_API void set_cpu_settings(const CpuSettings& settings);
TORCHTRT_API CpuSettings cpu_settings();

/// Whether CUDA engines are captured into CUDA graphs. Engines on the CPU are not affected.
enum class CudaGraphsMode : int {
  kStandard = 0,    ///< No graphs (default).
  kSubgraph = 1,    ///< One graph per engine.
  kWholeGraph = 2,  ///< The whole module in one graph.
};
/// Process-wide and atomic. Error(kInvalidArgument) for a value that is not an enumerator.
TORCHTRT_API void set_cudagraphs_mode(CudaGraphsMode mode);
TORCHTRT_API CudaGraphsMode cudagraphs_mode();

/// Whether a call checks that the engine's device is the inputs' and the thread's, and moves what is not. Off by
/// default; process-wide and atomic. Engines on the CPU are not affected.
TORCHTRT_API void set_multi_device_safe_mode(bool enabled);
TORCHTRT_API bool multi_device_safe_mode();

}  // namespace runtime
}  // namespace torchtrt
