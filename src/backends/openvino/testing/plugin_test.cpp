// SPDX-License-Identifier: Apache-2.0
// Plugin layers: operands and results, threads, what a missing or failing plugin says.
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include <torchtrt/backend/plugin.h>
#include <torchtrt/base/error.h>

#include "backends/openvino/testing/harness.h"

namespace torchtrt::openvino::testing {
namespace {

// results[0] = x reversed, results[1] (0-d) = the number of elements; fails for an attribute "fail".
class Reverse final : public backend::Plugin {
 public:
  explicit Reverse(std::string attributes) : fails_(attributes == "fail") {}
  void run(std::span<const DLTensor> inputs, std::span<const DLTensor> results, void* stream) const override {
    TORCHTRT_CHECK(!fails_, kInternal, "a plugin that always fails");
    EXPECT_EQ(stream, nullptr);
    ASSERT_EQ(inputs.size(), 1);
    ASSERT_EQ(results.size(), 2);
    std::int64_t count = 1;
    for (int i = 0; i < inputs[0].ndim; ++i) count *= inputs[0].shape[i];
    const auto* x = static_cast<const float*>(inputs[0].data);
    auto* reversed = static_cast<float*>(results[0].data);
    for (std::int64_t i = 0; i < count; ++i) reversed[i] = x[count - 1 - i];
    *static_cast<float*>(results[1].data) = static_cast<float>(count);
  }

