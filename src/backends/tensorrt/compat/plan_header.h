// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <NvInfer.h>
#include <torchtrt/base/error.h>

namespace torchtrt::tensorrt::compat {

/// Why a plan's header does not fit this machine.
struct Misfit {
  ErrorCode code{};
  std::string reasons;
};

/// What TensorRT-RTX says of a plan from its header alone; nullopt where it has nothing against it, or cannot tell.
/// TensorRT has no such function.
inline std::optional<Misfit> misfit_of([[maybe_unused]] nvinfer1::IRuntime& runtime, [[maybe_unused]] const void* plan,
                                       [[maybe_unused]] std::size_t size) {
#ifdef TRT_MAJOR_RTX
  if (static_cast<std::int64_t>(size) < runtime.getEngineHeaderSize()) {
    return Misfit{ErrorCode::kDataLoss, "it is too short to be an engine"};
  }
  std::uint64_t diagnostics = 0;
  if (runtime.getEngineValidity(plan, static_cast<std::int64_t>(size), &diagnostics) !=
      nvinfer1::EngineValidity::kINVALID) {
    return std::nullopt;
  }
  using Reason = nvinfer1::EngineInvalidityDiagnostics;
  struct Text {
    Reason reason;
    ErrorCode code;
    const char* text;
  };
  constexpr Text kTexts[]{
      {Reason::kMALFORMED_ENGINE, ErrorCode::kDataLoss, "it is no engine, or damaged"},
      {Reason::kVERSION_MISMATCH, ErrorCode::kVersionMismatch, "it was built by another release of TensorRT-RTX"},
      {Reason::kUNSUPPORTED_CC, ErrorCode::kUnsupported, "it was not built for this GPU's compute capability"},
      {Reason::kOLD_CUDA_DRIVER, ErrorCode::kVersionMismatch, "the NVIDIA driver is too old for it"},
      {Reason::kOLD_CUDA_RUNTIME, ErrorCode::kVersionMismatch, "the CUDA runtime is too old for it"},
      {Reason::kINSUFFICIENT_GPU_MEMORY, ErrorCode::kUnsupported, "the GPU's memory is too small for its weights"},
      {Reason::kCUDA_ERROR, ErrorCode::kNotFound, "CUDA does not work on this machine"},
  };
  std::optional<Misfit> result;
  for (const Text& text : kTexts) {
    if ((diagnostics & static_cast<std::uint64_t>(text.reason)) == 0) continue;
    if (!result) {
      result = Misfit{text.code, text.text};
    } else {
      result->reasons += std::string(", ") + text.text;
    }
  }
  return result;  // without a diagnosis the library could not look: loading will say why
#else
  return std::nullopt;
#endif
}

}  // namespace torchtrt::tensorrt::compat
