// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <torchtrt/base/log.h>

namespace torchtrt::runtime::testing {

/// Collects the log's lines for the life of the object.
class LogLines {
 public:
  LogLines() {
    set_log_level(LogLevel::kInfo);
    set_log_sink([this](LogLevel level, const std::string& line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(level, line);
    });
  }
  ~LogLines() {
    set_log_sink(nullptr);
    set_log_level(LogLevel::kWarning);
  }
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;

  [[nodiscard]] int count(LogLevel level, const std::string& part) {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(std::count_if(lines_.begin(), lines_.end(), [&](const auto& line) {
      return line.first == level && line.second.find(part) != std::string::npos;
    }));
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<LogLevel, std::string>> lines_;
};

}  // namespace torchtrt::runtime::testing
