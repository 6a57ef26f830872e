// SPDX-License-Identifier: Apache-2.0
#include "python/converter_binding.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/stl.h>
#include <torch/csrc/Dtype.h>
#include <torch/csrc/DynamicTypes.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torchtrt/base/error.h>
#include <torchtrt/converters/plugin.h>
#include <torchtrt/converters/registry.h>

#include "python/torch_types.h"
#include "python/weights.h"

namespace torchtrt::python {
namespace {

namespace py = pybind11;
using converters::Context;
using network::ValueId;

/// A converters::Context for the time of one call. Values are numbers.
class ConverterContext {
 public:
  ConverterContext(Context& context, const graph::Node& node) : context_(&context), node_(&node) {}
  void close() { context_ = nullptr; }

  [[nodiscard]] py::tuple describe(std::uint32_t value) {
    const network::Value& found = net().value({value});
    py::list dims;
    for (const Expr& dim : found.dims) {
      if (dim.is_constant()) {
        dims.append(dim.value());
      } else {
        dims.append(dim.str());
      }
    }
    return py::make_tuple(found.name, to_torch(found.dtype), dims);
  }

  std::vector<std::uint32_t> add_layer(const std::string& kind, std::map<std::string, std::string> attributes,
                                       const std::vector<std::uint32_t>& operands, const std::string& name) {
    TORCHTRT_CHECK(kind != "constant", kInvalidArgument, "constants are added with add_constant");
    std::vector<ValueId> inputs;
    for (const std::uint32_t operand : operands) inputs.push_back({operand});
    std::vector<std::uint32_t> results;
    for (const ValueId id : net().add_layer(network::make_layer(kind, std::move(attributes)), inputs, name)) {
      results.push_back(id.index);
    }
    return results;
  }

  std::uint32_t add_constant(py::handle object) {
    TORCHTRT_CHECK(THPVariable_Check(object.ptr()), kTypeMismatch, "expected a tensor, got ",
                   Py_TYPE(object.ptr())->tp_name);
    const at::Tensor& tensor = THPVariable_Unpack(object.ptr());
    Dims dims;
    for (const std::int64_t size : tensor.sizes()) dims.emplace_back(size);
    return net().add_constant(std::move(dims), from_scalar_type(tensor.scalar_type()), share_elements(tensor)).index;
  }

  /// The symbol that the capture gave to a dimension of the node's results that only the data knows.
  [[nodiscard]] std::string count_symbol() {
    std::set<std::string> known;
    for (const network::Input& input : net().inputs()) {
      for (const Expr& dim : net().value(input.value).dims) dim.collect_symbols(known);
    }
    for (const graph::Node::Output& output : node_->outputs) {
      if (!output.meta) continue;
      for (const Expr& dim : output.meta->dims) {
        if (dim.is_symbol() && !known.contains(dim.symbol_name())) return dim.symbol_name();
      }
    }
    fail(ErrorCode::kInvalidArgument, "no dimension of the results of ", node_->target, " depends on data");
  }

  [[nodiscard]] py::object argument(const graph::Argument& argument);

 private:
  network::Network& net() {
    TORCHTRT_CHECK(context_ != nullptr, kInvalidArgument, "the network of a converter is used after its call ended");
    return context_->net();
  }
  static py::object to_torch(DataType dtype) {
    return py::reinterpret_borrow<py::object>(
        reinterpret_cast<PyObject*>(torch::getTHPDtype(torch_adapter::to_scalar_type(dtype))));
  }

