// SPDX-License-Identifier: Apache-2.0
// What a call costs on the host with each runtime mode on and off, and what it allocates: the C++ part of
// benchmarks/modes.py, which makes tables of the JSON that this prints.
//
//     mode_costs MODEL.TS ROUNDS       a TorchScript program of one engine, with one float32 input [batch, 10]
//
// First the runtime alone: an engine that does nothing, on the CPU and over GPUs that do nothing, so that all time is the
// runtime's. Then the program's engine, by the function that Python's binding calls and through TorchScript.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>
#include <execinfo.h>

#include <torch/script.h>

#include <torchtrt/runtime.h>
#include <torchtrt/torch.h>

#include "runtime/engine.h"
#include "runtime/testing/allocation_counter.h"
#include "runtime/testing/fixtures.h"
#include "runtime/testing/idle_device.h"
#include "torch/engine_call.h"

namespace {

using namespace torchtrt;
using namespace torchtrt::runtime;
using Clock = std::chrono::steady_clock;
using Call = std::function<void()>;

constexpr int kCallsPerSample = 50, kSamplesPerRound = 40;

struct Mode {
  const char* name;
  std::function<ModeScope(std::span<const EngineHandle>)> enable;
};
const std::vector<Mode>& modes() {
  static const std::vector<Mode> all{
      {"standard", [](auto) { return ModeScope(); }},
      {"standard, again", [](auto) { return ModeScope(); }},
      {"multi-device safe mode", [](auto) { return scoped_multi_device_safe_mode(true); }},
      {"CUDA graphs", [](auto) { return scoped_cudagraphs_mode(CudaGraphsMode::kSubgraph); }},
      {"output allocator", [](auto engines) { return enable_output_allocator(engines); }},
      {"pre-allocated outputs", [](auto engines) { return enable_pre_allocated_outputs(engines); }},
  };
  return all;
}

// --- time --------------------------------------------------------------------------------------------------------------

struct Times {
  std::vector<double> minima, medians;  // nanoseconds a call, of each round
};

std::vector<double> sample(const Call& call) {
  std::vector<double> samples;
  for (int s = 0; s < kSamplesPerRound; ++s) {
    const auto start = Clock::now();
    for (int i = 0; i < kCallsPerSample; ++i) call();
    samples.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count() / kCallsPerSample);
  }
  std::sort(samples.begin(), samples.end());
  return samples;
}

/// All modes in turns, in an order that rotates, with pauses.
std::vector<Times> measure(std::span<const EngineHandle> engines, const Call& call, int rounds) {
  std::vector<Times> times(modes().size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < modes().size(); ++i) {
      const std::size_t mode = (i + static_cast<std::size_t>(round)) % modes().size();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      const ModeScope scope = modes()[mode].enable(engines);
      for (int warm = 0; warm < 2 * kCallsPerSample; ++warm) call();
      const std::vector<double> samples = sample(call);
      times[mode].minima.push_back(samples.front());
      times[mode].medians.push_back(samples[samples.size() / 2]);
    }
  }
  return times;
}

// --- allocations -------------------------------------------------------------------------------------------------------

std::string library_of(void* address) {
  Dl_info info{};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "?";
  const std::string path = info.dli_fname;
  return path.substr(path.rfind('/') + 1);
}

std::map<std::string, int>& allocations_by_library() {
  static std::map<std::string, int> counts;
  return counts;
}

/// Counts the allocation for the innermost library that is not the C++ library; the counter itself is in the program.
void attribute() {
  std::array<void*, 32> frames{};
  const int depth = backtrace(frames.data(), static_cast<int>(frames.size()));
  static const std::string program = library_of(frames[0]);
  int i = 0;
  while (i < depth && library_of(frames[static_cast<std::size_t>(i)]) == program) ++i;
  while (i < depth && library_of(frames[static_cast<std::size_t>(i)]).starts_with("libstdc++")) ++i;
  const std::string library = i < depth ? library_of(frames[static_cast<std::size_t>(i)]) : "?";
  ++allocations_by_library()[library.starts_with("libc.so") ? "the program" : library];
}

/// Of one call with shapes that were met before, by library.
std::map<std::string, int> allocations(std::span<const EngineHandle> engines, const Mode& mode, const Call& call) {
  const ModeScope scope = mode.enable(engines);
  for (int i = 0; i < 100; ++i) call();
  allocations_by_library().clear();
  testing::AllocationCounter::observer() = &attribute;
  call();
  testing::AllocationCounter::observer() = nullptr;
  return allocations_by_library();
}

