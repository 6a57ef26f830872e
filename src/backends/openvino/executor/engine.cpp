// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/engine.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>

#include "backends/openvino/element_type.h"
#include "backends/openvino/executor/context.h"
#include "backends/openvino/non_max_suppression.h"
#include "backends/openvino/nonfinite.h"
#include "backends/openvino/plugin_operation.h"
#include "backends/openvino/stable_top_k.h"

namespace torchtrt::openvino {
namespace {

// The process's one core: made at first use, so that loading the module starts nothing and fork stays safe before it;
// never destroyed, because its threads may outlive main's statics.
ov::Core& core() {
  static ov::Core* const instance = [] {
    auto made = std::make_unique<ov::Core>();
    try {
      made->get_versions("CPU");  // opens the plugin
      made->add_extension<NonMaxSuppression>();
      made->add_extension<PluginOperation>();
      made->add_extension<StableTopK>();
    } catch (const ov::Exception& error) {
      fail(ErrorCode::kNotFound,
           "OpenVINO's CPU plugin does not open (libopenvino_intel_cpu_plugin.so and libtbb.so.12 belong beside "
           "libopenvino.so, in "
           "the folder openvino/ of torchtrt's libraries; reinstall the package): ",
           error.what());
    }
    return made.release();
  }();
  return *instance;
}

std::span<const std::byte> section(const backend::LoadRequest& load, std::string_view name) {
  for (const backend::Payload& payload : load.payloads) {
    if (payload.name == name) return payload.bytes;
  }
  fail(ErrorCode::kDataLoss, "engine \"", load.engine_name, "\" has no section \"", name, "\" for OpenVINO");
}

std::string property(const backend::LoadRequest& load, const char* name) {
  const auto found = load.properties.find(name);
  return found == load.properties.end() ? "" : found->second;
}

// Another release may not know what the building one wrote; the same release wrote something that is broken now.
[[noreturn]] void fail_to_load(const backend::LoadRequest& load, const char* doing, const std::exception& error) {
  const std::string built_by = property(load, kVersionProperty);
  const bool other = !built_by.empty() && built_by != openvino_version();
  fail(other ? ErrorCode::kVersionMismatch : ErrorCode::kDataLoss, "engine \"", load.engine_name, "\": OpenVINO ",
       openvino_version(), " fails to ", doing, " what OpenVINO ", built_by.empty() ? "of unknown version" : built_by,
       " built", other ? ": compile the model again with this release, or run it with that one: " : ": ", error.what());
}

std::shared_ptr<ov::Model> read(const backend::LoadRequest& load) {
  const std::span<const std::byte> xml = section(load, kModelSection);
  const std::span<const std::byte> weights = section(load, kWeightsSection);
  std::shared_ptr<ov::Model> model;
  try {
    // The constants stay where the package has them; OpenVINO only reads.
    const ov::Tensor constants =
        weights.empty() ? ov::Tensor()
                        : ov::Tensor(ov::element::u8, {weights.size()}, const_cast<std::byte*>(weights.data()));
    model = core().read_model(std::string(reinterpret_cast<const char*>(xml.data()), xml.size()), constants);
  } catch (const ov::Exception& error) {
    fail_to_load(load, "read", error);
  }
  for (const std::shared_ptr<ov::Node>& node : model->get_ops()) {
    if (const auto plugin = ov::as_type_ptr<PluginOperation>(node)) plugin->prepare(load.engine_name);
  }
  return model;
}

// The package's description of inputs or outputs, checked against the model's.
std::vector<Port> match_ports(const backend::LoadRequest& load, const std::vector<ov::Output<ov::Node>>& nodes,
                              const std::vector<backend::Binding>& bindings, const char* what) {
  TORCHTRT_CHECK(nodes.size() == bindings.size(), kDataLoss, "engine \"", load.engine_name, "\" has ", bindings.size(),
                 " ", what, "s by its metadata and ", nodes.size(), " by its OpenVINO model");
  std::vector<Port> ports;
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    const backend::Binding& binding = bindings[i];
    const ov::PartialShape& shape = nodes[i].get_partial_shape();
    bool same = nodes[i].get_element_type() == element_type(binding.dtype) && shape.rank().is_static() &&
                shape.size() == binding.shape.size();
    for (std::size_t axis = 0; same && axis < shape.size(); ++axis) {
      // OpenVINO may know a dimension that the metadata gives as an expression, and the other way round.
      same = shape[axis].compatible(binding.shape[axis] < 0 ? ov::Dimension() : ov::Dimension(binding.shape[axis]));
    }
    TORCHTRT_CHECK(same, kDataLoss, "engine \"", load.engine_name, "\": its ", what, " \"", binding.name, "\" is ",
                   to_string(binding.dtype), " of rank ", binding.shape.size(), " by its metadata and ",
                   nodes[i].get_element_type().to_string(), shape.to_string(), " by its OpenVINO model");
    ports.push_back({binding.name, nodes[i].get_element_type(), binding.shape, shape.is_static()});
    if (shape.is_static()) {
      const ov::Shape known = shape.to_shape();
      ports.back().shape.assign(known.begin(), known.end());
    }
  }
  return ports;
}

ov::CompiledModel compile(const std::shared_ptr<ov::Model>& model, bool bfloat16, bool profiled, int streams,
                          int threads) {
  ov::AnyMap properties{
      // Never OpenVINO's own default, which is bfloat16 on machines that have it.
      ov::hint::inference_precision(bfloat16 ? ov::element::bf16 : ov::element::f32),
      ov::num_streams(ov::streams::Num(streams)),
      // Pinning costs system calls on every run and changes the affinity of the caller's thread.
      ov::hint::enable_cpu_pinning(false),
      // On would leave flush-to-zero set in the caller's thread.
      {"CPU_DENORMALS_OPTIMIZATION", false},
  };
  if (profiled) properties.insert(ov::enable_profiling(true));
  if (threads > 0) properties.insert(ov::inference_num_threads(threads));
  return core().compile_model(model, "CPU", properties);
}

ov::CompiledModel compile(const backend::LoadRequest& load, const std::shared_ptr<ov::Model>& model,
                          bool profiled = false) {
  const bool bfloat16 = property(load, kPrecisionProperty) == "bf16";
  const int streams = profiled ? 1 : load.settings.streams;
  const int threads = load.settings.threads;
  try {
    // In this release of OpenVINO, one stream of one thread swallows exceptions and leaves the failed work behind, to
    // crash a later run. Without streams the calling thread computes, which is as fast and throws. OpenVINO comes to
    // one stream of one thread by itself too (on a machine, or in an affinity mask, of one processor): hence the second
    // look.
    ov::CompiledModel compiled =
        compile(model, bfloat16, profiled, streams == 1 && threads == 1 ? 0 : streams, threads);
    if (compiled.get_property(ov::num_streams) == ov::streams::Num(1) &&
        compiled.get_property(ov::inference_num_threads) == 1) {
      compiled = compile(model, bfloat16, profiled, 0, 1);
    }
    return compiled;
  } catch (const ov::Exception& error) {
    fail_to_load(load, "compile", error);
  }
}

bool has_dynamic_shapes(const ov::CompiledModel& model) {
  const auto is_dynamic = [](const auto& port) { return port.get_partial_shape().is_dynamic(); };
  return std::ranges::any_of(model.inputs(), is_dynamic) || std::ranges::any_of(model.outputs(), is_dynamic);
}

}  // namespace

