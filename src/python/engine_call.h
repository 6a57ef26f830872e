// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace torchtrt::python {

/// Adds `EngineCall(engine, single_output, dispatch)`: a callable over tensors that runs an engine without the
/// dispatcher and without converting a ScriptObject (10 us a call), whenever nothing wants to see the operator.
void bind_engine_call(pybind11::module_& module);

}  // namespace torchtrt::python
