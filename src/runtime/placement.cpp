// SPDX-License-Identifier: Apache-2.0
#include "runtime/placement.h"

#include <algorithm>

#include <torchtrt/base/error.h>

#include "runtime/dltensor.h"

namespace torchtrt::runtime {

Placement place_safely(DeviceApi& api, std::optional<int> home, std::span<const DLDevice> inputs, bool explain) {
  Placement result;
  const int current = api.current();
  const auto first =
      std::find_if(inputs.begin(), inputs.end(), [](DLDevice device) { return device.device_type == kDLCUDA; });
  result.device.device_id = home ? *home : first != inputs.end() ? first->device_id : current;
  const int count = api.count();
  TORCHTRT_CHECK(result.device.device_id < count, kInvalidArgument, "an input is on ", text_of(result.device),
                 ", but this process sees ", count, " CUDA devices");

  const auto is_elsewhere = [&](DLDevice device) {
    return device.device_type != kDLCUDA || device.device_id != result.device.device_id;
  };
  result.moves_inputs = std::any_of(inputs.begin(), inputs.end(), is_elsewhere);
  if (!explain) return result;
  if (current != result.device.device_id) {
    result.mismatch = "the calling thread's device is cuda:" + std::to_string(current);
    if (current >= 0 && current < count && api.info(current) != api.info(result.device.device_id)) {
      result.mismatch += ", a " + api.info(current).describe();
    }
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!is_elsewhere(inputs[i])) continue;
    result.mismatch +=
        (result.mismatch.empty() ? "input " : "; input ") + std::to_string(i) + " is on " + text_of(inputs[i]);
  }
  return result;
}

}  // namespace torchtrt::runtime
