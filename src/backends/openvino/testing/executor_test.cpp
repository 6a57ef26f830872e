// SPDX-License-Identifier: Apache-2.0
// Where bytes go, who owns them, threads, and what fails how.
#include <gtest/gtest.h>

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <cmath>
#include <locale>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include <torchtrt/base/error.h>
#include <nlohmann/json.hpp>

#include "backends/openvino/testing/harness.h"

namespace torchtrt::openvino::testing {
namespace {

using network::ElementWiseOperation;

constexpr std::int64_t kLarge = 64 * 1024;  // elements: beyond the size up to which tensors are copied

// y = x + 1 over [rows, width]; rows is a symbol if `dynamic`.
Network plus_one(bool dynamic, std::int64_t rows, std::int64_t width) {
  Network net("plus_one");
  if (dynamic) net.add_symbol("s0", {0, rows, 1 << 20});
  const ValueId x = net.add_input("x", DataType::kFloat32, {dynamic ? Expr::symbol("s0") : Expr(rows), width});
  net.mark_output(net.add_elementwise(x, net.add_scalar(DataType::kFloat32, 1, 2), ElementWiseOperation::kSum), "y");
  return net;
}

Tensor filled(std::int64_t rows, std::int64_t width, float value) {
  return Tensor::of<float>({rows, width}, std::vector<float>(static_cast<std::size_t>(rows * width), value));
}

void expect_all(const Tensor& tensor, float value) {
  const std::vector<float> values = tensor.as<float>();
  for (const float actual : values) ASSERT_EQ(actual, value);
}

TEST(OpenVinoExecutor, StaticOutputsAreWrittenWhereTheCallerAllocated) {
  for (const std::int64_t width : {std::int64_t{10}, kLarge}) {
    Engine engine(plus_one(false, 1, width));
    const auto context = engine.create_context();
    std::vector<Sink> sinks;
    for (int call = 0; call < 3; ++call) {
      sinks.push_back(engine.sink());
      engine.run(*context, {filled(1, width, static_cast<float>(call))}, sinks.back());
    }
    for (int call = 0; call < 3; ++call) {  // none was overwritten by a later call
      EXPECT_FALSE(sinks[static_cast<std::size_t>(call)].outputs[0].adopted);
      expect_all(engine.read(sinks[static_cast<std::size_t>(call)])[0], static_cast<float>(call + 1));
    }
  }
}

struct Times final : backend::LayerTimes {
  void add(std::string_view layer, double milliseconds, double last) noexcept override {
    names.emplace_back(layer);
    sum += milliseconds;
    sum_of_means += last;
  }
  std::vector<std::string> names;
  double sum = 0, sum_of_means = 0;
};

TEST(OpenVinoExecutor, MeasuresLayersWhenItIsAskedTo) {
  for (const bool dynamic : {false, true}) {
    Engine engine(plus_one(dynamic, 2, kLarge));
    const auto context = engine.create_context();
    for (int call = 0; call < 3; ++call) {
      for (const bool profiled : {false, true}) {
        Times times;
        Sink sink = engine.sink();
        const float value = static_cast<float>(call) + (profiled ? 0.5F : 0);
        engine.run(*context, {filled(2, kLarge, value)}, sink, profiled ? &times : nullptr);
        expect_all(engine.read(sink)[0], value + 1);
        EXPECT_EQ(times.names.empty(), !profiled);
      }
    }
  }
}

// OpenVINO tells means since the form was compiled; a sum of means would be dominated by the large call.
TEST(OpenVinoExecutor, TimesAreOfTheirOwnCalls) {
  Engine engine(plus_one(true, 1, kLarge));
  const auto context = engine.create_context();
  std::map<std::int64_t, double> sums;
  double total = 0, mean = 0;
  int calls = 0;
  const auto run = [&](std::int64_t rows) {
    Times times;
    Sink sink = engine.sink();
    engine.run(*context, {filled(rows, kLarge, 1)}, sink, &times);
    expect_all(engine.read(sink)[0], 2);
    sums[rows] += times.sum;
    total += times.sum;
    mean = times.sum_of_means;
    ++calls;
  };
  run(1);
  run(100);
  for (int i = 0; i < 10; ++i) run(1);
  EXPECT_NEAR(total, mean * calls, 0.001);
  EXPECT_GT(sums[100], sums[1]) << "eleven calls with a hundredth of the elements";
  engine.begin_profiling();
  calls = 0;
  total = 0;
  run(1);
  EXPECT_NEAR(total, mean, 0.001) << "another profile begins anew";
}

TEST(OpenVinoExecutor, InspectionNamesTheLayers) {
  Engine engine(plus_one(true, 2, 8));
  const nlohmann::json document = nlohmann::json::parse(engine.inspect());
  EXPECT_EQ(document["engine"], "plus_one");
  EXPECT_EQ(document["backend"], "openvino");
  std::set<std::string> types;
  for (const auto& layer : document["layers"]) {
    types.insert(layer["type"]);
    EXPECT_TRUE(layer["name"].is_string());
    EXPECT_TRUE(layer["output_shapes"].is_array());
    if (layer["type"] == "Input") {
      EXPECT_EQ(layer["output_shapes"], nlohmann::json::parse("[[-1, 8]]"));
      EXPECT_EQ(layer["original_layers"], nlohmann::json::parse("[\"x\"]"));
    }
  }
  EXPECT_TRUE(types.contains("Eltwise")) << engine.inspect();
}

TEST(OpenVinoExecutor, ReusedAndFreedBuffersAreNotConfused) {
  Engine engine(plus_one(false, 1, kLarge));
  const auto context = engine.create_context();
  for (int call = 0; call < 20; ++call) {
    // Freed memory comes back from the allocator at the same address, with other contents.
    const Tensor x = filled(1, kLarge, static_cast<float>(call));
    Sink sink = engine.sink();
    engine.run(*context, {x}, sink);
    expect_all(engine.read(sink)[0], static_cast<float>(call + 1));
  }
}

TEST(OpenVinoExecutor, LargeDynamicOutputsAreLent) {
  Engine engine(plus_one(true, 1, kLarge));
  auto context = engine.create_context();
  std::vector<Sink> held;
  for (int call = 0; call < 12; ++call) {
    held.push_back(engine.sink());
    engine.run(*context, {filled(call % 3 + 1, kLarge, static_cast<float>(call))}, held.back());
    EXPECT_TRUE(held.back().outputs[0].adopted);
  }
  std::set<void*> distinct;
  for (const Sink& sink : held) distinct.insert(sink.outputs[0].data);
  EXPECT_EQ(distinct.size(), held.size());
  for (int call = 0; call < 12; ++call) {
    const Tensor y = engine.read(held[static_cast<std::size_t>(call)])[0];
    EXPECT_EQ(y.shape, (Shape{call % 3 + 1, kLarge}));
    expect_all(y, static_cast<float>(call + 1));
  }
  // The memory is reused after it was released ...
  void* last = held.back().outputs[0].data;
  held.pop_back();
  Sink again = engine.sink();
  engine.run(*context, {filled(3, kLarge, 5)}, again);
  EXPECT_EQ(again.outputs[0].data, last);
  // ... and outlives context and engine.
  context.reset();
  engine = Engine(plus_one(true, 1, 1));
  expect_all(Tensor{DataType::kFloat32,
                    {3, kLarge},
                    std::vector<std::byte>(static_cast<std::byte*>(again.outputs[0].data),
                                           static_cast<std::byte*>(again.outputs[0].data) + 3 * kLarge * 4)},
             6);
}

TEST(OpenVinoExecutor, ShapesChangeBackAndForth) {
  Engine engine(plus_one(true, 4, 1000));
  const auto context = engine.create_context();
  for (const std::int64_t rows : {4, 100, 1, 0, 50, 4, 100, 0, 3}) {
    Sink sink = engine.sink();
    engine.run(*context, {filled(rows, 1000, static_cast<float>(rows))}, sink);
    const Tensor y = engine.read(sink)[0];
    EXPECT_EQ(y.shape, (Shape{rows, 1000}));
    expect_all(y, static_cast<float>(rows + 1));
  }
}

TEST(OpenVinoExecutor, PassedThroughRepeatedAndConstantOutputs) {
  for (const bool dynamic : {false, true}) {
    for (const std::int64_t width : {std::int64_t{6}, kLarge}) {
      SCOPED_TRACE(::testing::Message() << (dynamic ? "dynamic " : "static ") << width);
      Network net("outputs");
      if (dynamic) net.add_symbol("s0", {1, 2, 8});
      net.add_input("unused", DataType::kInt32, {2});
      const ValueId x = net.add_input("x", DataType::kFloat32, {dynamic ? Expr::symbol("s0") : Expr(2), width});
      const ValueId y = net.add_activation(x, network::ActivationType::kRelu);
      net.mark_output(x, "passed");
      net.mark_output(y, "first");
      net.mark_output(y, "second");
      net.mark_output(constant(net, {2, width}, std::vector<float>(static_cast<std::size_t>(2 * width), 7.0F)),
                      "constant");
      net.mark_output(x, "passed_again");
      Engine engine(net);
      const auto context = engine.create_context();
      std::vector<Sink> held;  // from call 1 on, so that requests alternate
      for (int call = 0; call < 8; ++call) {
        const Tensor input = filled(2, width, static_cast<float>(call));
        Sink sink = engine.sink();
        engine.run(*context, {Tensor::of<std::int32_t>({2}, {1, 2}), input}, sink);
        const std::vector<Tensor> results = engine.read(sink);
        for (const std::size_t i : {0, 1, 2, 4}) expect_all(results[i], static_cast<float>(call));
        expect_all(results[3], 7);
        std::set<const void*> places{input.bytes.data()};  // every output has memory of its own
        for (const Sink::Output& output : sink.outputs) places.insert(output.data);
        EXPECT_EQ(places.size(), 6U);
        if (call == 1) held.push_back(sink);
      }
    }
  }
}

TEST(OpenVinoExecutor, InputsKeepTheirOrder) {
  Network net("order");
  std::vector<ValueId> ids;
  std::vector<Tensor> inputs;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(net.add_input("in" + std::to_string((i * 7) % 12), DataType::kFloat32, {2}));
    inputs.push_back(Tensor::of<float>({2}, {static_cast<float>(i), static_cast<float>(-i)}));
  }
  for (int i = 11; i >= 0; --i) {
    net.mark_output(net.add_unary(ids[static_cast<std::size_t>(i)], network::UnaryOperation::kNeg),
                    "out" + std::to_string((i * 5) % 12));
  }
  const std::vector<Tensor> results = evaluate(net, inputs);
  for (int i = 0; i < 12; ++i) {
    expect_same(results[static_cast<std::size_t>(11 - i)].as<float>(), {static_cast<float>(-i), static_cast<float>(i)});
  }
}

TEST(OpenVinoExecutor, ContextsRunConcurrently) {
  for (const bool dynamic : {false, true}) {
    for (const backend::ExecutorSettings settings : {backend::ExecutorSettings{1, 0}, {1, 1}, {2, 2}}) {
      Engine engine(plus_one(dynamic, 1, kLarge), settings);
      std::atomic<int> wrong = 0;
      std::vector<std::thread> threads;
      for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
          const auto context = engine.create_context();
          for (int call = 0; call < 25; ++call) {
            const float value = static_cast<float>(t * 100 + call);
            Sink sink = engine.sink();
            engine.run(*context, {filled(1, kLarge, value)}, sink);
            const std::vector<float> y = engine.read(sink)[0].as<float>();
            for (const float actual : y) wrong += actual != value + 1;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      EXPECT_EQ(wrong, 0);
    }
  }
}

// Outputs of dynamic shape, small, so that most of the time goes into what is tested.
TEST(OpenVinoExecutor, ContextsAreMadeWhileOthersRun) {
  for (const int streams : {1, 2}) {
    Network net("selection");
    net.add_symbol("s0", {1, 4, 16});
    const ValueId x = net.add_input("x", DataType::kFloat32, {Expr::symbol("s0"), 2});
    const ValueId y = net.add_activation(x, network::ActivationType::kRelu);
    net.mark_output(net.add_unary(y, network::UnaryOperation::kNeg), "negative");
    net.mark_output(net.add_softmax(y, 1), "shares");
    Engine engine(net, {streams, 2});
    std::atomic<int> wrong = 0;
    std::atomic<bool> done = false;
    const auto run = [&](backend::Context& context, std::int64_t rows) {
      Sink sink = engine.sink();
      engine.run(context, {filled(rows, 2, 1)}, sink);
      const std::vector<Tensor> results = engine.read(sink);
      const auto count = static_cast<std::size_t>(rows) * 2;
      wrong += results[0].as<float>() != std::vector<float>(count, -1);
      wrong += results[1].as<float>() != std::vector<float>(count, 0.5);
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        const auto context = engine.create_context();
        for (int call = 0; !done; ++call) run(*context, (call + t) % 13 + 1);
      });
    }
    for (int made = 0; made < 15000; ++made) run(*engine.create_context(), made % 5 + 1);
    done = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST(OpenVinoExecutor, LeavesTheCallersAffinityAlone) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  Engine engine(plus_one(false, 1, kLarge));
  engine({filled(1, kLarge, 1)});
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(OpenVinoExecutor, ErrorsInARunAreThrownWhateverTheThreads) {
  // x + y of unequal shapes: the runtime never lets this happen, the plugin must still say so.
  for (const int threads : {0, 1, 2}) {
    Network net("sum");
    net.add_symbol("s0", {1, 2, 8});
    const ValueId x = net.add_input("x", DataType::kFloat32, {Expr::symbol("s0"), 3});
    const ValueId y = net.add_input("y", DataType::kFloat32, {Expr::symbol("s0"), 3});
    net.mark_output(net.add_elementwise(x, y, ElementWiseOperation::kSum), "z");
    Engine engine(net, {1, threads});
    try {
      engine({filled(3, 3, 1), filled(4, 3, 1)});
      FAIL() << "no error with " << threads << " threads";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInternal);
      EXPECT_NE(std::string(error.what()).find("sum"), std::string::npos);
    }
    expect_all(engine({filled(4, 3, 1), filled(4, 3, 1)})[0], 2);  // a fresh context works
  }
}

// tanh(2x + y) and its sum over the columns. Inputs of unequal sizes fail in the middle of the run.
Network fails_in_the_middle() {
  Network net("fails_in_the_middle");
  net.add_symbol("s0", {1, 8, 64});
  const ValueId x = net.add_input("x", DataType::kFloat32, {Expr::symbol("s0"), 3});
  const ValueId y = net.add_input("y", DataType::kFloat32, {Expr::symbol("s0"), 3});
  const ValueId twice = net.add_elementwise(x, net.add_scalar(DataType::kFloat32, 2, 2), ElementWiseOperation::kProd);
  const ValueId sorted = net.add_layer(network::CumulativeSum{1}, {net.add_softmax(twice, 1)})[0];
  const ValueId sum = net.add_elementwise(sorted, y, ElementWiseOperation::kSum);
  const ValueId moved = net.add_layer(network::CumulativeSum{0}, {sum})[0];
  net.mark_output(moved, "moved");
  net.mark_output(
      net.add_reduce(net.add_softmax(moved, 1), network::ReduceOperation::kSum, std::vector<std::int64_t>{0}, false),
      "total");
  return net;
}

// Of x and y filled with one value each: rows of (1/3, 2/3, 1) + y, summed up going down.
bool is_right(const std::vector<Tensor>& results, std::int64_t rows, float y) {
  if (results[0].shape != Shape{rows, 3} || results[1].shape != Shape{3}) return false;
  const std::vector<float> moved = results[0].as<float>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < 3; ++column) {
      const double expected = static_cast<double>(row + 1) * (static_cast<double>(column + 1) / 3 + y);
      if (std::abs(moved[static_cast<std::size_t>(row * 3 + column)] - expected) > 1e-3) return false;
    }
  }
  return true;
}

