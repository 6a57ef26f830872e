// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/progress.h"

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "backends/tensorrt/compat/version.h"

namespace torchtrt::tensorrt {

void Progress::phaseStart(const char* phase, const char* parent, std::int32_t steps) noexcept {
  try {
    TORCHTRT_LOG(kInfo, compat::kProductName, " builds engine ", engine_, ": ", parent == nullptr ? "" : parent,
                 parent == nullptr ? "" : ", ", phase, ", ", steps, steps == 1 ? " step" : " steps");
  } catch (...) {
    // A line that cannot be written is lost; TensorRT must not see an exception.
  }
}

bool Progress::stepComplete(const char*, std::int32_t) noexcept {
  const std::lock_guard lock(mutex_);
  if (!cancelled_ && keep_going_) {
    try {
      cancelled_ = !keep_going_();
    } catch (...) {
      cancelled_ = true;
      thrown_ = std::current_exception();
    }
  }
  return !cancelled_;
}

void Progress::throw_if_cancelled() {
  const std::lock_guard lock(mutex_);
  if (thrown_ != nullptr) std::rethrow_exception(thrown_);
  TORCHTRT_CHECK(!cancelled_, kCancelled, "the build of engine ", engine_, " for ", compat::kBackendName,
                 " was cancelled");
}

}  // namespace torchtrt::tensorrt
