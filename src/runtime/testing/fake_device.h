// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <torchtrt/base/error.h>

#include "runtime/device.h"
#include "runtime/scratch.h"

namespace torchtrt::runtime::testing {

/// GPUs whose memory is the host's and whose streams do nothing until somebody waits: then they run in the order that
/// does most harm (the stream that was filled last first, as far as events let it), so that a missing dependency gives
/// a wrong answer instead of luck. Released memory is overwritten at once where the allocator's rules allow it.
///
/// Inline, because the fake backend's module uses it as well. Thread-safe.
class FakeDevice final : public DeviceApi {
 public:
  struct Stream {};
  static constexpr void* kLegacyStream = nullptr;

  /// Of the calling thread.
  static bool& is_outside_recordings() {
    static thread_local bool is_outside = false;
    return is_outside;
  }
  /// Engines and contexts that were destroyed where somebody's recording may be spoiled by it.
  static inline std::atomic<int> destroyed_inside_recordings{0};

  explicit FakeDevice(std::vector<DeviceInfo> devices = {{"Fake GPU", 9, 0}}) : infos_(std::move(devices)) {}

  // --- what tests do and ask ---

  void* new_stream() {
    const std::lock_guard lock(mutex_);
    handles_.push_back(std::make_unique<Stream>());
    return handles_.back().get();
  }
  /// Runs everything that can run.
  void drain() {
    const std::lock_guard lock(mutex_);
    run_all();
  }
  /// Lets `stream` be recorded by a caller until end_recording(), which forgets the work; destroy_recordings() then says
  /// that the recordings are gone.
  void begin_recording(void* stream) {
    const std::lock_guard lock(mutex_);
    recorded_streams_.insert(stream);
  }
  void end_recording(void* stream) {
    const std::lock_guard lock(mutex_);
    recorded_streams_.erase(stream);
    queue(stream).operations.clear();
  }
  void destroy_recordings() {
    std::vector<std::function<void()>> notices;
    {
      const std::lock_guard lock(mutex_);
      notices.swap(notices_);
    }
    for (const auto& notify : notices) notify();
  }
  [[nodiscard]] std::size_t live_allocations() {
    const std::lock_guard lock(mutex_);
    return live_;
  }
  void fail_captures(bool failing) { failing_ = failing; }
  /// Graph::set_copy fails, as for memory that a graph cannot be changed to.
  void refuse_copies(bool refusing) { refusing_copies_ = refusing; }

  int captures = 0, launches = 0, waits = 0, synchronizations = 0;
  std::vector<void*> launch_streams;

  /// The calling thread's current stream.
  static void*& thread_stream() {
    static thread_local void* stream = kLegacyStream;
    return stream;
  }

  // --- for the fake backend ---

  /// Enqueues `work`.
  virtual void enqueue(void* stream, std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    queue(stream).operations.push_back({std::move(work), nullptr, 0});
  }

  // --- DeviceApi ---

  int count() override { return static_cast<int>(infos_.size()); }
  const DeviceInfo& info(int device) override { return infos_.at(static_cast<std::size_t>(device)); }
  int current() override {
    const std::lock_guard lock(mutex_);
    return current_[std::this_thread::get_id()];
  }
  void set_current(int device) override {
    TORCHTRT_CHECK(device >= 0 && device < count(), kInternal, "no such device: ", device);
    const std::lock_guard lock(mutex_);
    current_[std::this_thread::get_id()] = device;
  }
  bool is_capturing(void* stream) override {
    const std::lock_guard lock(mutex_);
    return recorded_streams_.contains(stream);
  }
  void when_recording_is_gone(void* stream, std::function<void()> notify) override {
    const std::lock_guard lock(mutex_);
    TORCHTRT_CHECK(recorded_streams_.contains(stream), kInternal, "the stream is not being recorded");
    notices_.push_back(std::move(notify));
  }
  void copy_async(void* to, const void* from, std::size_t bytes, void* stream) override {
    enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  }
  void synchronize(void* stream) override {
    const std::lock_guard lock(mutex_);
    TORCHTRT_CHECK(!recorded_streams_.contains(stream), kInternal, "operation not permitted when stream is capturing");
    ++synchronizations;
    run_all();
  }

