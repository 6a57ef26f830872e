// SPDX-License-Identifier: Apache-2.0
// The torch class, the operators and TorchScript over the fake backend.
#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <thread>

#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/script.h>

#include <torchtrt/runtime.h>
#include <torchtrt/torch.h>

#include "runtime/testing/fixtures.h"
#include "torch/engine_call.h"
#include "torch/engine_holder.h"

namespace torchtrt::torch_adapter {
namespace {

using runtime::testing::fake_engine;
using runtime::testing::FakeEngineSpec;
using Pointer = c10::intrusive_ptr<EngineHolder>;

class TorchAdapter : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1);
    load_runtime();
  }
};

at::Tensor payload_tensor(const std::vector<std::byte>& bytes) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(bytes.size())}, at::kByte);
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

Pointer make(const FakeEngineSpec& spec = {}) {
  const auto state = fake_engine(spec);
  return c10::make_intrusive<EngineHolder>(state.text(), payload_tensor(state.payload));
}

std::vector<at::Tensor> call(const Pointer& engine, at::TensorList inputs) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tensorrt::execute_engine", "")
                             .typed<std::vector<at::Tensor>(at::TensorList, const Pointer&)>();
  return op.call(inputs, engine);
}

/// Lets TorchScript source in C++ name our operators (Python's scripting has torch.ops for that).
struct OperatorResolver : torch::jit::Resolver {
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string& name, torch::jit::GraphFunction&,
                                                         const torch::jit::SourceRange&) override {
    return name == "tensorrt" ? std::make_shared<torch::jit::BuiltinModule>(name) : nullptr;
  }
};

torch::jit::Module script_module(const Pointer& engine) {
  torch::jit::Module module("M");
  module.register_attribute("engine", torch::getCustomClassType<Pointer>(), engine);
  module.define(R"(
    def forward(self, x):
        return tensorrt.execute_engine([x], self.engine)[0]
  )",
                std::make_shared<OperatorResolver>());
  return module;
}

/// The message of what `function` throws, if it is a `Exception`.
template <typename Exception, typename Function>
std::string message_of(Function&& function) {
  try {
    function();
  } catch (const Exception& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception: " << error.what();
    return "";
  }
  ADD_FAILURE() << "no exception";
  return "";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST_F(TorchAdapter, OperatorRuns) {
  const at::Tensor x = at::randn({4, 3});
  const std::vector<at::Tensor> result = call(make(), {x});
  ASSERT_EQ(result.size(), 1u);
  EXPECT_TRUE(at::equal(result[0], x + 1.5));
}

TEST_F(TorchAdapter, InputsThatAreNotPlainAreCopied) {
  const Pointer engine = make();
  const at::Tensor x = at::randn({3, 4}).t();
  EXPECT_TRUE(at::equal(call(engine, {x})[0], x + 1.5));
  const at::Tensor slice = at::randn({8, 6}).slice(1, 1, 6, 2);
  EXPECT_TRUE(at::equal(run_engine(*engine, {slice})[0], slice + 1.5));
  // A lazy negation: the memory holds the opposite of the values.
  const at::Tensor negated = at::imag(at::conj(at::randn({4, 3}, at::kComplexFloat)));
  ASSERT_TRUE(negated.is_neg());
  EXPECT_TRUE(at::equal(run_engine(*engine, {negated})[0], negated + 1.5));
}

TEST_F(TorchAdapter, OutputsAreNewTensors) {
  const Pointer engine = make();
  const at::Tensor x = at::randn({4, 3});
  const at::Tensor first = call(engine, {x})[0], second = call(engine, {x})[0];
  EXPECT_FALSE(first.requires_grad());
  EXPECT_NE(first.data_ptr(), second.data_ptr());
}

TEST_F(TorchAdapter, AGradientIsAnErrorWhereItIsAskedFor) {
  const Pointer engine = make();
  const at::Tensor x = at::randn({4, 3}).requires_grad_(true);
  {
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(call(engine, {x})[0].requires_grad());
  }
  const at::Tensor result = call(engine, {x})[0];
  EXPECT_TRUE(result.requires_grad());
  try {
    result.sum().backward();
    FAIL() << "backward went through an engine";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string_view(error.what()).find("computes no gradient"), std::string_view::npos);
  }
}

