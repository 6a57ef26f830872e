// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <torchtrt/base/export.h>
#include <torchtrt/runtime.h>

#include "runtime/engine.h"
#include "torch/output_reserve.h"

namespace torchtrt::torch_adapter {

/// What all copies of one engine share: its state as torch stores it, and the runtime's engine over those bytes.
struct TORCHTRT_API SharedEngine {
  SharedEngine(std::string metadata_text, at::Tensor payload_bytes);

  const std::string metadata;
  const at::Tensor payload;  ///< uint8, one dimension, on the CPU, aligned to 64 bytes
  runtime::Engine engine;
  const std::vector<at::ScalarType> output_types;
  OutputReserve reserve;  ///< For the mode of pre-allocated outputs.
};

/// The torch class `tensorrt.Engine`. Its state is (str metadata, uint8 Tensor payload), see src/format/README.md.
/// Holders of equal state share one engine, however they came to be: deepcopy, torch.export, loading a file twice.
class TORCHTRT_API EngineHolder : public torch::CustomClassHolder {
 public:
  /// Throws Error: kTypeMismatch or kInvalidArgument for a payload that is not a row of bytes, otherwise what
  /// format::read_metadata throws. A payload on another device is brought to the CPU (a program loaded with a
  /// map_location).
  EngineHolder(std::string metadata, const at::Tensor& payload);
  explicit EngineHolder(std::shared_ptr<SharedEngine> shared) : shared_(std::move(shared)) {}

  [[nodiscard]] const std::string& metadata() const { return shared_->metadata; }
  /// The bytes that the engine reads: not to be written to.
  [[nodiscard]] const at::Tensor& payload() const { return shared_->payload; }
  [[nodiscard]] const std::string& name() const { return shared_->engine.metadata().name; }
  [[nodiscard]] runtime::Engine& engine() const { return shared_->engine; }
  [[nodiscard]] SharedEngine& shared() const { return *shared_; }
  [[nodiscard]] runtime::EngineHandle handle() const {
    return runtime::EngineHandle(std::shared_ptr<runtime::Engine>(shared_, &shared_->engine));
  }

  /// "Engine(name, inputs: ids int64 [s0, 128], ..; outputs: ..; targets: openvino, tensorrt_rtx; runs by openvino)"
  [[nodiscard]] std::string describe() const;
  /// Each attribute of the state with its name, as torch.export asks for them.
  [[nodiscard]] std::tuple<std::tuple<std::string, std::string>, std::tuple<std::string, at::Tensor>> flatten() const;

 private:
  std::shared_ptr<SharedEngine> shared_;
};

/// The engines of the process, each once. Thread-safe.
TORCHTRT_API std::vector<c10::intrusive_ptr<EngineHolder>> live_engines();

}  // namespace torchtrt::torch_adapter
