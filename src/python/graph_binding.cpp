// SPDX-License-Identifier: Apache-2.0
#include "python/graph_binding.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/csrc/Dtype.h>
#include <torch/csrc/autograd/python_variable.h>

#include <torchtrt/base/error.h>

#include <torchtrt/graph/graph.h>
#include "python/torch_types.h"
#include "python/weights.h"

namespace torchtrt::python {
namespace {

namespace py = pybind11;

/// A symbolic integer among a node's arguments, as text.
struct Size {
  std::string text;
};

/// A size of a shape: an int, or an expression's text.
Expr to_size(py::handle object) {
  if (PyLong_Check(object.ptr())) return Expr(object.cast<std::int64_t>());
  if (py::isinstance<py::str>(object)) return Expr::parse(object.cast<std::string>());
  fail(ErrorCode::kTypeMismatch, "a size must be an int or a string, got ", Py_TYPE(object.ptr())->tp_name);
}

Dims to_dims(const py::sequence& sizes) {
  Dims dims;
  dims.reserve(sizes.size());
  for (py::handle size : sizes) dims.push_back(to_size(size));
  return dims;
}

graph::Argument to_argument(py::handle object) {
  PyObject* raw = object.ptr();
  if (object.is_none()) return {std::monostate{}};
  if (PyBool_Check(raw)) return {object.cast<bool>()};
  if (PyLong_Check(raw)) return {object.cast<std::int64_t>()};
  if (PyFloat_Check(raw)) return {PyFloat_AS_DOUBLE(raw)};
  if (py::isinstance<py::str>(object)) return {object.cast<std::string>()};
  if (THPDtype_Check(raw)) return {from_scalar_type(reinterpret_cast<THPDtype*>(raw)->scalar_type)};
  if (py::isinstance<graph::Ref>(object)) return {object.cast<graph::Ref>()};
  if (py::isinstance<Size>(object)) return {Expr::parse(object.cast<Size>().text)};
  if (PyList_Check(raw) || PyTuple_Check(raw)) {
    graph::List list;
    for (py::handle element : py::reinterpret_borrow<py::sequence>(object)) list.push_back(to_argument(element));
    return {std::move(list)};
  }
  fail(ErrorCode::kTypeMismatch, "an argument of type ", Py_TYPE(raw)->tp_name, " has no place in a graph");
}

DataType to_dtype(py::handle object) {
  TORCHTRT_CHECK(THPDtype_Check(object.ptr()), kTypeMismatch, "expected a torch.dtype, got ",
                 Py_TYPE(object.ptr())->tp_name);
  return from_scalar_type(reinterpret_cast<THPDtype*>(object.ptr())->scalar_type);
}

void add_constant(graph::Graph& graph, const std::string& name, py::handle object) {
  TORCHTRT_CHECK(THPVariable_Check(object.ptr()), kTypeMismatch, "expected a tensor, got ",
                 Py_TYPE(object.ptr())->tp_name);
  const at::Tensor& tensor = THPVariable_Unpack(object.ptr());
  graph::Constant constant;
  constant.name = name;
  constant.meta.dtype = from_scalar_type(tensor.scalar_type());
  for (std::int64_t size : tensor.sizes()) constant.meta.dims.emplace_back(size);
  constant.weights = share_elements(tensor);
  graph.constants.push_back(std::move(constant));
}

void add_node(graph::Graph& graph, const std::string& name, const std::string& target, const py::sequence& args,
              const py::dict& kwargs, const py::sequence& outputs, const std::string& source) {
  graph::Node node;
  node.name = name;
  node.target = target;
  node.source = source;
  for (py::handle argument : args) node.args.push_back(to_argument(argument));
  for (auto [key, value] : kwargs) node.kwargs.emplace(key.cast<std::string>(), to_argument(value));
  for (py::handle item : outputs) {
    auto output = item.cast<py::tuple>();
    graph::Node::Output result;
    result.name = output[0].cast<std::string>();
    if (!output[1].is_none()) {
      result.meta = graph::TensorMeta{to_dtype(output[1]), to_dims(output[2].cast<py::sequence>())};
    }
    node.outputs.push_back(std::move(result));
  }
  graph.nodes.push_back(std::move(node));
}

}  // namespace

void bind_graph(py::module_& module) {
  py::class_<graph::Ref>(module, "Ref", "Use of a value by name, among a node's arguments.")
      .def(py::init([](std::string name) { return graph::Ref{std::move(name)}; }), py::arg("name"));
  py::class_<Size>(module, "Size", "A symbolic integer, as an expression's text, among a node's arguments.")
      .def(py::init([](std::string text) { return Size{std::move(text)}; }), py::arg("text"));
  py::class_<graph::Graph>(module, "Graph", "An ATen graph under construction; nodes are added in execution order.")
      .def(py::init([](std::string name) {
             graph::Graph graph;
             graph.name = std::move(name);
             return graph;
           }),
           py::arg("name"))
      .def(
          "add_symbol",
          [](graph::Graph& graph, const std::string& name, std::int64_t min, std::int64_t opt,
             std::optional<std::int64_t> max) {
            graph.symbols[name] = network::SymbolRange{min, opt, max.value_or(Interval::kUnbounded)};
          },
          py::arg("name"), py::arg("min"), py::arg("opt"), py::arg("max"), "Declares a symbol; max=None: no limit.")
      .def(
          "add_input",
          [](graph::Graph& graph, const std::string& name, py::handle dtype, const py::sequence& dims) {
            graph.inputs.push_back({name, {to_dtype(dtype), to_dims(dims)}, ""});
          },
          py::arg("name"), py::arg("dtype"), py::arg("dims"))
      .def("add_constant", &add_constant, py::arg("name"), py::arg("tensor"),
           "A constant that shares the tensor's elements (a copy only where the tensor is not contiguous).")
      .def("add_node", &add_node, py::arg("name"), py::arg("target"), py::arg("args"), py::arg("kwargs"),
           py::arg("outputs"), py::arg("source") = "",
           "`outputs`: one (name, dtype, dims) for each result; dtype None where the result is no tensor.")
      .def(
          "set_outputs", [](graph::Graph& graph, std::vector<std::string> names) { graph.outputs = std::move(names); },
          py::arg("names"))
      .def("verify", &graph::Graph::verify)
      .def("__str__", [](const graph::Graph& graph) { return graph::print(graph); });
}

}  // namespace torchtrt::python
