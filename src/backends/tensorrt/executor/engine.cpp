// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/engine.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "backends/tensorrt/compat/functions.h"
#include "backends/tensorrt/compat/plan_header.h"
#include "backends/tensorrt/compat/runtime_config.h"
#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/executor/context.h"
#include "backends/tensorrt/executor/fit.h"
#include "backends/tensorrt/executor/inspection.h"
#include "backends/tensorrt/executor/nvinfer_context.h"
#include "backends/tensorrt/executor/weight_streaming.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/plan_runtime.h"
#include "backends/tensorrt/properties.h"
#include "backends/tensorrt/types.h"

namespace torchtrt::tensorrt {
namespace {

constexpr const char* kRebuild = "compile the model again for this machine";

std::string subject_of(const backend::LoadRequest& request) { return "engine \"" + request.engine_name + "\""; }

// "was built by TensorRT 11.2.1 for an NVIDIA H200 (compute capability 9.0)"
std::string origin_of(const backend::LoadRequest& request) {
  const std::string version = property(request.properties, kVersionProperty);
  std::string text =
      std::string("was built by ") + compat::kProductName + " " + (version.empty() ? "of unknown version" : version);
  if (const std::string gpu = property(request.properties, kGpuProperty); !gpu.empty()) {
    text += " for the GPU " + gpu + " (compute capability " + property(request.properties, kComputeCapabilityProperty) +
            ")";
  } else if (const std::string targets = property(request.properties, kComputeCapabilitiesProperty); !targets.empty()) {
    text += " for compute capabilities " + targets;
  }
  return text;
}

std::span<const std::byte> plan_of(const backend::LoadRequest& request) {
  for (const backend::Payload& payload : request.payloads) {
    if (payload.name == kPlanSection) return payload.bytes;
  }
  fail(ErrorCode::kDataLoss, subject_of(request), " has no section \"", kPlanSection, "\" for ", compat::kProductName);
}

// TensorRT's plans are for one release and one kind of GPU. It says so too, but not what to do. TensorRT-RTX's are for
// several GPUs, and only the library knows for which: deserialize() asks it.
void check_fits(const backend::LoadRequest& request, const Gpu& gpu) {
  TORCHTRT_CHECK(!is_set(request.properties, kStrippedProperty), kInvalidArgument, subject_of(request),
                 " was built without its weights (strip_engine_weights): give it some before it runs, with "
                 "torch_tensorrt.dynamo.refit_module_weights");
  if (compat::kIsRtx) return;
  const std::string built = property(request.properties, kVersionProperty);
  TORCHTRT_CHECK(fits_release(built, Library::get().version(), is_set(request.properties, kVersionCompatibleProperty)),
                 kVersionMismatch, subject_of(request), " ", origin_of(request), ", this machine has ",
                 compat::kProductName, " ", Library::get().version(), ": ", kRebuild, ", or install that version");
  const std::string capability = property(request.properties, kComputeCapabilityProperty);
  TORCHTRT_CHECK(
      fits_capability(capability, gpu.compute_capability(), is_set(request.properties, kHardwareCompatibleProperty)),
      kUnsupported, subject_of(request), " ", origin_of(request), ", this GPU is ", gpu.name, " (compute capability ",
      gpu.compute_capability(), "): ", kRebuild);
}

// The package's order, and what TensorRT says of each tensor. Shapes and types are compared, since a wrong one would be
// read as something else.
class LayoutReader {
 public:
  LayoutReader(const nvinfer1::ICudaEngine& engine, const backend::LoadRequest& request)
      : engine_(engine), request_(request) {}

  Layout read() {
    Layout layout;
    layout.engine = request_.engine_name;
    for (const backend::Binding& binding : request_.inputs) layout.inputs.push_back(input(binding));
    for (const backend::Binding& binding : request_.outputs) {
      match(binding, nvinfer1::TensorIOMode::kOUTPUT, "output");
      const char* name = binding.name.c_str();
      const bool is_on_host = engine_.getTensorLocation(name) == nvinfer1::TensorLocation::kHOST;
      // Then the values are there before the run. TensorRT's documents know no others on the host.
      TORCHTRT_CHECK(!is_on_host || engine_.isShapeInferenceIO(name), kUnsupported, subject_of(request_), ": output \"",
                     binding.name, "\" is computed on the host, but not from shapes");
      layout.outputs.push_back({binding.name, size_of(binding.dtype), is_on_host});
    }
    const auto used =
        std::count_if(layout.inputs.begin(), layout.inputs.end(), [](const auto& i) { return i.is_used; });
    const auto count = static_cast<std::size_t>(used) + layout.outputs.size();
    TORCHTRT_CHECK(static_cast<std::size_t>(engine_.getNbIOTensors()) == count, kDataLoss, subject_of(request_),
                   ": of its plan's ", engine_.getNbIOTensors(), " inputs and outputs its metadata knows ", count);
    for (std::int32_t i = 0; i < std::max(1, engine_.getNbOptimizationProfiles()); ++i) {
      layout.profiles.push_back(profile(layout, i));
    }
    read_scratch_sizes(engine_, layout.profiles);
    layout.has_scratch_by_shape = !is_set(request_.properties, kWeightStreamingProperty);
    return layout;
  }

