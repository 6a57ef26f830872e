// SPDX-License-Identifier: Apache-2.0
// A backend for tests of the runtime on NVIDIA GPUs: its engines launch a real kernel. Never installed.
//
// Engines are those of runtime/testing/fixtures.h with the backend "gpu_test": output[i] = input 0[i] + the float in the
// payload "bias". Each run has two kernels over scratch memory of the context, which take their time, so that two runs
// which use one context at the same time spoil each other. The property "operation" says what happens besides:
//
//   add         nothing
//   fail        throws between the two kernels
//   host_sync   waits on the host for the stream, which cannot be recorded
//
// "delay_us" (default 0): how long each kernel waits before it does its work.
//
// A context allocates its scratch memory as a vendor's library does: by the driver, which refuses that in a recording.
#include <dlfcn.h>

#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include <cuda.h>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>
#include <torchtrt/base/log.h>

#include "runtime/device.h"

namespace torchtrt::backend {
namespace {

// to[i] = from[i] + bias, after `nanoseconds`. Text, so that no CUDA compiler is needed: the driver translates it.
constexpr const char* kKernel = R"(
.version 6.4
.target sm_60
.address_size 64
.visible .entry add(.param .u64 to, .param .u64 from, .param .f32 bias, .param .u64 count, .param .u64 nanoseconds)
{
  .reg .pred %done, %early;
  .reg .b32 %block, %size, %thread, %index;
  .reg .f32 %bias, %value;
  .reg .b64 %to, %from, %count, %delay, %start, %now, %passed, %position, %offset;
  ld.param.u64 %delay, [nanoseconds];
  mov.u64 %start, %globaltimer;
WAIT:
  mov.u64 %now, %globaltimer;
  sub.u64 %passed, %now, %start;
  setp.lt.u64 %early, %passed, %delay;
  @%early bra WAIT;
  mov.u32 %block, %ctaid.x;
  mov.u32 %size, %ntid.x;
  mov.u32 %thread, %tid.x;
  mad.lo.u32 %index, %block, %size, %thread;
  cvt.u64.u32 %position, %index;
  ld.param.u64 %count, [count];
  setp.ge.u64 %done, %position, %count;
  @%done bra END;
  ld.param.u64 %to, [to];
  ld.param.u64 %from, [from];
  ld.param.f32 %bias, [bias];
  shl.b64 %offset, %position, 2;
  add.u64 %from, %from, %offset;
  add.u64 %to, %to, %offset;
  ld.f32 %value, [%from];
  add.f32 %value, %value, %bias;
  st.f32 [%to], %value;
END:
  ret;
}
)";

constexpr std::size_t kScratchBytes = std::size_t{1} << 20;
constexpr unsigned kThreads = 128;

/// The driver's functions that the kernels need.
struct Driver {
  decltype(&::cuGetErrorString) get_error_string;
  decltype(&::cuModuleLoadData) module_load_data;
  decltype(&::cuModuleGetFunction) module_get_function;
  decltype(&::cuLaunchKernel) launch_kernel;
  decltype(&::cuMemAlloc) mem_alloc;
  decltype(&::cuMemFree) mem_free;
  decltype(&::cuStreamSynchronize) stream_synchronize;

