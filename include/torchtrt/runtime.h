// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torchtrt/backend/runtime_settings.h>
#include <torchtrt/backend/weight_streaming.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/export.h>
#include <torchtrt/base/log.h>

/// What a C++ program that runs saved models may call. None of it is required: a program that links or dlopens
/// libtorchtrt_runtime.so runs TorchScript and AOTInductor files with PyTorch's own loaders. All functions are
/// thread-safe.
namespace torchtrt {

/// "0.1.0"
TORCHTRT_API const char* version();

/// Makes sure that the torch class `tensorrt.Engine` and the operators `tensorrt::*` are registered. Call it once
/// before torch::jit::load or AOTIModelPackageLoader: the call also keeps the linker from dropping the library, which
/// otherwise ends in "Unknown type name '__torch__.torch.classes.tensorrt.Engine'". Cheap; opens no vendor library.
TORCHTRT_API void load_runtime();

namespace runtime {

/// How CPU engines use the machine. Applies to engines that are run for the first time after the call.
struct CpuSettings {
  /// 1 (default): one call uses all `threads`; lowest latency. More: that many concurrent calls run side by side, each
  /// on threads / streams of them; best throughput for a server with at least that many callers. Costs some megabytes
  /// per stream, and a hand-over to another thread (about 10 microseconds) per call; a lone call takes up to `streams`
  /// times longer. Weights are shared.
  int streams = 1;
  /// Threads per engine; 0 (default): as many as PyTorch uses (at::get_num_threads, torch.set_num_threads).
  int threads = 0;
};
/// Error(kInvalidArgument) unless streams >= 1 and threads >= 0.
TORCHTRT_API void set_cpu_settings(const CpuSettings& settings);
TORCHTRT_API CpuSettings cpu_settings();

/// Whether CUDA engines are recorded into CUDA graphs, one per combination of input shapes, and replayed. Engines on the
/// CPU have nothing to record.
enum class CudaGraphsMode : int {
  kStandard = 0,    ///< No graphs (default).
  kSubgraph = 1,    ///< Each engine by itself.
  kWholeGraph = 2,  ///< The caller records whole programs: engines run plainly into the caller's recording.
};
/// The process's default. Error(kInvalidArgument) for a value that is not an enumerator.
TORCHTRT_API void set_cudagraphs_mode(CudaGraphsMode mode);
TORCHTRT_API CudaGraphsMode cudagraphs_mode();

/// Off (default): the inputs' device is where an engine runs, and inputs on different devices are an error. On: a call
/// compares the inputs' devices and the thread's with the engine's, says once per engine what does not fit, and moves
/// the inputs. Process-wide. In either mode the calling thread's device is the same after a call as before it.
TORCHTRT_API void set_multi_device_safe_mode(bool enabled);
TORCHTRT_API bool multi_device_safe_mode();

/// Off (default): an engine none of whose targets fits this machine (another GPU, another version, no library for it) is
/// an error that says so. On: it is built anew, from the network that packages of models compiled with
/// `rebuildable=True` carry, when it is first run; that takes as long as compiling it did, in each process. Needs
/// libtorchtrt.so and the target's builder module beside the runtime, no Python. Process-wide; for engines that are run
/// for the first time after the call.
TORCHTRT_API void set_rebuild_engines(bool enabled);
TORCHTRT_API bool rebuild_engines();

/// Ends a mode, or puts the former one back, when it is destroyed. Scopes may be nested, overlap and end in any order
/// and on any thread.
class TORCHTRT_API ModeScope {
 public:
  ModeScope() = default;
  explicit ModeScope(std::function<void()> undo) : undo_(std::move(undo)) {}
  ModeScope(ModeScope&& other) noexcept : undo_(std::exchange(other.undo_, nullptr)) {}
  ModeScope& operator=(ModeScope&& other) noexcept {
    std::swap(undo_, other.undo_);
    return *this;
  }
  ~ModeScope() {
    if (undo_) undo_();
  }

