// SPDX-License-Identifier: Apache-2.0
// What a context tells TensorRT and when, over a fake that takes TensorRT's place: it adds 1 to float inputs, element by
// element, and refuses what TensorRT refuses. Memory of the "device" is the host's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/executor/context.h"
#include "base/testing/expect_error.h"

namespace torchtrt::tensorrt {
namespace {

using torchtrt::testing::expect_error;

using Sizes = std::vector<std::int64_t>;

std::size_t volume(const Sizes& shape) {
  std::size_t count = 1;
  for (const std::int64_t dim : shape) count *= static_cast<std::size_t>(dim);
  return count;
}

/// Inputs: "x" float32 [-1, 4]; optionally "n", a shape input (int64, 0-d). Output "y" is x + 1, of x's shape; with "n",
/// the first n rows; with `depends_on_data`, the rows whose first element is positive. Optionally a second output "size",
/// int64 [2] on the host: the shape of "y".
struct FakeTensorRt {
  bool depends_on_data = false;
  std::int64_t* size = nullptr;
  backend::LayerTimes* times = nullptr;
  std::vector<std::string> calls;
  std::string refused;  // the call that gives false

  std::size_t profile = 0;
  Sizes x_shape;
  const float* x = nullptr;
  const std::int64_t* n = nullptr;
  float* y = nullptr;
  DeferredOutputs* deferred = nullptr;
  void* scratch = nullptr;
  std::size_t scratch_bytes = 0;
  std::size_t bytes_a_row = 0;  // of scratch memory, which it says of shapes; 0: it says nothing

  [[nodiscard]] int count(const std::string& name) const {
    int result = 0;
    for (const std::string& call : calls) result += call.starts_with(name) ? 1 : 0;
    return result;
  }
};

class FakeContext final : public NativeContext {
 public:
  explicit FakeContext(FakeTensorRt& fake) : fake_(fake) {}
  bool set_profile(std::size_t profile, void*) override {
    fake_.profile = profile;
    return called("set_profile " + std::to_string(profile));
  }
  bool set_input_shape(std::size_t input, Shape shape) override {
    EXPECT_EQ(input, 0U) << "the shape input has a fixed shape";
    fake_.x_shape.assign(shape.begin(), shape.end());
    return called("set_input_shape " + text_of(shape));
  }
  bool set_input(std::size_t input, const void* data) override {
    EXPECT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 256, 0U);
    if (input == 0) fake_.x = static_cast<const float*>(data);
    if (input == 1) fake_.n = static_cast<const std::int64_t*>(data);
    return called("set_input " + std::to_string(input));
  }
  bool set_output(std::size_t output, void* data) override {
    EXPECT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 256, 0U);
    if (output == 1) {
      fake_.size = static_cast<std::int64_t*>(data);
      return called("set_output 1");
    }
    fake_.y = static_cast<float*>(data);
    return called("set_output");
  }
  bool defer_output(std::size_t, DeferredOutputs& outputs) override {
    fake_.deferred = &outputs;
    return called("defer_output");
  }
  bool output_shape(std::size_t output, Sizes& shape) override {
    if (output == 1) {
      shape = {fake_.depends_on_data ? -1 : 2};
      return called("output_shape 1");
    }
    shape = fake_.x_shape;
    if (fake_.n != nullptr) shape[0] = *fake_.n;
    if (fake_.depends_on_data) shape[0] = -1;
    return called("output_shape");
  }
  std::optional<std::size_t> scratch_size() override {
    called("scratch_size");
    fake_.scratch_bytes = 0;
    if (fake_.bytes_a_row == 0) return std::nullopt;
    return fake_.bytes_a_row * static_cast<std::size_t>(fake_.x_shape[0]);
  }
  void set_scratch(void* memory, std::size_t bytes) override {
    fake_.scratch = memory;
    fake_.scratch_bytes = bytes;
    called("set_scratch");
  }
  bool enqueue(void*) override {
    if (fake_.scratch_bytes > 0) std::memset(fake_.scratch, 0xFF, fake_.scratch_bytes);
    if (!called("enqueue")) return false;
    Sizes shape = fake_.x_shape;
    if (fake_.n != nullptr) shape[0] = *fake_.n;
    if (fake_.depends_on_data) return enqueue_selected();
    for (std::size_t i = 0; i < volume(shape); ++i) fake_.y[i] = fake_.x[i] + 1;
    if (fake_.times != nullptr) fake_.times->add("plus_one", 0.5, 0.5);
    return true;
  }
  std::string take_errors() override { return "the fake's reason"; }
  bool infer_shapes() override {
    const Sizes shape{fake_.n != nullptr ? *fake_.n : fake_.x_shape[0], 4};
    std::copy(shape.begin(), shape.end(), fake_.size);
    return called("infer_shapes");
  }
  void set_profiler(backend::LayerTimes* times) override {
    fake_.times = times;
    called(times != nullptr ? "set_profiler" : "set_profiler off");
  }