  Driver() {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    TORCHTRT_CHECK(library != nullptr, kNotFound, "libcuda.so.1 is missing: these tests need an NVIDIA driver");
    const auto find = [&](auto& member, const char* symbol) {
      member = reinterpret_cast<std::remove_reference_t<decltype(member)>>(dlsym(library, symbol));
      TORCHTRT_CHECK(member != nullptr, kNotFound, "libcuda.so.1 has no ", symbol);
    };
    find(get_error_string, "cuGetErrorString");
    find(module_load_data, "cuModuleLoadData");
    find(module_get_function, "cuModuleGetFunction");
    find(launch_kernel, "cuLaunchKernel");
    find(mem_alloc, "cuMemAlloc_v2");
    find(mem_free, "cuMemFree_v2");
    find(stream_synchronize, "cuStreamSynchronize");
  }
  void check(CUresult result, const char* doing) const {
    if (result == CUDA_SUCCESS) return;
    const char* text = nullptr;
    get_error_string(result, &text);
    fail(ErrorCode::kInternal, "the test backend failed to ", doing, ": ", text == nullptr ? "unknown error" : text);
  }
};

const Driver& driver() {
  static const Driver instance;
  return instance;
}

class GpuEngine final : public ExecutableEngine {
 public:
  explicit GpuEngine(const LoadRequest& request)
      : operation_(request.properties.at("operation")), owner_(request.owner), device_(request.device) {
    for (const Payload& payload : request.payloads) {
      if (payload.name == "bias") std::memcpy(&bias_, payload.bytes.data(), sizeof(bias_));
    }
    if (const auto found = request.properties.find("delay_us"); found != request.properties.end()) {
      nanoseconds_ = std::stoull(found->second) * 1000;
    }
    check_device();
    CUmodule module = nullptr;  // kept as long as the process, as a vendor's kernels are
    driver().check(driver().module_load_data(&module, kKernel), "load the kernel");
    driver().check(driver().module_get_function(&kernel_, module, "add"), "find the kernel");
  }

  std::unique_ptr<Context> create_context() override;

  void run(const RunRequest& request, CUdeviceptr scratch) {
    check_device();
    TORCHTRT_LOG(kInfo, "the test backend runs");  // what a replay does not do
    const DLTensor& input = request.inputs[0];
    const auto from = reinterpret_cast<CUdeviceptr>(input.data) + input.byte_offset;
    const auto count = static_cast<std::size_t>(input.shape[0] * input.shape[1]);
    TORCHTRT_CHECK(count * sizeof(float) <= kScratchBytes, kInternal, "the test backend's scratch memory is too small");
    launch(scratch, from, 0, count, request.stream);
    if (operation_ == "fail") fail(ErrorCode::kInternal, "the test backend failed, as it was told to");
    if (operation_ == "host_sync") {
      driver().check(driver().stream_synchronize(static_cast<CUstream>(request.stream)), "wait for the stream");
    }
    void* result = request.outputs->allocate(0, request.output_shapes[0]);
    launch(reinterpret_cast<CUdeviceptr>(result), scratch, bias_, count, request.stream);
  }

 private:
  void check_device() const {
    const int current = runtime::device_api().current();
    TORCHTRT_CHECK(current == device_.device_id, kInternal, "the thread's device is ", current, ", not the engine's ",
                   device_.device_id);
  }
  void launch(CUdeviceptr to, CUdeviceptr from, float bias, std::size_t count, void* stream) {
    if (count == 0) return;
    void* arguments[] = {&to, &from, &bias, &count, &nanoseconds_};
    const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
    driver().check(driver().launch_kernel(kernel_, blocks, 1, 1, kThreads, 1, 1, 0, static_cast<CUstream>(stream),
                                          arguments, nullptr),
                   "launch the kernel");
  }

  std::string operation_;
  std::shared_ptr<const void> owner_;
  DLDevice device_;
  float bias_ = 0;
  unsigned long long nanoseconds_ = 0;
  CUfunction kernel_ = nullptr;
};

class GpuContext final : public Context {
 public:
  explicit GpuContext(GpuEngine& engine) : engine_(engine) {
    driver().check(driver().mem_alloc(&scratch_, kScratchBytes), "allocate scratch memory");
  }
  ~GpuContext() override { driver().mem_free(scratch_); }
  void run(const RunRequest& request) override { engine_.run(request, scratch_); }

 private:
  GpuEngine& engine_;
  CUdeviceptr scratch_ = 0;
};

std::unique_ptr<Context> GpuEngine::create_context() { return std::make_unique<GpuContext>(*this); }

class GpuExecutor final : public Executor {
 public:
  [[nodiscard]] std::string_view name() const override { return "gpu_test"; }
  std::string version() override { return "the test backend for GPUs"; }
  std::unique_ptr<ExecutableEngine> load(const LoadRequest& request) override {
    return std::make_unique<GpuEngine>(request);
  }
};

}  // namespace
}  // namespace torchtrt::backend

extern "C" TORCHTRT_API torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version) {
  static auto* executor = new torchtrt::backend::GpuExecutor;
  return interface_version == torchtrt::backend::kExecutorInterfaceVersion ? executor : nullptr;
}
