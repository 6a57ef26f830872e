// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>
#include <torchtrt/runtime.h>

namespace torchtrt::runtime {

/// The layers of one call. Counts only if the call succeeds, so it is kept apart until then.
class CallProfile final : public backend::LayerTimes {
 public:
  struct Layer {
    std::string name;
    double milliseconds = 0, last = 0;
  };
  void add(std::string_view layer, double milliseconds, double last) noexcept override {
    layers_.push_back({std::string(layer), milliseconds, last});
  }
  [[nodiscard]] const std::vector<Layer>& layers() const { return layers_; }

 private:
  std::vector<Layer> layers_;
};

/// The sums of all calls of one engine that somebody measures. Thread-safe.
class TORCHTRT_API ProfileRecorder {
 public:
  void add(const CallProfile& call);
  [[nodiscard]] std::vector<LayerProfile> layers() const;

 private:
  mutable std::mutex mutex_;
  std::vector<LayerProfile> layers_;
  std::unordered_map<std::string, std::size_t> index_;  // by name
};

}  // namespace torchtrt::runtime
