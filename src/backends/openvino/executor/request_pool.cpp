// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/request_pool.h"

#include <exception>
#include <utility>

#include <openvino/runtime/properties.hpp>

#include "backends/openvino/forks.h"

namespace torchtrt::openvino {
RequestPool::RequestPool(PoolModel model) : model_(std::move(model)), forks_(forks()) {
  has_threads_ = model_.compiled.get_property(ov::num_streams).num > 1;
  if (model_.keeps_state) runs_ = has_threads_ ? Runs::kBeside : Runs::kInTurn;
  idle_.reserve(kMaxIdle);  // so that release() cannot throw
}

// To destroy a model is to wait for its threads.
RequestPool::~RequestPool() {
  if (is_left_behind()) new ov::CompiledModel(model_.compiled);
}

bool RequestPool::is_left_behind() const noexcept { return has_threads_ && forks() != forks_; }

std::unique_ptr<Request> RequestPool::acquire() {
  {
    const std::lock_guard lock(idle_mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Request> request = std::move(idle_.back());
      idle_.pop_back();
      return request;
    }
  }
  return make();
}

std::unique_ptr<Request> RequestPool::make() {
  auto request = std::make_unique<Request>();
  request->inputs.resize(model_.inputs);
  request->outputs.resize(model_.outputs);
  std::unique_lock lock(turn_);
  const Closed closed = close(lock);
  ov::CompiledModel compiled = model_.compiled;
  request->infer = compiled.create_infer_request();
  for (std::size_t i = 0; i < model_.guards; ++i) {
    request->guards.emplace_back(ov::element::boolean, ov::Shape{});
    request->infer.set_output_tensor(model_.outputs + i, request->guards.back());
  }
  for (std::size_t i = 0; i < model_.limits.size(); ++i) {
    request->measured.emplace_back(ov::element::f32, ov::Shape{});
    request->infer.set_output_tensor(model_.outputs + model_.guards + i, request->measured.back());
  }
  return request;
}

// Waits until nothing runs, and keeps runs from beginning: those that follow one another cannot starve it.
RequestPool::Closed RequestPool::close(std::unique_lock<std::mutex>& lock) {
  ++closed_;
  Closed closed(this);
  changed_.wait(lock, [this] { return running_.empty(); });
  return closed;
}

void RequestPool::Open::operator()(RequestPool* pool) const noexcept {
  --pool->closed_;
  pool->changed_.notify_all();
}

void RequestPool::run(Request& request) {
  RunFailure* const kept = model_.failure.get();
  if (kept != nullptr) kept->is_running = true;
  try {
    request.infer.infer();
  } catch (...) {
    spoiled_.store(true, std::memory_order_release);
    throw;
  }
  if (kept == nullptr) return;
  kept->is_running = false;
  if (kept->error != nullptr) std::rethrow_exception(std::exchange(kept->error, nullptr));
}

bool RequestPool::infer(Request& request, bool alone) {
  switch (runs_) {
    case Runs::kFree: run(request); return true;
    case Runs::kInTurn: {
      const std::lock_guard turn(turn_);
      if (is_spoiled()) return false;
      run(request);
      return true;
    }
    case Runs::kBeside: break;
  }
  return run_beside_others(request, alone);
}

bool RequestPool::run_beside_others(Request& request, bool alone) {
  std::unique_lock lock(turn_);
  Closed closed;
  if (alone) {
    closed = close(lock);
  } else {
    changed_.wait(lock, [this] { return closed_ == 0; });
  }
  if (is_spoiled()) return false;
  const auto self = running_.insert(running_.end(), ++last_ticket_);
  lock.unlock();
  std::exception_ptr error;
  try {
    run(request);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  running_.erase(self);
  if (error != nullptr) ++failures_;
  changed_.notify_all();
  // What begins later has no part in this run, whether it fails or not.
  const std::uint64_t last_beside = last_ticket_;
  changed_.wait(lock, [&] { return running_.empty() || *running_.begin() > last_beside; });
  // Of several failures all but the first may come from the first.
  if (error != nullptr && failures_ == 1) std::rethrow_exception(error);
  return failures_ == 0;
}

bool RequestPool::is_within_limits(const Request& request) const {
  for (std::size_t i = 0; i < model_.limits.size(); ++i) {
    const bool holds = *request.measured[i].data<const float>() <= model_.limits[i];  // false for NaN
    if (!holds) return false;
  }
  return true;
}

std::shared_ptr<Request> RequestPool::lend(std::unique_ptr<Request> request) {
  return {request.release(),
          [pool = shared_from_this()](Request* back) { pool->release(std::unique_ptr<Request>(back)); }};
}

void RequestPool::release(std::unique_ptr<Request> request) noexcept {
  if (is_spoiled()) return;
  const std::lock_guard lock(idle_mutex_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(request));
}

}  // namespace torchtrt::openvino
