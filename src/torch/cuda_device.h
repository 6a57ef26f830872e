// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/device.h"

namespace torchtrt::torch_adapter {

/// The process's CUDA devices: devices, streams and memory as PyTorch has them, events and graphs by CUDA's driver
/// library, which is opened at the first call (libcuda.so.1; nothing of CUDA is linked). nullptr if this build of
/// torchtrt or of PyTorch has no CUDA, or the machine has no driver. Lives as long as the process.
runtime::DeviceApi* cuda_device();

}  // namespace torchtrt::torch_adapter
