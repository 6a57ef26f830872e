// SPDX-License-Identifier: Apache-2.0
#include "torch/input_check.h"

#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include <c10/util/SmallVector.h>

#include <torchtrt/base/error.h>

#include "runtime/shape_cache.h"
#include "torch/bindings.h"

namespace torchtrt::torch_adapter {
namespace {

class Expectation {
 public:
  explicit Expectation(format::Metadata parsed) : metadata(std::move(parsed)), plan(metadata) {}
  Expectation(const Expectation&) = delete;
  Expectation& operator=(const Expectation&) = delete;

  /// Checks the inputs' shapes; those that passed lately are only compared.
  void check_shapes(std::span<const DLTensor> inputs) {
    const std::lock_guard lock(mutex_);
    shapes_.find_or_resolve(plan, inputs);
  }

  const format::Metadata metadata;
  const runtime::BindingPlan plan;

 private:
  std::mutex mutex_;
  runtime::ShapeCache shapes_;
};

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

/// Parsed once per program. Never destroyed: programs may run while static objects are.
Expectation& expectation_of(std::string_view text) {
  using Known = std::unordered_map<std::string, std::unique_ptr<Expectation>, Hash, std::equal_to<>>;
  static auto* mutex = new std::shared_mutex;
  static auto* known = new Known;
  {
    const std::shared_lock lock(*mutex);
    if (const auto found = known->find(text); found != known->end()) {
      return *found->second;
    }
  }
  auto made = std::make_unique<Expectation>(format::read_inputs(text));
  const std::unique_lock lock(*mutex);
  return *known->try_emplace(std::string(text), std::move(made)).first->second;
}

}  // namespace

void check_inputs(at::TensorList inputs, std::string_view expected, bool contiguous) {
  Expectation& expectation = expectation_of(expected);
  const format::Metadata& metadata = expectation.metadata;
  c10::SmallVector<DLTensor, 8> bindings;
  DLDevice device{kDLCPU, 0};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_has_elements(inputs[i], i, metadata);
    bindings.push_back(to_dlpack(inputs[i]));
    if (metadata.device == "cuda" && bindings.back().device.device_type == kDLCUDA) {
      device = bindings.back().device;
    }
  }
  expectation.plan.check_bindings(bindings, device);
  expectation.check_shapes(bindings);
  for (std::size_t i = 0; contiguous && i < inputs.size(); ++i) {
    TORCHTRT_CHECK(readable_in_place(inputs[i]), kInvalidArgument, runtime::subject_of(metadata), ", input \"",
                   metadata.inputs[i].name, "\": expected a contiguous tensor, but got strides ", inputs[i].strides(),
                   inputs[i].is_neg() || inputs[i].is_conj() ? " of a lazily negated or conjugated view" : "",
                   "; call .contiguous() (and .resolve_neg(), .resolve_conj()) before");
  }
}

}  // namespace torchtrt::torch_adapter
