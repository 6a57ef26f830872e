// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <torchtrt/base/dtype.h>
#include <torchtrt/base/error.h>
#include <openvino/core/type/element_type.hpp>
#include <openvino/core/version.hpp>

/// What builder and executor share.
namespace torchtrt::openvino {

/// OpenVINO's element type of a dtype.
inline ov::element::Type element_type(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat64: return ov::element::f64;
    case DataType::kFloat32: return ov::element::f32;
    case DataType::kFloat16: return ov::element::f16;
    case DataType::kBFloat16: return ov::element::bf16;
    case DataType::kInt64: return ov::element::i64;
    case DataType::kInt32: return ov::element::i32;
    case DataType::kInt16: return ov::element::i16;
    case DataType::kInt8: return ov::element::i8;
    case DataType::kUInt8: return ov::element::u8;
    case DataType::kBool: return ov::element::boolean;
    case DataType::kFloat8E4M3: return ov::element::f8e4m3;
  }
  fail(ErrorCode::kInternal, "no OpenVINO type for dtype ", static_cast<int>(dtype));
}

/// The release of the loaded library: "2026.4.1" of "2026.4.1-21234-...".
inline std::string openvino_version() {
  const std::string build = ov::get_openvino_version().buildNumber;
  return build.substr(0, build.find('-'));
}

/// Properties of a built engine, as the package stores them.
inline constexpr const char* kPrecisionProperty = "inference_precision";  ///< "f32" or "bf16"
inline constexpr const char* kGuardsProperty =
    "guards";  ///< how many results behind the outputs are the network's guards
inline constexpr const char* kVersionProperty = "openvino_version";  ///< of the library that built it
/// Its sections: OpenVINO IR, and the constants that the IR refers to.
inline constexpr const char* kModelSection = "model";
inline constexpr const char* kWeightsSection = "weights";

}  // namespace torchtrt::openvino