RequestPool::RequestPool(ov::CompiledModel model, std::size_t inputs, std::size_t outputs,
                         std::shared_ptr<const void> owner)
    : owner_(std::move(owner)),
      model_(std::move(model)),
      inputs_(inputs),
      outputs_(outputs),
      has_dynamic_shapes_(has_dynamic_shapes(model_)) {
  idle_.reserve(kMaxIdle);  // so that release() cannot throw
}

std::unique_ptr<Request> RequestPool::acquire() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Request> request = std::move(idle_.back());
      idle_.pop_back();
      return request;
    }
  }
  return make();
}

std::unique_ptr<Request> RequestPool::make() {
  auto request = std::make_unique<Request>();
  const std::lock_guard gate(gate_);
  const std::lock_guard alone(running_);
  request->infer = model_.create_infer_request();
  request->inputs.resize(inputs_);
  request->outputs.resize(outputs_);
  return request;
}

void RequestPool::infer(Request& request) {
  std::shared_lock<std::shared_mutex> running;
  if (has_dynamic_shapes_) {
    const std::lock_guard gate(gate_);
    running = std::shared_lock(running_);
  }
  request.infer.infer();
}

std::shared_ptr<Request> RequestPool::lend(std::unique_ptr<Request> request) {
  return {request.release(),
          [pool = shared_from_this()](Request* back) { pool->release(std::unique_ptr<Request>(back)); }};
}

