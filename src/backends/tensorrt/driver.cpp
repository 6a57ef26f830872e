// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/driver.h"

#include <dlfcn.h>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {
namespace {

// The driver's ABI, which is C and does not change; its header is not always at hand.
constexpr int kSuccess = 0;
constexpr int kNoDevice = 100;
constexpr int kComputeCapabilityMajor = 75;
constexpr int kComputeCapabilityMinor = 76;

template <typename... Arguments>
int call(void* handle, const char* name, Arguments... arguments) {
  auto* function = reinterpret_cast<int (*)(Arguments...)>(dlsym(handle, name));
  TORCHTRT_CHECK(function != nullptr, kNotFound, compat::kProductName,
                 " needs a newer NVIDIA driver: libcuda.so.1 has no ", name);
  return function(arguments...);
}

std::string text_of(void* handle, int result) {
  const char* text = nullptr;
  if (dlsym(handle, "cuGetErrorString") != nullptr) call(handle, "cuGetErrorString", result, &text);
  return (text == nullptr ? "unknown error" : std::string(text)) + " (" + std::to_string(result) + ")";
}

void check(void* handle, int result, const char* doing) {
  TORCHTRT_CHECK(result == kSuccess, kInternal, "the NVIDIA driver cannot ", doing, ": ", text_of(handle, result));
}

}  // namespace

Driver::Driver() : handle_(dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) {
    const char* reason = dlerror();
    fail(ErrorCode::kNotFound, compat::kProductName,
         " needs an NVIDIA GPU, and there is no NVIDIA driver on this machine: install it, or run on the CPU (",
         reason == nullptr ? "unknown reason" : reason, ")");
  }
  int result = call(handle_, "cuInit", 0U);
  if (result == kSuccess) result = call(handle_, "cuDeviceGetCount", &count_);
  TORCHTRT_CHECK(
      result != kNoDevice && (result != kSuccess || count_ > 0), kNotFound, compat::kProductName,
      " needs an NVIDIA GPU, and the driver shows none to this process (is CUDA_VISIBLE_DEVICES empty, or the "
      "container started without GPUs?)");
  TORCHTRT_CHECK(result == kSuccess, kNotFound, compat::kProductName,
                 " needs an NVIDIA GPU, and the NVIDIA driver does not start: ", text_of(handle_, result));
}

const Driver& Driver::get() {
  static const Driver* driver = new Driver;  // a failure throws and is tried again at the next call
  return *driver;
}

Gpu Driver::gpu(int device) const {
  TORCHTRT_CHECK(device >= 0 && device < count_, kInvalidArgument, "there is no CUDA device ", device,
                 ", this process sees ", count_);
  int handle = 0;
  check(handle_, call(handle_, "cuDeviceGet", &handle, device), "find a device");
  Gpu result;
  char name[256] = {};
  check(handle_, call(handle_, "cuDeviceGetName", static_cast<char*>(name), static_cast<int>(sizeof(name)), handle),
        "read a device's name");
  result.name = name;
  check(handle_, call(handle_, "cuDeviceGetAttribute", &result.major, kComputeCapabilityMajor, handle),
        "read a device's compute capability");
  check(handle_, call(handle_, "cuDeviceGetAttribute", &result.minor, kComputeCapabilityMinor, handle),
        "read a device's compute capability");
  return result;
}

int Driver::current() const {
  int current = 0;
  if (call(handle_, "cuCtxGetDevice", &current) != kSuccess) return 0;  // no context on this thread
  for (int device = 0; device < count_; ++device) {
    int handle = 0;
    if (call(handle_, "cuDeviceGet", &handle, device) == kSuccess && handle == current) return device;
  }
  return 0;
}

}  // namespace torchtrt::tensorrt