const std::vector<backend::ExecutorSettings> kSettings{{1, 0}, {1, 1}, {1, 2}, {2, 2}};

// A run that fails leaves the state of OpenVINO's compiled model half way between two shapes.
TEST(OpenVinoExecutor, AFailedRunSpoilsNoneThatFollow) {
  for (const backend::ExecutorSettings settings : kSettings) {
    SCOPED_TRACE(::testing::Message() << settings.streams << " streams, " << settings.threads << " threads");
    Engine engine(fails_in_the_middle(), settings);
    const auto held = engine.create_context();
    for (const std::int64_t rows : {8, 17, 8, 8, 5, 17, 5, 8}) {
      for (const bool new_context : {false, true}) {
        const auto fresh = engine.create_context();
        backend::Context& context = new_context ? *fresh : *held;
        Sink sink = engine.sink();
        if (rows == 17) {
          EXPECT_THROW(engine.run(context, {filled(17, 3, 1), filled(8, 3, 1)}, sink), Error);
        } else {
          engine.run(context, {filled(rows, 3, 1), filled(rows, 3, 2)}, sink);
          EXPECT_TRUE(is_right(engine.read(sink), rows, 2));
        }
      }
    }
  }
}

TEST(OpenVinoExecutor, FailedRunsSpoilNoneOfOtherThreads) {
  for (const backend::ExecutorSettings settings : kSettings) {
    SCOPED_TRACE(::testing::Message() << settings.streams << " streams, " << settings.threads << " threads");
    Engine engine(fails_in_the_middle(), settings);
    std::atomic<int> right = 0;
    std::atomic<int> wrong = 0;
    std::atomic<int> refused = 0;
    std::atomic<int> failing = 2;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        const auto context = engine.create_context();
        for (std::int64_t call = t; failing > 0; ++call) {
          const std::int64_t rows = 8 + (call / 16) % 2;  // the same again and again: OpenVINO then prepares nothing
          const auto y = static_cast<float>(call % 7);
          Sink sink = engine.sink();
          try {
            engine.run(*context, {filled(rows, 3, 1), filled(rows, 3, y)}, sink);
            ++(is_right(engine.read(sink), rows, y) ? right : wrong);
          } catch (const Error&) {
            ++refused;
          }
        }
      });
    }
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int call = 0; call < 10; ++call) {
          const auto context = engine.create_context();
          Sink sink = engine.sink();
          EXPECT_THROW(engine.run(*context, {filled(17, 3, 1), filled(8, 3, 1)}, sink), Error);
        }
        --failing;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(refused, 0);
    EXPECT_GT(right, 0);
  }
}

