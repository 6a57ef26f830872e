// SPDX-License-Identifier: Apache-2.0
#include "runtime/profile.h"

#include <memory>

#include "runtime/engine.h"

namespace torchtrt::runtime {

void ProfileRecorder::add(const CallProfile& call) {
  const std::lock_guard lock(mutex_);
  for (const auto& [name, milliseconds, last] : call.layers()) {
    const auto [found, is_new] = index_.try_emplace(name, layers_.size());
    if (is_new) layers_.push_back({name, 0, 0, 0});
    LayerProfile& layer = layers_[found->second];
    ++layer.calls;
    layer.total_ms += milliseconds;
    layer.last_ms = last;
  }
}

std::vector<LayerProfile> ProfileRecorder::layers() const {
  const std::lock_guard lock(mutex_);
  return layers_;
}

struct Profiler::State {
  struct Measured {
    EngineHandle engine;
    std::shared_ptr<ProfileRecorder> recorder;
  };
  std::vector<Measured> engines;
  std::mutex mutex;
  bool is_open = true;
};

Profiler::Profiler(std::span<const EngineHandle> engines) : state_(std::make_unique<State>()) {
  for (const EngineHandle& engine : engines) {
    state_->engines.push_back({engine, std::make_shared<ProfileRecorder>()});
  }
  for (const State::Measured& measured : state_->engines) measured.engine.engine().start_profiling(measured.recorder);
}

Profiler::~Profiler() { stop(); }

void Profiler::stop() {
  const std::lock_guard lock(state_->mutex);
  if (!state_->is_open) return;
  state_->is_open = false;
  for (const State::Measured& measured : state_->engines) measured.engine.engine().stop_profiling(measured.recorder);
}

std::vector<EngineProfile> Profiler::result() const {
  std::vector<EngineProfile> result;
  for (const State::Measured& measured : state_->engines) {
    result.push_back({measured.engine.name(), measured.recorder->layers()});
  }
  return result;
}

std::string inspect(const EngineHandle& engine) { return engine.engine().inspect(); }

}  // namespace torchtrt::runtime
