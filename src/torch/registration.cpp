// SPDX-License-Identifier: Apache-2.0
// The torch class `tensorrt.Engine` and the operators `tensorrt::*`, under the names that saved programs hold.
#include <climits>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/library.h>

#include <torchtrt/base/log.h>
#include <torchtrt/runtime.h>

#include "runtime/device.h"
#include "runtime/executor_loader.h"
#include "runtime/settings.h"
#include "torch/aten_executor.h"
#include "torch/cuda_device.h"
#include "torch/engine_call.h"
#include "torch/engine_holder.h"
#include "torch/errors.h"
#include "torch/input_check.h"

namespace torchtrt {

// Registration happens when the library is loaded; a call of this function is a reason for the linker to load it.
void load_runtime() {}

namespace torch_adapter {
namespace {

using EnginePointer = c10::intrusive_ptr<EngineHolder>;
using State = std::tuple<std::string, at::Tensor>;

EnginePointer make_engine(std::string metadata, const at::Tensor& payload) {
  return translate([&] { return c10::make_intrusive<EngineHolder>(std::move(metadata), payload); });
}

std::vector<at::Tensor> execute_engine(at::TensorList inputs, const EnginePointer& engine) {
  TORCH_CHECK_TYPE(engine != nullptr, "tensorrt::execute_engine needs an engine, but got None");
  // AOTInductor's calls cannot hand over an empty list: packages give an engine of constants a tensor to leave alone.
  if (engine->engine().metadata().inputs.empty()) inputs = {};
  return translate([&] { return run_engine(*engine, inputs); });
}

constexpr const char* kNoDerivative =
    "a compiled engine computes no gradient: it is for inference. Differentiate the original model, or detach the "
    "inputs, or call the compiled one under torch.no_grad()";

/// A node of the autograd graph. PyTorch holds them by std::shared_ptr, from 2.15 on by c10::intrusive_ptr.
template <class Node, class Pointer, class... Arguments>
Pointer make_node(Arguments&&... arguments) {
  if constexpr (std::is_constructible_v<Pointer, std::shared_ptr<Node>>) {
    return std::make_shared<Node>(std::forward<Arguments>(arguments)...);
  } else {
    return c10::make_intrusive<Node>(std::forward<Arguments>(arguments)...);
  }
}

/// Engines have no derivative: asking for one is an error, not a gradient of zero. A result depends on the inputs that
/// require a gradient, by a node that raises when backward reaches it; forward mode raises at once.
std::vector<at::Tensor> execute_engine_autograd(at::TensorList inputs, const EnginePointer& engine) {
  for (const at::Tensor& input : inputs) {
    TORCH_CHECK_NOT_IMPLEMENTED(!input._fw_grad(/*level=*/0).defined(), kNoDerivative);
  }
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tensorrt::execute_engine", "")
                             .typed<std::vector<at::Tensor>(at::TensorList, const EnginePointer&)>();
  std::vector<at::Tensor> outputs;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    outputs = op.call(inputs, engine);
  }
  if (torch::autograd::compute_requires_grad(inputs)) {
    const auto node = make_node<torch::autograd::Error, decltype(torch::autograd::Edge::function)>(
        kNoDerivative, torch::autograd::collect_next_edges(inputs));
    for (at::Tensor& output : outputs) {
      if (torch::autograd::isDifferentiableType(output.scalar_type())) torch::autograd::set_history(output, node);
    }
  }
  return outputs;
}

void check_program_inputs(at::TensorList inputs, std::string_view expected, bool contiguous) {
  translate([&] { check_inputs(inputs, expected, contiguous); });
}

bool is_same_engine(const EnginePointer& engine, const c10::IValue& other) {
  return other.isCustomClass() && other.toObject()->getSlot(0).toCapsule() == engine;
}

runtime::EngineMode to_mode(std::int64_t mode) {
  TORCH_CHECK_VALUE(mode >= 0 && mode <= 2,
                    "a mode is 0 (CUDA graphs), 1 (output allocator) or 2 (pre-allocated outputs), not ", mode);
  return static_cast<runtime::EngineMode>(mode);
}

std::int64_t open_profile(const EnginePointer& engine, std::int64_t profile) {
  const int count = engine->engine().profile_count();
  TORCH_CHECK_VALUE(profile >= -1 && profile < count, "an optimization profile of this engine is 0 to ", count - 1,
                    ", or -1 (automatic), not ", profile);
  return engine->engine().profile().open(static_cast<int>(profile));
}

std::vector<std::vector<std::int64_t>> infer_outputs(const EnginePointer& engine,
                                                     const std::vector<std::vector<std::int64_t>>& shapes) {
  return translate([&] { return engine->engine().infer_output_shapes(shapes); });
}

void set_runtime_settings(const EnginePointer& engine, std::int64_t kernels, std::int64_t graphs, std::string cache) {
  TORCH_CHECK_VALUE(kernels >= 0 && kernels <= 2,
                    "kernels for dynamic shapes: 0 (lazily), 1 (eagerly) or 2 (never), not ", kernels);
  TORCH_CHECK_VALUE(graphs == 0 || graphs == 1, "CUDA graph strategy: 0 (disabled) or 1 (whole-graph capture), not ",
                    graphs);
  runtime::RuntimeSettings settings;
  settings.dynamic_shapes_kernel_specialization = static_cast<runtime::KernelSpecialization>(kernels);
  settings.cuda_graph_strategy = static_cast<runtime::CudaGraphStrategy>(graphs);
  settings.runtime_cache = std::move(cache);
  translate([&] { engine->engine().set_runtime_settings(settings); });
}

}  // namespace

TORCH_LIBRARY(tensorrt, m) {
  runtime::set_default_thread_count([] { return at::get_num_threads(); });
  runtime::set_device_api(&cuda_device);
  runtime::register_executor(aten_executor());

  m.class_<EngineHolder>("Engine")
      .def(torch::init([](std::string metadata, const at::Tensor& payload) {
             return make_engine(std::move(metadata), payload);
           }),
           "Makes an engine from its state; the vendor's engine is loaded by the first run.",
           {torch::arg("metadata"), torch::arg("payload")})
      .def("name", [](const EnginePointer& self) { return self->name(); })
      .def("metadata", [](const EnginePointer& self) { return self->metadata(); })
      .def("payload", [](const EnginePointer& self) { return self->payload(); })
      .def("requires_output_allocator",
           [](const EnginePointer& self) { return self->engine().metadata().requires_output_allocator; })
      .def(
          "target", [](const EnginePointer& self) { return self->engine().target(); },
          "Which of its targets runs, on the first device that it ran on; empty before that.")
      .def(
          "exact_calls",
          [](const EnginePointer& self) {
            const auto calls = self->engine().exact_calls();
            return std::tuple<std::int64_t, std::int64_t>(calls.outside, calls.failed);
          },
          "Calls that the engine's exact form answered: for values outside of what was compiled, and after failures.")
      .def("enable_mode", [](const EnginePointer& self, std::int64_t mode) { self->engine().acquire(to_mode(mode)); },
           "Turns on CUDA graphs (0), the output allocator (1) or pre-allocated outputs (2); each call wants one of "
           "disable_mode.",
           {torch::arg("mode")})
      .def("disable_mode", [](const EnginePointer& self, std::int64_t mode) { self->engine().release(to_mode(mode)); },
           "Takes one enable_mode back.", {torch::arg("mode")})
      .def("mode_is_on",
           [](const EnginePointer& self, std::int64_t mode) { return self->engine().is_on(to_mode(mode)); },
           "Whether an enable_mode is open.", {torch::arg("mode")})
      .def("optimization_profile_count",
           [](const EnginePointer& self) -> std::int64_t { return self->engine().profile_count(); })
      .def(
          "optimization_profile",
          [](const EnginePointer& self) -> std::int64_t { return self->engine().profile().current(); },
          "The optimization profile that calls run; -1: the one that fits best.")
      .def("open_profile", &open_profile,
           "Calls run this profile (-1: the one that fits best) until close_profile() or a later open_profile(); gives "
           "a "
           "ticket.",
           {torch::arg("profile")})
      .def("close_profile",
           [](const EnginePointer& self, std::int64_t ticket) { self->engine().profile().close(ticket); },
           "Takes one open_profile back.", {torch::arg("ticket")})
      .def("infer_outputs", &infer_outputs,
           "Shapes of the outputs for shapes of the inputs; -1 where only the data decides.",
           {torch::arg("input_shapes")})
      .def(
          "get_engine_layer_info",
          [](const EnginePointer& self) { return translate([&] { return runtime::inspect(self->handle()); }); },
          "What the backend made of the engine, as JSON; loads the engine if it was not yet.")
      .def(
          "dump_engine_layer_info",
          [](const EnginePointer& self) {
            std::cout << translate([&] { return runtime::inspect(self->handle()); }) << std::endl;
          },
          "Prints get_engine_layer_info().")
      .def("runtime_settings",
           [](const EnginePointer& self) {
             const runtime::RuntimeSettings settings = runtime::runtime_settings(self->handle());
             return std::tuple<std::int64_t, std::int64_t, std::string>(
                 static_cast<std::int64_t>(settings.dynamic_shapes_kernel_specialization),
                 static_cast<std::int64_t>(settings.cuda_graph_strategy), settings.runtime_cache);
           })
      .def("set_runtime_settings", &set_runtime_settings,
           "Settings of TensorRT-RTX: kernels for dynamic shapes (0 lazily, 1 eagerly, 2 never), its CUDA graphs (0 or "
           "1), the file of its runtime cache or an empty text.",
           {torch::arg("kernels"), torch::arg("graphs"), torch::arg("cache")})
      .def(
          "save_runtime_cache",
          [](const EnginePointer& self) { translate([&] { self->engine().save_runtime_cache(); }); },
          "Writes the runtime cache now, if there is one and it grew.")
      // PyTorch's caches of traced calls compare their arguments.
      .def("__eq__", &is_same_engine)
      .def("__ne__", [](const EnginePointer& self, const c10::IValue& other) { return !is_same_engine(self, other); })
      .def("__str__", [](const EnginePointer& self) { return self->describe(); })
      .def("__repr__", [](const EnginePointer& self) { return self->describe(); })
      .def("__obj_flatten__", [](const EnginePointer& self) { return self->flatten(); })
      // torch.export uses the object as it is: its shapes come from the metadata, not from a fake class.
      .def("tracing_mode", [](const EnginePointer&) { return std::string("real"); })
      .def_pickle([](const EnginePointer& self) { return State(self->metadata(), self->payload()); },
                  [](State state) { return make_engine(std::move(std::get<0>(state)), std::get<1>(state)); });

  m.def("execute_engine(Tensor[] input_tensors, __torch__.torch.classes.tensorrt.Engine engine) -> Tensor[]",
        {at::Tag::pt2_compliant_tag});
  // Conservative: TorchScript drops calls without results unless they may have effects.
  m.def(torch::schema("check_inputs(Tensor[] inputs, str expected, bool contiguous=False) -> ()",
                      c10::AliasAnalysisKind::CONSERVATIVE),
        {at::Tag::pt2_compliant_tag});

  // TorchScript's compiler does not see aten::view.dtype: it would take the dtype for a list of one size.
  m.def("view_dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)",
        [](const at::Tensor& self, at::ScalarType dtype) { return self.view(dtype); });

  m.def("ABI_VERSION() -> str", [] { return std::to_string(format::kFormatVersion); });
  m.def("get_multi_device_safe_mode() -> bool", [] { return runtime::multi_device_safe_mode(); });
  m.def("set_multi_device_safe_mode(bool mode) -> ()", [](bool mode) { runtime::set_multi_device_safe_mode(mode); });
  m.def("get_rebuild_engines() -> bool", [] { return runtime::rebuild_engines(); });
  m.def("set_rebuild_engines(bool enabled) -> ()", [](bool enabled) { runtime::set_rebuild_engines(enabled); });
  m.def("get_cudagraphs_mode() -> int", [] { return static_cast<std::int64_t>(runtime::cudagraphs_mode()); });
  m.def("set_cudagraphs_mode(int mode) -> ()", [](std::int64_t mode) {
    TORCH_CHECK_VALUE(mode >= 0 && mode <= 2,
                      "a CUDA graphs mode is 0 (standard), 1 (subgraph) or 2 (whole graph), not ", mode);
    runtime::set_cudagraphs_mode(static_cast<runtime::CudaGraphsMode>(mode));
  });
  m.def("get_cpu_settings() -> (int streams, int threads)", [] {
    const runtime::CpuSettings settings = runtime::cpu_settings();
    return std::tuple<std::int64_t, std::int64_t>(settings.streams, settings.threads);
  });
  m.def("set_cpu_settings(int streams, int threads) -> ()", [](std::int64_t streams, std::int64_t threads) {
    TORCH_CHECK_VALUE(streams >= INT_MIN && streams <= INT_MAX && threads >= INT_MIN && threads <= INT_MAX,
                      "CPU settings out of range: ", streams, ", ", threads);
    translate([&] { runtime::set_cpu_settings({static_cast<int>(streams), static_cast<int>(threads)}); });
  });
  m.def("get_nvtx() -> bool", [] { return runtime::nvtx(); });
  m.def("set_nvtx(bool enabled) -> ()", [](bool enabled) { translate([&] { runtime::set_nvtx(enabled); }); });
  m.def("get_logging_level() -> int", [] { return static_cast<std::int64_t>(log_level()); });
  m.def("set_logging_level(int level) -> ()", [](std::int64_t level) {
    TORCH_CHECK_VALUE(level >= 0 && level <= 5, "a logging level is 0 (internal errors) to 5 (graphs), not ", level);
    set_log_level(static_cast<LogLevel>(level));
  });
}

TORCH_LIBRARY_IMPL(tensorrt, CompositeExplicitAutograd, m) {
  m.impl("execute_engine", TORCH_FN(execute_engine));
  m.impl("check_inputs", TORCH_FN(check_program_inputs));
}

TORCH_LIBRARY_IMPL(tensorrt, Autograd, m) {
  m.impl("execute_engine", TORCH_FN(execute_engine_autograd));
  m.impl("check_inputs", torch::CppFunction::makeFallthrough());
}

// The check is about the memory: it must see lazy views as they are, not resolved.
TORCH_LIBRARY_IMPL(tensorrt, Negative, m) { m.impl("check_inputs", torch::CppFunction::makeFallthrough()); }
TORCH_LIBRARY_IMPL(tensorrt, Conjugate, m) { m.impl("check_inputs", torch::CppFunction::makeFallthrough()); }

}  // namespace torch_adapter
}  // namespace torchtrt
