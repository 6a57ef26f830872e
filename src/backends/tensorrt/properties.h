// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

/// What a builder writes beside a plan and the executor reads: the names are part of the engine package, see
/// src/format/README.md. Beside these, backend::kModuleProperty.
namespace torchtrt::tensorrt {

inline constexpr const char* kPlanSection = "plan";
inline constexpr const char* kVersionProperty = "version";                           ///< "11.2.1", of the library
inline constexpr const char* kComputeCapabilitiesProperty = "compute_capabilities";  ///< RTX: "86,89"; "" = default
inline constexpr const char* kComputeCapabilityProperty = "compute_capability";      ///< TensorRT: "9.0"
inline constexpr const char* kGpuProperty = "gpu";                                   ///< TensorRT: "NVIDIA H200"
/// "true", or absent.
inline constexpr const char* kHardwareCompatibleProperty = "hardware_compatible";
inline constexpr const char* kVersionCompatibleProperty = "version_compatible";
inline constexpr const char* kWeightStreamingProperty = "weight_streaming";
inline constexpr const char* kStrippedProperty =
    "stripped";  ///< The plan is without weights: it has to be refitted first.
/// Of a plan that can be refitted: "any" or "identical", and what it fixes (builder/refit.h).
inline constexpr const char* kRefitProperty = "refit";
inline constexpr const char* kRefitStructureProperty = "refit_structure";
inline constexpr const char* kRefitFixedProperty = "refit_fixed";

using Properties = std::map<std::string, std::string>;

/// "" where there is none.
inline std::string property(const Properties& properties, const char* name) {
  const auto found = properties.find(name);
  return found == properties.end() ? "" : found->second;
}
inline bool is_set(const Properties& properties, const char* name) { return property(properties, name) == "true"; }

}  // namespace torchtrt::tensorrt
