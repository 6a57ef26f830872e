// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <NvInfer.h>

namespace torchtrt::tensorrt {

/// Passes TensorRT's messages to our log, and keeps the calling thread's errors for exceptions' texts. They are kept in
/// libtorchtrt_runtime.so, because the library uses the first logger that it was given in a process for everything:
/// errors of the executor may arrive at the builder's logger.
class Logger final : public nvinfer1::ILogger {
 public:
  /// Never destroyed: TensorRT's objects may outlive main's statics.
  static Logger& get();
  void log(Severity severity, const char* message) noexcept override;
  /// The errors that were logged on this thread since the last call, joined.
  static std::string take_errors();
};

}  // namespace torchtrt::tensorrt
