// SPDX-License-Identifier: Apache-2.0
#include "runtime/device.h"

#include <atomic>
#include <exception>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

namespace torchtrt::runtime {
namespace {

std::atomic<DeviceApi* (*)()> device_provider{nullptr};

}  // namespace

std::string DeviceInfo::describe() const {
  return name + " (compute capability " + std::to_string(major) + "." + std::to_string(minor) + ")";
}

DeviceGuard::~DeviceGuard() {
  if (!changed_) return;
  try {
    api_.set_current(former_);
  } catch (const std::exception& error) {
    TORCHTRT_LOG(kError, "could not go back to CUDA device ", former_, ": ", error.what());
  }
}

DeviceApi& device_api() {
  const auto provider = device_provider.load(std::memory_order_acquire);
  DeviceApi* api = provider == nullptr ? nullptr : provider();
  TORCHTRT_CHECK(api != nullptr, kUnsupported, "this process has no CUDA devices that PyTorch knows");
  return *api;
}

void set_device_api(DeviceApi* (*provider)()) { device_provider.store(provider, std::memory_order_release); }

}  // namespace torchtrt::runtime