  Context* context_;
  const graph::Node* node_;
};

/// A tensor among a node's arguments, by its number in the network.
struct ValueNumber {
  std::uint32_t index;
};
/// A symbolic integer among a node's arguments.
struct SizeText {
  std::string text;
};

py::object ConverterContext::argument(const graph::Argument& argument) {
  struct Visitor {
    ConverterContext& self;
    py::object operator()(std::monostate) const { return py::none(); }
    py::object operator()(bool value) const { return py::bool_(value); }
    py::object operator()(std::int64_t value) const { return py::int_(value); }
    py::object operator()(double value) const { return py::float_(value); }
    py::object operator()(const std::string& value) const { return py::str(value); }
    py::object operator()(DataType value) const { return to_torch(value); }
    py::object operator()(const Expr& value) const { return py::cast(SizeText{value.str()}); }
    py::object operator()(const graph::Ref& value) const {
      const ValueId* id = self.context_->lookup(value.name);
      TORCHTRT_CHECK(id != nullptr, kInternal, "%", value.name, " has no value yet");
      return py::cast(ValueNumber{id->index});
    }
    py::object operator()(const graph::List& list) const {
      py::list result;
      for (const graph::Argument& item : list) result.append(self.argument(item));
      return result;
    }
  };
  return std::visit(Visitor{*this}, argument.value);
}

/// Stands for convert_to_plugin where a Python function could.
struct PluginConverter {
  std::string library;
};

/// A Python object that C++ owns: released with the GIL.
std::shared_ptr<py::object> hold(py::object object) {
  return {new py::object(std::move(object)), [](py::object* held) {
            const py::gil_scoped_acquire gil;
            delete held;
          }};
}

void call_python(const py::object& function, Context& context, const graph::Node& node) {
  const py::gil_scoped_acquire gil;
  auto shared = std::make_shared<ConverterContext>(context, node);
  py::list args;
  py::dict kwargs;
  for (const graph::Argument& argument : node.args) args.append(shared->argument(argument));
  for (const auto& [name, argument] : node.kwargs) kwargs[py::str(name)] = shared->argument(argument);
  py::object results;
  try {
    results = function(shared, node.name, args, kwargs);
  } catch (py::error_already_set& error) {
    shared->close();
    if (error.matches(PyExc_NotImplementedError)) {
      converters::refuse(backend::Reason::kAttribute, std::string(py::str(error.value())));
    }
    throw;
  }
  shared->close();
  const auto values = results.cast<std::vector<std::uint32_t>>();
  TORCHTRT_CHECK(values.size() == node.outputs.size(), kInvalidArgument, "the converter returned ", values.size(),
                 " tensors for ", node.outputs.size(), " results");
  for (std::size_t i = 0; i < values.size(); ++i) context.set_output(node, {values[i]}, i);
}

converters::Registration register_converter(const std::string& target, const py::object& function, py::object validator,
                                            bool high_priority, bool supports_dynamic_shapes,
                                            bool requires_output_allocator, const std::string& name) {
  converters::Converter converter;
  converter.target = target;
  if (py::isinstance<PluginConverter>(function)) {
    converter.convert = [library = function.cast<PluginConverter>().library](Context& context,
                                                                             const graph::Node& node) {
      converters::convert_to_plugin(context, node, library);
    };
  } else {
    converter.convert = [held = hold(function)](Context& context, const graph::Node& node) {
      call_python(*held, context, node);
    };
  }
  if (!validator.is_none()) {
    converter.validate = [validator = hold(std::move(validator))](const graph::Node& node) {
      const py::gil_scoped_acquire gil;
      return (*validator)(node.name).cast<bool>();
    };
  }
  converter.priority = high_priority ? converters::Priority::kHigh : converters::Priority::kStandard;
  converter.supports_dynamic_shapes = supports_dynamic_shapes;
  converter.requires_output_allocator = requires_output_allocator;
  converter.name = name;
  return converters::register_converter(std::move(converter));
}

}  // namespace

void bind_converters(py::module_& module) {
  py::class_<ValueNumber>(module, "ValueNumber", "A tensor among the arguments of a node that is being converted.")
      .def_readonly("index", &ValueNumber::index);
  py::class_<SizeText>(module, "SizeText", "A symbolic integer among the arguments of a node that is being converted.")
      .def_readonly("text", &SizeText::text);
  py::class_<ConverterContext, std::shared_ptr<ConverterContext>>(
      module, "ConverterContext", "The network under construction, for the time of one converter's call.")
      .def("describe", &ConverterContext::describe, py::arg("value"), "(name, torch.dtype, [int | str])")
      .def("add_layer", &ConverterContext::add_layer, py::arg("kind"), py::arg("attributes"), py::arg("operands"),
           py::arg("name"), "Adds a layer whose attributes are as in the network's text form; gives its results.")
      .def("add_constant", &ConverterContext::add_constant, py::arg("tensor"))
      .def("count_symbol", &ConverterContext::count_symbol);
  py::class_<PluginConverter>(module, "PluginConverter", "Converts a node to a plugin that calls its operator.")
      .def(py::init<std::string>(), py::arg("library"));
  py::class_<converters::Registration>(module, "Registration", "Takes a converter back when it is released.");
  module.def(
      "register_converter", &register_converter, py::arg("target"), py::arg("function"), py::arg("validator"),
      py::kw_only(), py::arg("high_priority"), py::arg("supports_dynamic_shapes"), py::arg("requires_output_allocator"),
      py::arg("name"),
      "Registers `function(context, node name, args, kwargs) -> [result]`, or a PluginConverter, as a converter of "
      "`target`; NotImplementedError refuses the node. `validator(node name)` or None.");
}

}  // namespace torchtrt::python
