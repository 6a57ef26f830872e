// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torchtrt/backend/plugin.h>
#include <openvino/op/op.hpp>

namespace torchtrt::openvino {

/// Where plugins leave an error that must not travel through OpenVINO, which is spoiled by exceptions. Of one compiled
/// model, whose runs take turns.
struct RunFailure {
  bool is_running = false;   ///< Outside of runs (OpenVINO evaluates constants when it compiles) errors are thrown.
  std::exception_ptr error;  ///< The first of the run.
};

/// A plugin layer as an OpenVINO operation. The builder writes it, with its attributes, to the IR; the executor gives it
/// its plugin after reading, and the CPU plugin calls evaluate() in the thread that runs the engine.
///
/// Inputs: the layer's operands, then, for each result with a dimension that is not static, its shape (i64[rank]).
class PluginOperation final : public ov::op::Op {
 public:
  OPENVINO_OP("Plugin", "torchtrt");

  struct Result {
    ov::element::Type type;
    std::vector<std::int64_t> dims;  ///< -1 where not static.
  };

  PluginOperation() = default;
  PluginOperation(const ov::OutputVector& inputs, std::size_t operands, std::string name, std::string attributes,
                  std::string library, const std::vector<Result>& results);

  /// Finds the plugin, without which the operation has no evaluate. Error(kNotFound) that names the library.
  void prepare(const std::string& engine);
  /// From now on errors of the plugin are left there; the run goes on with zeros for the results.
  void keep_failures(std::shared_ptr<RunFailure> failure) { failure_ = std::move(failure); }

  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  void validate_and_infer_types() override;
  [[nodiscard]] std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  [[nodiscard]] bool has_evaluate() const override { return plugin_ != nullptr; }
  bool evaluate(ov::TensorVector& results, const ov::TensorVector& inputs) const override;

 private:
  // Plain vectors, which the IR can hold.
  std::int64_t operands_ = 0;
  std::string name_, attributes_, library_;
  std::vector<std::string> types_;
  std::vector<std::int64_t> ranks_, dims_;  ///< Of all results, one after the other.
  std::shared_ptr<const backend::Plugin> plugin_;
  std::shared_ptr<RunFailure> failure_;
};

}  // namespace torchtrt::openvino