 private:
  bool called(const std::string& call) {
    fake_.calls.push_back(call);
    return fake_.refused.empty() || !call.starts_with(fake_.refused);
  }
  bool enqueue_selected() {
    std::vector<float> rows;
    for (std::int64_t row = 0; row < fake_.x_shape[0]; ++row) {
      const float* from = fake_.x + row * 4;
      if (from[0] > 0) rows.insert(rows.end(), from, from + 4);
    }
    // More than is needed and never nothing, as TensorRT asks.
    void* to = fake_.deferred->reserve(0, volume(fake_.x_shape) * sizeof(float) + 1);
    if (to == nullptr) return false;
    if (!rows.empty()) std::memcpy(to, rows.data(), rows.size() * sizeof(float));
    fake_.deferred->set_shape(0, Sizes{static_cast<std::int64_t>(rows.size() / 4), 4});
    return true;
  }

  FakeTensorRt& fake_;
};

/// Memory that is overwritten when it is given back, as another run's may be.
class Services final : public backend::DeviceServices {
 public:
  std::shared_ptr<void> allocate(std::size_t bytes) override {
    if (fails) throw std::runtime_error("out of memory");
    ++live;
    ++allocations;
    const std::size_t size = (bytes + 255) / 256 * 256;
    void*& spare = spare_[size];
    void* memory = spare != nullptr ? std::exchange(spare, nullptr) : std::aligned_alloc(256, size);
    return {memory, [this, size](void* released) {
              --live;
              std::memset(released, 0xEE, size);
              if (spare_[size] != nullptr) std::free(spare_[size]);
              spare_[size] = released;  // as PyTorch: the next one gets it
            }};
  }
  void* scratch(std::size_t bytes) override {
    if (fails) throw std::runtime_error("out of memory");
    ++scratches;
    if (scratch_.size() * 256 < bytes) scratch_ = std::vector<Aligned>((bytes + 255) / 256);
    return scratch_.data();
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    ++copies;
    std::memcpy(to, from, bytes);
  }
  void write(void* to, const void* from, std::size_t bytes) override {
    ++writes;
    std::memcpy(to, from, bytes);
  }
  ~Services() {
    for (const auto& [size, memory] : spare_) std::free(memory);
  }
  /// As for a run on another thread.
  void move_scratch() {
    former_ = std::move(scratch_);
    scratch_.clear();
  }
  int live = 0, allocations = 0, scratches = 0, copies = 0, writes = 0;
  bool fails = false;

 private:
  struct alignas(256) Aligned {
    std::byte bytes[256];
  };
  std::vector<Aligned> scratch_, former_;
  std::map<std::size_t, void*> spare_;
};

struct alignas(256) Block {
  float values[256];
};