  void* current_stream(int) override { return thread_stream(); }
  std::unique_ptr<DeviceMemory> allocate(int, std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    ++live_;
    return std::make_unique<Memory>(*this, std::make_shared<Block>(Block{std::vector<unsigned char>(bytes), {}}));
  }

  std::unique_ptr<Event> create_event(int) override { return std::make_unique<FakeEvent>(*this); }

  void outside_recordings(const std::function<void()>& work) override {
    const bool before = std::exchange(is_outside_recordings(), true);
    work();
    is_outside_recordings() = before;
  }
  std::unique_ptr<Graph> capture(int device, const std::function<void(GraphRecording&)>& work) override {
    TORCHTRT_CHECK(current() == device, kInternal, "captured on another device than the thread's");
    void* const stream = new_stream();
    FakeRecording recording(*this, stream);
    begin_recording(stream);
    try {
      work(recording);
    } catch (...) {
      end_recording(stream);
      throw;
    }
    const std::lock_guard lock(mutex_);
    std::deque<Operation> operations = std::move(queue(stream).operations);
    queue(stream).operations.clear();
    recorded_streams_.erase(stream);
    TORCHTRT_CHECK(!failing_, kInternal, "operation not permitted when stream is capturing");
    ++captures;
    return std::make_unique<FakeGraph>(*this, std::move(operations), recording.copies());
  }

 private:
  struct Progress {  // of an event: shared with the operations that move and await it
    int recorded = 0, done = 0;
  };
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
    void operator()() const { std::memcpy(to, from, bytes); }
  };
  struct Operation {
    std::function<void()> work;
    std::shared_ptr<Progress> awaited;  // if set, nothing but a wait until `done` reaches `serial`
    int serial = 0;
    std::shared_ptr<Copy> copy = nullptr;  // if set, a copy whose addresses a graph may change until it is launched
  };
  struct Queue {
    void* stream;
    std::deque<Operation> operations;
  };
  struct Block {
    std::vector<unsigned char> bytes;
    std::vector<void*> streams;  // that use it; the first is the one it was allocated for
  };
  class Memory final : public DeviceMemory {
   public:
    Memory(FakeDevice& device, std::shared_ptr<Block> block) : device_(device), block_(std::move(block)) {
      block_->streams.push_back(thread_stream());
    }
    ~Memory() override { device_.release(block_); }
    [[nodiscard]] void* data() const override { return block_->bytes.data(); }
    void use_on_current_stream() override { block_->streams.push_back(thread_stream()); }

   private:
    FakeDevice& device_;
    std::shared_ptr<Block> block_;
  };

  class FakeEvent final : public Event {
   public:
    explicit FakeEvent(FakeDevice& device) : device_(device) {}
    void record(void* stream) override {
      const std::lock_guard lock(device_.mutex_);
      const int serial = ++progress_->recorded;
      device_.queue(stream).operations.push_back(
          {[progress = progress_, serial] { progress->done = std::max(progress->done, serial); }, nullptr, 0});
    }
    bool is_done() override {
      const std::lock_guard lock(device_.mutex_);
      return progress_->done == progress_->recorded;
    }
    void wait_on(void* stream) override {
      const std::lock_guard lock(device_.mutex_);
      ++device_.waits;
      device_.queue(stream).operations.push_back({nullptr, progress_, progress_->recorded});
    }
    void wait() override {
      const std::lock_guard lock(device_.mutex_);
      device_.run_all();
    }

   private:
    FakeDevice& device_;
    std::shared_ptr<Progress> progress_ = std::make_shared<Progress>();
  };

  class FakeRecording final : public GraphRecording {
   public:
    FakeRecording(FakeDevice& device, void* stream) : device_(device), stream_(stream) {}
    [[nodiscard]] void* stream() const override { return stream_; }
    std::size_t copy(void* to, const void* from, std::size_t bytes) override {
      TORCHTRT_CHECK(bytes > 0, kInternal, "a copy of nothing cannot be recorded");
      const std::lock_guard lock(device_.mutex_);
      copies_.push_back(std::make_shared<Copy>(Copy{to, from, bytes}));
      device_.queue(stream_).operations.push_back({nullptr, nullptr, 0, copies_.back()});
      return copies_.size() - 1;
    }
    [[nodiscard]] std::vector<std::shared_ptr<Copy>> copies() const { return copies_; }