// The child has none of the threads that streams are.
TEST(OpenVinoExecutor, RunsInAForkedProcess) {
  for (const backend::ExecutorSettings settings : kSettings) {
    for (const bool dynamic : {false, true}) {
      Engine engine(plus_one(dynamic, 2, 8), settings);
      const auto context = engine.create_context();
      const auto run = [&] {
        Sink sink = engine.sink();
        engine.run(*context, {filled(2, 8, 1)}, sink);
        return engine.read(sink)[0].as<float>() == std::vector<float>(16, 2);
      };
      EXPECT_TRUE(run());
      const pid_t child = fork();
      if (child == 0) {
        alarm(60);  // ends the child should it hang
        _exit(run() && run() ? 0 : 1);
      }
      int status = -1;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0) << settings.streams << " streams, " << settings.threads << " threads";
      EXPECT_TRUE(run());
    }
  }
}

// Numbers as in German: 0,5 and 1.000.
class GermanNumbers final : public std::numpunct<char> {
  [[nodiscard]] char do_decimal_point() const override { return ','; }
  [[nodiscard]] char do_thousands_sep() const override { return '.'; }
  [[nodiscard]] std::string do_grouping() const override { return "\3"; }
};

// Layers with floating attributes, integer ones above a thousand, and lists of them.
Network numbers() {
  Network net("numbers");
  net.add_symbol("s0", {1, 2, 4000});
  const ValueId x = net.add_input("x", DataType::kFloat32, {Expr::symbol("s0"), 1, 1, 2500});
  const ValueId elu = net.add_activation(x, network::ActivationType::kElu, 0.75F);
  const ValueId clip = net.add_activation(elu, network::ActivationType::kClip, -0.375F, 1234.5F);
  const ValueId flat = net.add_layer(network::Shuffle{{}, Dims{Expr::symbol("s0"), 2500}, {}}, {clip})[0];
  net.mark_output(flat, "y");
  return net;
}

