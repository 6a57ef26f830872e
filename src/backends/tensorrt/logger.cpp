// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/logger.h"

#include <torchtrt/base/log.h>

#include "backends/tensorrt/compat/version.h"
#include "base/vendor_errors.h"

namespace torchtrt::tensorrt {

Logger& Logger::get() {
  static auto* logger = new Logger;
  return *logger;
}

void Logger::log(Severity severity, const char* message) noexcept {
  try {
    switch (severity) {
      case Severity::kINTERNAL_ERROR:
      case Severity::kERROR:
        // Errors become exceptions, whose readers must not look for them in a log.
        note_vendor_error(message);
        TORCHTRT_LOG(kInfo, compat::kProductName, ": ", message);
        break;
      case Severity::kWARNING: TORCHTRT_LOG(kInfo, compat::kProductName, ": ", message); break;
      case Severity::kINFO: TORCHTRT_LOG(kDebug, compat::kProductName, ": ", message); break;
      default: TORCHTRT_LOG(kGraph, compat::kProductName, ": ", message);
    }
  } catch (...) {
    // A message that cannot be written is lost; TensorRT must not see an exception.
  }
}

std::string Logger::take_errors() { return take_vendor_errors(); }

}  // namespace torchtrt::tensorrt