   private:
    FakeDevice& device_;
    void* stream_;
    std::vector<std::shared_ptr<Copy>> copies_;
  };

  class FakeGraph final : public Graph {
   public:
    FakeGraph(FakeDevice& device, std::deque<Operation> operations, std::vector<std::shared_ptr<Copy>> copies)
        : device_(device), operations_(std::move(operations)), copies_(std::move(copies)) {}
    void launch(void* stream) override {
      const std::lock_guard lock(device_.mutex_);
      ++device_.launches;
      device_.launch_streams.push_back(stream);
      auto& operations = device_.queue(stream).operations;
      for (Operation operation : operations_) {
        if (operation.copy != nullptr) operation.work = *operation.copy;  // what is enqueued keeps its addresses
        operations.push_back(std::move(operation));
      }
    }
    void set_copy(std::size_t copy, void* to, const void* from) override {
      const std::lock_guard lock(device_.mutex_);
      TORCHTRT_CHECK(!device_.refusing_copies_, kInternal, "invalid argument");
      copies_.at(copy)->to = to;
      copies_.at(copy)->from = from;
    }

   private:
    FakeDevice& device_;
    std::deque<Operation> operations_;
    std::vector<std::shared_ptr<Copy>> copies_;
  };

  Queue& queue(void* stream) {
    const auto found = std::find_if(queues_.begin(), queues_.end(), [&](const Queue& q) { return q.stream == stream; });
    return found != queues_.end() ? *found : queues_.emplace_back(Queue{stream, {}});
  }

  void run_all() {
    bool progress = true;
    while (progress) {
      progress = false;
      for (auto queue = queues_.rbegin(); queue != queues_.rend(); ++queue) {
        if (recorded_streams_.contains(queue->stream)) continue;
        while (!queue->operations.empty()) {
          Operation& next = queue->operations.front();
          if (next.awaited != nullptr && next.awaited->done < next.serial) break;
          if (next.work) next.work();
          queue->operations.pop_front();
          progress = true;
        }
      }
    }
  }

  // PyTorch's rule: the block goes to the next allocation for its own stream at once, because that runs behind; streams
  // that were named are waited for. Whoever else still reads it reads rubbish.
  void release(const std::shared_ptr<Block>& block) {
    const std::lock_guard lock(mutex_);
    --live_;
    for (std::size_t i = 1; i < block->streams.size(); ++i) {
      auto progress = std::make_shared<Progress>();
      progress->recorded = 1;
      queue(block->streams[i]).operations.push_back({[progress] { progress->done = 1; }, nullptr, 0});
      queue(block->streams[0]).operations.push_back({nullptr, progress, 1});
    }
    const auto spoil = [block] {
      std::fill(block->bytes.begin(), block->bytes.end(), static_cast<unsigned char>(0xFF));
    };
    queue(block->streams[0]).operations.push_back({spoil, nullptr, 0});
  }

  std::mutex mutex_;
  std::vector<DeviceInfo> infos_;
  std::vector<std::unique_ptr<Stream>> handles_;
  std::vector<Queue> queues_;
  std::set<void*> recorded_streams_;
  std::vector<std::function<void()>> notices_;
  std::map<std::thread::id, int> current_;
  std::size_t live_ = 0;
  bool failing_ = false, refusing_copies_ = false;
};

/// Makes a FakeDevice the process's GPUs for the life of the object.
class FakeDeviceScope {
 public:
  explicit FakeDeviceScope(std::vector<DeviceInfo> devices = {{"Fake GPU", 9, 0}}) : device_(std::move(devices)) {
    instance() = &device_;
    set_device_api([]() -> DeviceApi* { return instance(); });
  }
  ~FakeDeviceScope() {
    release_scratch();  // of this thread, which may have other devices next
    set_device_api(nullptr);
    instance() = nullptr;
  }
  FakeDeviceScope(const FakeDeviceScope&) = delete;
  FakeDeviceScope& operator=(const FakeDeviceScope&) = delete;

  FakeDevice* operator->() { return &device_; }
  FakeDevice& operator*() { return device_; }

 private:
  static FakeDevice*& instance() {
    static FakeDevice* device = nullptr;
    return device;
  }
  FakeDevice device_;
};

}  // namespace torchtrt::runtime::testing
