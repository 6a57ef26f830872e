// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/infer_request.hpp>
#include <openvino/runtime/tensor.hpp>

#include "backends/openvino/executor/inspection.h"

namespace torchtrt::openvino {

/// An input or output as the package describes it.
struct Port {
  std::string name;
  ov::element::Type type;
  std::vector<std::int64_t> shape;  ///< -1 where a dimension is not static.
  bool is_static = false;
};

/// An infer request and what is bound to it. Used by one run at a time; while its outputs are lent it is not run.
struct Request {
  struct Binding {
    ov::Tensor tensor;                ///< Bound to the request; empty before the first binding.
    void* data = nullptr;             ///< The tensor's elements.
    std::vector<std::int64_t> shape;  ///< The tensor's shape.
    bool is_own = false;              ///< The elements belong to the request, not to a caller.
  };
  ov::InferRequest infer;
  std::vector<Binding> inputs, outputs;
};

/// Requests that are not in use. Shared with the outputs that a request lends, which bring it back when they are
/// released, maybe after the engine is gone. Thread-safe.
///
/// In OpenVINO 2026.4 a new request reads how the outputs of dynamic shape lie in memory, without a lock, while runs of
/// other requests replace just that: use after free. So a request is made while none of the model runs.
class RequestPool : public std::enable_shared_from_this<RequestPool> {
 public:
  /// `owner` keeps the memory that the model's constants lie in.
  RequestPool(ov::CompiledModel model, std::size_t inputs, std::size_t outputs, std::shared_ptr<const void> owner);

  std::unique_ptr<Request> acquire();
  void infer(Request& request);
  /// The request as the owner of its outputs' memory: comes back to the pool with the last copy of the pointer.
  std::shared_ptr<Request> lend(std::unique_ptr<Request> request);
  void release(std::unique_ptr<Request> request) noexcept;
  [[nodiscard]] const ov::CompiledModel& model() const { return model_; }

 private:
  std::unique_ptr<Request> make();

  // Each keeps the memory of its last outputs: as many as a few threads need, not as many as were ever lent.
  static constexpr std::size_t kMaxIdle = 8;

  std::shared_ptr<const void> owner_;
  ov::CompiledModel model_;
  const std::size_t inputs_, outputs_;
  const bool has_dynamic_shapes_;
  std::mutex gate_;            // passed by every run, held by who makes a request: runs that follow cannot starve it
  std::shared_mutex running_;  // shared by runs
  std::mutex mutex_;
  std::vector<std::unique_ptr<Request>> idle_;
};

/// A form of the engine that measures its layers. OpenVINO keeps one sum of times and one count of runs per layer and
/// compiled model, and tells the quotient in whole microseconds. So runs take turns, and are counted here.
struct ProfiledForm {
  std::shared_ptr<RequestPool> pool;
  std::mutex mutex;  ///< To be held over a run and what is read after it; guards the rest.
  std::int64_t runs = 0;
  struct Layer {
    std::string name;
    std::int64_t reported = 0;  ///< Microseconds.
  };
  std::map<std::string, Layer> layers;  ///< Those that compute, by OpenVINO's name.
};

class OpenVinoEngine final : public backend::ExecutableEngine {
 public:
  explicit OpenVinoEngine(const backend::LoadRequest& load);
  std::unique_ptr<backend::Context> create_context() override;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<Port>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<Port>& outputs() const { return outputs_; }
  std::string inspect() override;

  /// Whether requests of the plain form are right for finite inputs only (nonfinite.h); those of the exact form are right
  /// for all.
  [[nodiscard]] bool needs_finite_inputs() const { return needs_finite_inputs_; }
  [[nodiscard]] RequestPool& pool() const { return *pool_; }
  /// Made at the first call.
  RequestPool& exact_pool() const;
  /// Made at the first call since begin_profiling(). Errors in times grow with the number of runs, so that each profile
  /// gets a form of its own.
  std::shared_ptr<ProfiledForm> profiled_form(bool exact) const;
  void begin_profiling() override;

 private:
  const backend::LoadRequest load_;
  std::string name_;
  std::vector<Port> inputs_, outputs_;
  bool needs_finite_inputs_ = false;
  [[nodiscard]] std::shared_ptr<RequestPool> make_pool(bool exact, bool profiled) const;
  [[nodiscard]] std::map<std::string, ProfiledForm::Layer> layers_of(const RequestPool& pool, bool exact) const;

  std::shared_ptr<RequestPool> pool_;
  mutable std::mutex other_mutex_;  // of the rest, made when first needed
  mutable std::shared_ptr<RequestPool> exact_pool_;
  mutable std::array<std::shared_ptr<ProfiledForm>, 2> profiled_;    // the second is exact
  mutable std::array<std::vector<ComputingLayer>, 2> first_layers_;  // likewise
};

}  // namespace torchtrt::openvino
