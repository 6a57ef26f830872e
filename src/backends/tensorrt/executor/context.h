// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <torchtrt/backend/executor.h>

#include "backends/tensorrt/executor/layout.h"
#include "backends/tensorrt/executor/native.h"

namespace torchtrt::tensorrt {

/// One call at a time. What TensorRT is told, and when:
///
///   profile, shapes, shape inputs   when they, or the profile that is asked for, differ from the last run's
///   addresses                       those that differ from the last run's; PyTorch gives the same memory again and again
///   scratch memory                  of the size that the shapes need; asked for in each run, which may get the runtime's or a
///                                   recording's, and told where that differs
///   outputs of known shape          written where the caller wants them
///   outputs that depend on data     written into memory taken for the run, then copied to the caller's of the right size
///   outputs on the host (sizes)     computed by TensorRT when shapes are new, then written to the caller's in each run
///
/// After an error nobody knows what TensorRT remembers: the runtime drops the context.
class TensorRtContext final : public backend::Context, private DeferredOutputs {
 public:
  /// `layout` outlives the context.
  TensorRtContext(const Layout& layout, std::unique_ptr<NativeContext> native);
  void run(const backend::RunRequest& request) override;

 private:
  static constexpr std::size_t kAlignment = 256;  // what TensorRT demands of every address
  struct alignas(kAlignment) HostBlock {
    std::array<std::byte, kAlignment> bytes;
  };
  struct Input {
    const void* address = nullptr;  ///< As TensorRT knows it.
    std::vector<HostBlock> host;    ///< A shape input's elements, where TensorRT reads them.
  };
  struct Output {
    void* address = nullptr;
    bool is_deferred = false;
    std::vector<std::int64_t> expected;  ///< The shape as TensorRT infers it from the inputs'; -1 where it cannot.
    std::vector<HostBlock> host;         ///< Of an output on the host: its elements, where TensorRT writes them.

    // Of the run in progress, if deferred.
    std::shared_ptr<void> memory;
    std::vector<std::int64_t> shape;
    bool has_shape = false;
  };

  [[nodiscard]] bool has_same_shapes(const backend::RunRequest& request) const;
  void bind_shapes(const backend::RunRequest& request);
  [[nodiscard]] std::size_t profile_for(int wanted) const;
  void bind_host_input(std::size_t index, const DLTensor& tensor);
  void check_output_shapes(const backend::RunRequest& request);
  void compute_host_outputs();
  void size_scratch();
  void bind_input(std::size_t index, const DLTensor& tensor, const backend::RunRequest& request);
  void bind_output(std::size_t index, const backend::RunRequest& request);
  void* scratch(const backend::RunRequest& request);
  void deliver(std::size_t index, const backend::RunRequest& request);
  void check(bool accepted, const char* doing, const std::string& what);

  void* reserve(std::size_t output, std::size_t bytes) noexcept override;
  void set_shape(std::size_t output, Shape shape) noexcept override;

  const Layout& layout_;
  std::unique_ptr<NativeContext> native_;
  std::vector<Input> inputs_;
  std::vector<Output> outputs_;

  InputValues values_;       // of the inputs that vary, as they are bound; empty before the first run
  bool has_shapes_ = false;  // values_ are what TensorRT knows
  bool varies_ = false;      // some input is dynamic or a shape input
  std::size_t profile_ = 0;
  int wanted_profile_ = -1;         // what the last run's profile was chosen by
  std::size_t scratch_needed_ = 0;  // by the shapes that are bound
  void* scratch_address_ = nullptr;
  std::size_t scratch_bytes_ = 0;

  // Of the run in progress.
  backend::DeviceServices* services_ = nullptr;
  void* scratch_ = nullptr;
  std::vector<std::shared_ptr<void>> copies_;  // of inputs that are not where TensorRT can read them
  std::exception_ptr failure_;                 // of reserve()
};

}  // namespace torchtrt::tensorrt
