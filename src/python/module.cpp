// SPDX-License-Identifier: Apache-2.0
// The Python module torch_tensorrt._C: bindings, no logic.
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/python_variable.h>

#include <torchtrt/base/log.h>

#include <torchtrt/converters/context.h>
#include <torchtrt/converters/plugin.h>
#include <torchtrt/converters/registry.h>
#include <torchtrt/graph/graph.h>
#include "compiler/builders.h"
#include "compiler/pipeline.h"
#include "format/package.h"
#include "python/converter_binding.h"
#include "python/engine_call.h"
#include "python/errors.h"
#include "python/file_writer.h"
#include "python/graph_binding.h"
#include "python/weights_watch.h"

namespace torchtrt::python {
namespace {

namespace py = pybind11;

/// A uint8 tensor over the bytes, which it then owns.
py::object to_tensor(std::vector<std::byte> bytes) {
  auto held = std::make_unique<std::vector<std::byte>>(std::move(bytes));
  auto* data = held->data();
  const auto size = static_cast<std::int64_t>(held->size());
  auto* owner = held.release();
  at::Tensor tensor = at::from_blob(data, {size}, [owner](void*) { delete owner; }, at::kByte);
  return py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(tensor)));
}

/// What compile() returns to Python: the state of an Engine, and what reports tell.
struct Built {
  std::string metadata;
  py::object payload;
  std::string network;
  std::size_t layers = 0;
};

Built to_built(compiler::CompiledEngine engine) {
  return {std::move(engine.metadata), to_tensor(std::move(engine.payload)), std::move(engine.network),
          engine.layer_count};
}

/// The failure of one node carries which and why as `refusal`, so that the caller can leave just that node out.
[[noreturn]] void raise(const compiler::ConversionError& error) {
  const py::object type = py::module_::import("torch_tensorrt._C").attr("UnsupportedError");
  py::object exception = type(error.what());
  exception.attr("refusal") = py::cast(error.refusal());
  PyErr_SetObject(type.ptr(), exception.ptr());
  throw py::error_already_set();
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), static_cast<std::size_t>(tensor.numel())};
}

Built compile(const graph::Graph& graph, const std::vector<std::string>& targets, const std::string& device,
              bool use_plugins, std::size_t workspace_size, std::optional<int> optimization_level, bool use_fp32_acc,
              std::vector<int> compute_capabilities, const std::string& inference_precision,
              const std::vector<std::map<std::string, std::array<std::int64_t, 3>>>& profiles, bool hardware_compatible,
              bool version_compatible, const std::string& timing_cache_path, bool weight_streaming,
              const std::string& torch_version, bool rebuildable, const std::string& refit, bool strip_weights,
              const std::optional<std::pair<std::string, py::object>>& former) {
  compiler::CompileSettings settings;
  settings.targets = targets;
  settings.device = device;
  settings.use_plugins = use_plugins;
  settings.build.workspace_size = workspace_size;
  settings.build.optimization_level = optimization_level;
  settings.build.use_fp32_acc = use_fp32_acc;
  settings.build.compute_capabilities = std::move(compute_capabilities);
  settings.build.inference_precision = inference_precision;
  for (const auto& profile : profiles) {
    auto& ranges = settings.build.profiles.emplace_back();
    for (const auto& [symbol, range] : profile) ranges[symbol] = {range[0], range[1], range[2]};
  }
  settings.build.hardware_compatible = hardware_compatible;
  settings.build.version_compatible = version_compatible;
  settings.build.timing_cache_path = timing_cache_path;
  settings.build.weight_streaming = weight_streaming;
  settings.build.refit = refit == "any"         ? backend::Refit::kAny
                         : refit == "identical" ? backend::Refit::kIdentical
                                                : backend::Refit::kNone;
  settings.build.strip_weights = strip_weights;
  settings.build.keep_going = [] {
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();  // Ctrl-C, as a rule
    return true;
  };
  settings.torch_version = torch_version;
  settings.rebuildable = rebuildable;
  std::optional<compiler::Package> package;
  at::Tensor payload;  // outlives the call
  if (former) {
    payload = THPVariable_Unpack(former->second.ptr());
    package = {former->first, bytes_of(payload)};
  }
  compiler::CompiledEngine engine;
  try {
    const py::gil_scoped_release release;
    engine = compiler::compile(graph, settings, package);
  } catch (const compiler::ConversionError& error) {
    raise(error);
  }
  return to_built(std::move(engine));
}

