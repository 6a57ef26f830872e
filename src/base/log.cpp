// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/base/log.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <utility>

namespace torchtrt {
namespace {

constexpr std::array<std::string_view, 6> kLevelNames{"internal_error", "error", "warning", "info", "debug", "graph"};

LogLevel initial_level() {
  const char* wanted = std::getenv("TORCHTRT_LOG_LEVEL");
  if (wanted != nullptr) {
    for (std::size_t i = 0; i < kLevelNames.size(); ++i) {
      if (kLevelNames[i] == wanted) {
        return static_cast<LogLevel>(i);
      }
    }
  }
  return LogLevel::kWarning;
}

std::atomic<LogLevel>& level_variable() {
  static std::atomic<LogLevel> level{initial_level()};
  return level;
}

// Never destroyed: a message may come while the process exits.
struct Sink {
  std::mutex mutex;
  std::function<void(LogLevel, const std::string&)> write;
};
Sink& sink() {
  static Sink* instance = new Sink;
  return *instance;
}

}  // namespace

void set_log_level(LogLevel level) { level_variable().store(level, std::memory_order_relaxed); }

LogLevel log_level() { return level_variable().load(std::memory_order_relaxed); }

void set_log_sink(std::function<void(LogLevel, const std::string&)> write) {
  const std::lock_guard lock(sink().mutex);
  sink().write = std::move(write);
}

void write_log(LogLevel level, const std::string& message) {
  // Copied out of the lock: the sink may log or replace itself.
  std::function<void(LogLevel, const std::string&)> write;
  {
    const std::lock_guard lock(sink().mutex);
    write = sink().write;
  }
  if (write) {
    write(level, message);
    return;
  }
  const std::string line =
      detail::concat("[torchtrt] ", kLevelNames[static_cast<std::size_t>(level)], ": ", message, "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);  // one call, hence one uninterleaved line
}

}  // namespace torchtrt
