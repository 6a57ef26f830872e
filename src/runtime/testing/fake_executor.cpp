// SPDX-License-Identifier: Apache-2.0
// A backend for tests of the runtime: its engines do what the property "operation" says. Never installed.
//
//   add         output[i] = input 0[i] + the float in the payload "bias"
//   select      the positive elements of input 0, in memory of the engine (a data-dependent shape)
//   rendezvous  waits until "parties" calls run at the same time, then adds; gives up after 20 s
//   fail        throws in run()
//   guard       is outside of its guards in every run
//   profile     adds the number of the profile that the call wants as well; on any device
//   forget      returns without an output
//   nothing     asks for the memory of its output and leaves it as it is, on any device, at next to no cost
//
// Compiled for "cuda" its engines enqueue their work on FakeDevice's streams, in two steps over scratch memory of the
// context, so that two calls which use one context at the same time spoil each other. Operations there: add, fail
// (throws after the first step), host_sync (add, but refuses to be recorded), borrow (add, over memory that it asks the
// runtime for and gives back when it returns), write (every element is the number of rows, from host memory of the
// context).
//
// A run that is profiled says of a layer "add" that it took 0.25 ms, and of a layer "tail" that it took as many ms as
// there are rows. With the property "settings" an engine takes runtime settings: its bias is then 10, 20 or 30 by the
// specialization of kernels in contexts made from then on. Its runtime cache is a file that begins like a true one.
//
// With the property "streamable" that many bytes of weights can be streamed, a fourth of them by the library's own
// choice; contexts add the budget that they were made under to their bias. A budget is refused while a context exists,
// and the one that the property "refused" names always.
//
// "load_error": the code with which every load fails ("VersionMismatch"). "failing_loads": how many loads of an engine of this name fail before one succeeds. "single_load": a second one
// fails.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "runtime/testing/fake_device.h"

namespace torchtrt::backend {
namespace {

class FakeEngine : public ExecutableEngine {
 public:
  explicit FakeEngine(const LoadRequest& request)
      : operation_(request.properties.at("operation")),
        does_nothing_(operation_ == "nothing"),
        owner_(request.owner),
        device_(request.device) {
    for (const Payload& payload : request.payloads) {
      if (payload.name == "bias") {
        float bias = 0;
        std::memcpy(&bias, payload.bytes.data(), sizeof(bias));
        bias_ = bias;
      }
    }
    if (const auto found = request.properties.find("parties"); found != request.properties.end()) {
      parties_ = std::stoi(found->second);
    }
    takes_settings_ = request.properties.contains("settings");
    if (const auto found = request.properties.find("streamable"); found != request.properties.end()) {
      const std::int64_t all = std::stoll(found->second);
      weights_ = {all, all / 4, all / 4};
    }
    if (const auto found = request.properties.find("refused"); found != request.properties.end()) {
      refused_budget_ = std::stoll(found->second);
    }
    if (on_gpu() && runtime::device_api().current() != device_.device_id) {
      fail(ErrorCode::kInternal, "loaded while the thread's device is ", runtime::device_api().current());
    }
  }

  ~FakeEngine() override {
    note_destruction();
    if (on_gpu()) runtime::device_api().set_current(device_.device_id);  // as vendors' libraries do, and leave it
  }

  std::unique_ptr<Context> create_context() override;
  void note_destruction() const {
    using runtime::testing::FakeDevice;
    if (on_gpu() && !FakeDevice::is_outside_recordings()) ++FakeDevice::destroyed_inside_recordings;
  }

