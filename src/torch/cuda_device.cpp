// SPDX-License-Identifier: Apache-2.0
#include "torch/cuda_device.h"

#ifndef TORCHTRT_HAS_CUDA_HEADERS

namespace torchtrt::torch_adapter {
runtime::DeviceApi* cuda_device() { return nullptr; }
}  // namespace torchtrt::torch_adapter

#else

#include <dlfcn.h>

#include <utility>
#include <vector>

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cuda.h>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

namespace torchtrt::torch_adapter {
namespace {

// One list: (member, symbol).
#define TORCHTRT_CUDA_FUNCTIONS(X) \
  X(get_error_string, cuGetErrorString) \
  X(device_get, cuDeviceGet) \
  X(device_get_name, cuDeviceGetName) \
  X(device_get_attribute, cuDeviceGetAttribute) \
  X(primary_context_retain, cuDevicePrimaryCtxRetain) \
  X(context_get_current, cuCtxGetCurrent) \
  X(context_set_current, cuCtxSetCurrent) \
  X(exchange_capture_mode, cuThreadExchangeStreamCaptureMode) \
  X(memcpy_async, cuMemcpyAsync) \
  X(stream_create, cuStreamCreate) \
  X(stream_destroy, cuStreamDestroy) \
  X(stream_synchronize, cuStreamSynchronize) \
  X(stream_wait_event, cuStreamWaitEvent) \
  X(stream_is_capturing, cuStreamIsCapturing) \
  X(stream_begin_capture, cuStreamBeginCapture) \
  X(stream_end_capture, cuStreamEndCapture) \
  X(stream_get_capture_info, cuStreamGetCaptureInfo) \
  X(user_object_create, cuUserObjectCreate) \
  X(user_object_release, cuUserObjectRelease) \
  X(graph_retain_user_object, cuGraphRetainUserObject) \
  X(event_create, cuEventCreate) \
  X(event_record, cuEventRecord) \
  X(event_query, cuEventQuery) \
  X(event_synchronize, cuEventSynchronize) \
  X(event_destroy, cuEventDestroy) \
  X(graph_instantiate, cuGraphInstantiateWithFlags) \
  X(graph_launch, cuGraphLaunch) \
  X(graph_get_copy, cuGraphMemcpyNodeGetParams) \
  X(graph_exec_set_copy, cuGraphExecMemcpyNodeSetParams) \
  X(graph_destroy, cuGraphDestroy) \
  X(graph_exec_destroy, cuGraphExecDestroy)

/// The driver's functions. Their names carry the version that <cuda.h>'s macros choose.
struct Driver {
#define TORCHTRT_MEMBER(member, symbol) decltype(&::symbol) member = nullptr;
  TORCHTRT_CUDA_FUNCTIONS(TORCHTRT_MEMBER)
#undef TORCHTRT_MEMBER

  /// False if the library or one of the functions is missing.
  bool open() {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return false;
    bool complete = true;
    const auto find = [&](auto& member, const char* symbol) {
      member = reinterpret_cast<std::remove_reference_t<decltype(member)>>(dlsym(library, symbol));
      complete = complete && member != nullptr;
    };
#define TORCHTRT_STRING(text) #text
#define TORCHTRT_FIND(member, symbol) find(member, TORCHTRT_STRING(symbol));
    TORCHTRT_CUDA_FUNCTIONS(TORCHTRT_FIND)
#undef TORCHTRT_FIND
#undef TORCHTRT_STRING
    return complete;
  }

  void check(CUresult result, const char* doing) const {
    if (result == CUDA_SUCCESS) [[likely]]
      return;
    const char* text = nullptr;
    get_error_string(result, &text);
    fail(ErrorCode::kInternal, "CUDA failed to ", doing, ": ", text == nullptr ? "unknown error" : text, " (",
         static_cast<int>(result), ")");
  }
};

/// While somebody records a stream, CUDA lets calls fail that might disturb the recording, and the recording with them: in
/// the mode of torch.cuda.graph() those of every thread. Ours have nothing to do with a recorded stream.
class OutsideRecordings {
 public:
  explicit OutsideRecordings(const Driver& driver) : driver_(driver) { exchange(); }
  ~OutsideRecordings() { exchange(); }
  OutsideRecordings(const OutsideRecordings&) = delete;
  OutsideRecordings& operator=(const OutsideRecordings&) = delete;