class Sink final : public backend::OutputSink {
 public:
  void* allocate(std::size_t index, std::span<const std::int64_t> dims) override {
    ++allocations;
    if (index == 1) {
      EXPECT_EQ(Sizes(dims.begin(), dims.end()), Sizes{2});
      return size;
    }
    EXPECT_EQ(index, 0U);
    shape.assign(dims.begin(), dims.end());
    return volume(shape) == 0 ? nullptr : block.values;
  }
  void adopt(std::size_t, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override { FAIL(); }
  [[nodiscard]] std::vector<float> values() const { return {block.values, block.values + volume(shape)}; }

  Sizes shape;
  Block block{};
  std::int64_t size[2]{};
  int allocations = 0;
};

Profile profile(std::int64_t min, std::int64_t max, std::size_t scratch_bytes = 0) {
  return {{{{min, 4}, {max, 4}}}, scratch_bytes};
}

class TensorRtContextTest : public ::testing::Test {
 protected:
  TensorRtContextTest() {
    layout.engine = "net";
    layout.inputs = {{"x", 4, true, false, true}};
    layout.outputs = {{"y", 4, false}};
    layout.profiles = {profile(0, 8)};
  }
  void add_shape_input() {
    layout.inputs.push_back({"n", 8, false, true, true});
    for (Profile& each : layout.profiles) each.inputs.push_back({{0}, {8}});
  }
  TensorRtContext& context() {
    if (context_ == nullptr) context_ = std::make_unique<TensorRtContext>(layout, std::make_unique<FakeContext>(fake));
    return *context_;
  }
  DLTensor tensor(void* data, Sizes& shape) {
    DLTensor result{};
    result.data = data;
    result.device = {kDLCUDA, 0};
    result.ndim = static_cast<std::int32_t>(shape.size());
    result.shape = shape.data();
    return result;
  }
  /// Runs on `rows` rows of `input`; the expected shapes are what the package would say.
  void run(float* data, std::int64_t rows, std::optional<std::int64_t> n = std::nullopt,
           std::optional<Sizes> expected = std::nullopt) {
    Sizes shape{rows, 4};
    Sizes scalar;
    std::vector<DLTensor> inputs{tensor(data, shape)};
    if (n) {
      inputs.push_back(tensor(&*n, scalar));
      inputs.back().device = {kDLCPU, 0};
    }
    std::vector<Sizes> outputs;
    if (!fake.depends_on_data) {
      outputs.push_back(expected ? *expected : Sizes{n ? *n : rows, 4});
      if (layout.outputs.size() == 2) outputs.push_back({2});
    }
    context().run({inputs, outputs, &sink, nullptr, &services, wanted_profile, times});
  }
  void expect_right(const float* data) {
    const std::vector<float> values = sink.values();
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], data[i] + 1);
    EXPECT_EQ(services.live, 0) << "memory goes back as soon as the run is enqueued";
  }

  int wanted_profile = -1;
  backend::LayerTimes* times = nullptr;
  Layout layout;
  FakeTensorRt fake;
  Services services;
  Sink sink;
  Block input = [] {
    Block made{};
    for (std::size_t i = 0; i < 256; ++i) made.values[i] = static_cast<float>(i) - 20;
    return made;
  }();

 private:
  std::unique_ptr<TensorRtContext> context_;
};

TEST_F(TensorRtContextTest, TellsTensorRtNothingThatItKnows) {
  run(input.values, 2);
  expect_right(input.values);
  EXPECT_EQ(fake.calls, (std::vector<std::string>{"set_input_shape [2, 4]", "output_shape", "set_input 0", "set_output",
                                                  "enqueue"}));
  fake.calls.clear();
  run(input.values, 2);
  expect_right(input.values);
  EXPECT_EQ(fake.calls, std::vector<std::string>{"enqueue"});
  EXPECT_EQ(services.allocations, 0);
}

TEST_F(TensorRtContextTest, NewShapesAndAddresses) {
  run(input.values, 2);
  fake.calls.clear();
  Block other = input;
  run(other.values, 2);
  EXPECT_EQ(fake.calls, (std::vector<std::string>{"set_input 0", "enqueue"}));
  for (const std::int64_t rows : {3, 2, 8, 1}) {
    run(other.values, rows);
    EXPECT_EQ(sink.shape, (Sizes{rows, 4}));
    expect_right(other.values);
  }
  EXPECT_EQ(fake.count("set_input_shape"), 4);
}

