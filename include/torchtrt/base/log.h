// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <torchtrt/base/error.h>

namespace torchtrt {

/// Severities, in the order of torch_tensorrt.logging: a message is shown when its level <= the set level.
enum class LogLevel : int { kInternalError = 0, kError = 1, kWarning = 2, kInfo = 3, kDebug = 4, kGraph = 5 };

/// Process-wide, atomic; default kWarning, or TORCHTRT_LOG_LEVEL (a name as in Python: "debug") at start.
TORCHTRT_API void set_log_level(LogLevel level);
TORCHTRT_API LogLevel log_level();
/// Replaces the destination (default: standard error, one whole line a message, serialized). Thread-safe.
TORCHTRT_API void set_log_sink(std::function<void(LogLevel, const std::string&)> sink);
TORCHTRT_API void write_log(LogLevel level, const std::string& message);

/// Formats and writes only if the level is shown, so that a suppressed message costs one atomic load.
#define TORCHTRT_LOG(level, ...)                                                                     \
  do {                                                                                               \
    if (::torchtrt::log_level() >= ::torchtrt::LogLevel::level) {                                    \
      ::torchtrt::write_log(::torchtrt::LogLevel::level, ::torchtrt::detail::concat(__VA_ARGS__));   \
    }                                                                                                \
  } while (false)

}  // namespace torchtrt