TEST_F(TorchAdapter, AdoptedOutputsOutliveTheEngine) {
  Pointer engine = make({.properties = {{"operation", "select"}}, .output = {Expr::symbol("u0")}});
  const at::Tensor x = at::randn({4, 3});
  const at::Tensor result = call(engine, {x})[0];
  engine.reset();
  EXPECT_TRUE(at::equal(result, x.masked_select(x > 0)));
}

TEST_F(TorchAdapter, ErrorsAreTorchExceptions) {
  const Pointer engine = make();
  expect_contains(message_of<c10::ValueError>([&] { call(engine, {at::randn({40, 3})}); }),
                  "40 is outside the range [1, 32]");
  expect_contains(message_of<c10::ValueError>([&] { call(engine, {}); }), "expected 1 inputs (x), but got 0");
  expect_contains(message_of<c10::TypeError>([&] { call(engine, {at::randn({4, 3}, at::kDouble)}); }),
                  "expected dtype float32, but got float64");
  expect_contains(message_of<c10::TypeError>([&] { call(engine, {at::randn({4, 3}, at::kComplexFloat)}); }),
                  "expected dtype float32");
  expect_contains(message_of<c10::ValueError>([&] { call(engine, {at::empty({4, 3}, at::kMeta)}); }), "without data");
  expect_contains(message_of<c10::ValueError>([&] { call(engine, {at::randn({4, 3}).to_sparse()}); }), "to_dense");
  expect_contains(
      message_of<c10::Error>([&] { call(make({.properties = {{"operation", "fail"}}}), {at::randn({4, 3})}); }),
      "as it was told to");
  expect_contains(
      message_of<c10::Error>([&] { call(make({.properties = {{"operation", "forget"}}}), {at::randn({4, 3})}); }),
      "without output 0 (y)");
  expect_contains(message_of<Error>([&] { run_engine(*engine, {at::Tensor()}); }), "undefined");
}

TEST_F(TorchAdapter, PayloadsAreChecked) {
  const auto state = fake_engine();
  const at::Tensor payload = payload_tensor(state.payload);
  const auto construct = [&](const at::Tensor& bytes) {
    return c10::make_intrusive<EngineHolder>(state.text(), bytes);
  };
  expect_contains(message_of<Error>([&] { construct(payload.to(at::kFloat)); }), "must be a uint8 tensor");
  expect_contains(message_of<Error>([&] { construct(payload.view({1, -1})); }), "one dimension");
  expect_contains(message_of<Error>([&] { construct(at::empty({4}, at::TensorOptions(at::kByte).device(at::kMeta))); }),
                  "has data");
  expect_contains(message_of<Error>([&] { construct(payload.slice(0, 0, 2)); }), "engine metadata");
  expect_contains(message_of<Error>([&] { return c10::make_intrusive<EngineHolder>("{}", payload); }),
                  "not the metadata");
}

TEST_F(TorchAdapter, UnalignedPayloadsAreAligned) {
  const auto state = fake_engine({.name = "unaligned"});
  const at::Tensor payload = at::cat({at::zeros({1}, at::kByte), payload_tensor(state.payload)}).slice(0, 1);
  const auto engine = c10::make_intrusive<EngineHolder>(state.text(), payload);
  EXPECT_TRUE(at::equal(call(engine, {at::ones({1, 3})})[0], at::full({1, 3}, 2.5)));
}

TEST_F(TorchAdapter, EqualStatesShareOneEngine) {
  const Pointer a = make({.name = "shared"}), b = make({.name = "shared"});
  EXPECT_EQ(&a->engine(), &b->engine());
  EXPECT_EQ(a->payload().data_ptr(), b->payload().data_ptr());
  const Pointer c = make({.name = "shared", .bias = 2.5F}), d = make({.name = "another"});
  EXPECT_NE(&a->engine(), &c->engine());
  EXPECT_NE(&a->engine(), &d->engine());
}

