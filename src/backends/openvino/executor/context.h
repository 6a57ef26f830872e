// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <torchtrt/backend/executor.h>

#include "backends/openvino/executor/engine.h"

namespace torchtrt::openvino {

/// One call at a time. Where a tensor's bytes go:
///
///   inputs                    small: copied into the request's own tensor; large: bound where they are
///   outputs, static shape     small: computed in the request's own tensor and copied; large: computed in the caller's
///   outputs, dynamic shape    small: copied; large: the caller gets the request's memory, and with it the request,
///                             which is run again only after the caller has released it
///
/// A pointer of a caller stays bound after its call, but is never followed: every run copies or binds every input and
/// every output of static shape anew unless it is at the very same place.
class OpenVinoContext final : public backend::Context {
 public:
  explicit OpenVinoContext(const OpenVinoEngine& engine) : engine_(engine), targets_(engine.outputs().size()) {}
  void run(const backend::RunRequest& run) override;

 private:
  /// Where a form of the engine runs.
  struct Place {
    std::shared_ptr<RequestPool> pool;
    std::unique_ptr<Request> request;  // destroyed before its pool
  };

  /// Runs the plain form or the exact one, where it ran before, until a run counts. False: something overflowed, or came
  /// near it, so that the exact form has to run.
  bool run_on(Place& place, bool exact, const backend::RunRequest& run);
  /// False: the run does not count, see RequestPool::infer.
  bool try_on(Place& place, bool alone, const backend::RunRequest& run);
  void allocate_outputs(const backend::RunRequest& run);
  /// Runs the form of the engine that measures its layers, and says how long they took.
  void check_guards(const Request& request) const;
  bool run_profiled(const backend::RunRequest& run, bool exact);
  [[nodiscard]] bool are_inputs_within_limits(const backend::RunRequest& run) const;
  void bind_input(Request& request, std::size_t index, const DLTensor& tensor);
  void bind_output(Request& request, std::size_t index);
  /// Takes `request` where outputs are lent.
  void deliver(const backend::RunRequest& run, RequestPool& pool, std::unique_ptr<Request>& request);
  [[nodiscard]] bool is_shared(const Request& request, const void* data) const;

  const OpenVinoEngine& engine_;
  Place plain_, exact_;
  std::vector<void*> targets_;         // by output: the caller's buffer; null where it is not known before the run
  std::vector<const void*> produced_;  // where the outputs of dynamic shape lie
  std::vector<std::int64_t> shape_;    // scratch
};

}  // namespace torchtrt::openvino
