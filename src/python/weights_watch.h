// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace torchtrt::python {

/// Adds `WeightsWatch(args, indices, contents)`: whether a graph of torch.compile gets the weights that were compiled
/// into its engines. Asked before each call: 20 ns for a weight whose elements are in the cache.
void bind_weights_watch(pybind11::module_& module);

}  // namespace torchtrt::python
