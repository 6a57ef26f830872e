// SPDX-License-Identifier: Apache-2.0
// Whole programs in recordings, with a recorder that needs no GPU: it remembers what to run.
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <torchtrt/torch/whole_graph.h>

#include "base/testing/expect_error.h"
#include "runtime/engine.h"
#include "runtime/testing/fixtures.h"

namespace torchtrt::runtime {
namespace {

struct Counts {
  int recorded = 0, replayed = 0, turns = 0, open_turns = 0;
  bool fails = false, takes_cpu = true;
};

class FakeRecorder {
 public:
  explicit FakeRecorder(std::shared_ptr<Counts> counts = std::make_shared<Counts>()) : counts_(std::move(counts)) {}

  [[nodiscard]] bool can_record(const Tensors&) const { return counts_->takes_cpu; }
  struct Turn {
    explicit Turn(Counts& all) : counts(all) {
      ++counts.turns;
      EXPECT_EQ(++counts.open_turns, 1) << "calls take turns";
    }
    ~Turn() { --counts.open_turns; }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Counts& counts;
  };
  Turn turn(const Tensors&) { return Turn(*counts_); }
  Recording record(const std::function<Tensors()>& run, const Tensors& memory) {
    EXPECT_FALSE(memory.empty());
    Tensors results = run();
    if (counts_->fails) throw std::runtime_error("operation not permitted when stream is capturing");
    ++counts_->recorded;
    const auto replay = [counts = counts_, run, results] {
      EXPECT_EQ(counts->open_turns, 1);
      ++counts->replayed;
      const c10::InferenceMode any;  // in which every tensor may be written
      const Tensors again = run();
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (results[i].defined()) results[i].copy_(again[i]);
      }
    };
    return {replay, std::move(results)};
  }

 private:
  std::shared_ptr<Counts> counts_;
};

using Whole = WholeGraph<FakeRecorder>;

Tensors sum_and_product(const Tensors& inputs) {
  TORCH_CHECK_VALUE(inputs[0].size(0) <= 16, inputs[0].size(0), " rows are too many");
  return {inputs[0] + inputs[1], inputs[0] * inputs[1]};
}

class WholeGraphTest : public ::testing::Test {
 protected:
  /// Calls with rows x 3 elements and compares with the plain run.
  void expect_right(std::int64_t rows, at::ScalarType type = at::kFloat) {
    const Tensors inputs{at::randn({rows, 3}).to(type), at::randn({rows, 3}).to(type)};
    results.push_back(whole(inputs));
    expected.push_back(sum_and_product(inputs));
    for (std::size_t i = 0; i < results.size(); ++i) {  // also those of former calls
      ASSERT_EQ(results[i].size(), 2u);
      EXPECT_TRUE(at::equal(results[i][0], expected[i][0]) && at::equal(results[i][1], expected[i][1]));
    }
  }

  std::shared_ptr<Counts> counts = std::make_shared<Counts>();
  Whole whole{sum_and_product, {}, FakeRecorder(counts)};
  std::vector<Tensors> results, expected;
};

TEST_F(WholeGraphTest, NewInputsRecordKnownOnesReplay) {
  for (const std::int64_t rows : {2, 3, 2, 3, 2}) expect_right(rows);
  EXPECT_EQ(counts->recorded, 2);
  EXPECT_EQ(counts->replayed, 5);
  expect_right(2, at::kDouble);
  EXPECT_EQ(counts->recorded, 3) << "another type";
  const at::Tensor transposed = at::randn({3, 2}).t();
  whole({transposed, transposed});
  EXPECT_EQ(counts->recorded, 4) << "other strides";
  EXPECT_EQ(counts->turns, 7);
}

TEST_F(WholeGraphTest, TheLeastRecentlyUsedMakesRoom) {
  for (std::int64_t rows = 1; rows <= 8; ++rows) expect_right(rows);
  for (const std::int64_t rows : {1, 9, 1}) expect_right(rows);
  EXPECT_EQ(counts->recorded, 9) << "1 stayed";
  expect_right(2);
  EXPECT_EQ(counts->recorded, 10) << "2 made room for 9";
  whole.reset();
  expect_right(2);
  EXPECT_EQ(counts->recorded, 11);
}

TEST_F(WholeGraphTest, AFailedRecordingFallsBackOnceWithAWarning) {
  std::vector<std::string> warnings;
  set_log_sink([&](LogLevel, const std::string& line) { warnings.push_back(line); });
  counts->fails = true;
  for (int i = 0; i < 3; ++i) expect_right(2);
  set_log_sink(nullptr);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("cannot be recorded into a CUDA graph"), std::string::npos);
  counts->fails = false;
  expect_right(2);
  EXPECT_EQ(counts->recorded, 0) << "not tried again by itself";
  whole.reset();
  expect_right(2);
  EXPECT_EQ(counts->recorded, 1);
}