// --- what is called ----------------------------------------------------------------------------------------------------

class FixedSink final : public backend::OutputSink {
 public:
  void* allocate(std::size_t, std::span<const std::int64_t>) override { return memory_.data(); }
  void adopt(std::size_t, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override { std::abort(); }

 private:
  std::array<float, 32 * 3> memory_{};
};

testing::IdleDevice& idle_device() {
  static testing::IdleDevice device;
  return device;
}

/// An engine that does nothing, called as the torch adapter does.
class Idle {
 public:
  explicit Idle(DLDeviceType type) {
    const testing::FakeEngineState state =
        testing::fake_engine({.properties = {{"operation", "nothing"}}, .device = type == kDLCPU ? "cpu" : "cuda"});
    const testing::AlignedBytes bytes(state.payload);
    engine_ = std::make_shared<Engine>(state.text(), bytes.span(), bytes.owner());
    tensor_.data = input_.data();
    tensor_.device = {type, 0};
    tensor_.ndim = 2;
    tensor_.dtype = to_dlpack(DataType::kFloat32);
    tensor_.shape = shape_.data();
  }
  [[nodiscard]] EngineHandle handle() const { return EngineHandle(engine_); }
  void run() {
    if (multi_device_safe_mode()) engine_->place({&tensor_.device, 1});
    engine_->run({&tensor_, 1}, sink_, nullptr);
  }

 private:
  std::shared_ptr<Engine> engine_;
  std::array<float, 8 * 3> input_{};
  std::array<std::int64_t, 2> shape_{8, 3};
  DLTensor tensor_{};
  FixedSink sink_;
};

// --- output ------------------------------------------------------------------------------------------------------------

std::string json(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "[" + text + "]";
}

void report(const char* what, const std::vector<EngineHandle>& engines, const Call& call, int rounds) {
  const std::vector<Times> times = measure(engines, call, rounds);
  std::printf("{\"what\": \"%s\", \"modes\": {", what);
  for (std::size_t i = 0; i < modes().size(); ++i) {
    std::string counts;
    for (const auto& [library, count] : allocations(engines, modes()[i], call)) {
      counts += (counts.empty() ? "\"" : ", \"") + library + "\": " + std::to_string(count);
    }
    std::printf("%s\"%s\": {\"minima\": %s, \"medians\": %s, \"allocations\": {%s}}", i == 0 ? "" : ", ",
                modes()[i].name, json(times[i].minima).c_str(), json(times[i].medians).c_str(), counts.c_str());
  }
  std::printf("}}\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: mode_costs MODEL.TS ROUNDS\n";
    return 2;
  }
  try {
    const int rounds = std::stoi(argv[2]);
    setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_BENCHMARK_BACKENDS, 1);
    load_runtime();
    set_device_api([]() -> DeviceApi* { return &idle_device(); });
    Idle on_cpu(kDLCPU), on_gpu(kDLCUDA);
    report("runtime alone, CPU", {on_cpu.handle()}, [&] { on_cpu.run(); }, rounds);
    report("runtime alone, GPU that does nothing", {on_gpu.handle()}, [&] { on_gpu.run(); }, rounds);

    const c10::InferenceMode inference;
    torch::jit::Module module = torch::jit::load(argv[1]);
    const std::vector<EngineHandle> engines = engines_of(module);
    TORCH_CHECK(engines.size() == 1, argv[1], " holds ", engines.size(), " engines, not one");
    const at::Tensor input = at::randn({8, 10});
    c10::intrusive_ptr<torch_adapter::EngineHolder> holder;
    for (const auto& attribute : module.named_attributes()) {
      if (attribute.value.isObject() && attribute.value.type()->str().ends_with("tensorrt.Engine")) {
        holder = attribute.value.toCustomClass<torch_adapter::EngineHolder>();
      }
    }
    TORCH_CHECK(holder != nullptr, argv[1], " has no attribute that is an engine");
    report("OpenVINO, run_engine", engines, [&] { torch_adapter::run_engine(*holder, {input}); }, rounds);
    for (int i = 0; i < 5; ++i) module.forward({input});  // the interpreter optimizes during its first calls
    report("OpenVINO, TorchScript", engines, [&] { module.forward({input}); }, rounds);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
