// SPDX-License-Identifier: Apache-2.0
// What one call of a TensorRT engine costs on the host, against a bare loop of enqueueV3 on the same engine: the C++ part
// of benchmarks/gpu.py, which makes tables of the JSON lines that this prints. Compiled once for each library of TensorRT.
//
//     enqueue_call_<library> FOLDER [ROUNDS] [THREADS]
//
// FOLDER holds model.ts, a TorchScript program that is one engine, and its inputs in inputs.pt, as benchmarks/worker.py
// writes them. Calls are enqueued, not waited for; the device is waited for between samples, outside the clock. All
// contenders take turns in one process, in an order that rotates. "enqueueV3, again" is the same as "enqueueV3": what it
// differs by is the machine's doing. Exit status 2: the command line; 3: no GPU or no library, and which; 1: anything else.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <dlfcn.h>

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/script.h>

#include <torchtrt/backend/properties.h>
#include <torchtrt/runtime.h>
#include <torchtrt/torch.h>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/properties.h"
#include "backends/tensorrt/types.h"
#include "format/package.h"
#include "runtime/device.h"
#include "runtime/engine.h"
#include "torch/bindings.h"
#include "torch/cuda_device.h"
#include "torch/engine_call.h"

namespace {

using namespace torchtrt;
using namespace torchtrt::runtime;
namespace compat = torchtrt::tensorrt::compat;
using Clock = std::chrono::steady_clock;
using Call = std::function<void()>;

constexpr int kCallsPerSample = 50, kSamplesPerRound = 20;
constexpr auto kThroughputTime = std::chrono::milliseconds(200);

/// A stream of PyTorch's pool as the thread's current one: the default stream makes TensorRT wait for the device.
class CurrentStream {
 public:
  CurrentStream() : stream_(torch_.getStreamFromGlobalPool(torch_.getDevice(), false)), guard_(stream_) {}
  [[nodiscard]] void* handle() const { return torch_.getStreamNativeHandle(stream_); }
  void wait() const { torch_.synchronizeStream(stream_); }

 private:
  c10::impl::VirtualGuardImpl torch_{at::kCUDA};
  c10::Stream stream_;
  c10::StreamGuard guard_;
};

// --- the same engine, twice --------------------------------------------------------------------------------------------

struct Program {
  torch::jit::Module module;
  c10::intrusive_ptr<torch_adapter::EngineHolder> engine;
  std::vector<at::Tensor> inputs;
  std::vector<c10::IValue> arguments;
};

Program load(const std::string& folder) {
  Program program{torch::jit::load(folder + "/model.ts"), {}, {}, {}};
  const torch::jit::Module holder = torch::jit::load(folder + "/inputs.pt");
  for (int i = 0; holder.hasattr("input" + std::to_string(i)); ++i) {
    program.inputs.push_back(holder.attr("input" + std::to_string(i)).toTensor().cuda().contiguous());
    program.arguments.emplace_back(program.inputs.back());
  }
  const std::size_t count = engines_of(program.module).size();
  TORCH_CHECK(count == 1, folder, "/model.ts: expected a program of one engine, it has ", count);
  for (const auto& attribute : program.module.named_attributes()) {
    if (attribute.value.isObject() && attribute.value.type()->str().ends_with("tensorrt.Engine")) {
      program.engine = attribute.value.toCustomClass<torch_adapter::EngineHolder>();
    }
  }
  TORCH_CHECK(program.engine != nullptr, folder, "/model.ts: expected an attribute that is an engine, there is none");
  return program;
}

/// The plan of the target that this program's library runs.
std::span<const std::byte> plan_of(const torch_adapter::EngineHolder& engine) {
  const at::Tensor& payload = engine.payload();
  const std::span bytes(static_cast<const std::byte*>(payload.const_data_ptr()), payload.nbytes());
  std::string found;
  for (const format::TargetSpec& target : engine.engine().metadata().targets) {
    const auto named = target.properties.find(backend::kModuleProperty);
    const std::string module = named == target.properties.end() ? target.backend : named->second;
    for (const format::SectionSpec& section : target.sections) {
      if (module == compat::kModuleName && section.name == tensorrt::kPlanSection) {
        return format::section_bytes(section, bytes);
      }
    }
    found += " " + module;
  }
  TORCH_CHECK(false, "expected an engine for ", compat::kModuleName, ", this one is for:", found);
}

/// The library's engine without anything of ours: what a program would do that has it to itself, for one set of shapes.
class Bare {
 public:
  explicit Bare(const Program& program) : runtime_(tensorrt::Library::get().create_runtime()) {
    const std::span<const std::byte> plan = plan_of(*program.engine);
    engine_.reset(runtime_->deserializeCudaEngine(plan.data(), plan.size()));
    check(engine_ != nullptr, "deserializeCudaEngine");
  }