 private:
  InputLayout input(const backend::Binding& binding) {
    const char* name = binding.name.c_str();
    InputLayout result{binding.name, size_of(binding.dtype), false, false, true};
    result.is_used = engine_.getTensorIOMode(name) != nvinfer1::TensorIOMode::kNONE;
    if (!result.is_used) return result;
    const nvinfer1::Dims dims = match(binding, nvinfer1::TensorIOMode::kINPUT, "input");
    result.is_dynamic = std::count(dims.d, dims.d + std::max(0, dims.nbDims), -1) > 0;
    result.is_shape_input = engine_.getTensorLocation(name) == nvinfer1::TensorLocation::kHOST;
    return result;
  }

  nvinfer1::Dims match(const backend::Binding& binding, nvinfer1::TensorIOMode mode, const char* what) {
    const char* name = binding.name.c_str();
    TORCHTRT_CHECK(engine_.getTensorIOMode(name) == mode, kDataLoss, subject_of(request_), ": its plan has no ", what,
                   " \"", binding.name, "\"");
    const nvinfer1::Dims dims = engine_.getTensorShape(name);
    const std::vector<std::int64_t> shape(dims.d, dims.d + std::max(0, dims.nbDims));
    bool same = engine_.getTensorDataType(name) == data_type(binding.dtype) && shape.size() == binding.shape.size();
    for (std::size_t axis = 0; same && axis < shape.size(); ++axis) {
      // TensorRT may know a dimension that the metadata gives as an expression, and the other way round.
      same = shape[axis] < 0 || binding.shape[axis] < 0 || shape[axis] == binding.shape[axis];
    }
    TORCHTRT_CHECK(same, kDataLoss, subject_of(request_), ": its ", what, " \"", binding.name, "\" is ",
                   to_string(binding.dtype), text_of(binding.shape), " by its metadata, and type number ",
                   static_cast<int>(engine_.getTensorDataType(name)), text_of(shape), " by its plan");
    return dims;
  }

  Profile profile(const Layout& layout, std::int32_t index) {
    using Selector = nvinfer1::OptProfileSelector;
    Profile result;
    for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
      const InputLayout& input = layout.inputs[i];
      ProfileRange& range = result.inputs.emplace_back();
      const char* name = input.name.c_str();
      if (input.is_shape_input) {
        std::size_t count = 1;
        for (const std::int64_t dim : request_.inputs[i].shape) count *= static_cast<std::size_t>(dim);
        const compat::Functions& functions = Library::get().functions();
        const auto min = compat::shape_values(engine_, name, index, Selector::kMIN, count, functions);
        const auto max = compat::shape_values(engine_, name, index, Selector::kMAX, count, functions);
        if (min && max) range = {*min, *max};
      } else if (input.is_dynamic) {
        const nvinfer1::Dims min = engine_.getProfileShape(name, index, Selector::kMIN);
        const nvinfer1::Dims max = engine_.getProfileShape(name, index, Selector::kMAX);
        TORCHTRT_CHECK(min.nbDims >= 0 && min.nbDims == max.nbDims, kDataLoss, subject_of(request_),
                       ": its plan has no range for input \"", input.name, "\": ", Logger::take_errors());
        range = {{min.d, min.d + min.nbDims}, {max.d, max.d + max.nbDims}};
      }
    }
    return result;
  }

  const nvinfer1::ICudaEngine& engine_;
  const backend::LoadRequest& request_;
};

}  // namespace

std::unique_ptr<nvinfer1::ICudaEngine> deserialize(nvinfer1::IRuntime& runtime, std::span<const std::byte> plan,
                                                   const backend::LoadRequest& request) {
  Logger::take_errors();
  if (const auto misfit = compat::misfit_of(runtime, plan.data(), plan.size())) {
    fail(misfit->code, subject_of(request), " ", origin_of(request), ", and ", compat::kProductName, " ",
         Library::get().version(), " says of it: ", misfit->reasons,
         misfit->code == ErrorCode::kDataLoss ? "" : std::string("; ") + kRebuild);
  }
  Logger::take_errors();
  std::unique_ptr<nvinfer1::ICudaEngine> engine(runtime.deserializeCudaEngine(plan.data(), plan.size()));
  if (engine == nullptr) {
    const std::string built = property(request.properties, kVersionProperty);
    const bool other = !built.empty() && built != Library::get().version();
    fail(other ? ErrorCode::kVersionMismatch : ErrorCode::kDataLoss, subject_of(request), " ", origin_of(request),
         ", and ", compat::kProductName, " ", Library::get().version(), " cannot load it: ", Logger::take_errors(),
         other ? std::string("; ") + kRebuild + ", or install that version" : "");
  }
  return engine;
}

