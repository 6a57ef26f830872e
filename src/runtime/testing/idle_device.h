// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/device.h"

namespace torchtrt::runtime::testing {

/// GPUs that do nothing, at no cost: what a call over them takes and allocates is the runtime's own. Thread-safe but for
/// the current device, which all threads share.
class IdleDevice final : public DeviceApi {
 public:
  int count() override { return static_cast<int>(infos_.size()); }
  const DeviceInfo& info(int device) override { return infos_[static_cast<std::size_t>(device)]; }
  int current() override { return current_; }
  void set_current(int device) override { current_ = device; }
  void* current_stream(int) override { return nullptr; }
  bool is_capturing(void*) override { return false; }
  void when_recording_is_gone(void*, std::function<void()>) override {}
  void outside_recordings(const std::function<void()>& work) override { work(); }
  void copy_async(void*, const void*, std::size_t, void*) override {}
  std::unique_ptr<DeviceMemory> allocate(int, std::size_t bytes) override { return std::make_unique<Memory>(bytes); }
  void synchronize(void*) override {}
  std::unique_ptr<Event> create_event(int) override { return std::make_unique<IdleEvent>(); }
  std::unique_ptr<Graph> capture(int, const std::function<void(GraphRecording&)>& work) override {
    IdleRecording recording;
    work(recording);
    return std::make_unique<IdleGraph>();
  }

 private:
  class Memory final : public DeviceMemory {
   public:
    explicit Memory(std::size_t bytes) : bytes_(bytes) {}
    [[nodiscard]] void* data() const override { return const_cast<unsigned char*>(bytes_.data()); }
    void use_on_current_stream() override {}

   private:
    std::vector<unsigned char> bytes_;
  };
  class IdleEvent final : public Event {
   public:
    void record(void*) override {}
    bool is_done() override { return true; }
    void wait_on(void*) override {}
    void wait() override {}
  };
  class IdleGraph final : public Graph {
   public:
    void launch(void*) override {}
    void set_copy(std::size_t, void*, const void*) override {}
  };
  class IdleRecording final : public GraphRecording {
   public:
    [[nodiscard]] void* stream() const override { return nullptr; }
    std::size_t copy(void*, const void*, std::size_t) override { return copies_++; }

   private:
    std::size_t copies_ = 0;
  };

  std::vector<DeviceInfo> infos_{{"Idle GPU", 9, 0}, {"Idle GPU", 9, 0}};
  int current_ = 0;
};

}  // namespace torchtrt::runtime::testing