 private:
  void exchange() { driver_.exchange_capture_mode(&mode_); }

  const Driver& driver_;
  CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
};

CUstream stream_of(void* handle) { return static_cast<CUstream>(handle); }

class CudaEvent final : public runtime::Event {
 public:
  explicit CudaEvent(const Driver& driver) : driver_(driver) {
    const OutsideRecordings outside(driver_);
    driver_.check(driver_.event_create(&event_, CU_EVENT_DISABLE_TIMING), "create an event");
  }
  ~CudaEvent() override {
    const OutsideRecordings outside(driver_);
    driver_.event_destroy(event_);
  }
  void record(void* stream) override {
    driver_.check(driver_.event_record(event_, stream_of(stream)), "record an event");
  }
  bool is_done() override {
    const OutsideRecordings outside(driver_);
    const CUresult result = driver_.event_query(event_);
    if (result == CUDA_ERROR_NOT_READY) return false;
    driver_.check(result, "query an event");
    return true;
  }
  void wait_on(void* stream) override {
    driver_.check(driver_.stream_wait_event(stream_of(stream), event_, 0), "let a stream wait for an event");
  }
  void wait() override {
    const OutsideRecordings outside(driver_);
    driver_.check(driver_.event_synchronize(event_), "wait for an event");
  }

 private:
  const Driver& driver_;
  CUevent event_ = nullptr;
};

/// A copy that was recorded: its node, and what the driver knows of it.
struct RecordedCopy {
  CUgraphNode node;
  CUDA_MEMCPY3D parameters;
};

class CudaGraph final : public runtime::Graph {
 public:
  /// Takes the graph over: its nodes name the copies of what is launched. `context`: of the thread, which the copies are in.
  CudaGraph(const Driver& driver, CUgraph graph, CUcontext context, std::vector<RecordedCopy> copies)
      : driver_(driver), graph_(graph), context_(context), copies_(std::move(copies)) {
    const OutsideRecordings outside(driver_);
    const CUresult result = driver_.graph_instantiate(&executable_, graph_, 0);
    if (result != CUDA_SUCCESS) driver_.graph_destroy(graph_);
    driver_.check(result, "instantiate a graph");
  }
  ~CudaGraph() override {
    const OutsideRecordings outside(driver_);
    driver_.graph_exec_destroy(executable_);
    driver_.graph_destroy(graph_);
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void launch(void* stream) override {
    driver_.check(driver_.graph_launch(executable_, stream_of(stream)), "launch a graph");
  }
  void set_copy(std::size_t copy, void* to, const void* from) override {
    RecordedCopy& recorded = copies_.at(copy);
    recorded.parameters.dstDevice = reinterpret_cast<CUdeviceptr>(to);
    recorded.parameters.srcDevice = reinterpret_cast<CUdeviceptr>(from);
    driver_.check(driver_.graph_exec_set_copy(executable_, recorded.node, &recorded.parameters, context_),
                  "change a copy of a graph");
  }

 private:
  const Driver& driver_;
  CUgraph graph_;
  CUcontext context_;
  std::vector<RecordedCopy> copies_;
  CUgraphExec executable_ = nullptr;
};

class CudaRecording final : public runtime::GraphRecording {
 public:
  explicit CudaRecording(const Driver& driver) : driver_(driver) {
    const OutsideRecordings outside(driver_);
    // A stream of our own: on one of PyTorch's pool other threads' work might be recorded too. Non-blocking, so that
    // other threads' work on the legacy stream does not fail meanwhile.
    driver_.check(driver_.stream_create(&stream_, CU_STREAM_NON_BLOCKING), "create a stream");
    const CUresult result = driver_.stream_begin_capture(stream_, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    if (result != CUDA_SUCCESS) driver_.stream_destroy(stream_);
    driver_.check(result, "begin to record a stream");
  }
  ~CudaRecording() {
    const OutsideRecordings outside(driver_);
    if (recording_) {
      CUgraph graph = nullptr;
      driver_.stream_end_capture(stream_, &graph);
      if (graph != nullptr) driver_.graph_destroy(graph);
    }
    driver_.stream_destroy(stream_);
  }
  CudaRecording(const CudaRecording&) = delete;
  CudaRecording& operator=(const CudaRecording&) = delete;

  [[nodiscard]] void* stream() const override { return stream_; }
  std::size_t copy(void* to, const void* from, std::size_t bytes) override {
    driver_.check(
        driver_.memcpy_async(reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), bytes, stream_),
        "record a copy");
    RecordedCopy recorded{last_node(), {}};
    driver_.check(driver_.graph_get_copy(recorded.node, &recorded.parameters), "look at a recorded copy");
    copies_.push_back(recorded);
    return copies_.size() - 1;
  }
  std::unique_ptr<runtime::Graph> end() {
    CUcontext context = nullptr;
    driver_.check(driver_.context_get_current(&context), "read the thread's context");
    recording_ = false;
    CUgraph graph = nullptr;
    driver_.check(driver_.stream_end_capture(stream_, &graph), "record a stream");
    return std::make_unique<CudaGraph>(driver_, graph, context, std::move(copies_));
  }

