// SPDX-License-Identifier: Apache-2.0
#include "runtime/placement.h"

#include <algorithm>

#include <torchtrt/base/error.h>

namespace torchtrt::runtime {
namespace {

std::string name_of(DLDevice device) {
  return device.device_type == kDLCUDA  ? "cuda:" + std::to_string(device.device_id)
         : device.device_type == kDLCPU ? "cpu"
                                        : "a device of another kind";
}

}  // namespace

Placement place_safely(DeviceApi& api, std::optional<int> home, std::span<const DLDevice> inputs) {
  Placement result;
  const int current = api.current();
  const auto first =
      std::find_if(inputs.begin(), inputs.end(), [](DLDevice device) { return device.device_type == kDLCUDA; });
  result.device.device_id = home ? *home : first != inputs.end() ? first->device_id : current;
  const int count = api.count();
  TORCHTRT_CHECK(result.device.device_id < count, kInvalidArgument, "an input is on ", name_of(result.device),
                 ", but this process sees ", count, " CUDA devices");

  if (current != result.device.device_id) {
    result.mismatch = "the calling thread's device is cuda:" + std::to_string(current);
    if (current >= 0 && current < count && api.info(current) != api.info(result.device.device_id)) {
      result.mismatch += ", a " + api.info(current).describe();
    }
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].device_type == kDLCUDA && inputs[i].device_id == result.device.device_id) continue;
    result.moves_inputs = true;
    result.mismatch +=
        (result.mismatch.empty() ? "input " : "; input ") + std::to_string(i) + " is on " + name_of(inputs[i]);
  }
  return result;
}

}  // namespace torchtrt::runtime