TEST_F(TensorRtContextTest, EnginesOfOneShapeInferNothingTwice) {
  layout.inputs[0].is_dynamic = false;
  layout.profiles[0].inputs[0] = {};
  fake.x_shape = {2, 4};
  run(input.values, 2);
  run(input.values, 2);
  expect_right(input.values);
  EXPECT_EQ(fake.count("set_input_shape"), 0);
  EXPECT_EQ(fake.count("output_shape"), 1);
}

TEST_F(TensorRtContextTest, ScratchMemoryIsAskedForInEachRun) {
  layout.profiles = {profile(0, 8, 1000)};
  run(input.values, 2);
  run(input.values, 2);
  EXPECT_EQ(services.scratches, 2);
  EXPECT_EQ(services.allocations, 0);
  EXPECT_EQ(fake.scratch_bytes, 1000U);
  EXPECT_EQ(fake.count("set_scratch"), 1) << "the same memory";
  expect_right(input.values);
  services.move_scratch();
  run(input.values, 2);
  EXPECT_EQ(fake.count("set_scratch"), 2);
  expect_right(input.values);
}

TEST_F(TensorRtContextTest, ScratchMemoryIsOfTheSizeThatTheShapesNeed) {
  constexpr std::size_t kForAnyShape = std::size_t{1} << 42;
  layout.profiles = {profile(0, INT32_MAX, kForAnyShape)};
  layout.has_scratch_by_shape = true;
  fake.bytes_a_row = 100;
  run(input.values, 2);
  EXPECT_EQ(fake.scratch_bytes, 200U);
  run(input.values, 2);
  EXPECT_EQ(fake.count("scratch_size"), 1) << "the same shapes";
  run(input.values, 8);
  EXPECT_EQ(fake.scratch_bytes, 800U);
  expect_right(input.values);
  run(nullptr, 0);
  EXPECT_EQ(fake.scratch_bytes, 0U);
  run(input.values, 3);
  EXPECT_EQ(fake.scratch_bytes, 300U);
  expect_right(input.values);
}

TEST_F(TensorRtContextTest, ScratchMemoryIsOfTheProfilesSizeWhereShapesDoNotSay) {
  layout.profiles = {profile(0, 8, 1000)};
  layout.has_scratch_by_shape = true;
  run(input.values, 2);
  EXPECT_EQ(fake.scratch_bytes, 1000U);
  fake.bytes_a_row = 600;
  run(input.values, 8);
  EXPECT_EQ(fake.scratch_bytes, 1000U) << "more than the profile's is never needed";
  layout.has_scratch_by_shape = false;
  run(input.values, 1);
  EXPECT_EQ(fake.scratch_bytes, 1000U);
  EXPECT_EQ(fake.count("scratch_size"), 2);
}

TEST_F(TensorRtContextTest, MemoryThatTensorRtCannotReadIsCopied) {
  run(input.values + 1, 2);  // a view of a larger tensor
  expect_right(input.values + 1);
  EXPECT_EQ(services.copies, 1);
  Sizes shape{2, 4};
  DLTensor at_offset = tensor(input.values, shape);
  at_offset.byte_offset = 64 * sizeof(float);  // aligned
  const std::vector<Sizes> outputs{shape};
  context().run({{&at_offset, 1}, outputs, &sink, nullptr, &services});
  expect_right(input.values + 64);
  EXPECT_EQ(services.copies, 1);
}

TEST_F(TensorRtContextTest, ValuesOfSymbolsThatTheEngineComputesWith) {
  // An input on the host that decides no shape: the engine wants it on the device.
  Sizes shape{2, 4};
  DLTensor on_host = tensor(input.values, shape);
  on_host.device = {kDLCPU, 0};
  const std::vector<Sizes> outputs{shape};
  context().run({{&on_host, 1}, outputs, &sink, nullptr, &services});
  expect_right(input.values);
  EXPECT_EQ(services.writes, 1);
}

