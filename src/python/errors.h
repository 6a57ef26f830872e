// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>

#include <pybind11/pybind11.h>

namespace torchtrt::python {

/// Adds the exception types: `Error` (a RuntimeError) and one subclass for each code that has no Python type of its
/// own.
void bind_errors(pybind11::module_& module);

/// Sets the Python error that stands for a C++ exception: ValueError for invalid arguments and values out of range,
/// TypeError for wrong types, FileNotFoundError for what is missing, and subclasses of `Error` for the rest.
void set_python_error(const std::exception_ptr& error);

}  // namespace torchtrt::python