void RequestPool::release(std::unique_ptr<Request> request) noexcept {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(request));
}

OpenVinoEngine::OpenVinoEngine(const backend::LoadRequest& load) : load_(load), name_(load.engine_name) {
  const std::shared_ptr<ov::Model> model = read(load);
  inputs_ = match_ports(load, model->inputs(), load.inputs, "input");
  outputs_ = match_ports(load, model->outputs(), load.outputs, "output");
  needs_finite_inputs_ = openvino::needs_finite_inputs(*model);
  pool_ = std::make_shared<RequestPool>(compile(load, model), inputs_.size(), outputs_.size(), load.owner);
}

std::shared_ptr<RequestPool> OpenVinoEngine::make_pool(bool exact, bool profiled) const {
  const std::shared_ptr<ov::Model> model = read(load_);
  if (exact) make_exact_for_all_inputs(*model);
  return std::make_shared<RequestPool>(compile(load_, model, profiled), inputs_.size(), outputs_.size(), load_.owner);
}

RequestPool& OpenVinoEngine::exact_pool() const {
  const std::lock_guard lock(other_mutex_);
  if (exact_pool_ == nullptr) {
    TORCHTRT_LOG(
        kWarning, "engine \"", name_,
        "\": an input holds NaN or an infinity. Such calls run a slower form of the engine that treats them as "
        "PyTorch does; it is compiled now and takes the engine's memory once more.");
    exact_pool_ = make_pool(/*exact=*/true, /*profiled=*/false);
  }
  return *exact_pool_;
}

std::shared_ptr<ProfiledForm> OpenVinoEngine::profiled_form(bool exact) const {
  const std::lock_guard lock(other_mutex_);
  std::shared_ptr<ProfiledForm>& form = profiled_[exact ? 1 : 0];
  if (form == nullptr) {
    auto made = std::make_shared<ProfiledForm>();
    made->pool = make_pool(exact, /*profiled=*/true);
    made->layers = layers_of(*made->pool, exact);
    form = std::move(made);
  }
  return form;
}

// Some names hold a counter that the whole process shares, so they are others in each compiled model. The first form's
// are what all profiles (and inspect()) say.
std::map<std::string, ProfiledForm::Layer> OpenVinoEngine::layers_of(const RequestPool& pool, bool exact) const {
  const std::vector<ComputingLayer> own = computing_layers(*pool.model().get_runtime_model());
  std::vector<ComputingLayer>& first = first_layers_[exact ? 1 : 0];
  if (first.empty()) first = exact ? own : computing_layers(*pool_->model().get_runtime_model());
  const bool same = std::equal(own.begin(), own.end(), first.begin(), first.end(),
                               [](const auto& one, const auto& other) { return one.type == other.type; });
  std::map<std::string, ProfiledForm::Layer> layers;
  for (std::size_t i = 0; i < own.size(); ++i) layers[own[i].name].name = same ? first[i].name : own[i].name;
  return layers;
}

void OpenVinoEngine::begin_profiling() {
  const std::lock_guard lock(other_mutex_);
  profiled_ = {};
}

std::string OpenVinoEngine::inspect() {
  try {
    return describe(*pool_->model().get_runtime_model(), name_);
  } catch (const ov::Exception& error) {
    fail(ErrorCode::kInternal, "engine \"", name_, "\": OpenVINO does not say what it made of it: ", error.what());
  }
}

std::unique_ptr<backend::Context> OpenVinoEngine::create_context() { return std::make_unique<OpenVinoContext>(*this); }

}  // namespace torchtrt::openvino
