// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <functional>
#include <mutex>
#include <string>

#include <NvInfer.h>

namespace torchtrt::tensorrt {

/// Writes the phases of a build to our log, a line each at level info, and asks after every step whether to go on.
/// TensorRT calls it on threads of its own as well.
class Progress final : public nvinfer1::IProgressMonitor {
 public:
  /// `keep_going`: BuildSettings::keep_going.
  Progress(std::string engine, std::function<bool()> keep_going)
      : engine_(std::move(engine)), keep_going_(std::move(keep_going)) {}

  void phaseStart(const char* phase, const char* parent, std::int32_t steps) noexcept override;
  bool stepComplete(const char* phase, std::int32_t step) noexcept override;
  void phaseFinish(const char*) noexcept override {}

  /// After the build: what keep_going threw, Error(kCancelled) if it said no, nothing otherwise.
  void throw_if_cancelled();

 private:
  const std::string engine_;
  const std::function<bool()> keep_going_;
  std::mutex mutex_;  // of the rest, and of keep_going_
  bool cancelled_ = false;
  std::exception_ptr thrown_;
};

}  // namespace torchtrt::tensorrt