Built rebuild(const std::string& metadata, py::handle payload, std::vector<std::string> targets) {
  const at::Tensor bytes = THPVariable_Unpack(payload.ptr());
  compiler::CompiledEngine engine;
  {
    const py::gil_scoped_release release;
    engine = compiler::rebuild(metadata, bytes_of(bytes), std::move(targets));
  }
  return to_built(std::move(engine));
}

py::bytes package_bytes(const std::string& metadata, py::handle payload) {
  const auto image = format::write_file_image(metadata, bytes_of(THPVariable_Unpack(payload.ptr())));
  return {reinterpret_cast<const char*>(image.data()), image.size()};
}

}  // namespace

PYBIND11_MODULE(_C, module) {
  module.doc() = "Binding of torchtrt's compiler and runtime.";
  bind_errors(module);
  bind_graph(module);
  bind_engine_call(module);
  bind_converters(module);
  bind_file_writer(module);
  bind_weights_watch(module);

  py::class_<compiler::NodeRefusal>(module, "NodeRefusal", "A node that stays in PyTorch, and why.")
      .def_readonly("node", &compiler::NodeRefusal::node)
      .def_readonly("target", &compiler::NodeRefusal::target)
      .def_property_readonly(
          "reason",
          [](const compiler::NodeRefusal& item) { return std::string(backend::to_string(item.refusal.reason)); })
      .def_property_readonly("message", [](const compiler::NodeRefusal& item) { return item.refusal.message; })
      .def_readonly("source", &compiler::NodeRefusal::source);
  py::class_<Built>(module, "Built", "A compiled engine.")
      .def_readonly("metadata", &Built::metadata, "JSON text.")
      .def_readonly("payload", &Built::payload, "uint8 tensor.")
      .def_readonly("network", &Built::network, "The network's text form.")
      .def_readonly("layers", &Built::layers, "Number of network layers.");

  module.def(
      "supported_targets",
      [] {
        std::vector<std::string> names;
        for (const auto& row : converters::table()) names.emplace_back(row.target);
        for (const std::string_view target : converters::plugin_targets()) names.emplace_back(target);
        for (std::string& target : converters::user_targets()) names.push_back(std::move(target));
        return names;
      },
      "The ATen overloads that have a converter.");
  module.def(
      "query",
      [](const graph::Graph& graph, const std::vector<std::string>& targets, bool use_plugins) {
        compiler::CompileSettings settings;
        settings.targets = targets;
        settings.use_plugins = use_plugins;
        const py::gil_scoped_release release;
        return compiler::query(graph, settings);
      },
      py::arg("graph"), py::kw_only(), py::arg("targets"), py::arg("use_plugins"),
      "Which nodes cannot go to engines of these targets.");
  module.def(
      "builder_version",
      [](const std::string& target) {
        const py::gil_scoped_release release;
        return compiler::builder(target).version();
      },
      py::arg("target"), "The version of the library that builds for a target; an error if there is none.");
  module.def(
      "compile", &compile, py::arg("graph"), py::kw_only(), py::arg("targets"), py::arg("device"),
      py::arg("use_plugins"), py::arg("workspace_size"), py::arg("optimization_level"), py::arg("use_fp32_acc") = true,
      py::arg("compute_capabilities"), py::arg("inference_precision"),
      py::arg("profiles") = std::vector<std::map<std::string, std::array<std::int64_t, 3>>>(),
      py::arg("hardware_compatible") = false, py::arg("version_compatible") = false, py::arg("timing_cache_path") = "",
      py::arg("weight_streaming") = false, py::arg("torch_version"), py::arg("rebuildable") = false,
      py::arg("refit") = "none", py::arg("strip_weights") = false, py::arg("former") = py::none(),
      "Builds one engine from a graph of which every node is supported. `refit`: \"none\", \"identical\" or \"any\". "
      "`former`: metadata and payload of an engine to refit instead, where that can be done.");
  module.def("rebuild", &rebuild, py::arg("metadata"), py::arg("payload"), py::arg("targets"),
             "Builds an engine's packed network again, for these targets (none: those that it has).");
  module.def("package_bytes", &package_bytes, py::arg("metadata"), py::arg("payload"),
             "The engine package as one file's bytes.");
  module.def("set_log_level", [](int level) { set_log_level(static_cast<LogLevel>(level)); }, py::arg("level"));
  module.def("log_level", [] { return static_cast<int>(log_level()); });
}

}  // namespace torchtrt::python