TEST_F(TensorRtContextTest, InputsThatTensorRtDroppedAreNotBound) {
  layout.inputs.push_back({"n", 8, false, false, false});
  layout.profiles[0].inputs.emplace_back();
  std::int64_t n = 3;
  Sizes shape{2, 4};
  Sizes scalar;
  std::vector<DLTensor> inputs{tensor(input.values, shape), tensor(&n, scalar)};
  inputs[1].device = {kDLCPU, 0};
  const std::vector<Sizes> outputs{shape};
  context().run({inputs, outputs, &sink, nullptr, &services});
  expect_right(input.values);
  EXPECT_EQ(fake.count("set_input 1"), 0);
}

TEST_F(TensorRtContextTest, EmptyTensorsHaveAnAddress) {
  run(nullptr, 0);
  EXPECT_EQ(sink.shape, (Sizes{0, 4}));
  EXPECT_EQ(sink.allocations, 1);
  run(input.values, 3);
  expect_right(input.values);
}

TEST_F(TensorRtContextTest, ShapeInputsStayOnTheHost) {
  add_shape_input();
  run(input.values, 6, 3);
  EXPECT_EQ(sink.shape, (Sizes{3, 4}));
  expect_right(input.values);
  fake.calls.clear();
  run(input.values, 6, 3);
  EXPECT_EQ(fake.calls, std::vector<std::string>{"enqueue"}) << "the same value from other memory";
  run(input.values, 6, 0);
  EXPECT_EQ(sink.shape, (Sizes{0, 4}));
  run(input.values, 6, 5);
  EXPECT_EQ(sink.shape, (Sizes{5, 4}));
  expect_right(input.values);
  EXPECT_EQ(services.copies, 0);
}

TEST_F(TensorRtContextTest, ShapeInputsOnTheDeviceAreRefused) {
  add_shape_input();
  Sizes shape{2, 4};
  Sizes scalar;
  std::int64_t n = 1;
  const std::vector<DLTensor> inputs{tensor(input.values, shape), tensor(&n, scalar)};
  expect_error(ErrorCode::kInvalidArgument, "input \"n\": its values decide shapes, so it has to be on the CPU",
               [&] { context().run({inputs, {}, &sink, nullptr, &services}); });
}

TEST_F(TensorRtContextTest, ProfilesAreChosenByTheShapes) {
  layout.profiles = {profile(0, 8, 2000), profile(1, 4, 500), profile(4, 4)};
  run(input.values, 8);  // the first is what TensorRT begins with
  EXPECT_EQ(fake.count("set_profile"), 0);
  EXPECT_EQ(fake.scratch_bytes, 2000U);
  run(input.values, 2);
  EXPECT_EQ(fake.profile, 1U);
  EXPECT_EQ(fake.scratch_bytes, 500U);
  expect_right(input.values);
  fake.calls.clear();
  run(input.values, 4);
  EXPECT_EQ(fake.profile, 2U) << "the most specialized of three";
  EXPECT_EQ(fake.calls, (std::vector<std::string>{"set_profile 2", "set_input_shape [4, 4]", "output_shape",
                                                  "set_input 0", "set_output", "enqueue"}))
      << "the profile first, and everything anew";
  expect_right(input.values);
}

TEST_F(TensorRtContextTest, AProfileThatTheUserChose) {
  layout.profiles = {profile(0, 8), profile(1, 4), profile(4, 4)};
  wanted_profile = 1;
  run(input.values, 4);
  EXPECT_EQ(fake.profile, 1U) << "not the most specialized";
  expect_right(input.values);
  fake.calls.clear();
  run(input.values, 4);
  EXPECT_EQ(fake.calls, std::vector<std::string>{"enqueue"});
  wanted_profile = 0;
  run(input.values, 4);
  EXPECT_EQ(fake.profile, 0U) << "the same shapes in another profile";
  expect_right(input.values);
  wanted_profile = -1;
  run(input.values, 4);
  EXPECT_EQ(fake.profile, 2U) << "automatic again";
  expect_right(input.values);
}

