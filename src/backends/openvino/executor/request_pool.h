// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/infer_request.hpp>
#include <openvino/runtime/tensor.hpp>

#include "backends/openvino/plugin_operation.h"

namespace torchtrt::openvino {

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
  std::vector<ov::Tensor> guards;    ///< 0-d booleans behind the outputs: true where a guard is broken.
  std::vector<ov::Tensor> measured;  ///< The results behind the guards, bound to the request.
};

/// What a pool is made of.
struct PoolModel {
  ov::CompiledModel compiled;
  std::size_t inputs = 0, outputs = 0;
  std::size_t guards = 0;  ///< Results behind the outputs that are guards of the network.
  /// Behind the outputs are as many results of the model: float32 of no dimensions, which must not exceed these, or the
  /// run's outputs are not right (nonfinite.h).
  std::vector<float> limits;
  /// The model was compiled from one with dynamic shapes, or with plugins: its runs are told apart.
  bool keeps_state = false;
  /// Where the model's plugin operations leave their errors. Null with several streams, where nothing says which run an
  /// operation belongs to.
  std::shared_ptr<RunFailure> failure;
  std::shared_ptr<const void> owner;  ///< Keeps the memory that the model's constants lie in.
};

/// A compiled model and its requests that are not in use. Shared with the outputs that a request lends, which bring it
/// back when they are released, maybe after the engine is gone. Thread-safe.
///
/// OpenVINO 2026.4 has two faults with dynamic shapes that are mended here.
///
/// A run that fails leaves shapes and addresses behind in the compiled model, and runs that follow, of any request, may
/// be wrong without an error. So a pool with a failed run is spoiled for good, and no run that might have followed one
/// counts. With one stream runs take turns, as they do inside OpenVINO anyway. With several, a run is told failed when
/// it is back, and by then another may have followed it: a run counts when all that ran beside it are back and none has
/// failed.
///
/// A new request reads how the outputs of dynamic shape lie in memory, without a lock, while runs of other requests
/// replace just that: use after free. So a request is made while none of the model runs.
class RequestPool : public std::enable_shared_from_this<RequestPool> {
 public:
  explicit RequestPool(PoolModel model);
  RequestPool(const RequestPool&) = delete;
  RequestPool& operator=(const RequestPool&) = delete;
  ~RequestPool();

  /// A run failed, or the pool was left behind. It runs nothing any more; take another one.
  [[nodiscard]] bool is_spoiled() const noexcept {
    return spoiled_.load(std::memory_order_acquire) || is_left_behind();
  }
  /// The threads of the pool's model are those of the process that this one was forked from.
  [[nodiscard]] bool is_left_behind() const noexcept;

  std::unique_ptr<Request> acquire();
  /// Runs the request. Throws what the run threw. False: the pool is spoiled, and what the request computed does not
  /// count. `alone`: while no other runs; then an error is this run's for sure.
  [[nodiscard]] bool infer(Request& request, bool alone);
  /// The request as the owner of its outputs' memory: comes back to the pool with the last copy of the pointer.
  std::shared_ptr<Request> lend(std::unique_ptr<Request> request);
  void release(std::unique_ptr<Request> request) noexcept;
  /// Whether a run of the request that counts kept to the limits.
  [[nodiscard]] bool is_within_limits(const Request& request) const;
  [[nodiscard]] const ov::CompiledModel& model() const { return model_.compiled; }

 private:
  // How runs of the model meet: not at all, as nothing that they leave behind matters; one after the other; at once.
  enum class Runs : std::uint8_t { kFree, kInTurn, kBeside };

  struct Open {
    void operator()(RequestPool* pool) const noexcept;
  };
  /// While it lives no run begins. To be destroyed under the lock.
  using Closed = std::unique_ptr<RequestPool, Open>;

  Closed close(std::unique_lock<std::mutex>& lock);
  void run(Request& request);
  bool run_beside_others(Request& request, bool alone);
  std::unique_ptr<Request> make();

  // Each keeps the memory of its last outputs: as many as a few threads need, not as many as were ever lent.
  static constexpr std::size_t kMaxIdle = 8;

  const PoolModel model_;
  bool has_threads_ = false;
  Runs runs_ = Runs::kFree;
  const unsigned forks_;
  std::atomic<bool> spoiled_{false};

  std::mutex turn_;  // kInTurn: held over a run, and while a request is made; kBeside: guards what follows
  std::condition_variable changed_;
  std::set<std::uint64_t> running_;  // tickets, in the order of the runs' beginnings
  std::uint64_t last_ticket_ = 0;
  std::size_t failures_ = 0;
  std::size_t closed_ = 0;

  std::mutex idle_mutex_;
  std::vector<std::unique_ptr<Request>> idle_;
};

}  // namespace torchtrt::openvino
