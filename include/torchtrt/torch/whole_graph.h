// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <torchtrt/base/log.h>
#include <torchtrt/runtime.h>

/// Records a whole program, engines and PyTorch operators, into one CUDA graph per combination of input shapes. Needs
/// libtorch's headers, nothing of CUDA: that is in cuda_graph_recorder.h.
namespace torchtrt::runtime {

using Tensors = std::vector<at::Tensor>;

/// A recorded run: the replay enqueues it on the calling thread's current stream, which fills `results` anew.
struct Recording {
  std::function<void()> replay;
  Tensors results;
};

/// Calls `function` through recordings: new shapes warm it up and record it, known ones replay. Inputs are copied to a
/// recording's memory and results out of it, so what a caller got is never written again. Engines with another
/// optimization profile (optimization_profile) count as new shapes. The least recently used of
/// kCapacity recordings makes room. Results are detached: gradients are neither needed nor recorded.
///
/// Runs `function` plainly: inputs that the recorder does not take (on the CPU, on several devices, none), and calls
/// within somebody else's recording. A recording that fails although the plain run succeeds is tried no more, after a
/// warning. An error of the inputs is what `function` throws, and changes nothing.
///
/// `function` must do the same for equal shapes and types whatever the elements are, and give results on the device. Its
/// engines run plainly while it is recorded, whatever their modes; changed weights need a reset().
///
/// Thread-safe; calls take turns, since they share memory. `function` must not call the same object.
///
/// Recorder: CudaGraphRecorder; tests have another one. It has
///   bool can_record(const Tensors&)   whether these inputs (at least one) are on one device that it records, whose
///                                     current stream nobody records
///   Turn turn(const Tensors&)         an object for the length of a call on these inputs; what turns enqueue runs in
///                                     their order, also on different streams
///   Recording record(const std::function<Tensors()>& run, const Tensors& memory)
///                                     warms `run` up, which reads `memory`, and records it; throws std::exception
template <typename Recorder>
class WholeGraph {
 public:
  using Function = std::function<Tensors(const Tensors&)>;
  static constexpr std::size_t kCapacity = 8;

  /// `engines`: those that `function` runs (engines_of, engines_of_package). Error(kIncompatibleMode) if one requires
  /// the output allocator, which cannot be recorded.
  explicit WholeGraph(Function function, std::span<const EngineHandle> engines = {}, Recorder recorder = Recorder())
      : function_(std::move(function)), recorder_(std::move(recorder)), engines_(engines.begin(), engines.end()) {
    check_recordable(engines);
  }

  Tensors operator()(const Tensors& inputs) {
    const c10::AutoGradMode no_grad(false);
    if (failed_.load(std::memory_order_relaxed) || !is_recordable(inputs)) return function_(inputs);
    const std::lock_guard lock(mutex_);
    const auto turn = recorder_.turn(inputs);
    const auto known = std::find_if(entries_.rbegin(), entries_.rend(), [&](const Entry& entry) {
      return same(entry.described, inputs) && entry.profiles == chosen_profiles();
    });
    if (known != entries_.rend()) {
      std::rotate(std::prev(known.base()), known.base(), entries_.end());
    } else {
      std::optional<Tensors> plain = record(inputs);
      if (plain) return std::move(*plain);
    }
    Entry& entry = entries_.back();
    for (std::size_t i = 0; i < inputs.size(); ++i) entry.memory[i].copy_(inputs[i], /*non_blocking=*/true);
    entry.recording.replay();
    Tensors results;
    for (const at::Tensor& result : entry.recording.results) {
      results.push_back(result.defined() ? result.clone() : result);
    }
    return results;
  }

  /// Forgets all recordings, and that one failed.
  void reset() {
    const std::lock_guard lock(mutex_);
    entries_.clear();
    failed_ = false;
  }

 private:
  /// What a recording depends on besides the elements.
  struct Described {
    at::ScalarType type;
    at::Device device;
    std::vector<std::int64_t> sizes, strides;
  };
  using Profiles = std::vector<std::optional<int>>;  // of the engines
  struct Entry {
    std::vector<Described> described;
    Profiles profiles;
    Tensors memory;  // of the inputs
    Recording recording;
  };

  static bool same(const std::vector<Described>& described, const Tensors& inputs) {
    return std::equal(described.begin(), described.end(), inputs.begin(), inputs.end(),
                      [](const Described& expected, const at::Tensor& input) {
                        return expected.type == input.scalar_type() && expected.device == input.device() &&
                               input.sizes() == expected.sizes && input.strides() == expected.strides;
                      });
  }

  [[nodiscard]] Profiles chosen_profiles() const {
    Profiles profiles;
    for (const EngineHandle& engine : engines_) profiles.push_back(engine.chosen_profile());
    return profiles;
  }

  bool is_recordable(const Tensors& inputs) {
    return !inputs.empty() && std::all_of(inputs.begin(), inputs.end(), [](const at::Tensor& input) {
      return input.defined() && input.layout() == at::kStrided;
    }) && recorder_.can_record(inputs);
  }

  /// Adds an entry; or gives the plain run's results if recording fails.
  std::optional<Tensors> record(const Tensors& inputs) {
    Entry entry;
    entry.profiles = chosen_profiles();
    {
      // Ordinary tensors in any case: those of an inference mode could not be written outside of it.
      const c10::InferenceMode ordinary(false);
      for (const at::Tensor& input : inputs) {
        entry.described.push_back({input.scalar_type(), input.device(), input.sizes().vec(), input.strides().vec()});
        entry.memory.push_back(input.detach().clone());
      }
    }
    try {
      entry.recording = recorder_.record([this, memory = entry.memory] { return function_(memory); }, entry.memory);
    } catch (const std::exception& error) {
      const std::string reason = error.what();
      Tensors plain = function_(inputs);  // an error of the inputs shows here again, and goes on
      failed_ = true;
      entries_.clear();
      TORCHTRT_LOG(kWarning, "a program cannot be recorded into a CUDA graph and runs without: ", reason);
      return plain;
    }
    if (entries_.size() == kCapacity) entries_.erase(entries_.begin());
    entries_.push_back(std::move(entry));
    return std::nullopt;
  }

  Function function_;
  Recorder recorder_;
  const std::vector<EngineHandle> engines_;
  std::atomic<bool> failed_{false};
  std::mutex mutex_;            // guards the rest, and the recorder's turns
  std::vector<Entry> entries_;  // the one used last at the back
};

}  // namespace torchtrt::runtime