  /// On a GPU; `scratch` is the context's.
  void enqueue(const RunRequest& request, std::vector<float>& scratch, float bias) {
    auto& gpu = static_cast<runtime::testing::FakeDevice&>(runtime::device_api());
    if (gpu.current() != device_.device_id) {
      fail(ErrorCode::kInternal, "the thread's device is ", gpu.current(), ", not the engine's ", device_.device_id);
    }
    const DLTensor& input = request.inputs[0];
    const auto* values = reinterpret_cast<const float*>(static_cast<const std::byte*>(input.data) + input.byte_offset);
    const auto count = static_cast<std::size_t>(input.shape[0] * input.shape[1]);
    if (operation_ == "host_sync" && gpu.is_capturing(request.stream)) {
      fail(ErrorCode::kInternal, "operation not permitted when stream is capturing");
    }
    std::shared_ptr<void> borrowed;
    void* lent = nullptr;
    if (operation_ == "write") {
      auto* result = static_cast<float*>(request.outputs->allocate(0, request.output_shapes[0]));
      scratch.assign(count, static_cast<float>(input.shape[0]));
      request.device->write(result, scratch.data(), count * sizeof(float));
      return;
    }
    if (operation_ == "borrow") {
      borrowed = request.device->allocate(count * sizeof(float));
      lent = borrowed.get();
    }
    if (operation_ == "scratch") lent = request.device->scratch(count * sizeof(float));
    scratch.resize(std::max(scratch.size(), count));
    // Looked up when the work runs: the vector may have grown by then.
    const auto memory = [&scratch, lent = static_cast<float*>(lent)] {
      return lent != nullptr ? lent : scratch.data();
    };
    gpu.enqueue(request.stream, [memory, values, count] { std::copy_n(values, count, memory()); });
    if (operation_ == "fail") {
      fail(ErrorCode::kInternal, "the fake engine failed, as it was told to");
    }
    auto* result = static_cast<float*>(request.outputs->allocate(0, request.output_shapes[0]));
    gpu.enqueue(request.stream, [memory, result, count, bias = bias_of(request, bias)] {
      for (std::size_t i = 0; i < count; ++i) result[i] = memory()[i] + bias;
    });
  }
  [[nodiscard]] bool does_nothing() const { return does_nothing_; }
  [[nodiscard]] bool on_gpu() const { return device_.device_type == kDLCUDA; }

  [[nodiscard]] float bias() {
    const std::lock_guard lock(weights_mutex_);
    return bias_ + static_cast<float>(weights_.budget);
  }
  void count_contexts(int change) {
    const std::lock_guard lock(weights_mutex_);
    contexts_ += change;
  }
  WeightStreaming weight_streaming() override {
    const std::lock_guard lock(weights_mutex_);
    return weights_;
  }
  void set_weight_streaming_budget(std::int64_t bytes) override {
    const std::lock_guard lock(weights_mutex_);
    if (contexts_ > 0) fail(ErrorCode::kInternal, "the budget is set while ", contexts_, " contexts exist");
    if (bytes == refused_budget_) fail(ErrorCode::kInternal, "the fake engine refuses ", bytes, " bytes");
    weights_.budget = bytes;
  }

  std::string inspect() override { return R"({"backend":"fake","layers":[{"name":"add"},{"name":"tail"}]})"; }
  bool configure(const RuntimeSettings& settings) override {
    if (!takes_settings_) return false;
    bias_ = 10.0F * static_cast<float>(1 + static_cast<int>(settings.dynamic_shapes_kernel_specialization));
    cache_ = settings.runtime_cache;
    return true;
  }
  void save_runtime_cache() override {
    if (!cache_.empty() && !(std::ofstream(cache_) << "TRTRTXC1 of the fake").flush()) {
      fail(ErrorCode::kNotFound, "the runtime cache \"", cache_, "\" cannot be written");
    }
  }

  void run(const RunRequest& request, float bias) {
    if (operation_ == "fail") {
      fail(ErrorCode::kInternal, "the fake engine failed, as it was told to");
    }
    if (operation_ == "guard") {
      throw OutsideGuards("the fake engine is outside, as it was told to be");
    }
    if (operation_ == "forget") {
      return;
    }
    if (operation_ == "rendezvous") {
      arrive();
    }
    const DLTensor& input = request.inputs[0];
    const auto* values = static_cast<const float*>(input.data);
    std::size_t count = 1;
    for (int i = 0; i < input.ndim; ++i) {
      count *= static_cast<std::size_t>(input.shape[i]);
    }
    if (operation_ == "select") {
      auto selected = std::make_shared<std::vector<float>>();
      std::copy_if(values, values + count, std::back_inserter(*selected), [](float value) { return value > 0; });
      const auto size = static_cast<std::int64_t>(selected->size());
      request.outputs->adopt(0, {&size, 1}, selected->data(), selected);
      return;
    }
    auto* result = static_cast<float*>(request.outputs->allocate(0, request.output_shapes[0]));
    for (std::size_t i = 0; i < count; ++i) {
      result[i] = values[i] + bias_of(request, bias);
    }
  }

