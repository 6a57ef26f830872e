// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/dlpack.h>  // DLPack's C header, as libtorch ships it; it includes nothing of torch

#include <torchtrt/backend/runtime_settings.h>
#include <torchtrt/backend/weight_streaming.h>
#include <torchtrt/base/dtype.h>
#include <torchtrt/base/error.h>

/// The run side of a backend. For authors of backends.
///
/// An executor module is a shared library `libtorchtrt_<backend>_executor.so` (or
/// what kModuleProperty says, properties.h) beside
/// libtorchtrt_runtime.so that links the runtime and exports one C symbol, `torchtrt_executor`, of type ExecutorEntry.
namespace torchtrt::backend {

/// A named piece of an engine, as stored in the package. Aligned to 64 bytes.
struct Payload {
  std::string name;
  std::span<const std::byte> bytes;
};

/// How an engine is set up on this machine; not stored in the package.
struct ExecutorSettings {
  /// openvino: streams > 1 trade latency for throughput of concurrent calls. 1 = latency (default).
  int streams = 1;
  /// openvino: threads per engine; 0 = torch's thread count.
  int threads = 0;
};

/// One binding as the package describes it; -1 where a dimension is not static.
struct Binding {
  std::string name;
  DataType dtype{};
  std::vector<std::int64_t> shape;
};

struct LoadRequest {
  std::string engine_name;
  std::vector<Binding> inputs, outputs;
  std::map<std::string, std::string> properties;
  std::vector<Payload> payloads;
  std::shared_ptr<const void> owner;  ///< Keeps every payload's bytes alive; hold it as long as they are used.
  ExecutorSettings settings;
  DLDevice device{kDLCPU, 0};
  /// The runtime has another form of the engine that is right for all inputs, and runs it after OutsideGuards.
  bool has_exact_form = false;
};

/// Where an engine's outputs go. Implemented by the caller of Context::run; called on the calling thread, once per output.
class OutputSink {
 public:
  /// A buffer for output `index` of the binding's dtype and this shape, contiguous, valid until run() returns and owned by
  /// the sink. For an empty shape product the pointer may be null.
  virtual void* allocate(std::size_t index, std::span<const std::int64_t> shape) = 0;
  /// Hands over memory that the engine owns: valid until `owner` is released.
  virtual void adopt(std::size_t index, std::span<const std::int64_t> shape, void* data,
                     std::shared_ptr<void> owner) = 0;

 protected:
  ~OutputSink() = default;
};

/// What a run may ask of the GPU besides the vendor's library. Implemented by the runtime; for use on the calling thread
/// until run() returns.
class DeviceServices {
 public:
  /// `bytes` (0 as 1) on the engine's device, aligned to 256, for work that this run enqueues on its stream. From PyTorch's
  /// allocator, which gives memory that is released to whatever comes behind on the stream: so release it when run()
  /// returns.
  virtual std::shared_ptr<void> allocate(std::size_t bytes) = 0;
  /// The same as memory that runs share: for what nobody reads behind this run. Without the allocator's cost, and mostly at
  /// the address of the run before. At most once a run.
  virtual void* scratch(std::size_t bytes) = 0;
  /// Enqueues a copy on the run's stream. Either side may be host memory; what is read there must live until run()
  /// returns.
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;
  /// Enqueues that `bytes` of host memory get to the device's `to`, as they are now: also where the run is recorded, and
  /// replayed when `from` is long gone.
  virtual void write(void* to, const void* from, std::size_t bytes) = 0;

 protected:
  ~DeviceServices() = default;
};

/// Where a run that is profiled says how long its layers took. Implemented by the runtime; called on the calling thread.
class LayerTimes {
 public:
  /// Once for each time that a layer ran, in the order of the layers. The name is the vendor's, valid during the call.
  /// `milliseconds`: what the run adds to the layer's sum; `last`: what it took by itself, as well as the vendor knows.
  virtual void add(std::string_view layer, double milliseconds, double last) noexcept = 0;

