// SPDX-License-Identifier: Apache-2.0
#include "python/errors.h"

#include <array>
#include <cstring>
#include <string>
#include <utility>

#include <c10/util/Exception.h>
#include <torch/csrc/Exceptions.h>

#include <torchtrt/base/error.h>

namespace torchtrt::python {
namespace {

namespace py = pybind11;

constexpr std::array<std::pair<ErrorCode, const char*>, 5> kNamed = {{
    {ErrorCode::kUnsupported, "UnsupportedError"},
    {ErrorCode::kIncompatibleMode, "IncompatibleModeError"},
    {ErrorCode::kVersionMismatch, "VersionMismatchError"},
    {ErrorCode::kDataLoss, "DataLossError"},
    {ErrorCode::kInternal, "InternalError"},
}};
/// Owned by the module; alive as long as the interpreter.
std::array<PyObject*, kNamed.size()> types = {};

PyObject* type_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kOutOfRange: return PyExc_ValueError;
    case ErrorCode::kTypeMismatch: return PyExc_TypeError;
    case ErrorCode::kNotFound: return PyExc_FileNotFoundError;
    default: break;
  }
  for (std::size_t i = 0; i < kNamed.size(); ++i) {
    if (kNamed[i].first == code) return types[i];
  }
  return PyExc_RuntimeError;
}

/// Messages may quote a vendor's, or a file's bytes: what is not UTF-8 must not hide the rest.
void set_error(PyObject* type, const char* message) {
  PyObject* text = PyUnicode_DecodeUTF8(message, static_cast<Py_ssize_t>(std::strlen(message)), "backslashreplace");
  if (text == nullptr) return;
  PyErr_SetObject(type, text);
  Py_DECREF(text);
}

}  // namespace

void set_python_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (py::error_already_set& raised) {
    raised.restore();
  } catch (const Error& raised) {
    set_error(type_of(raised.code()), raised.what());
  } catch (const c10::Error&) {
    torch::translate_exception_to_python(error);  // IndexError and others, as in eager
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& raised) {
    set_error(PyExc_RuntimeError, raised.what());
  }
}

void bind_errors(py::module_& module) {
  PyObject* base = PyErr_NewExceptionWithDoc("torch_tensorrt._C.Error", "What torchtrt's C++ code reports.",
                                             PyExc_RuntimeError, nullptr);
  module.add_object("Error", base);
  for (std::size_t i = 0; i < kNamed.size(); ++i) {
    const std::string name = std::string("torch_tensorrt._C.") + kNamed[i].second;
    types[i] = PyErr_NewException(name.c_str(), base, nullptr);
    module.add_object(kNamed[i].second, types[i]);
  }
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const Error&) {
      set_python_error(error);
    }
  });
}

}  // namespace torchtrt::python
