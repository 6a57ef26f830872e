// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <torchtrt/base/export.h>

/// Backend modules: shared libraries beside this one, opened when they are first needed.
namespace torchtrt {

/// The entry function `symbol` of the module `file`, which is looked for in the folders of TORCHTRT_BACKEND_PATH
/// (separated by ':') or, where that is not set, beside libtorchtrt_runtime.so. The module is opened with its symbols to
/// itself (vendors' libraries stay invisible to each other) and never closed (vendors' objects live on).
///
/// Error(kNotFound): it is in none of them, or does not open. Error(kVersionMismatch): it has no such function. Both end
/// with `remedy`, what the user does about it.
TORCHTRT_API void* module_entry(const std::string& file, const char* symbol, std::string_view remedy);

}  // namespace torchtrt
