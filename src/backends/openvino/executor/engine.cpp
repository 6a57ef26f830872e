// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/engine.h"

#include <dlfcn.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <span>
#include <utility>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>

#include "backends/openvino/element_type.h"
#include "backends/openvino/executor/context.h"
#include "backends/openvino/executor/exact_division.h"
#include "backends/openvino/executor/kept_constants.h"
#include "backends/openvino/executor/packed_weights.h"
#include "backends/openvino/forks.h"
#include "backends/openvino/non_max_suppression.h"
#include "backends/openvino/nonfinite.h"
#include "backends/openvino/plugin_operation.h"
#include "backends/openvino/round_to_half.h"
#include "backends/openvino/stable_top_k.h"
#include "base/classic_numbers.h"

namespace torchtrt::openvino {
namespace {

// The process's one core: made at first use, so that loading the module starts nothing and fork stays safe before it;
// never destroyed, because its threads may outlive main's statics.
ov::Core& core() {
  static ov::Core* const instance = [] {
    forks();  // are counted from here on
    auto made = std::make_unique<ov::Core>();
    try {
      made->get_versions("CPU");  // opens the plugin
      made->add_extension<NonMaxSuppression>();
      made->add_extension<PluginOperation>();
      made->add_extension<RoundToBfloat16>();
      made->add_extension<RoundToFloat16>();
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

// The folder that libopenvino.so was opened from.
std::string openvino_folder() {
  Dl_info info{};
  const auto address = reinterpret_cast<const void*>(&ov::get_openvino_version);
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "the folder openvino/ of torchtrt's libraries";
  return std::filesystem::path(info.dli_fname).parent_path().string();
}

// kNotFound where OpenVINO takes no model at all, because a file of its installation is missing: it opens the files of
// model formats and devices by name, leaves out what it does not find, and then speaks as if the model were at fault.
void check_installation(const std::exception& reason) {
  static constexpr const char* kModel = R"(<net name="probe" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="1" element_type="f32"/>
<output><port id="0" precision="FP32"><dim>1</dim></port></output></layer>
<layer id="1" name="y" type="Result" version="opset1">
<input><port id="0" precision="FP32"><dim>1</dim></port></input></layer>
</layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges></net>)";
  const char* missing = "libopenvino_ir_frontend.so.*";
  try {
    const std::shared_ptr<ov::Model> model = core().read_model(kModel, ov::Tensor());
    missing = "libopenvino_intel_cpu_plugin.so";
    core().compile_model(model, "CPU", ov::num_streams(0));  // Without threads, which a forked process would wait for.
  } catch (const ov::Exception&) {
    fail(ErrorCode::kNotFound, missing, " is missing in ", openvino_folder(),
         " or does not open: install torch_tensorrt's package again, or copy the file there from the wheel openvino==",
         openvino_version(), ". OpenVINO says: ", reason.what());
  }
}

// Another release may not know what the building one wrote; the same release wrote something that is broken now.
[[noreturn]] void fail_to_load(const backend::LoadRequest& load, const char* doing, const std::exception& error) {
  check_installation(error);
  const std::string built_by = property(load, kVersionProperty);
  const bool other = !built_by.empty() && built_by != openvino_version();
  fail(other ? ErrorCode::kVersionMismatch : ErrorCode::kDataLoss, "engine \"", load.engine_name, "\": OpenVINO ",
       openvino_version(), " fails to ", doing, " what OpenVINO ", built_by.empty() ? "of unknown version" : built_by,
       " built", other ? ": compile the model again with this release, or run it with that one: " : ": ", error.what());
}

// Whether the processor computes in bfloat16, and rounds to it.
bool has_bfloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

// Without the processor's instructions the plugin computes bfloat16 more slowly than float32, and cuts bits off what lies
// between two layers: x - mean(x) of numbers near 1000 is off by 3.75.
bool computes_in_bfloat16(const backend::LoadRequest& load) {
  return property(load, kPrecisionProperty) == "bf16" && has_bfloat16();
}

std::shared_ptr<ov::Model> read(const backend::LoadRequest& load) {
  const ClassicNumbers classic;
  const std::span<const std::byte> xml = section(load, kModelSection);
  const std::span<const std::byte> weights = section(load, kWeightsSection);
  std::shared_ptr<ov::Model> model;
  try {
    // The constants stay where the package has them; OpenVINO only reads.
    // Constants without elements are read, too, and not from nothing.
    const ov::Tensor constants =
        weights.empty() ? ov::Tensor(ov::element::u8, {1})
                        : ov::Tensor(ov::element::u8, {weights.size()}, const_cast<std::byte*>(weights.data()));
    model = core().read_model(std::string(reinterpret_cast<const char*>(xml.data()), xml.size()), constants);
  } catch (const ov::Exception& error) {
    fail_to_load(load, "read", error);
  }
  for (const std::shared_ptr<ov::Node>& node : model->get_ops()) {
    if (const auto plugin = ov::as_type_ptr<PluginOperation>(node)) plugin->prepare(load.engine_name);
  }
  separate_packed_weights(*model);
  keep_constants(*model);
  keep_divisions(*model);
  if (!computes_in_bfloat16(load)) round_results(*model);
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

std::vector<ov::Output<ov::Node>> without_guards(const backend::LoadRequest& load,
                                                 std::vector<ov::Output<ov::Node>> outputs) {
  std::size_t guards = 0;
  const std::string text = property(load, kGuardsProperty);
  std::from_chars(text.data(), text.data() + text.size(), guards);
  TORCHTRT_CHECK(guards <= outputs.size(), kDataLoss, "engine \"", load.engine_name, "\" has ", outputs.size(),
                 " results and ", guards, " guards by its properties");
  for (; guards > 0; --guards) {
    const ov::Output<ov::Node>& guard = outputs.back();
    TORCHTRT_CHECK(guard.get_element_type() == ov::element::boolean && guard.get_partial_shape() == ov::PartialShape{},
                   kDataLoss, "engine \"", load.engine_name, "\": a guard of its OpenVINO model is ",
                   guard.get_element_type().to_string(), guard.get_partial_shape().to_string());
    outputs.pop_back();
  }
  return outputs;
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
  const ClassicNumbers classic;
  const bool bfloat16 = computes_in_bfloat16(load);
  const int streams = profiled ? 1 : load.settings.streams;
  const int threads = load.settings.threads;
  try {
    // In a forked process OpenVINO would wait for threads that it believes to be there, already when it compiles. Without
    // streams the calling thread computes, alone.
    if (forks() > 0) return compile(model, bfloat16, profiled, 0, 1);
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

// Whether runs of the model leave something behind in it, see RequestPool.
bool keeps_state(const ov::Model& model) {
  return std::ranges::any_of(model.get_ops(), [](const std::shared_ptr<ov::Node>& node) {
    return ov::is_type<PluginOperation>(node) || std::ranges::any_of(node->outputs(), [](const auto& output) {
             return output.get_partial_shape().is_dynamic();
           });
  });
}

// Where the model's plugins leave their errors from now on; null where there are none.
std::shared_ptr<RunFailure> keep_failures_of(const ov::Model& model) {
  std::shared_ptr<RunFailure> failure;
  for (const std::shared_ptr<ov::Node>& node : model.get_ops()) {
    const auto plugin = ov::as_type_ptr<PluginOperation>(node);
    if (plugin == nullptr) continue;
    if (failure == nullptr) failure = std::make_shared<RunFailure>();
    plugin->keep_failures(failure);
  }
  return failure;
}

}  // namespace

OpenVinoEngine::OpenVinoEngine(const backend::LoadRequest& load) : load_(load), name_(load.engine_name) {
  const std::shared_ptr<ov::Model> model = read(load);
  inputs_ = match_ports(load, model->inputs(), load.inputs, "input");
  outputs_ = match_ports(load, without_guards(load, model->outputs()), load.outputs, "output");
  guards_ = model->outputs().size() - outputs_.size();
  Guards guards = add_guards(*model);
  input_limits_ = std::move(guards.inputs);
  pools_[0] = make_pool(model, std::move(guards.limits), /*profiled=*/false);
}

std::shared_ptr<RequestPool> OpenVinoEngine::make_pool(const std::shared_ptr<ov::Model>& model,
                                                       std::vector<float> limits, bool profiled) const {
  PoolModel made;
  made.inputs = inputs_.size();
  made.outputs = outputs_.size();
  made.guards = guards_;
  made.limits = std::move(limits);
  made.keeps_state = keeps_state(*model);
  made.owner = load_.owner;
  if (profiled || load_.settings.streams == 1) made.failure = keep_failures_of(*model);  // before it is copied
  made.compiled = compile(load_, model, profiled);
  return std::make_shared<RequestPool>(std::move(made));
}

std::shared_ptr<RequestPool> OpenVinoEngine::make_pool(bool exact, bool profiled) const {
  const std::shared_ptr<ov::Model> model = read(load_);
  if (!exact) return make_pool(model, add_guards(*model).limits, profiled);
  make_exact_for_all_inputs(*model);
  return make_pool(model, {}, profiled);
}

std::shared_ptr<RequestPool> OpenVinoEngine::pool(bool exact) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<RequestPool>& pool = pools_[exact ? 1 : 0];
  if (pool == nullptr) {
    TORCHTRT_LOG(
        kWarning, "engine \"", name_,
        "\": an input holds NaN, an infinity, or a number so large that something may overflow. Such calls run a "
        "slower "
        "form of the engine that treats them as PyTorch does; it is compiled now and takes the engine's memory once "
        "more.");
  } else if (!pool->is_spoiled()) {
    return pool;
  } else if (!pool->is_left_behind()) {
    TORCHTRT_LOG(kWarning, "engine \"", name_,
                 "\": OpenVINO failed in a run, after which what it compiled cannot be trusted; it is compiled again");
  }
  pool = nullptr;  // its memory first
  return pool = make_pool(exact, /*profiled=*/false);
}

std::shared_ptr<ProfiledForm> OpenVinoEngine::profiled_form(bool exact) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<ProfiledForm>& form = profiled_[exact ? 1 : 0];
  if (form == nullptr || form->pool->is_spoiled()) {
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
  if (first.empty()) first = exact ? own : computing_layers(*pools_[0]->model().get_runtime_model());
  const bool same = std::equal(own.begin(), own.end(), first.begin(), first.end(),
                               [](const auto& one, const auto& other) { return one.type == other.type; });
  std::map<std::string, ProfiledForm::Layer> layers;
  for (std::size_t i = 0; i < own.size(); ++i) layers[own[i].name].name = same ? first[i].name : own[i].name;
  return layers;
}

void OpenVinoEngine::begin_profiling() {
  const std::lock_guard lock(mutex_);
  profiled_ = {};
}

std::string OpenVinoEngine::inspect() {
  try {
    return describe(*pool(/*exact=*/false)->model().get_runtime_model(), name_);
  } catch (const ov::Exception& error) {
    fail(ErrorCode::kInternal, "engine \"", name_, "\": OpenVINO does not say what it made of it: ", error.what());
  }
}

std::unique_ptr<backend::Context> OpenVinoEngine::create_context() { return std::make_unique<OpenVinoContext>(*this); }

}  // namespace torchtrt::openvino
