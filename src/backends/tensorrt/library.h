// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <NvInfer.h>

#include "backends/tensorrt/compat/functions.h"

/// The vendor library behind this module: TensorRT-RTX, TensorRT 11 or TensorRT 10, by the headers it was compiled with.
/// Nothing is linked; the library is opened on first use, and its version compared before anything of it is called,
/// because a library of another major version crashes.
namespace torchtrt::tensorrt {

class Library {
 public:
  /// The process's one library, opened at the first call: the path in TORCHTRT_TENSORRT_RTX_LIBRARY
  /// (TORCHTRT_TENSORRT_LIBRARY) and nothing else if that is set; otherwise searched in TensorRT_ROOT/lib, the Python
  /// wheel's folder beside torchtrt's own, the loader's path. Error(kNotFound) that lists what was tried and what to
  /// install, Error(kVersionMismatch) for a release that cannot be called, another major version, or no TensorRT.
  static const Library& get();

  /// "1.7.1"
  [[nodiscard]] const std::string& version() const { return version_; }
  /// What it has of that which older releases lack.
  [[nodiscard]] const compat::Functions& functions() const { return functions_; }
  /// TensorRT-RTX needs no GPU for it. Error(kNotFound) where TensorRT finds none, Error(kUnsupported) if the library
  /// gives no builder for another reason. `without_gpu`: does not look for a GPU.
  [[nodiscard]] std::unique_ptr<nvinfer1::IBuilder> create_builder(bool without_gpu = compat::kBuildsWithoutGpu) const;
  /// The same, for what loads engines.
  [[nodiscard]] std::unique_ptr<nvinfer1::IRuntime> create_runtime() const;
  /// For an engine of this library, which it must not outlive; null with the reason in the log.
  [[nodiscard]] std::unique_ptr<nvinfer1::IRefitter> create_refitter(nvinfer1::ICudaEngine& engine) const;

 private:
  Library();
  template <typename Interface>
  std::unique_ptr<Interface> create(const char* function, const char* what) const;

  std::string version_;
  compat::Functions functions_;
  void* handle_ = nullptr;
};

}  // namespace torchtrt::tensorrt
