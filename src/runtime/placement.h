// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "runtime/device.h"

namespace torchtrt::runtime {

/// Where multi-device safe mode runs a call of a CUDA engine.
struct Placement {
  DLDevice device{kDLCUDA, 0};
  bool moves_inputs = false;  ///< Some input is on another device.
  std::string mismatch;       ///< What does not fit, as the end of a sentence; empty if everything does.
};

/// The engine's device is the one that it is loaded on (`home`); an engine that is not yet loaded goes where its first
/// CUDA input is, without one to the thread's device. `inputs` are the devices of the inputs that have to be there (not
/// those of shape inputs, which stay on the host). `explain`: fill in `mismatch`, the only part that allocates.
TORCHTRT_API Placement place_safely(DeviceApi& api, std::optional<int> home, std::span<const DLDevice> inputs,
                                    bool explain = true);

}  // namespace torchtrt::runtime