  /// A context with its shapes and addresses bound, and its outputs.
  struct Context {
    std::unique_ptr<nvinfer1::IExecutionContext> native;
    std::vector<at::Tensor> outputs;
    void run(void* stream) const { check(native->enqueueV3(static_cast<cudaStream_t>(stream)), "enqueueV3"); }
  };
  Context create_context(const Program& program) {
    Context result;
    result.native.reset(engine_->createExecutionContext());
    check(result.native != nullptr, "createExecutionContext");
    const format::Metadata& metadata = program.engine->engine().metadata();
    TORCH_CHECK(metadata.inputs.size() == program.inputs.size(), "expected a program whose inputs are the engine's ",
                metadata.inputs.size(), ", it has ", program.inputs.size());
    for (std::size_t i = 0; i < program.inputs.size(); ++i) {
      const char* name = metadata.inputs[i].name.c_str();
      if (engine_->getTensorIOMode(name) == nvinfer1::TensorIOMode::kNONE) continue;  // nothing depends on it
      const at::IntArrayRef sizes = program.inputs[i].sizes();
      check(result.native->setInputShape(name, tensorrt::to_dims({sizes.data(), sizes.size()})), "setInputShape");
      check(result.native->setInputTensorAddress(name, program.inputs[i].const_data_ptr()), "setInputTensorAddress");
    }
    for (std::size_t i = 0; i < metadata.outputs.size(); ++i) {
      const char* name = metadata.outputs[i].name.c_str();
      const nvinfer1::Dims dims = result.native->getTensorShape(name);
      TORCH_CHECK(dims.nbDims >= 0 && std::find(dims.d, dims.d + dims.nbDims, -1) == dims.d + dims.nbDims,
                  "expected outputs whose shapes follow from the inputs', \"", name, "\" has none");
      const at::IntArrayRef sizes(dims.d, static_cast<std::size_t>(dims.nbDims));
      result.outputs.push_back(
          at::empty(sizes, at::TensorOptions().dtype(program.engine->shared().output_types[i]).device(at::kCUDA)));
      check(result.native->setTensorAddress(name, result.outputs.back().mutable_data_ptr()), "setTensorAddress");
    }
    return result;
  }

 private:
  static void check(bool done, const char* function) {
    TORCH_CHECK(done, compat::kProductName, ": ", function, " failed: ", tensorrt::Logger::take_errors());
  }

  std::unique_ptr<nvinfer1::IRuntime> runtime_;  // outlives the engine
  std::unique_ptr<nvinfer1::ICudaEngine> engine_;
};

/// Engine::run as the torch adapter calls it, into outputs that are there.
class EngineRun {
 public:
  EngineRun(const Program& program, const Bare::Context& like) : engine_(program.engine->engine()) {
    for (const at::Tensor& input : program.inputs) inputs_.push_back(torch_adapter::to_dlpack(input));
    for (const at::Tensor& output : like.outputs) sink_.outputs.push_back(at::empty_like(output));
  }
  void operator()(void* stream) { engine_.run(inputs_, sink_, stream); }
  [[nodiscard]] const std::vector<at::Tensor>& outputs() const { return sink_.outputs; }

