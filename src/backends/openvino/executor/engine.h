// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/infer_request.hpp>
#include <openvino/runtime/tensor.hpp>

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

 private:
  std::unique_ptr<Request> make();
  void release(std::unique_ptr<Request> request) noexcept;

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

class OpenVinoEngine final : public backend::ExecutableEngine {
 public:
  explicit OpenVinoEngine(const backend::LoadRequest& load);
  std::unique_ptr<backend::Context> create_context() override;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::vector<Port>& inputs() const { return inputs_; }
  [[nodiscard]] const std::vector<Port>& outputs() const { return outputs_; }
  [[nodiscard]] RequestPool& pool() const { return *pool_; }

  /// Whether requests of pool() are right for finite inputs only (nonfinite.h); then those of exact_pool(), which is
  /// made at the first call, are right for all.
  [[nodiscard]] bool needs_finite_inputs() const { return needs_finite_inputs_; }
  RequestPool& exact_pool() const;

 private:
  const backend::LoadRequest load_;
  std::string name_;
  std::vector<Port> inputs_, outputs_;
  bool needs_finite_inputs_ = false;
  std::shared_ptr<RequestPool> pool_;
  mutable std::mutex exact_mutex_;
  mutable std::shared_ptr<RequestPool> exact_pool_;
};

}  // namespace torchtrt::openvino
