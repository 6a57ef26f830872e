// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torchtrt/base/error.h>

#include "torch/dtypes.h"

namespace torchtrt::python {

/// Error(kTypeMismatch) for element types that the network does not know (complex, quantized, ...).
inline DataType from_scalar_type(at::ScalarType type) {
  const auto dtype = torch_adapter::from_scalar_type(type);
  TORCHTRT_CHECK(dtype.has_value(), kTypeMismatch, "element type ", c10::toString(type),
                 " has no counterpart in an engine");
  return *dtype;
}

}  // namespace torchtrt::python