 protected:
  ~LayerTimes() = default;
};

struct RunRequest {
  /// Contiguous (but for the exact form's, which have strides), of the binding's dtype, on the engine's device; shapes
  /// already checked against the package's ranges.
  /// Inputs that carry a symbol's value are on the host whatever the device. Not aligned beyond their dtype.
  std::span<const DLTensor> inputs;
  /// Shapes of the outputs where the package's expressions give them; empty span: only the engine knows (data-dependent).
  std::span<const std::vector<std::int64_t>> output_shapes;
  OutputSink* outputs = nullptr;
  void* stream = nullptr;            ///< The caller's stream on CUDA; null on the CPU.
  DeviceServices* device = nullptr;  ///< On CUDA; null on the CPU.
  int profile = -1;                  ///< The optimization profile that the user wants; -1: the engine chooses.
  /// Not null: the run is profiled, and its work is finished when it returns, on a GPU too. Never while it is recorded.
  LayerTimes* layer_times = nullptr;
};

/// What Context::run() throws where this call is outside of what the engine was built for: a value that it does not compute
/// as PyTorch does, or that PyTorch would refuse. Says what. The runtime runs the engine's exact form instead.
class OutsideGuards : public Error {
 public:
  explicit OutsideGuards(const std::string& message) : Error(ErrorCode::kOutOfRange, message) {}
};

/// State of one call at a time; the runtime keeps a pool of them per engine. Not thread-safe.
class Context {
 public:
  virtual ~Context() = default;
  /// Runs the engine. Work on the CPU is finished when it returns, work on a GPU is enqueued on the stream. After an
  /// exception the runtime may ask another engine for the same outputs, so the sink may be called for them again.
  virtual void run(const RunRequest& request) = 0;
};

/// A loaded engine: immutable, thread-safe, one copy of the weights whatever the number of contexts.
class ExecutableEngine {
 public:
  virtual ~ExecutableEngine() = default;
  virtual std::unique_ptr<Context> create_context() = 0;

  /// What the vendor made of the network, as the text of a JSON object: "backend", and "layers", a list with what the
  /// vendor says of each layer.
  virtual std::string inspect() { return R"({"layers":null,"reason":"this backend cannot look into its engines"})"; }
  /// Somebody begins to measure. For vendors that count from a beginning.
  virtual void begin_profiling() {}
  /// Applies settings to the contexts that are made from now on. False: this backend has no such settings.
  virtual bool configure(const RuntimeSettings&) { return false; }
  /// Writes what the engine compiled while it ran to the file that RuntimeSettings::runtime_cache names; nothing where
  /// there is none. Error(kNotFound) if it cannot be written.
  virtual void save_runtime_cache() {}
  /// For engines whose weights may stay in host memory. Default: none can.
  virtual WeightStreaming weight_streaming() { return {}; }
  /// Keeps this many bytes (0 to WeightStreaming::streamable) of the streamable weights on the GPU. The runtime calls it
  /// while no context of the engine exists, and makes none before it returns. An Error is the library's refusal: the
  /// former budget stays.
  virtual void set_weight_streaming_budget(std::int64_t) {}
};

/// Thread-safe; one per process, never destroyed.
class Executor {
 public:
  virtual ~Executor() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// The vendor library's version; Error(kNotFound) that names the package to install if there is none.
  virtual std::string version() = 0;
  /// Called with the request's device as the calling thread's. Error(kVersionMismatch), Error(kNotFound),
  /// Error(kUnsupported) (another GPU) or Error(kDataLoss), saying what was found and what is needed.
  virtual std::unique_ptr<ExecutableEngine> load(const LoadRequest& request) = 0;
};

using ExecutorEntry = Executor* (*)(std::uint32_t interface_version);
inline constexpr std::uint32_t kExecutorInterfaceVersion = 2;
inline constexpr const char* kExecutorSymbol = "torchtrt_executor";

}  // namespace torchtrt::backend