TEST(OpenVinoExecutor, TheProgramsLocaleIsOfNoConsequence) {
  const std::vector<float> x = noise(5000);
  const std::vector<float> expected = Engine(numbers())({Tensor::of<float>({2, 1, 1, 2500}, x)})[0].as<float>();
  const std::locale before = std::locale::global(std::locale(std::locale(), new GermanNumbers));
  const std::vector<float> actual = Engine(numbers())({Tensor::of<float>({2, 1, 1, 2500}, x)})[0].as<float>();
  std::ostringstream after;
  after << 1000;
  std::locale::global(before);
  EXPECT_EQ(actual, expected);
  EXPECT_EQ(after.str(), "1.000") << "the program's locale is as it was";
}

// --- loading
// -------------------------------------------------------------------------------------------------------------

ErrorCode load_error(backend::LoadRequest request) {
  try {
    executor().load(request);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("plus_one"), std::string::npos) << error.what();
    return error.code();
  }
  ADD_FAILURE() << "loaded";
  return ErrorCode::kInternal;
}

TEST(OpenVinoExecutor, RefusesWhatItCannotLoad) {
  const Network net = plus_one(false, 1, 10);
  const auto built = std::make_shared<backend::BuiltEngine>(builder().build(net, {}));
  const backend::LoadRequest good = load_request(net, built);
  EXPECT_NO_THROW(executor().load(good));

  backend::LoadRequest request = good;
  request.payloads.pop_back();
  EXPECT_EQ(load_error(request), ErrorCode::kDataLoss);  // no section "weights"

  request = good;
  request.payloads[0].bytes = request.payloads[0].bytes.first(request.payloads[0].bytes.size() / 2);
  EXPECT_EQ(load_error(request), ErrorCode::kDataLoss);
  request.properties["openvino_version"] = "2099.1.0";
  EXPECT_EQ(load_error(request), ErrorCode::kVersionMismatch);

  request = good;
  const std::string foreign = "this is no network";
  request.payloads[0].bytes = std::as_bytes(std::span(foreign));
  EXPECT_EQ(load_error(request), ErrorCode::kDataLoss);

  request = good;
  request.payloads[1].bytes = request.payloads[1].bytes.first(1);
  EXPECT_EQ(load_error(request), ErrorCode::kDataLoss);

  request = good;
  request.inputs[0].dtype = DataType::kInt32;
  EXPECT_EQ(load_error(request), ErrorCode::kDataLoss);

  request = good;
  request.inputs[0].shape = {1, 11};
  EXPECT_EQ(load_error(request), ErrorCode::kDataLoss);

  request = good;
  request.outputs.clear();
  EXPECT_EQ(load_error(request), ErrorCode::kDataLoss);

  request = good;
  request.device = {kDLCUDA, 0};
  EXPECT_EQ(load_error(request), ErrorCode::kInvalidArgument);
}

TEST(OpenVinoModules, NameThemselvesAndRefuseOtherInterfaces) {
  EXPECT_EQ(builder().name(), "openvino");
  EXPECT_EQ(executor().name(), "openvino");
  EXPECT_EQ(builder().version(), executor().version());
  EXPECT_TRUE(builder().narrows_int64());
}

}  // namespace
}  // namespace torchtrt::openvino::testing
