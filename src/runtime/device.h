// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include <torchtrt/base/export.h>

namespace torchtrt::runtime {

/// What tells GPUs apart: an engine of one runs on another only if both are equal.
struct DeviceInfo {
  std::string name;  ///< "NVIDIA H200"
  int major = 0;     ///< compute capability
  int minor = 0;

  bool operator==(const DeviceInfo&) const = default;
  [[nodiscard]] std::string describe() const;
};

/// A recorded stream of work that is launched again and again. Not thread-safe. Destroying it while a launch runs is
/// allowed: what runs ends first.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Enqueues the recorded work on `stream`, which may be another one than it was recorded on.
  virtual void launch(void* stream) = 0;
  /// Lets the launches that follow copy between these addresses, device memory both: `copy` is what GraphRecording::copy said.
  /// Launches that are enqueued keep the addresses that they had. After an error the graph is not to be launched.
  virtual void set_copy(std::size_t copy, void* to, const void* from) = 0;
};

/// What a graph is being recorded from.
class GraphRecording {
 public:
  /// A private stream: what is enqueued on it is recorded.
  [[nodiscard]] virtual void* stream() const = 0;
  /// Records a copy of `bytes` (at least 1) of device memory, whose addresses Graph::set_copy changes. Copies count from 0.
  virtual std::size_t copy(void* to, const void* from, std::size_t bytes) = 0;

 protected:
  ~GraphRecording() = default;
};

/// A point in a stream. Not thread-safe.
class Event {
 public:
  virtual ~Event() = default;
  /// Moves the event to behind everything that is on `stream` now.
  virtual void record(void* stream) = 0;
  /// Whether everything before the event is done; true if it was never recorded.
  virtual bool is_done() = 0;
  /// Lets `stream` wait for the event; the host does not.
  virtual void wait_on(void* stream) = 0;
  /// Lets the host wait for it.
  virtual void wait() = 0;
};

/// Memory on a device; released with the object, for reuse behind the work that is known to use it.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  [[nodiscard]] virtual void* data() const = 0;
  /// Says that the calling thread's current stream uses it too, so that it is not given to others before that work is
  /// done.
  virtual void use_on_current_stream() = 0;
};

/// What the runtime's modes ask of a GPU: everything that engines share whatever library built them. Streams are the
/// native handles (cudaStream_t) of the device they belong to. Implementations are thread-safe; every function throws
/// Error(kInternal) with the driver's own message if a call fails.
///
/// torch_adapter::CudaDevice is the real one; tests use runtime::testing::FakeDevice.
class DeviceApi {
 public:
  virtual ~DeviceApi() = default;

  virtual int count() = 0;
  /// Constant for the life of the process.
  virtual const DeviceInfo& info(int device) = 0;
  /// The calling thread's device. To be asked before a thread calls the functions that take a stream.
  virtual int current() = 0;
  virtual void set_current(int device) = 0;

  /// The calling thread's current stream of `device`.
  virtual void* current_stream(int device) = 0;
  /// Whether somebody records `stream` into a graph of their own.
  virtual bool is_capturing(void* stream) = 0;
  /// Calls `notify` once when the recording that `stream` is being part of, all graphs made of it and their launches are
  /// gone: on some thread of the driver's, where nothing may be asked of a GPU.
  virtual void when_recording_is_gone(void* stream, std::function<void()> notify) = 0;
  /// Either side may be host memory; pageable memory is read before it returns.
  virtual void copy_async(void* to, const void* from, std::size_t bytes, void* stream) = 0;
  /// Memory of PyTorch's allocator, aligned to 256 bytes, for work on the calling thread's current stream of `device`.
  virtual std::unique_ptr<DeviceMemory> allocate(int device, std::size_t bytes) = 0;
  /// Waits on the host for everything that is on `stream`.
  virtual void synchronize(void* stream) = 0;
  virtual std::unique_ptr<Event> create_event(int device) = 0;
  /// Runs `work`, which may make what CUDA forbids while somebody records: memory, contexts. Nothing of it may touch a
  /// stream that is recorded.
  virtual void outside_recordings(const std::function<void()>& work) = 0;
  /// Records what `work` enqueues on the recording's stream: never the legacy default stream, in thread-local capture mode,
  /// so that other threads may do what they like meanwhile. The recording ends also if `work` throws; its exception goes on.
  virtual std::unique_ptr<Graph> capture(int device, const std::function<void(GraphRecording&)>& work) = 0;
};

/// Makes `device` the calling thread's and puts the former one back at the end.
class TORCHTRT_API DeviceGuard {
 public:
  DeviceGuard(DeviceApi& api, int device) : api_(api), former_(api.current()), changed_(former_ != device) {
    if (changed_) api_.set_current(device);
  }
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  DeviceApi& api_;
  int former_;
  bool changed_;
};

/// The process's GPUs. The torch adapter sets the provider; it is asked when the first engine is loaded on a GPU.
/// Error(kUnsupported) if there is none.
TORCHTRT_API DeviceApi& device_api();
TORCHTRT_API void set_device_api(DeviceApi* (*provider)());

}  // namespace torchtrt::runtime
