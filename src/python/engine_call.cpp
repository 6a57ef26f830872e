// SPDX-License-Identifier: Apache-2.0
#include "python/engine_call.h"

#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <pybind11/stl.h>
#include <structmember.h>

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/core/ivalue.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <c10/util/SmallVector.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/api/object.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/serialization/export.h>
#include <torchtrt/runtime.h>

#include "base/classic_numbers.h"
#include "python/errors.h"
#include "runtime/weight_streaming.h"
#include "torch/engine_call.h"
#include "torch/engine_search.h"

// A type of CPython's own making, not pybind11's: the vectorcall protocol hands over the arguments where they lie.
namespace torchtrt::python {
namespace {

namespace py = pybind11;
using Engine = c10::intrusive_ptr<torch_adapter::EngineHolder>;

struct EngineCall {
  PyObject_HEAD vectorcallfunc call;
  bool single_output;
  PyObject* dispatch;  ///< Called with the same arguments where the operator must be visible.
  Engine engine;
};

/// Whether somebody looks at operators instead of running them: modes, tracers, functorch.
bool observed() {
  constexpr c10::DispatchKeySet kObservers({c10::DispatchKey::Python, c10::DispatchKey::PythonTLSSnapshot,
                                            c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
                                            c10::DispatchKey::Functionalize, c10::DispatchKey::Tracer});
  return c10::impl::TorchDispatchModeTLS::any_modes_set() || at::impl::PythonTorchFunctionTLS::stack_len() > 0 ||
         c10::impl::tls_local_dispatch_key_set().included_.has_any(kObservers) || torch::jit::tracer::isTracing();
}

/// A tensor that holds plain elements: no Python subclass, no functional or functorch wrapper, no meta tensor.
bool is_plain(const at::Tensor& tensor) {
  constexpr c10::DispatchKeySet kWrappers({c10::DispatchKey::Python, c10::DispatchKey::Functionalize,
                                           c10::DispatchKey::FuncTorchBatched, c10::DispatchKey::FuncTorchGradWrapper,
                                           c10::DispatchKey::Conjugate, c10::DispatchKey::Negative});
  return !tensor.key_set().has_any(kWrappers) && !tensor.is_meta();
}

/// Whether somebody may ask for a derivative by this input; only the operator says that there is none.
bool is_differentiated(const at::Tensor& tensor) {
  return (tensor.requires_grad() && at::GradMode::is_enabled()) || tensor._fw_grad(/*level=*/0).defined();
}

PyObject* wrap(EngineCall* self, std::vector<at::Tensor>& outputs) {
  if (self->single_output) return THPVariable_Wrap(std::move(outputs.at(0)));
  PyObject* tuple = PyTuple_New(static_cast<Py_ssize_t>(outputs.size()));
  if (tuple == nullptr) return nullptr;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    PyObject* item = THPVariable_Wrap(std::move(outputs[i]));
    if (item == nullptr) {
      Py_DECREF(tuple);
      return nullptr;
    }
    PyTuple_SET_ITEM(tuple, static_cast<Py_ssize_t>(i), item);
  }
  return tuple;
}

PyObject* call(PyObject* object, PyObject* const* args, std::size_t flags, PyObject* names) {
  auto* self = reinterpret_cast<EngineCall*>(object);
  const auto count = static_cast<std::size_t>(PyVectorcall_NARGS(flags));
  bool direct = names == nullptr && !observed();
  c10::SmallVector<at::Tensor, 8> inputs;
  for (std::size_t i = 0; direct && i < count; ++i) {
    if (!THPVariable_CheckExact(args[i])) {
      direct = false;
      break;
    }
    const at::Tensor& input = THPVariable_Unpack(args[i]);
    direct = is_plain(input) && !is_differentiated(input);
    if (direct) inputs.push_back(input);
  }
  if (!direct) return PyObject_Vectorcall(self->dispatch, args, flags, names);
  try {
    std::vector<at::Tensor> outputs;
    {
      py::gil_scoped_release release;
      outputs = torch_adapter::run_engine(*self->engine, inputs);
    }
    return wrap(self, outputs);
  } catch (...) {
    set_python_error(std::current_exception());
    return nullptr;
  }
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject* /*kwargs*/) {
  PyObject* engine = nullptr;
  int single_output = 0;
  PyObject* dispatch = nullptr;
  if (PyArg_ParseTuple(args, "OpO", &engine, &single_output, &dispatch) == 0) return nullptr;
  try {
    auto holder = c10::IValue(py::handle(engine).cast<torch::jit::Object>()._ivalue())
                      .toCustomClass<torch_adapter::EngineHolder>();
    PyObject* object = type->tp_alloc(type, 0);
    if (object == nullptr) return nullptr;
    auto* self = reinterpret_cast<EngineCall*>(object);
    self->call = &call;
    self->single_output = single_output != 0;
    self->dispatch = Py_NewRef(dispatch);
    new (&self->engine) Engine(std::move(holder));
    return object;
  } catch (...) {
    set_python_error(std::current_exception());
    return nullptr;
  }
}

int traverse(PyObject* object, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(reinterpret_cast<EngineCall*>(object)->dispatch);
  return 0;
}

int clear(PyObject* object) {
  Py_CLEAR(reinterpret_cast<EngineCall*>(object)->dispatch);
  return 0;
}

void destroy(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  clear(object);
  reinterpret_cast<EngineCall*>(object)->engine.~Engine();
  type->tp_free(object);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(EngineCall, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(&create)},
    {Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
    {Py_tp_traverse, reinterpret_cast<void*>(&traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(&clear)},
    {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
    {Py_tp_members, members},
    {0, nullptr},
};
PyType_Spec spec = {"torch_tensorrt._C.EngineCall", sizeof(EngineCall), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

void replace_script_engines(const torch::jit::Module& scripted, const py::list& from, const py::list& to) {
  const auto value_of = [](const py::handle& object) {
    return c10::IValue(object.cast<torch::jit::Object>()._ivalue());
  };
  for (torch::jit::Module module : scripted.modules()) {
    for (const auto& [name, value] : module.named_attributes(/*recurse=*/false)) {
      for (std::size_t i = 0; value.isObject() && i < from.size(); ++i) {
        if (value.toObject() == value_of(from[i]).toObject()) module.setattr(name, value_of(to[i]));
      }
    }
  }
}

void save_script(const torch::jit::Module& scripted, const py::function& write,
                 const std::unordered_map<std::string, std::string>& extra_files) {
  const auto writer = [&write](const void* data, std::size_t size) {
    if (size > 0) write(py::memoryview::from_memory(data, static_cast<py::ssize_t>(size)));
    return size;
  };
  const ClassicNumbers classic;  // the program's numbers are its text
  torch::jit::ExportModule(scripted, writer, extra_files);
}

py::list to_script_objects(const std::vector<c10::IValue>& engines) {
  py::list objects;
  for (const c10::IValue& engine : engines) objects.append(torch::jit::Object(engine.toObject()));
  return objects;
}

torch_adapter::EngineHolder& holder_of(py::handle engine) {
  return *c10::IValue(engine.cast<torch::jit::Object>()._ivalue()).toCustomClass<torch_adapter::EngineHolder>();
}

std::vector<runtime::EngineHandle> handles_of(const std::vector<py::object>& engines) {
  std::vector<runtime::EngineHandle> handles;
  for (const py::object& engine : engines) handles.push_back(holder_of(engine).handle());
  return handles;
}

/// A load or a call on another thread may need the interpreter before `work` is through.
template <typename Work>
auto without_interpreter(const std::vector<py::object>& engines, Work&& work) {
  const std::vector<runtime::EngineHandle> handles = handles_of(engines);
  const py::gil_scoped_release release;
  return work(handles);
}

void bind_weight_streaming(py::module_& module) {
  py::class_<runtime::SavedBudgets>(module, "SavedBudgets", "Weight streaming budgets of engines, to be put back.")
      .def(py::init([](const std::vector<py::object>& engines) {
             return without_interpreter(
                 engines, [](const auto& handles) { return std::make_unique<runtime::SavedBudgets>(handles); });
           }),
           py::arg("engines"))
      .def("restore", &runtime::SavedBudgets::restore, py::call_guard<py::gil_scoped_release>());
  module.def(
      "weight_streaming",
      [](const std::vector<py::object>& engines) {
        const auto sum =
            without_interpreter(engines, [](const auto& handles) { return runtime::weight_streaming(handles); });
        return py::make_tuple(sum.streamable, sum.budget, sum.automatic);
      },
      py::arg("engines"), "Streamable bytes of weights, the budget, and the library's own proposal, over all engines.");
  module.def(
      "set_weight_streaming_budget",
      [](const std::vector<py::object>& engines, std::int64_t bytes) {
        without_interpreter(engines,
                            [bytes](const auto& handles) { runtime::set_weight_streaming_budget(handles, bytes); });
      },
      py::arg("engines"), py::arg("bytes"), "See torchtrt::runtime::set_weight_streaming_budget.");
}

void bind_profiler(py::module_& module) {
  py::class_<runtime::Profiler>(module, "Profiler", "Measures the layers of engines until stop().")
      .def(py::init([](const std::vector<py::object>& engines) {
             return std::make_unique<runtime::Profiler>(handles_of(engines));
           }),
           py::arg("engines"))
      .def("stop", &runtime::Profiler::stop, py::call_guard<py::gil_scoped_release>())
      .def(
          "result",
          [](const runtime::Profiler& profiler) {
            py::list engines;
            for (const runtime::EngineProfile& engine : profiler.result()) {
              py::list layers;
              for (const runtime::LayerProfile& layer : engine.layers) {
                layers.append(py::make_tuple(layer.name, layer.calls, layer.total_ms, layer.last_ms));
              }
              engines.append(py::make_tuple(engine.engine, layers));
            }
            return engines;
          },
          "A pair of name and layers for each engine; layers are (name, calls, total ms, last ms).");
}

}  // namespace

void bind_engine_call(py::module_& module) {
  bind_profiler(module);
  bind_weight_streaming(module);
  module.def(
      "live_engines",
      [] {
        std::vector<c10::IValue> engines;
        for (auto& engine : torch_adapter::live_engines()) engines.emplace_back(std::move(engine));
        return to_script_objects(engines);
      },
      "The engines of the process, each once.");
  module.def(
      "script_engines",
      [](const torch::jit::Module& scripted) { return to_script_objects(torch_adapter::find_engines(scripted)); },
      py::arg("module"), "The engines among a scripted module's attributes, its submodules' included.");
  module.def("save_script", &save_script, py::arg("module"), py::arg("write"), py::arg("extra_files"),
             "Writes a scripted module through `write(bytes)`, which must not raise: PyTorch's writer ends the process "
             "then.");
  module.def("replace_script_engines", &replace_script_engines, py::arg("module"), py::arg("old"), py::arg("new"),
             "Puts engines into the places of others, in a scripted module and its submodules.");
  module.def(
      "package_engines",
      [](const std::string& path) { return to_script_objects(torch_adapter::find_engines_of_package(path)); },
      py::arg("path"), "The engines of a package of AOTInductor: those of whoever has loaded it.");
  module.add_object("EngineCall", py::reinterpret_steal<py::object>(PyType_FromSpec(&spec)));
}

}  // namespace torchtrt::python