 private:
  // Of what was recorded, which the stream's next work would follow.
  [[nodiscard]] CUgraphNode last_node() const {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    const CUgraphNode* nodes = nullptr;
    std::size_t count = 0;
    driver_.check(driver_.stream_get_capture_info(stream_, &status, nullptr, nullptr, &nodes, nullptr, &count),
                  "look at a recording");
    TORCHTRT_CHECK(count == 1, kInternal, "a copy was recorded as ", count, " nodes");
    return nodes[0];
  }

  const Driver& driver_;
  CUstream stream_ = nullptr;
  std::vector<RecordedCopy> copies_;
  bool recording_ = true;
};

class TorchMemory final : public runtime::DeviceMemory {
 public:
  TorchMemory(const c10::impl::VirtualGuardImpl& torch, at::Device device, std::size_t bytes)
      : torch_(torch),
        tensor_(at::empty({static_cast<std::int64_t>(bytes)}, at::TensorOptions().dtype(at::kByte).device(device))) {}
  [[nodiscard]] void* data() const override { return tensor_.mutable_data_ptr(); }
  void use_on_current_stream() override {
    torch_.recordDataPtrOnStream(tensor_.storage().data_ptr(), torch_.getStream(tensor_.device()));
  }

 private:
  const c10::impl::VirtualGuardImpl& torch_;
  at::Tensor tensor_;
};

class CudaDevice final : public runtime::DeviceApi {
 public:
  explicit CudaDevice(const Driver& driver) : driver_(driver), torch_(at::kCUDA) {
    for (int i = 0; i < torch_.deviceCount(); ++i) {
      CUdevice device = 0;
      char name[256] = {};
      runtime::DeviceInfo& info = infos_.emplace_back();
      driver_.check(driver_.device_get(&device, i), "find a device");
      driver_.check(driver_.device_get_name(name, sizeof(name), device), "read a device's name");
      info.name = name;
      driver_.check(driver_.device_get_attribute(&info.major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
                    "read a device's compute capability");
      driver_.check(driver_.device_get_attribute(&info.minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
                    "read a device's compute capability");
    }
  }

  int count() override { return static_cast<int>(infos_.size()); }
  const runtime::DeviceInfo& info(int device) override { return infos_.at(static_cast<std::size_t>(device)); }
  int current() override {
    const int device = torch_.getDevice().index();
    // A thread that has not touched CUDA is on device 0 for the runtime library, which enters a context only when it needs
    // one. The driver's functions need one at once.
    CUcontext context = nullptr;
    driver_.check(driver_.context_get_current(&context), "read the thread's context");
    if (context == nullptr) enter(device);
    return device;
  }
  void set_current(int device) override { torch_.setDevice(to_device(device)); }
  void* current_stream(int device) override {
    return torch_.getStreamNativeHandle(torch_.getStream(to_device(device)));
  }

  bool is_capturing(void* stream) override {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    driver_.check(driver_.stream_is_capturing(stream_of(stream), &status), "ask whether a stream is captured");
    return status != CU_STREAM_CAPTURE_STATUS_NONE;
  }
  void when_recording_is_gone(void* stream, std::function<void()> notify) override {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    CUgraph graph = nullptr;
    driver_.check(
        driver_.stream_get_capture_info(stream_of(stream), &status, nullptr, &graph, nullptr, nullptr, nullptr),
        "look at a recording");
    TORCHTRT_CHECK(graph != nullptr, kInternal, "the stream is not being recorded");
    // An object that the graph owns, and every graph made of it: the driver calls its destructor after the last.
    auto owned = std::make_unique<std::function<void()>>(std::move(notify));
    CUuserObject object = nullptr;
    driver_.check(
        driver_.user_object_create(
            &object, owned.get(),
            [](void* data) {
              const std::unique_ptr<std::function<void()>> function(static_cast<std::function<void()>*>(data));
              (*function)();
            },
            1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC),
        "make an object for a recording");
    static_cast<void>(owned.release());
    const CUresult result = driver_.graph_retain_user_object(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
    if (result != CUDA_SUCCESS) driver_.user_object_release(object, 1);  // notifies: nothing of the recording will run
    driver_.check(result, "attach an object to a recording");
  }
  void copy_async(void* to, const void* from, std::size_t bytes, void* stream) override {
    driver_.check(driver_.memcpy_async(reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), bytes,
                                       stream_of(stream)),
                  "copy");
  }
  std::unique_ptr<runtime::DeviceMemory> allocate(int device, std::size_t bytes) override {
    const OutsideRecordings outside(driver_);
    return std::make_unique<TorchMemory>(torch_, to_device(device), bytes);
  }
  void synchronize(void* stream) override {
    const OutsideRecordings outside(driver_);
    driver_.check(driver_.stream_synchronize(stream_of(stream)), "synchronize a stream");
  }
  std::unique_ptr<runtime::Event> create_event(int) override { return std::make_unique<CudaEvent>(driver_); }

  void outside_recordings(const std::function<void()>& work) override {
    const OutsideRecordings outside(driver_);
    work();
  }
  std::unique_ptr<runtime::Graph> capture(int device,
                                          const std::function<void(runtime::GraphRecording&)>& work) override {
    TORCHTRT_CHECK(current() == device, kInternal, "recording for CUDA device ", device, " while the thread's is ",
                   current());
    CudaRecording recording(driver_);
    work(recording);
    return recording.end();
  }

 private:
  void enter(int index) {
    CUdevice device = 0;
    CUcontext context = nullptr;
    driver_.check(driver_.device_get(&device, index), "find a device");
    // The context that PyTorch uses as well; it lives as long as the process.
    driver_.check(driver_.primary_context_retain(&context, device), "start a device");
    driver_.check(driver_.context_set_current(context), "enter a device's context");
  }

  static at::Device to_device(int index) { return {at::kCUDA, static_cast<at::DeviceIndex>(index)}; }

  const Driver& driver_;
  const c10::impl::VirtualGuardImpl torch_;
  std::vector<runtime::DeviceInfo> infos_;
};

runtime::DeviceApi* open() {
  if (!at::hasCUDA()) return nullptr;
  static Driver driver;
  if (!driver.open()) {
    TORCHTRT_LOG(kWarning, "the NVIDIA driver's library libcuda.so.1 is missing or too old: no CUDA device is used");
    return nullptr;
  }
  return new CudaDevice(driver);
}

}  // namespace

runtime::DeviceApi* cuda_device() {
  static runtime::DeviceApi* const instance = open();  // never destroyed: engines may outlive main's statics
  return instance;
}

}  // namespace torchtrt::torch_adapter

#endif
