// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <NvInfer.h>

/// The one place that knows which of the three libraries this is compiled for: its backend ("tensorrt_rtx", or "tensorrt"
/// for both majors), and the name in the modules' file names, by which mixing majors is impossible. TensorRT-RTX's
/// headers define TRT_MAJOR_RTX and count NV_TENSORRT_MAJOR from 1, so that number alone says nothing.
namespace torchtrt::tensorrt::compat {

struct Version {
  int major = 0, minor = 0, patch = 0;
};

#ifdef TRT_MAJOR_RTX
inline constexpr bool kIsRtx = true;
inline constexpr Version kCompiled{TRT_MAJOR_RTX, TRT_MINOR_RTX, TRT_PATCH_RTX};
inline constexpr bool kBuildsWithoutGpu = true;
inline constexpr const char* kBackendName = "tensorrt_rtx";
inline constexpr const char* kModuleName = "tensorrt_rtx";
inline constexpr const char* kProductName = "TensorRT-RTX";
inline constexpr const char* kLibraryName = "libtensorrt_rtx.so.1";
inline constexpr const char* kLibraryVariable = "TORCHTRT_TENSORRT_RTX_LIBRARY";
inline constexpr const char* kWheelFolder = "tensorrt_rtx_libs";
inline constexpr const char* kPackage = "the Python package tensorrt-rtx-cu13-libs";
inline constexpr const char* kVersionText = "1.5 or a newer 1.x";
inline constexpr int kLeastMinor = 5;  // seen to work: headers 1.7 with libraries 1.5, 1.6 and 1.7; older ones crash
#else
inline constexpr bool kIsRtx = false;
inline constexpr Version kCompiled{NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH};
inline constexpr bool kBuildsWithoutGpu = false;
inline constexpr const char* kBackendName = "tensorrt";
inline constexpr const char* kProductName = "TensorRT";
#if NV_TENSORRT_MAJOR >= 11
inline constexpr const char* kModuleName = "tensorrt11";
inline constexpr const char* kLibraryName = "libnvinfer.so.11";
inline constexpr int kLeastMinor = 2;  // the oldest that was tried
inline constexpr const char* kVersionText = "11.2 or a newer 11.x";
#else
inline constexpr const char* kModuleName = "tensorrt10";
inline constexpr const char* kLibraryName = "libnvinfer.so.10";
inline constexpr int kLeastMinor = 6;  // the oldest that was tried; compat/functions.h knows what it lacks
inline constexpr const char* kVersionText = "10.6, 10.7, 10.9 or a newer 10.x";
#endif
inline constexpr const char* kLibraryVariable = "TORCHTRT_TENSORRT_LIBRARY";
inline constexpr const char* kWheelFolder = "tensorrt_libs";
inline constexpr const char* kPackage = "TensorRT from NVIDIA";
#endif

/// The parts of getInferLibVersion()'s number: 110201 -> 11.2.1, 10701 -> 1.7.1.
constexpr Version split(int number) { return {number / 10000, number / 100 % 100, number % 100}; }
/// Whether this module can call that library: only one of the same major version that is not too old. By its headers
/// TensorRT 10.8 has a function in the middle of the network's table (addCumulative), which 10.9 moved to the end: there a
/// call meant for one function would reach another.
constexpr bool is_compatible(const Version& found) {
  const bool has_moved_functions = !kIsRtx && found.major == 10 && found.minor == 8;
  return found.major == kCompiled.major && found.minor >= kLeastMinor && !has_moved_functions;
}

/// Strongly typed networks only: the one kind that TensorRT 11 and TensorRT-RTX have (where the flag is ignored and
/// deprecated), and a choice in TensorRT 10.
inline std::uint32_t network_flags() {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  return 1U << static_cast<std::uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#pragma GCC diagnostic pop
}

}  // namespace torchtrt::tensorrt::compat