 private:
  bool fails_;
};

backend::PluginRegistration register_reverse() {
  return backend::register_plugin("reverse",
                                  [](const std::string& attributes) { return std::make_unique<Reverse>(attributes); });
}

// relu(2x) -> plugin -> + 1, over [rows, 3].
Network reversing(bool dynamic, const std::string& attributes = "") {
  Network net("reversing");
  if (dynamic) net.add_symbol("s0", {0, 2, 100});
  const Dims dims{dynamic ? Expr::symbol("s0") : Expr(2), 3};
  const ValueId x = net.add_input("x", DataType::kFloat32, dims);
  const ValueId twice =
      net.add_elementwise(x, net.add_scalar(DataType::kFloat32, 2, 2), network::ElementWiseOperation::kProd);
  const network::Plugin plugin{
      "reverse", attributes, "libreverse.so", {DataType::kFloat32, DataType::kFloat32}, {dims, {}}};
  const std::vector<ValueId> results =
      net.add_layer(plugin, {net.add_activation(twice, network::ActivationType::kRelu)});
  net.mark_output(
      net.add_elementwise(results[0], net.add_scalar(DataType::kFloat32, 1, 2), network::ElementWiseOperation::kSum),
      "y");
  net.mark_output(results[1], "count");
  return net;
}

std::vector<float> expected(const std::vector<float>& x) {
  std::vector<float> y;
  for (std::size_t i = x.size(); i-- > 0;) y.push_back(std::max(2 * x[i], 0.0F) + 1);
  return y;
}

TEST(OpenVinoPlugin, RunsInTheMiddleOfAnEngine) {
  const backend::PluginRegistration registration = register_reverse();
  for (const bool dynamic : {false, true}) {
    Engine engine(reversing(dynamic));
    for (const std::int64_t rows : {2, 50, 1, 2}) {
      if (!dynamic && rows != 2) continue;
      const std::vector<float> x = noise(static_cast<std::size_t>(rows * 3), static_cast<std::uint32_t>(rows));
      const std::vector<Tensor> results = engine({Tensor::of<float>({rows, 3}, x)});
      EXPECT_EQ(results[0].as<float>(), expected(x));
      EXPECT_EQ(results[1].as<float>(), std::vector<float>{static_cast<float>(rows * 3)});
    }
  }
}

TEST(OpenVinoPlugin, RunsWhereItsOperandIsEmpty) {
  const backend::PluginRegistration registration = register_reverse();
  Engine engine(reversing(/*dynamic=*/true));
  const std::vector<Tensor> results = engine({Tensor::of<float>({0, 3}, {})});
  EXPECT_EQ(results[0].shape, (Shape{0, 3}));
  EXPECT_EQ(results[1].as<float>(), std::vector<float>{0});
}

TEST(OpenVinoPlugin, ThreadsShareIt) {
  const backend::PluginRegistration registration = register_reverse();
  Engine engine(reversing(/*dynamic=*/true));
  std::vector<std::thread> threads;
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([&engine, seed] {
      const auto context = engine.create_context();
      for (std::uint32_t call = 0; call < 50; ++call) {
        const std::int64_t rows = 1 + (seed + call) % 7;
        const std::vector<float> x = noise(static_cast<std::size_t>(rows * 3), seed * 100 + call);
        Sink sink = engine.sink();
        engine.run(*context, {Tensor::of<float>({rows, 3}, x)}, sink);
        EXPECT_EQ(engine.read(sink)[0].as<float>(), expected(x));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(OpenVinoPlugin, AMissingOneIsNamedAndMayComeLater) {
  try {
    Engine engine(reversing(/*dynamic=*/false));
    FAIL() << "there is no such plugin";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_STREQ(
        error.what(),
        "engine \"reversing\" uses the plugin \"reverse\" of libreverse.so, which is not loaded: dlopen it, link "
        "it or LD_PRELOAD it before the engine's first run");
  }
  const backend::PluginRegistration registration = register_reverse();
  EXPECT_NO_THROW(Engine(reversing(/*dynamic=*/false)));
}

TEST(OpenVinoPlugin, ItsErrorIsTheRuns) {
  const backend::PluginRegistration registration = register_reverse();
  Engine engine(reversing(/*dynamic=*/false, "fail"));
  for (int call = 0; call < 2; ++call) {
    try {
      engine({Tensor::of<float>({2, 3}, noise(6))});
      FAIL() << "the plugin fails";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("a plugin that always fails"), std::string::npos) << error.what();
    }
  }
}

// Fails for elements above 100.
class Picky final : public backend::Plugin {
 public:
  void run(std::span<const DLTensor> inputs, std::span<const DLTensor> results, void*) const override {
    const auto* x = static_cast<const float*>(inputs[0].data);
    auto* y = static_cast<float*>(results[0].data);
    for (std::int64_t i = 0; i < inputs[0].shape[0] * inputs[0].shape[1]; ++i) {
      if (x[i] > 100) throw std::out_of_range("element " + std::to_string(i) + " is above 100");
      y[i] = x[i] + 1;
    }
    *static_cast<float*>(results[1].data) = 0;
  }
};

// An error of a plugin is the call's as it is, and concerns no other call; with one stream nothing is compiled again.
TEST(OpenVinoPlugin, ItsErrorsSpoilNoOtherRun) {
  for (const bool dynamic : {false, true}) {
    for (const backend::ExecutorSettings settings : {backend::ExecutorSettings{1, 0}, {1, 1}, {2, 2}}) {
      SCOPED_TRACE(::testing::Message() << dynamic << " " << settings.streams << " streams");
      std::atomic<int> made = 0;
      const backend::PluginRegistration registration = backend::register_plugin("reverse", [&](const std::string&) {
        ++made;
        return std::make_unique<Picky>();
      });
      Engine engine(reversing(dynamic), settings);
      const int made_before = made;
      std::atomic<int> wrong = 0;
      std::vector<std::thread> threads;
      for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
          const auto context = engine.create_context();
          for (int call = 0; call < 20; ++call) {
            const std::int64_t rows = dynamic ? 2 + call % 3 : 2;
            const bool bad = (call + t) % 4 == 0;
            std::vector<float> x(static_cast<std::size_t>(rows) * 3, static_cast<float>(call % 5));
            if (bad) x[1] = 51;
            Sink sink = engine.sink();
            try {
              engine.run(*context, {Tensor::of<float>({rows, 3}, x)}, sink);
              const std::vector<float> expected(x.size(), static_cast<float>(2 * (call % 5) + 2));
              wrong += bad || engine.read(sink)[0].as<float>() != expected;
            } catch (const std::exception& error) {
              wrong += !bad || std::string(error.what()).find("element 1 is above 100") == std::string::npos;
            }
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      EXPECT_EQ(wrong, 0);
      EXPECT_TRUE(made == made_before || settings.streams > 1);
    }
  }
}

TEST(OpenVinoPlugin, NamesAreTakenOnce) {
  backend::PluginRegistration first = register_reverse();
  EXPECT_THROW((void)register_reverse(), Error);
  const backend::PluginRegistration moved = std::move(first);
  EXPECT_THROW((void)register_reverse(), Error);
  EXPECT_THROW((void)backend::register_plugin("", [](const std::string&) { return nullptr; }), Error);
}

}  // namespace
}  // namespace torchtrt::openvino::testing
