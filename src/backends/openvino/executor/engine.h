// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <openvino/core/type/element_type.hpp>

#include "backends/openvino/executor/inspection.h"
#include "backends/openvino/executor/request_pool.h"

namespace torchtrt::openvino {

/// An input or output as the package describes it.
struct Port {
  std::string name;
  ov::element::Type type;
  std::vector<std::int64_t> shape;  ///< -1 where a dimension is not static.
  bool is_static = false;
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

  /// By input: what the magnitude of its elements must not exceed for the plain form to be right (nonfinite.h); the exact
  /// form is right for all.
  [[nodiscard]] const std::vector<float>& input_limits() const { return input_limits_; }
  [[nodiscard]] bool has_exact_form_elsewhere() const { return load_.has_exact_form; }
  /// Of the plain form or of the exact one, which is made at the first call. A spoiled pool is replaced: its model is
  /// compiled again.
  std::shared_ptr<RequestPool> pool(bool exact) const;
  /// Made at the first call since begin_profiling(), and again when it is spoiled. Errors in times grow with the number
  /// of runs, so that each profile gets a form of its own.
  std::shared_ptr<ProfiledForm> profiled_form(bool exact) const;
  void begin_profiling() override;

 private:
  const backend::LoadRequest load_;
  std::string name_;
  std::vector<Port> inputs_, outputs_;
  std::size_t guards_ = 0;  // results behind the outputs
  std::vector<float> input_limits_;
  [[nodiscard]] std::shared_ptr<RequestPool> make_pool(bool exact, bool profiled) const;
  [[nodiscard]] std::shared_ptr<RequestPool> make_pool(const std::shared_ptr<ov::Model>& model,
                                                       std::vector<float> limits, bool profiled) const;
  [[nodiscard]] std::map<std::string, ProfiledForm::Layer> layers_of(const RequestPool& pool, bool exact) const;

  mutable std::mutex mutex_;                                         // of what follows
  mutable std::array<std::shared_ptr<RequestPool>, 2> pools_;        // the second is exact
  mutable std::array<std::shared_ptr<ProfiledForm>, 2> profiled_;    // likewise
  mutable std::array<std::vector<ComputingLayer>, 2> first_layers_;  // likewise
};

}  // namespace torchtrt::openvino