TensorRtEngine::TensorRtEngine(const backend::LoadRequest& request)
    : streams_weights_(is_set(request.properties, kWeightStreamingProperty)) {
  TORCHTRT_CHECK(request.device.device_type == kDLCUDA, kInvalidArgument, subject_of(request), ": ",
                 compat::kProductName, " engines run on NVIDIA GPUs");
  const Library& library = Library::get();
  const std::span<const std::byte> plan = plan_of(request);
  const Gpu gpu = Driver::get().gpu(request.device.device_id);
  check_fits(request, gpu);
  identity_ = std::string(compat::kProductName) + " " + library.version() + ", " + gpu.name + " (compute capability " +
              gpu.compute_capability() + ")";
  runtime_ = runtime_for(request.properties);
  engine_ = deserialize(*runtime_, plan, request);
  if (streams_weights_) stream_weights(*engine_, subject_of(request), &Logger::take_errors);
  layout_ = LayoutReader(*engine_, request).read();
}

namespace {

// Where nobody waits for an exception.
void save_quietly(const std::shared_ptr<RuntimeCache>& cache, const std::string& engine) noexcept {
  try {
    if (cache != nullptr) cache->save();
  } catch (const std::exception& error) {
    TORCHTRT_LOG(kWarning, "engine \"", engine, "\": ", error.what());
  }
}

}  // namespace

TensorRtEngine::~TensorRtEngine() { save_quietly(cache_, layout_.engine); }

std::string TensorRtEngine::inspect() {
  const std::lock_guard lock(mutex_);
  Logger::take_errors();
  const std::unique_ptr<nvinfer1::IEngineInspector> inspector(engine_->createEngineInspector());
  TORCHTRT_CHECK(inspector != nullptr, kInternal, "engine \"", layout_.engine, "\": ", compat::kProductName,
                 " gives no inspector: ", Logger::take_errors());
  const char* text = inspector->getEngineInformation(nvinfer1::LayerInformationFormat::kJSON);
  return describe(text == nullptr ? "" : text, layout_.engine, compat::kBackendName, Library::get().version());
}

bool TensorRtEngine::configure(const backend::RuntimeSettings& settings) {
  if constexpr (!compat::kHasRuntimeSettings) return false;
  // Outside of the lock, because it reads a file.
  std::shared_ptr<RuntimeCache> cache;
  if (!settings.runtime_cache.empty()) {
    cache = RuntimeCache::open(settings.runtime_cache, identity_,
                               [this] { return compat::create_runtime_cache(engine_, runtime_); });
  }
  {
    const std::lock_guard lock(mutex_);
    settings_ = settings;
    cache_.swap(cache);
  }
  save_quietly(cache, layout_.engine);  // the former
  return true;
}

void TensorRtEngine::save_runtime_cache() {
  std::shared_ptr<RuntimeCache> cache;
  {
    const std::lock_guard lock(mutex_);
    cache = cache_;
  }
  if (cache != nullptr) cache->save();
}

backend::WeightStreaming TensorRtEngine::weight_streaming() {
  if (!streams_weights_) return {};
  const std::lock_guard lock(mutex_);
  return weight_streaming_of(*engine_);
}

void TensorRtEngine::set_weight_streaming_budget(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  Logger::take_errors();
  // No context reads the layout now.
  change_weight_budget(*engine_, layout_.profiles, bytes, "engine \"" + layout_.engine + "\"", &Logger::take_errors);
}

std::unique_ptr<backend::Context> TensorRtEngine::create_context() {
  const std::lock_guard lock(mutex_);
  Logger::take_errors();
  std::shared_ptr<const void> config;
  std::unique_ptr<nvinfer1::IExecutionContext> context(
      settings_ == backend::RuntimeSettings{}
          ? engine_->createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED)
          : compat::create_context(*engine_, settings_, cache_ == nullptr ? nullptr : &cache_->native(), config));
  TORCHTRT_CHECK(context != nullptr, kInternal, "engine \"", layout_.engine, "\": ", compat::kProductName,
                 " gives no execution context: ", Logger::take_errors());
  return std::make_unique<TensorRtContext>(
      layout_, std::make_unique<NvInferContext>(layout_, std::move(context),
                                                std::vector{config, std::shared_ptr<const void>(cache_)}));
}

}  // namespace torchtrt::tensorrt
