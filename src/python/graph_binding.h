// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace torchtrt::python {

/// Adds `Graph` (how Python fills a graph::Graph), `Ref` and `Size` to the module.
void bind_graph(pybind11::module_& module);

}  // namespace torchtrt::python