 private:
  struct Sink final : backend::OutputSink {
    void* allocate(std::size_t index, std::span<const std::int64_t>) override {
      return outputs[index].mutable_data_ptr();
    }
    void adopt(std::size_t index, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override {
      TORCH_CHECK(false, "output ", index, " came in memory of the engine's own");
    }
    std::vector<at::Tensor> outputs;
  };
  Engine& engine_;
  std::vector<DLTensor> inputs_;
  Sink sink_;
};

void check_equal(const char* what, const std::vector<at::Tensor>& outputs, const Bare::Context& bare) {
  TORCH_CHECK(outputs.size() == bare.outputs.size(), what, ": ", outputs.size(), " outputs, not ", bare.outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    TORCH_CHECK(at::allclose(outputs[i], bare.outputs[i], 1e-3, 1e-3, true), what, ": output ", i,
                " is not what the bare loop computes");
  }
}

// --- host time of a call -----------------------------------------------------------------------------------------------

struct Contender {
  const char* name;
  bool graphs;
  Call call;
  std::vector<double> minima = {}, medians = {};  // microseconds a call, of each round
};

void measure(std::vector<Contender>& contenders, const CurrentStream& stream, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      Contender& contender = contenders[(i + static_cast<std::size_t>(round)) % contenders.size()];
      const ModeScope mode =
          scoped_cudagraphs_mode(contender.graphs ? CudaGraphsMode::kSubgraph : CudaGraphsMode::kStandard);
      for (int warm = 0; warm < kCallsPerSample; ++warm) contender.call();
      std::vector<double> samples;
      for (int sample = 0; sample < kSamplesPerRound; ++sample) {
        stream.wait();
        const auto start = Clock::now();
        for (int call = 0; call < kCallsPerSample; ++call) contender.call();
        samples.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count() / kCallsPerSample);
      }
      stream.wait();
      std::sort(samples.begin(), samples.end());
      contender.minima.push_back(samples.front());
      contender.medians.push_back(samples[samples.size() / 2]);
    }
  }
}

// --- calls per second of threads on one engine -------------------------------------------------------------------------

/// `prepare` gives each thread its call, on a stream of its own; the result is the calls of all threads per second.
double calls_per_second(int threads, const std::function<Call(const CurrentStream&)>& prepare) {
  std::atomic<int> ready{0};
  std::atomic<bool> start{false}, stop{false};
  std::atomic<long> calls{0};
  std::vector<std::string> errors(static_cast<std::size_t>(threads));
  std::vector<std::thread> workers;
  for (std::string& error : errors) {
    workers.emplace_back([&] {
      bool counted = false;
      try {
        const c10::InferenceMode inference;
        const CurrentStream stream;
        const Call call = prepare(stream);
        for (int warm = 0; warm < kCallsPerSample; ++warm) call();
        stream.wait();
        counted = true;
        ++ready;
        while (!start) std::this_thread::yield();
        long mine = 0;
        for (; !stop; ++mine) call();
        stream.wait();
        calls += mine;
      } catch (const std::exception& exception) {
        error = exception.what();
        if (!counted) ++ready;
      }
    });
  }
  while (ready < threads) std::this_thread::yield();
  const auto begin = Clock::now();
  start = true;
  std::this_thread::sleep_for(kThroughputTime);
  stop = true;
  for (std::thread& worker : workers) worker.join();
  for (const std::string& error : errors) TORCH_CHECK(error.empty(), error);
  return static_cast<double>(calls) / std::chrono::duration<double>(Clock::now() - begin).count();
}

// --- output ------------------------------------------------------------------------------------------------------------

std::string json(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "[" + text + "]";
}

void report_calls(const std::vector<Contender>& contenders) {
  std::printf("{\"what\": \"calls\", \"library\": \"%s %s\", \"gpu\": \"%s\", \"contenders\": {", compat::kProductName,
              tensorrt::Library::get().version().c_str(), tensorrt::Driver::get().gpu(0).name.c_str());
  const char* separator = "";
  for (const Contender& contender : contenders) {
    std::printf("%s\"%s\": {\"minima_us\": %s, \"medians_us\": %s}", separator, contender.name,
                json(contender.minima).c_str(), json(contender.medians).c_str());
    separator = ", ";
  }
  std::printf("}}\n");
  std::fflush(stdout);
}

void report_throughput(int threads, const std::vector<std::pair<const char*, std::vector<double>>>& results) {
  std::printf("{\"what\": \"throughput\", \"threads\": %d, \"calls_per_second\": {", threads);
  const char* separator = "";
  for (const auto& [name, values] : results) {
    std::printf("%s\"%s\": %s", separator, name, json(values).c_str());
    separator = ", ";
  }
  std::printf("}}\n");
  std::fflush(stdout);
}

