// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace torchtrt::backend {

/// When TensorRT-RTX compiles kernels for the very shapes that an engine meets, besides those for any shape.
enum class KernelSpecialization : int {
  kLazy = 0,   ///< In the background; until they are ready the kernels for any shape run (default).
  kEager = 1,  ///< At once: the first call with new shapes waits.
  kNone = 2,   ///< Never.
};

/// Whether TensorRT-RTX records an engine's work into CUDA graphs of its own.
enum class CudaGraphStrategy : int { kDisabled = 0, kWholeGraphCapture = 1 };

/// How engines of TensorRT-RTX compile and run on this machine; other backends have nothing of it. Not stored in files of
/// programs. runtime.h has the functions that set it.
struct RuntimeSettings {
  KernelSpecialization dynamic_shapes_kernel_specialization = KernelSpecialization::kLazy;
  CudaGraphStrategy cuda_graph_strategy = CudaGraphStrategy::kDisabled;
  /// File that keeps what TensorRT-RTX compiled, so that the next process need not; empty: none. It is read when the
  /// first engine with this path needs it and written when such an engine is destroyed or save_runtime_cache() is
  /// called, if it grew. Several engines and several processes may name one file.
  std::string runtime_cache{};

  bool operator==(const RuntimeSettings&) const = default;
};

}  // namespace torchtrt::backend
