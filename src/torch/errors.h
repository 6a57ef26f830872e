// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <c10/util/Exception.h>

#include <torchtrt/base/error.h>

namespace torchtrt::torch_adapter {

/// Throws torch's exception for `error`; Python sees ValueError, TypeError, NotImplementedError or RuntimeError.
[[noreturn]] inline void rethrow_as_torch(const Error& error) {
  const c10::SourceLocation here{__func__, "src/torch/errors.h", static_cast<std::uint32_t>(__LINE__)};
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kOutOfRange: throw c10::ValueError(here, error.what());
    case ErrorCode::kTypeMismatch: throw c10::TypeError(here, error.what());
    default: throw c10::Error(here, error.what());
  }
}

/// Calls `function` and translates what it throws.
template <typename Function>
decltype(auto) translate(Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (const Error& error) {
    rethrow_as_torch(error);
  }
}

}  // namespace torchtrt::torch_adapter