void run(const std::string& folder, int rounds, int threads) {
  tensorrt::Driver::get();  // errors that say what is missing, before anything else needs it
  tensorrt::Library::get();
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr || torch_adapter::cuda_device() == nullptr) {
    fail(ErrorCode::kNotFound, "this libtorch has no CUDA, or finds no GPU");
  }
  load_runtime();
  const c10::InferenceMode inference;
  const CurrentStream stream;
  Program program = load(folder);
  Bare bare(program);
  const Bare::Context context = bare.create_context(program);
  EngineRun engine_run(program, context);
  const auto run_engine = [&] { return torch_adapter::run_engine(*program.engine, program.inputs); };
  const auto script = [&] { return program.module.forward(program.arguments); };

  context.run(stream.handle());
  engine_run(stream.handle());
  check_equal("Engine::run", engine_run.outputs(), context);
  for (const bool graphs : {false, true}) {
    const ModeScope mode = scoped_cudagraphs_mode(graphs ? CudaGraphsMode::kSubgraph : CudaGraphsMode::kStandard);
    for (int i = 0; i < 3; ++i) check_equal("run_engine", run_engine(), context);
  }
  for (int i = 0; i < 5; ++i) script();  // the interpreter optimizes during its first calls
  const std::unique_ptr<Graph> graph =
      device_api().capture(0, [&](GraphRecording& recorded) { context.run(recorded.stream()); });

  std::vector<Contender> contenders{
      {"enqueueV3", false, [&] { context.run(stream.handle()); }},
      {"enqueueV3, again", false, [&] { context.run(stream.handle()); }},
      {"Engine::run", false, [&] { engine_run(stream.handle()); }},
      {"run_engine", false, run_engine},
      {"TorchScript", false, script},
      {"graph launch", false, [&] { graph->launch(stream.handle()); }},
      {"run_engine, CUDA graphs", true, run_engine},
      {"TorchScript, CUDA graphs", true, script},
  };
  measure(contenders, stream, rounds);
  report_calls(contenders);

  std::vector<Bare::Context> contexts;
  for (int i = 0; i < threads; ++i) contexts.push_back(bare.create_context(program));
  std::atomic<std::size_t> next{0};
  struct Threaded {
    const char* name;
    bool graphs;
    std::function<Call(const CurrentStream&)> prepare;
  };
  const std::vector<Threaded> threaded{
      {"enqueueV3", false,
       [&](const CurrentStream& own) -> Call {
         return [&mine = contexts[next++ % contexts.size()], handle = own.handle()] { mine.run(handle); };
       }},
      {"run_engine", false, [&](const CurrentStream&) -> Call { return run_engine; }},
      {"TorchScript", false, [&](const CurrentStream&) -> Call { return script; }},
      {"run_engine, CUDA graphs", true, [&](const CurrentStream&) -> Call { return run_engine; }},
  };
  for (const int count : {1, threads}) {
    std::vector<std::pair<const char*, std::vector<double>>> results;
    for (const Threaded& one : threaded) results.emplace_back(one.name, std::vector<double>());
    for (int round = 0; round < std::max(3, rounds / 4); ++round) {
      for (std::size_t i = 0; i < threaded.size(); ++i) {
        const std::size_t which = (i + static_cast<std::size_t>(round)) % threaded.size();
        const ModeScope mode =
            scoped_cudagraphs_mode(threaded[which].graphs ? CudaGraphsMode::kSubgraph : CudaGraphsMode::kStandard);
        results[which].second.push_back(calls_per_second(count, threaded[which].prepare));
      }
    }
    report_throughput(count, results);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 20;
  const int threads = argc > 3 ? std::atoi(argv[3]) : 8;
  if (argc < 2 || argc > 4 || rounds < 1 || threads < 1) {
    std::cerr << "usage: enqueue_call_" << compat::kModuleName << " FOLDER [ROUNDS] [THREADS]\n";
    return 2;
  }
  try {
    run(argv[1], rounds, threads);
  } catch (const Error& error) {
    std::cerr << error.what() << '\n';
    return error.code() == ErrorCode::kNotFound ? 3 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