TEST_F(WholeGraphTest, AnErrorOfTheInputsIsNotOneOfRecording) {
  EXPECT_THROW(whole({at::ones({17, 3}), at::ones({17, 3})}), c10::ValueError);
  expect_right(2);
  EXPECT_EQ(counts->recorded, 1);
}

TEST_F(WholeGraphTest, WhatCannotBeRecordedRunsPlainly) {
  counts->takes_cpu = false;  // or: the caller's stream is being recorded
  expect_right(2);
  EXPECT_EQ(counts->turns, 0);
  counts->takes_cpu = true;
  Whole constant([](const Tensors&) { return Tensors{at::ones({2})}; }, {}, FakeRecorder(counts));
  EXPECT_TRUE(at::equal(constant({})[0], at::ones({2})));
  EXPECT_EQ(constant({at::Tensor()}).size(), 1u);
  EXPECT_EQ(constant({at::ones({2, 2}).to_sparse()}).size(), 1u);
  EXPECT_EQ(counts->turns, 0);
}

TEST_F(WholeGraphTest, InferenceModeAndGradientsOfACallAreItsOwn) {
  {
    const c10::InferenceMode inference;
    expect_right(2);
    EXPECT_TRUE(results.back()[0].is_inference());
  }
  expect_right(2);
  EXPECT_FALSE(results.back()[0].is_inference());
  {
    const c10::InferenceMode inference;
    expect_right(2);
  }
  const at::Tensor weight = at::ones({2, 3}).requires_grad_();
  EXPECT_FALSE(whole({weight, weight})[0].requires_grad());
  EXPECT_EQ(counts->recorded, 1);
}

TEST_F(WholeGraphTest, UndefinedResultsStay) {
  Whole partial([](const Tensors& inputs) { return Tensors{inputs[0] + 1, at::Tensor()}; });
  EXPECT_FALSE(partial({at::ones({2})})[1].defined());
}

TEST_F(WholeGraphTest, ThreadsTakeTurns) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const Tensors inputs{at::full({t % 4 + 1, 3}, i), at::full({t % 4 + 1, 3}, t)};
        const Tensors answer = whole(inputs);
        wrong += at::equal(answer[0], inputs[0] + inputs[1]) && at::equal(answer[1], inputs[0] * inputs[1]) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(counts->recorded, 4);
}

TEST_F(WholeGraphTest, AnotherOptimizationProfileRecordsAnew) {
  const testing::FakeEngineState state =
      testing::fake_engine({.properties = {{"operation", "profile"}, {"profiles", "2"}}});
  const testing::AlignedBytes bytes(state.payload);
  const std::vector engines{EngineHandle(std::make_shared<Engine>(state.text(), bytes.span(), bytes.owner()))};
  Whole with_engine(sum_and_product, engines, FakeRecorder(counts));
  const Tensors inputs{at::randn({2, 3}), at::randn({2, 3})};
  with_engine(inputs);
  {
    const ModeScope scope = optimization_profile(engines, 1);
    with_engine(inputs);
    with_engine(inputs);
    EXPECT_EQ(counts->recorded, 2);
  }
  with_engine(inputs);
  EXPECT_EQ(counts->recorded, 2) << "the first recording holds again";
}

TEST_F(WholeGraphTest, EnginesThatRequireTheAllocatorAreRefused) {
  const testing::FakeEngineState state = testing::fake_engine({.requires_output_allocator = true});
  const testing::AlignedBytes bytes(state.payload);
  const std::vector engines{EngineHandle(std::make_shared<Engine>(state.text(), bytes.span(), bytes.owner()))};
  torchtrt::testing::expect_error(ErrorCode::kIncompatibleMode, "require a dynamic output allocator",
                                  [&] { Whole refused(sum_and_product, engines); });
}

}  // namespace
}  // namespace torchtrt::runtime