 private:
  std::function<void()> undo_;
};

/// The setter with the former value back at the end of the scope.
[[nodiscard]] TORCHTRT_API ModeScope scoped_multi_device_safe_mode(bool enabled);
[[nodiscard]] TORCHTRT_API ModeScope scoped_cudagraphs_mode(CudaGraphsMode mode);
[[nodiscard]] TORCHTRT_API ModeScope scoped_rebuild_engines(bool enabled);

class Engine;

/// One engine of a program, to set its modes. Cheap to copy; keeps the engine alive. <torchtrt/torch.h> finds the
/// engines of modules and packages. Copies of one engine (made by deepcopy, by torch.export, by loading a file twice)
/// are one engine: a mode set through one handle holds for all of them.
class TORCHTRT_API EngineHandle {
 public:
  explicit EngineHandle(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  [[nodiscard]] const std::string& name() const;
  /// Whether some output's shape is known only after a run. Such an engine always uses the output allocator and cannot
  /// be recorded into CUDA graphs.
  [[nodiscard]] bool requires_output_allocator() const;
  /// At least 1; the largest number that one of its targets has. Engines on the CPU have one.
  [[nodiscard]] int optimization_profile_count() const;
  /// The one that calls run now, see optimization_profile(); nullopt: chosen by each call.
  [[nodiscard]] std::optional<int> chosen_profile() const;
  /// Which of the package's targets runs ("openvino", "tensorrt", "tensorrt_rtx"), on the first device that the engine
  /// ran on; empty before that.
  [[nodiscard]] std::string target() const;
  [[nodiscard]] Engine& engine() const { return *engine_; }

  bool operator==(const EngineHandle&) const = default;

 private:
  std::shared_ptr<Engine> engine_;
};

/// Error(kIncompatibleMode) if one of the engines requires the output allocator, and so cannot be recorded into a CUDA
/// graph.
TORCHTRT_API void check_recordable(std::span<const EngineHandle> engines);
/// Record these engines, whatever the process's default. Error(kIncompatibleMode) if one requires the output allocator.
[[nodiscard]] TORCHTRT_API ModeScope enable_cudagraphs(std::span<const EngineHandle> engines);
/// The engines allocate outputs while they run, at the size that the run gives them. Calls throw
/// Error(kIncompatibleMode) while CUDA graphs are on for the same engine.
[[nodiscard]] TORCHTRT_API ModeScope enable_output_allocator(std::span<const EngineHandle> engines);
/// Each call allocates, after its own work, the outputs of a next call with the same input shapes, so that the next call
/// begins at once. Tensors that a caller got are never written again. Without effect where the output allocator is on.
[[nodiscard]] TORCHTRT_API ModeScope enable_pre_allocated_outputs(std::span<const EngineHandle> engines);
/// Runs these engines with the optimization profile of this number; nullopt: each call with the most specialized that
/// takes its shapes, as without a scope. Of several scopes that are open the one opened last decides. Engines with one
/// profile keep it. A call whose shapes the profile does not take throws Error(kOutOfRange). Error(kInvalidArgument)
/// unless some engine has that profile, and every engine with several has it.
[[nodiscard]] TORCHTRT_API ModeScope optimization_profile(std::span<const EngineHandle> engines,
                                                          std::optional<int> profile);

// --- seeing into engines ---

/// What the backend made of the engine, as the text of a JSON object: "backend", its "version", and "layers": a list with
/// what the vendor says of each (OpenVINO: name, type, kernel, precision, output shapes, the network's layers in it;
/// TensorRT: what IEngineInspector gives). Loads the engine if it was not yet, on the device that it would run on first.
TORCHTRT_API std::string inspect(const EngineHandle& engine);

/// One layer in a profile, under the vendor's name. Times are of the engine's device, in milliseconds.
struct LayerProfile {
  std::string name;
  std::int64_t calls = 0;  ///< How often it ran.
  double total_ms = 0;
  double last_ms = 0;  ///< OpenVINO tells only means: that of the calls since a Profiler of the engine began last.
};
struct EngineProfile {
  std::string engine;
  std::vector<LayerProfile> layers;  ///< In the order in which they first ran; empty if the engine did not run.
};

/// Measures the layers of engines as long as it lives, or until stop(). Any number may be open at a time; each sees all
/// calls that begin and end while it is open. Thread-safe.
///
/// Calls are slower meanwhile, wait for their work on a GPU, and run without CUDA graphs of the runtime's own; calls in a
/// caller's recording are not measured. Engines of OpenVINO are compiled once more for each Profiler, at the first call;
/// their measured calls take turns, and their times are good to a microsecond per call and layer.
class TORCHTRT_API Profiler {
 public:
  explicit Profiler(std::span<const EngineHandle> engines);
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  void stop();
  /// One for each engine, in their order.
  [[nodiscard]] std::vector<EngineProfile> result() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Whether each call of an engine is an NVTX range "torchtrt: <name of the engine>" on the calling thread, for NVIDIA's
/// tools (Nsight Systems). Process-wide, off by default. Error(kUnsupported) where torchtrt was built without NVTX.
TORCHTRT_API void set_nvtx(bool enabled);
TORCHTRT_API bool nvtx();

// --- settings of TensorRT-RTX ---

using RuntimeSettings = backend::RuntimeSettings;
using backend::CudaGraphStrategy;
using backend::KernelSpecialization;

/// For the calls that begin from now on: execution contexts and recorded graphs are made anew. Engines of other backends
/// say once in the log (info) that the settings mean nothing to them. Error(kInvalidArgument) for values that are not
/// enumerators, and for a cache file that is something else.
TORCHTRT_API void set_runtime_settings(std::span<const EngineHandle> engines, const RuntimeSettings& settings);
TORCHTRT_API RuntimeSettings runtime_settings(const EngineHandle& engine);
/// The same with each engine's former settings back at the end of the scope. Not for scopes that overlap between threads:
/// the one that ends last decides.
[[nodiscard]] TORCHTRT_API ModeScope scoped_runtime_settings(std::span<const EngineHandle> engines,
                                                             const RuntimeSettings& settings);
/// Writes the engines' runtime caches now, where they have one and it grew. Error(kNotFound) if a file cannot be written.
TORCHTRT_API void save_runtime_cache(std::span<const EngineHandle> engines);

// --- weights in host memory ---

using backend::WeightStreaming;

/// Where the weights of engines are, summed over the engines; all 0 if none was built for weight streaming. Loads engines
/// that were not loaded yet, on the calling thread's GPU; of one that runs on several it is the first. Errors: loading's.
TORCHTRT_API WeightStreaming weight_streaming(std::span<const EngineHandle> engines);
inline WeightStreaming weight_streaming(const EngineHandle& engine) { return weight_streaming({&engine, 1}); }

/// Keeps `bytes` of the engines' streamable weights on the GPU, split over the engines in proportion to their streamable
/// weights; more than there are is taken for all of them, with a warning. An engine that runs on several GPUs has its
/// share on each of them, also on those that it is loaded on later.
///
/// Waits for calls that are in flight and for their work; calls that begin meanwhile wait until the budget is set, then
/// make contexts and record CUDA graphs anew. Not to be called within a run of one of the engines (by a plugin).
///
/// Error(kInvalidArgument) for a negative budget; Error(kUnsupported) if no engine has streamable weights;
/// Error(kIncompatibleMode) if a recording of the caller's (torch.cuda.graph, WholeGraph) holds a context of one, since
/// its replays use the weights where they are; Error(kInternal) with the library's reason if it refuses. After an error
/// all engines have their former budgets.
TORCHTRT_API void set_weight_streaming_budget(std::span<const EngineHandle> engines, std::int64_t bytes);
inline void set_weight_streaming_budget(const EngineHandle& engine, std::int64_t bytes) {
  set_weight_streaming_budget({&engine, 1}, bytes);
}
/// The same with each engine's former budget back at the end of the scope; if that is refused, the log says so (error).
/// Not for scopes that overlap between threads: the one that ends last decides.
[[nodiscard]] TORCHTRT_API ModeScope scoped_weight_streaming_budget(std::span<const EngineHandle> engines,
                                                                    std::int64_t bytes);

}  // namespace runtime
}  // namespace torchtrt
