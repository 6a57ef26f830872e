// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <torchtrt/backend/builder.h>

namespace torchtrt::compiler {

/// The builder of a target ("openvino", "tensorrt_rtx", "tensorrt"), opened on first use and kept for the process:
/// libtorchtrt_<target>_builder.so from the folders in TORCHTRT_BACKEND_PATH, then from beside libtorchtrt.so. For
/// "tensorrt" libtorchtrt_tensorrt11_builder.so and libtorchtrt_tensorrt10_builder.so: the one that finds its library
/// when it is first needed builds.
/// Error(kNotFound) that names what to install, Error(kVersionMismatch) for a module of another release, and
/// Error(kInvalidArgument) for a name that is no target. Thread-safe.
backend::Builder& builder(std::string_view target);

}  // namespace torchtrt::compiler
