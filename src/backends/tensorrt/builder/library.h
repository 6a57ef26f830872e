// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <NvInfer.h>

/// The vendor library behind this module: TensorRT-RTX, TensorRT 11 or TensorRT 10, by the headers it was compiled with.
/// Nothing is linked; the library is opened on first use, and its version compared before anything of it is called,
/// because a library of another major version crashes.
namespace torchtrt::tensorrt {

/// The target's name: "tensorrt_rtx" or "tensorrt".
extern const char* const kBackendName;
/// "TensorRT-RTX" or "TensorRT".
extern const char* const kProductName;

class Library {
 public:
  /// The process's one library, opened at the first call: the path in TORCHTRT_TENSORRT_RTX_LIBRARY
  /// (TORCHTRT_TENSORRT_LIBRARY) and nothing else if that is set; otherwise searched in TensorRT_ROOT/lib, the Python
  /// wheel's folder beside torchtrt's own, the loader's path. Error(kNotFound) that lists what was tried and what to
  /// install, Error(kVersionMismatch) for another version.
  static const Library& get();

  /// "1.7.1"
  [[nodiscard]] const std::string& version() const { return version_; }
  /// Error(kUnsupported) where the library gives none (TensorRT without a GPU).
  [[nodiscard]] std::unique_ptr<nvinfer1::IBuilder> create_builder() const;

 private:
  explicit Library();
  std::string version_;
  void* handle_ = nullptr;
};

/// Passes TensorRT's messages to our log. Keeps the last error of the calling thread, for exceptions' texts.
class Logger final : public nvinfer1::ILogger {
 public:
  static Logger& get();
  void log(Severity severity, const char* message) noexcept override;
  /// The errors that were logged on this thread since the last call, joined.
  static std::string take_errors();
};

}  // namespace torchtrt::tensorrt
