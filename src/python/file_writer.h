// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace torchtrt::python {

/// Adds `FileWriter(descriptor)`: a `write(buffer)` for PyTorch's writers, which end the process when it raises. It
/// never does, and runs no Python in which a signal's handler (Ctrl-C) could raise; the first error is kept as `error`,
/// an errno, and what is written after it is dropped.
void bind_file_writer(pybind11::module_& module);

}  // namespace torchtrt::python