 private:
  [[nodiscard]] float bias_of(const RunRequest& request, float bias) const {
    return operation_ == "profile" ? bias + static_cast<float>(request.profile) : bias;
  }
  void arrive() {
    ++arrived_;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (arrived_ < parties_) {
      if (std::chrono::steady_clock::now() > deadline) {
        fail(ErrorCode::kInternal, "only ", arrived_.load(), " calls ran at the same time");
      }
      std::this_thread::yield();
    }
  }

  std::string operation_;
  bool does_nothing_;
  std::shared_ptr<const void> owner_;
  DLDevice device_;
  std::atomic<float> bias_ = 0;
  std::mutex weights_mutex_;  // of the next three
  WeightStreaming weights_;
  std::int64_t refused_budget_ = -1;
  int contexts_ = 0;
  bool takes_settings_ = false;
  std::string cache_;
  int parties_ = 1;
  std::atomic<int> arrived_{0};
};

class FakeContext : public Context {
 public:
  explicit FakeContext(FakeEngine& engine) : engine_(engine), bias_(engine.bias()) {
    engine.count_contexts(1);
    scratch_.reserve(1024);
  }
  ~FakeContext() override {
    engine_.count_contexts(-1);
    engine_.note_destruction();
  }
  void run(const RunRequest& request) override {
    if (running_.exchange(true)) {
      fail(ErrorCode::kInternal, "two calls use one context");
    }
    struct Done {
      std::atomic<bool>& running;
      ~Done() { running = false; }
    } done{running_};
    if (engine_.does_nothing()) {
      request.outputs->allocate(0, request.output_shapes[0]);
    } else if (engine_.on_gpu()) {
      engine_.enqueue(request, scratch_, bias_);
    } else {
      engine_.run(request, bias_);
    }
    if (request.layer_times != nullptr) {
      request.layer_times->add("add", 0.25, 0.25);
      const auto rows = static_cast<double>(request.inputs[0].shape[0]);
      request.layer_times->add("tail", rows, rows);
    }
  }

 private:
  FakeEngine& engine_;
  const float bias_;
  std::vector<float> scratch_;
  std::atomic<bool> running_{false};
};

std::unique_ptr<Context> FakeEngine::create_context() { return std::make_unique<FakeContext>(*this); }

class FakeExecutor : public Executor {
 public:
  [[nodiscard]] std::string_view name() const override { return "fake"; }
  std::string version() override { return "the fake backend"; }
  std::unique_ptr<ExecutableEngine> load(const LoadRequest& request) override {
    const std::lock_guard lock(mutex_);
    const auto wanted = request.properties.find("failing_loads");
    if (wanted != request.properties.end() && failed_loads_[request.engine_name] < std::stoi(wanted->second)) {
      ++failed_loads_[request.engine_name];
      fail(ErrorCode::kNotFound, "libfake.so is missing: install fake");
    }
    if (const auto code = request.properties.find("load_error"); code != request.properties.end()) {
      constexpr ErrorCode kCodes[] = {ErrorCode::kNotFound, ErrorCode::kVersionMismatch, ErrorCode::kUnsupported,
                                      ErrorCode::kDataLoss};
      const auto named = std::find_if(std::begin(kCodes), std::end(kCodes),
                                      [&](ErrorCode one) { return to_string(one) == code->second; });
      fail(named == std::end(kCodes) ? ErrorCode::kInternal : *named,
           "the fake engine does not load, as it was told to");
    }
    if (request.properties.contains("single_load") && !loaded_once_.insert(request.engine_name).second) {
      fail(ErrorCode::kInternal, "the engine was loaded a second time");
    }
    return std::make_unique<FakeEngine>(request);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, int> failed_loads_;
  std::set<std::string> loaded_once_;
};

}  // namespace
}  // namespace torchtrt::backend

extern "C" TORCHTRT_API torchtrt::backend::Executor* torchtrt_executor(std::uint32_t interface_version) {
  static auto* executor = new torchtrt::backend::FakeExecutor;
  return interface_version == torchtrt::backend::kExecutorInterfaceVersion ? executor : nullptr;
}
