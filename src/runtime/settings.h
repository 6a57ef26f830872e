// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torchtrt/backend/executor.h>
#include <torchtrt/runtime.h>

namespace torchtrt::runtime {

/// What an engine that is loaded now gets: the process-wide CPU settings with `threads` resolved.
TORCHTRT_API backend::ExecutorSettings current_executor_settings();

/// Where "as many threads as PyTorch uses" comes from. The torch adapter sets it; without it 0 stays 0, and the
/// executor decides.
TORCHTRT_API void set_default_thread_count(int (*provider)());

}  // namespace torchtrt::runtime