TEST_F(TorchAdapter, EqualMetadataWithOtherBytesIsNotShared) {
  const auto state = fake_engine({.name = "damaged copy"});
  at::Tensor damaged = payload_tensor(state.payload);
  damaged[1] = damaged[1].item<int>() ^ 4;
  const auto good = c10::make_intrusive<EngineHolder>(state.text(), payload_tensor(state.payload));
  const auto bad = c10::make_intrusive<EngineHolder>(state.text(), damaged);
  EXPECT_NE(&good->engine(), &bad->engine());
  EXPECT_NO_THROW(call(good, {at::ones({1, 3})}));
  expect_contains(message_of<c10::Error>([&] { call(bad, {at::ones({1, 3})}); }), "checksum");
}

TEST_F(TorchAdapter, TheLastHolderFreesTheEngine) {
  const auto state = fake_engine({.name = "freed"});
  at::Tensor payload = payload_tensor(state.payload);
  const auto uses = payload.storage().use_count();
  {
    const auto engine = c10::make_intrusive<EngineHolder>(state.text(), payload);
    const auto copy = c10::make_intrusive<EngineHolder>(state.text(), payload);
    call(copy, {at::ones({1, 3})});
    EXPECT_GT(payload.storage().use_count(), uses);
  }
  EXPECT_EQ(payload.storage().use_count(), uses);
}

TEST_F(TorchAdapter, LiveEnginesAreThoseThatAreHeld) {
  const auto count = [](const runtime::Engine* engine) {
    const auto live = live_engines();
    return std::count_if(live.begin(), live.end(), [&](const auto& holder) { return &holder->engine() == engine; });
  };
  const runtime::Engine* address = nullptr;
  {
    const Pointer a = make({.name = "held"}), b = make({.name = "held"});
    address = &a->engine();
    EXPECT_EQ(count(address), 1);
  }
  EXPECT_EQ(count(address), 0);
}

TEST_F(TorchAdapter, AWeightStreamingBudgetForAProgram) {
  // The fake adds its budget to its bias of 1.5.
  torch::jit::Module module =
      script_module(make({.name = "streams", .properties = {{"operation", "add"}, {"streamable", "100"}}}));
  const auto result = [&] { return module.forward({at::zeros({1, 3})}).toTensor()[0][0].item<float>(); };
  const std::vector<runtime::EngineHandle> engines = runtime::engines_of(module);
  EXPECT_EQ(result(), 26.5F);
  {
    const auto scope = runtime::scoped_weight_streaming_budget(engines, 60);
    EXPECT_EQ(runtime::weight_streaming(engines), (runtime::WeightStreaming{100, 60, 25}));
    EXPECT_EQ(result(), 61.5F);
  }
  EXPECT_EQ(result(), 26.5F);
}

TEST_F(TorchAdapter, TorchScriptKeepsTheStateAsRawBytes) {
  torch::jit::Module module = script_module(make({.name = "scripted", .bias = 0.25F}));
  std::stringstream file;
  module.save(file);
  torch::jit::Module loaded = torch::jit::load(file);
  for (const std::int64_t batch : {1, 4, 32}) {
    const at::Tensor x = at::randn({batch, 3});
    EXPECT_TRUE(at::equal(loaded.forward({x}).toTensor(), x + 0.25));
  }
  const auto engine = loaded.attr("engine").toCustomClass<EngineHolder>();
  EXPECT_EQ(engine->name(), "scripted");
  EXPECT_EQ(&engine->engine(), &module.attr("engine").toCustomClass<EngineHolder>()->engine());
  EXPECT_EQ(&module.deepcopy().attr("engine").toCustomClass<EngineHolder>()->engine(), &engine->engine());
  std::string message;  // of a c10::Error, or in PyTorch 2.11 of an exception of the interpreter's own
  try {
    loaded.forward({at::randn({33, 3})});
  } catch (const std::exception& error) {
    message = error.what();
  }
  expect_contains(message, "33 is outside the range [1, 32]");
}

