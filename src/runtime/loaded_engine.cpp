// SPDX-License-Identifier: Apache-2.0
#include "runtime/loaded_engine.h"

#include <optional>
#include <utility>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "runtime/call_services.h"

namespace torchtrt::runtime {
namespace {

// Graphs of one context. Each holds staging memory for the engine's inputs and outputs; servers see a handful of shapes
// again and again.
constexpr std::size_t kGraphsPerContext = 8;

std::vector<std::size_t> item_sizes(const std::vector<format::OutputSpec>& outputs) {
  std::vector<std::size_t> sizes;
  for (const format::OutputSpec& output : outputs) sizes.push_back(size_of(output.dtype));
  return sizes;
}

}  // namespace

LoadedEngine::LoadedEngine(std::unique_ptr<backend::ExecutableEngine> executable, const format::Metadata& metadata,
                           DLDevice device, DeviceApi* api, bool recordable, bool exact)
    : executable_(std::move(executable)),
      metadata_(metadata),
      device_(device),
      api_(api),
      recordable_(recordable),
      exact_(exact),
      pool_(*executable_, api, device.device_id) {}

void LoadedEngine::destroy(std::unique_ptr<LoadedEngine> engine) {
  if (engine == nullptr || engine->api_ == nullptr) return;
  DeviceApi& api = *engine->api_;
  // A vendor's library may leave the device of the engine that it frees as the thread's current one.
  std::optional<DeviceGuard> guard;
  try {
    guard.emplace(api, engine->device_.device_id);
  } catch (const std::exception& error) {
    TORCHTRT_LOG(kWarning, "engine \"", engine->metadata_.name, "\" is destroyed on another device: ", error.what());
  }
  api.outside_recordings([&] { engine.reset(); });
}

std::exception_ptr LoadedEngine::run(const BindingPlan& plan, std::span<const DLTensor> inputs, CallModes modes,
                                     backend::OutputSink& outputs, void* stream, backend::LayerTimes* layer_times) {
  if (api_ != nullptr) {
    run_on_gpu(plan, inputs, modes, outputs, stream, layer_times);
    return nullptr;
  }
  std::unique_ptr<ContextSlot> slot = pool_.acquire(stream);
  const ResolvedShapes* shapes = nullptr;
  std::exception_ptr failure;
  try {
    shapes = &resolve(slot, plan, inputs);
  } catch (const backend::OutsideGuards&) {
    return std::current_exception();
  }
  try {
    slot->context->run({inputs, shapes->outputs, &outputs, stream, nullptr, modes.profile, layer_times});
  } catch (const backend::OutsideGuards&) {
    failure = std::current_exception();  // the context is as good as before
  } catch (...) {
    return std::current_exception();  // the context goes, see ContextPool::discard
  }
  pool_.release(std::move(slot), stream);
  return failure;
}

void LoadedEngine::run_on_gpu(const BindingPlan& plan, std::span<const DLTensor> inputs, CallModes modes,
                              backend::OutputSink& outputs, void* stream, backend::LayerTimes* layer_times) {
  const DeviceGuard guard(*api_, device_.device_id);
  const bool recorded_outside = api_->is_capturing(stream);
  std::unique_ptr<ContextSlot> slot = recorded_outside ? pool_.acquire_for_recording() : pool_.acquire(stream);
  const ResolvedShapes& shapes = resolve(slot, plan, inputs);
  CallServices services(*api_, device_.device_id, stream, recorded_outside ? &slot->recorded_memory : nullptr);
  // To measure is to wait, which spoils a recording.
  backend::LayerTimes* const measured = recorded_outside ? nullptr : layer_times;
  const backend::RunRequest request{inputs, shapes.outputs, &outputs, stream, &services, modes.profile, measured};
  auto outcome = GraphCache::Outcome::kReplayed;
  try {
    if (!recorded_outside && may_record(*slot, modes)) {
      outcome = slot->graphs->run(*slot->context, request, shapes.key);
    } else {
      slot->context->run(request);
    }
  } catch (...) {
    pool_.discard(std::move(slot), stream);
    throw;
  }
  if (recorded_outside) {
    pool_.retire(std::move(slot), stream);
  } else if (outcome == GraphCache::Outcome::kFailed) {
    if (!graphs_failed_.exchange(true)) {
      TORCHTRT_LOG(kWarning, "engine \"", metadata_.name,
                   "\" cannot be recorded into a CUDA graph and runs without: ", slot->graphs->failure());
    }
    pool_.discard(std::move(slot), stream);
  } else {
    pool_.release(std::move(slot), stream);
  }
}

const ResolvedShapes& LoadedEngine::resolve(std::unique_ptr<ContextSlot>& slot, const BindingPlan& plan,
                                            std::span<const DLTensor> inputs) {
  try {
    const ResolvedShapes& shapes = slot->shapes.find_or_resolve(plan, inputs);
    if (!exact_) {
      if (!shapes.impossible.empty()) throw backend::OutsideGuards(shapes.impossible);
      plan.check_values(inputs);
    }
    return shapes;
  } catch (...) {
    pool_.put_back(std::move(slot));  // it has not run
    throw;
  }
}

// Brings the slot's graphs to what the modes and the engine's state ask for.
bool LoadedEngine::may_record(ContextSlot& slot, CallModes modes) {
  if (!modes.cuda_graphs || graphs_failed_.load(std::memory_order_relaxed)) {
    slot.graphs.reset();
    return false;
  }
  if (!recordable_) {
    if (!said_unrecordable_.exchange(true)) {
      TORCHTRT_LOG(kWarning, "engine \"", metadata_.name,
                   "\" holds plugins, which take memory while they run; it runs without CUDA graphs of its own");
    }
    return false;
  }
  const std::size_t generation = graph_generation_.load(std::memory_order_acquire);
  if (slot.graphs == nullptr || slot.graph_generation != generation) {
    slot.graphs =
        std::make_unique<GraphCache>(*api_, device_.device_id, item_sizes(metadata_.outputs), kGraphsPerContext);
    slot.graph_generation = generation;
  }
  return true;
}

bool LoadedEngine::configure(const backend::RuntimeSettings& settings) {
  if (api_ == nullptr) return executable_->configure(settings);
  const DeviceGuard guard(*api_, device_.device_id);
  bool configured = false;
  api_->outside_recordings([&] { configured = executable_->configure(settings); });
  // Graphs go with the contexts that recorded them.
  if (configured) pool_.renew();
  return configured;
}

backend::WeightStreaming LoadedEngine::weight_streaming() {
  if (api_ == nullptr) return executable_->weight_streaming();
  const DeviceGuard guard(*api_, device_.device_id);
  return executable_->weight_streaming();
}

void LoadedEngine::set_weight_streaming_budget(std::int64_t bytes) {
  if (weight_streaming().budget == bytes) return;
  std::optional<DeviceGuard> guard;
  if (api_ != nullptr) guard.emplace(*api_, device_.device_id);
  const std::size_t recorded = pool_.without_contexts([&] { executable_->set_weight_streaming_budget(bytes); });
  TORCHTRT_CHECK(recorded == 0, kIncompatibleMode, "engine \"", metadata_.name,
                 "\": its weight streaming budget cannot ", "change while ", recorded,
                 recorded == 1 ? " context is" : " contexts are",
                 " in recordings of the caller's (torch.cuda.graph, CUDA graphs of whole modules), which hold the ",
                 "addresses of weights: release those recordings first, and wait for their last launches");
}

void LoadedEngine::invalidate_graphs() {
  graph_generation_.fetch_add(1, std::memory_order_acq_rel);
  graphs_failed_.store(false);
}

}  // namespace torchtrt::runtime
