// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>

#include "format/package.h"
#include "runtime/loaded_engine.h"

namespace torchtrt::runtime {

/// The kind of device that a target's engine runs on: kDLCPU or kDLCUDA. A backend that this runtime does not know runs
/// where the engine was compiled for.
TORCHTRT_API DLDeviceType device_type_of(const format::TargetSpec& target, const format::Metadata& metadata);

/// Whether an engine without a target for a kind of device may be rebuilt for it (set_rebuild_engines, runtime.h).
bool may_rebuild(const format::Metadata& metadata);

/// For the end of a message, where no target fits a kind of device: the command that rebuilds, if the package can be.
std::string how_to_rebuild(const format::Metadata& metadata, DLDeviceType type);

/// What runs on a device: a target of the package, or one that was rebuilt from its network.
struct ChosenTarget {
  std::string backend;  ///< "openvino"
  std::unique_ptr<LoadedEngine> engine;
};

/// Loads the best target that fits: on CUDA "tensorrt" before "tensorrt_rtx", otherwise in the package's order. Those that
/// do not fit this machine (kNotFound, kVersionMismatch, kUnsupported) are passed over; then, where that was asked for,
/// the same targets and the device's usual ones are rebuilt. The log says which one it is (kInfo).
///
/// The exact form comes last. Where there is one, all that a vendor's library says against an engine whose bytes are
/// intact is a reason to pass it over, and the log warns.
///
/// Errors: kDataLoss and others at once; if nothing fits, one with the first target's code that says for each what was
/// found, what is needed and how to rebuild. `metadata` outlives the result; `owner` keeps `payload` alive.
ChosenTarget load_best_target(const format::Metadata& metadata, std::span<const std::byte> payload,
                              const std::shared_ptr<const void>& owner, DLDevice device);

/// The package's exact form, for the CPU; nullptr if it has none. Errors: kDataLoss, kNotFound (an operator that another
/// library brings). `metadata` and `owner` as above.
std::unique_ptr<LoadedEngine> load_exact_form(const format::Metadata& metadata, std::span<const std::byte> payload,
                                              const std::shared_ptr<const void>& owner);

}  // namespace torchtrt::runtime
