// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace torchtrt::python {

/// Adds what converters written in Python need: `register_converter`, and `ConverterContext`, which they are called with.
void bind_converters(pybind11::module_& module);

}  // namespace torchtrt::python
