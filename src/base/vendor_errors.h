// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <torchtrt/base/export.h>

/// What vendors' libraries say through callbacks when a call of ours fails, until the exception about it is made. One
/// store for all modules of the process. Per thread.
namespace torchtrt {

TORCHTRT_API void note_vendor_error(std::string_view message);
/// The calling thread's messages since the last call, joined; "no reason given" if there are none.
TORCHTRT_API std::string take_vendor_errors();

}  // namespace torchtrt