TEST_F(TensorRtContextTest, AProfileThatDoesNotTakeTheShapes) {
  layout.profiles = {profile(0, 8), profile(1, 4)};
  wanted_profile = 1;
  run(input.values, 4);
  expect_error(ErrorCode::kOutOfRange,
               "engine \"net\", input \"x\": shape [5, 4] is outside of optimization profile 1, [1, 4] to [4, 4]: "
               "choose another profile, or \"auto\"",
               [&] { run(input.values, 5); });
  wanted_profile = 2;
  expect_error(ErrorCode::kOutOfRange, "there is no optimization profile 2, it has 2", [&] { run(input.values, 5); });
  wanted_profile = -1;
  run(input.values, 5);
  EXPECT_EQ(fake.profile, 0U);
  expect_right(input.values);
}

TEST_F(TensorRtContextTest, EnginesOfOneShapeHaveNothingToChoose) {
  layout.inputs[0].is_dynamic = false;
  layout.profiles[0].inputs[0] = {};
  fake.x_shape = {2, 4};
  for (const int wanted : {0, -1}) {
    wanted_profile = wanted;
    run(input.values, 2);
    expect_right(input.values);
  }
  EXPECT_EQ(fake.count("output_shape"), 1);
}

TEST_F(TensorRtContextTest, ShapesThatNoProfileTakes) {
  layout.profiles = {profile(1, 2), profile(4, 8)};
  expect_error(
      ErrorCode::kOutOfRange,
      "engine \"net\", input \"x\": shape [3, 4] is outside of what the engine was built for, [1, 4] to [2, 4] "
      "or [4, 4] to [8, 4]",
      [&] { run(input.values, 3); });
}

TEST_F(TensorRtContextTest, ValuesThatNoProfileTakes) {
  add_shape_input();
  expect_error(ErrorCode::kOutOfRange,
               "input \"n\": values [9] is outside of what the engine was built for, [0] to [8]",
               [&] { run(input.values, 2, 9); });
}

TEST_F(TensorRtContextTest, EachInputFitsAProfileButNotTheSame) {
  layout.inputs.push_back({"z", 4, true, false, true});
  layout.profiles = {{{{{1}, {1}}, {{1}, {1}}}, 0}, {{{{2}, {2}}, {{2}, {2}}}, 0}};
  EXPECT_EQ(choose_profile(layout, {{1}, {2}}), std::nullopt);
  expect_error(ErrorCode::kOutOfRange, "no optimization profile takes these shapes together",
               [&] { fail_without_profile(layout, {{1}, {2}}); });
  EXPECT_EQ(choose_profile(layout, {{2}, {2}}), 1U);
}

TEST_F(TensorRtContextTest, OutputsThatDependOnData) {
  fake.depends_on_data = true;
  for (const std::int64_t rows : {7, 8, 2}) {  // the rows from number 6 on are positive
    run(input.values, rows);
    const std::int64_t selected = rows < 6 ? 0 : rows - 6;
    EXPECT_EQ(sink.shape, (Sizes{selected, 4}));
    const std::vector<float> values = sink.values();
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], input.values[24 + i]);
    EXPECT_EQ(services.live, 0);
  }
  EXPECT_EQ(fake.count("defer_output"), 1);
  EXPECT_EQ(fake.count("set_output"), 0);
}

TEST_F(TensorRtContextTest, NoMemoryForAnOutputIsTheAllocatorsError) {
  fake.depends_on_data = true;
  services.fails = true;
  try {
    run(input.values, 7);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "out of memory");
  }
}

TEST_F(TensorRtContextTest, AnotherShapeThanThePackageSays) {
  expect_error(ErrorCode::kInternal, "output \"y\": the package says shape [3, 4], TensorRT-RTX infers [2, 4]",
               [&] { run(input.values, 2, std::nullopt, Sizes{3, 4}); });
}