TEST_F(TorchAdapter, DamagedProgramsAreErrorsOrHarmless) {
  std::stringstream file;
  script_module(make({.name = "damaged program", .bias = 0.25F})).save(file);
  const std::string intact = file.str();
  const at::Tensor x = at::randn({4, 3}), expected = x + 0.25;
  const auto run = [&](const std::string& bytes) {
    std::istringstream stream(bytes);
    return torch::jit::load(stream).forward({x}).toTensor();
  };
  ASSERT_TRUE(at::equal(run(intact), expected));
  for (std::size_t i = 0; i < intact.size(); i += 7) {
    std::string flipped = intact;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    try {
      // Archives have bytes that mean nothing; what must not happen is another answer.
      EXPECT_TRUE(at::equal(run(flipped), expected)) << "byte " << i;
    } catch (const std::exception&) {
    }
    if (i % 5 == 0) {
      EXPECT_ANY_THROW(run(intact.substr(0, i))) << i;
    }
  }
}

TEST_F(TorchAdapter, ThreadsShareALoadedProgram) {
  torch::jit::Module module = script_module(make({.name = "threads"}));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      for (int j = 0; j < 100; ++j) {
        const at::Tensor x = at::full({1 + (i + j) % 32, 3}, static_cast<float>(i));
        wrong += at::equal(module.forward({x}).toTensor(), x + 1.5) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(TorchAdapter, ClassMethodsFromTorchScript) {
  const Pointer engine = make({.name = "methods"});
  torch::jit::Module module("M");
  module.register_attribute("engine", torch::getCustomClassType<Pointer>(), engine);
  module.define(R"(
    def forward(self, shapes: List[List[int]]):
        return self.engine.name(), self.engine.metadata(), self.engine.payload(), self.engine.infer_outputs(shapes)
  )");
  const c10::List<c10::List<std::int64_t>> shapes({c10::List<std::int64_t>({7, 3})});
  const auto result = module.forward({shapes}).toTuple()->elements().vec();
  EXPECT_EQ(result[0].toStringRef(), "methods");
  EXPECT_EQ(result[1].toStringRef(), engine->metadata());
  EXPECT_TRUE(at::equal(result[2].toTensor(), engine->payload()));
  EXPECT_EQ(result[3].toListRef()[0].toIntVector(), (std::vector<std::int64_t>{7, 3}));
  expect_contains(engine->describe(), "Engine(methods, inputs: x float32 [batch, 3]; outputs: y float32 [batch, 3]");
}

TEST_F(TorchAdapter, ModesAreReadAndSetThroughOperators) {
  const auto boxed = [](const char* name, torch::jit::Stack stack) {
    c10::Dispatcher::singleton().findSchemaOrThrow(name, "").callBoxed(&stack);
    return stack;
  };
  boxed("tensorrt::set_cudagraphs_mode", {std::int64_t{2}});
  EXPECT_EQ(runtime::cudagraphs_mode(), runtime::CudaGraphsMode::kWholeGraph);
  EXPECT_EQ(boxed("tensorrt::get_cudagraphs_mode", {})[0].toInt(), 2);
  message_of<c10::ValueError>([&] { boxed("tensorrt::set_cudagraphs_mode", {std::int64_t{3}}); });
  boxed("tensorrt::set_cudagraphs_mode", {std::int64_t{0}});
  boxed("tensorrt::set_multi_device_safe_mode", {true});
  EXPECT_TRUE(boxed("tensorrt::get_multi_device_safe_mode", {})[0].toBool());
  boxed("tensorrt::set_multi_device_safe_mode", {false});
  boxed("tensorrt::set_cpu_settings", {std::int64_t{4}, std::int64_t{2}});
  EXPECT_EQ(runtime::cpu_settings().streams, 4);
  EXPECT_EQ(boxed("tensorrt::get_cpu_settings", {})[1].toInt(), 2);
  message_of<c10::ValueError>([&] { boxed("tensorrt::set_cpu_settings", {std::int64_t{0}, std::int64_t{2}}); });
  message_of<c10::ValueError>([&] { boxed("tensorrt::set_cpu_settings", {std::int64_t{1}, INT64_MIN}); });
  boxed("tensorrt::set_cpu_settings", {std::int64_t{1}, std::int64_t{0}});
  const LogLevel level = log_level();
  boxed("tensorrt::set_logging_level", {std::int64_t{4}});
  EXPECT_EQ(log_level(), LogLevel::kDebug);
  set_log_level(level);
}

}  // namespace
}  // namespace torchtrt::torch_adapter
