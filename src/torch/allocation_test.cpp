// SPDX-License-Identifier: Apache-2.0
// What a call with known shapes allocates in the torch adapter: the result's tensors and the vector that holds them.
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <torchtrt/runtime.h>

#include "runtime/testing/allocation_counter.h"
#include "runtime/testing/fixtures.h"
#include "torch/engine_call.h"
#include "torch/engine_holder.h"
#include "torch/input_check.h"

namespace torchtrt::torch_adapter {
namespace {

using runtime::testing::AllocationCounter;
using Pointer = c10::intrusive_ptr<EngineHolder>;

class TorchAllocations : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setenv("TORCHTRT_BACKEND_PATH", TORCHTRT_FAKE_BACKEND_PATH, 1);
    load_runtime();
  }

  static Pointer make() {
    auto state = runtime::testing::fake_engine({.name = "counted", .properties = {{"operation", "nothing"}}});
    const auto size = static_cast<std::int64_t>(state.payload.size());
    return c10::make_intrusive<EngineHolder>(state.text(),
                                             at::from_blob(state.payload.data(), {size}, at::kByte).clone());
  }

  /// Allocations of `function` for each of three batches, after it has met them.
  template <typename Function>
  static std::size_t allocations(Function&& function) {
    const std::vector<at::Tensor> inputs{at::ones({1, 3}), at::ones({2, 3}), at::ones({3, 3})};
    for (int i = 0; i < 20; ++i) function(inputs[0]), function(inputs[1]), function(inputs[2]);
    const AllocationCounter counter;
    for (const at::Tensor& input : inputs) function(input);
    return counter.count();
  }

  /// What the result's tensors take, and with the vector that holds them.
  static std::size_t of_tensors() {
    return allocations([](const at::Tensor& input) { at::detail::empty_cpu(input.sizes(), at::kFloat); });
  }
  static std::size_t of_results() {
    std::vector<at::Tensor> kept;  // or compilers might leave the vector out
    return of_tensors() + allocations([&](const at::Tensor&) { kept = std::vector<at::Tensor>(1); });
  }
};

TEST_F(TorchAllocations, OfACallAreTheResults) {
  const Pointer engine = make();
  EXPECT_GT(of_results(), 0u);
  EXPECT_EQ(allocations([&](const at::Tensor& input) { run_engine(*engine, {input}); }), of_results());
}

TEST_F(TorchAllocations, AreTheSameInEveryMode) {
  const Pointer engine = make();
  const auto run = [&](const at::Tensor& input) { run_engine(*engine, {input}); };
  const std::vector<runtime::EngineHandle> handles{engine->handle()};
  {
    const auto scope = runtime::scoped_multi_device_safe_mode(true);
    EXPECT_EQ(allocations(run), of_results());
  }
  {
    const auto scope = runtime::enable_cudagraphs(handles);
    EXPECT_EQ(allocations(run), of_results());
  }
  {
    const auto scope = runtime::enable_output_allocator(handles);
    EXPECT_EQ(allocations(run), of_results());
  }
  const auto scope = runtime::enable_pre_allocated_outputs(handles);
  EXPECT_EQ(allocations(run), of_results() + of_tensors()) << "shapes alternate: what is ready does not fit";
  const at::Tensor input = at::ones({2, 3});
  EXPECT_EQ(allocations([&](const at::Tensor&) { run_engine(*engine, {input}); }), of_results());
}

TEST_F(TorchAllocations, OfAProgramsInputCheckAreNone) {
  const std::string expected =
      R"({"name":"","device":"cpu","inputs":[{"name":"x","dtype":"float32","shape":["s0",3]}],)"
      R"("symbols":{"s0":{"min":1,"opt":2,"max":8}}})";
  EXPECT_EQ(allocations([&](const at::Tensor& input) { check_inputs({input}, expected, true); }), 0u);
  EXPECT_THROW(check_inputs({at::ones({9, 3})}, expected, true), Error);
  EXPECT_THROW(check_inputs({at::ones({2, 4})}, expected, true), Error) << "also after shapes that passed";
  EXPECT_NO_THROW(check_inputs({at::ones({8, 3})}, expected, true));
}

}  // namespace
}  // namespace torchtrt::torch_adapter