TEST_F(TensorRtContextTest, SizesAsResults) {
  layout.outputs.push_back({"size", 8, true});
  add_shape_input();
  for (const auto& [rows, n] : {std::pair{6, 3}, {6, 3}, {5, 5}, {6, 0}, {6, 3}}) {
    sink.size[0] = sink.size[1] = -1;
    fake.calls.clear();
    run(input.values, rows, n);
    EXPECT_EQ(sink.size[0], n);
    EXPECT_EQ(sink.size[1], 4);
    EXPECT_NE(fake.size, sink.size) << "the caller's memory is the device's";
    EXPECT_EQ(sink.shape, (Sizes{n, 4}));
  }
  EXPECT_EQ(services.writes, 5);
  fake.calls.clear();
  run(input.values, 6, 3);
  EXPECT_EQ(fake.calls, std::vector<std::string>{"enqueue"}) << "known shapes have known sizes";
  EXPECT_EQ(services.writes, 6);
}

TEST_F(TensorRtContextTest, SizesThatCannotBeComputed) {
  layout.outputs.push_back({"size", 8, true});
  fake.refused = "infer_shapes";
  expect_error(ErrorCode::kInternal, "fails to compute sizes on the host: the fake's reason",
               [&] { run(input.values, 2); });
}

TEST_F(TensorRtContextTest, HowManySizesMustNotDependOnData) {
  layout.outputs.push_back({"size", 8, true});
  fake.depends_on_data = true;
  expect_error(ErrorCode::kUnsupported,
               "output \"size\" is computed on the host, and how many elements it has depends on data",
               [&] { run(input.values, 2); });
}

struct Times final : backend::LayerTimes {
  void add(std::string_view layer, double milliseconds, double) noexcept override {
    layers.emplace_back(std::string(layer), milliseconds);
  }
  std::vector<std::pair<std::string, double>> layers;
};

TEST_F(TensorRtContextTest, RunsThatAreProfiled) {
  run(input.values, 2);
  Times first, second;
  times = &first;
  fake.calls.clear();
  run(input.values, 2);
  EXPECT_EQ(fake.calls, (std::vector<std::string>{"set_profiler", "enqueue", "set_profiler off"}));
  times = &second;
  run(input.values, 3);
  times = nullptr;
  run(input.values, 3);
  expect_right(input.values);
  EXPECT_EQ(first.layers, (std::vector<std::pair<std::string, double>>{{"plus_one", 0.5}}));
  EXPECT_EQ(second.layers.size(), 1U);
}

TEST_F(TensorRtContextTest, EveryRefusalIsAnError) {
  layout.profiles = {profile(0, 8), profile(2, 3, 100)};
  add_shape_input();
  const std::map<std::string, std::string> texts{
      {"set_profile", "fails to choose an optimization profile: the fake's reason"},
      {"set_input_shape", "fails to set the shape of input \"x\": the fake's reason"},
      {"set_input 0", "fails to bind input \"x\""},
      {"set_input 1", "fails to bind input \"n\""},
      {"output_shape", "fails to infer the shape of output \"y\""},
      {"set_output", "fails to bind output \"y\""},
      {"enqueue", "engine \"net\": TensorRT-RTX fails to enqueue the engine: the fake's reason"},
  };
  for (const auto& [call, text] : texts) {
    fake = FakeTensorRt();
    fake.refused = call;
    TensorRtContext context(layout, std::make_unique<FakeContext>(fake));
    Sizes shape{2, 4};
    Sizes scalar;
    std::int64_t n = 2;
    std::vector<DLTensor> inputs{tensor(input.values, shape), tensor(&n, scalar)};
    inputs[1].device = {kDLCPU, 0};
    const std::vector<Sizes> outputs{shape};
    expect_error(ErrorCode::kInternal, text, [&] { context.run({inputs, outputs, &sink, nullptr, &services}); });
    EXPECT_EQ(fake.calls.back().substr(0, call.size()), call) << "nothing after a refusal";
  }
}

}  // namespace
}  // namespace torchtrt::tensorrt
