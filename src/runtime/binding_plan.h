// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "format/package.h"

namespace torchtrt::runtime {

/// What one combination of input shapes leads to. Made once per combination and kept by the context that met it.
struct ResolvedShapes {
  /// The dims of all inputs in a row, then the values of the shape inputs: what the rest depends on.
  std::vector<std::int64_t> key;
  /// Shapes of the outputs; empty if some dimension is known only after the run.
  std::vector<std::vector<std::int64_t>> outputs;
  /// Says which output would have a negative size; empty if none.
  std::string impossible;
};

/// Checks an engine's inputs and derives its outputs' shapes, from the package's metadata. Immutable, thread-safe.
///
/// Every error names the engine, the input and, where it is about one, the dimension, the range and the value.
class TORCHTRT_API BindingPlan {
 public:
  /// `metadata` must outlive the plan.
  explicit BindingPlan(const format::Metadata& metadata);

  /// Count, dtypes (kTypeMismatch), devices, contiguity (kInvalidArgument). Cheap: for every call.
  void check_bindings(std::span<const DLTensor> inputs, DLDevice device) const;
  /// Whether these inputs, already checked by check_bindings, have the shapes (and shape inputs the values) of
  /// `shapes`.
  [[nodiscard]] bool matches(const ResolvedShapes& shapes, std::span<const DLTensor> inputs) const;
  /// Checks ranks, dims and symbols and evaluates the outputs' shapes. kInvalidArgument for a wrong rank or static dim,
  /// kOutOfRange for a symbol outside its range or with two values, and for sizes that no guard's comparison allows.
  [[nodiscard]] ResolvedShapes resolve(std::span<const DLTensor> inputs) const;
  /// The elements of CPU inputs that have a value range: backend::OutsideGuards for the first that is not inside.
  void check_values(std::span<const DLTensor> inputs) const;

  /// Output shapes for input shapes, without data: -1 where a dimension depends on data or on a shape input's value.
  [[nodiscard]] std::vector<std::vector<std::int64_t>> infer_output_shapes(
      std::span<const std::vector<std::int64_t>> input_shapes) const;

 private:
  class Solver;

  const format::Metadata& metadata_;
  std::vector<DLDataType> types_;
  std::vector<std::size_t> shape_inputs_;   // indices of inputs that carry a symbol's value
  std::vector<std::size_t> ranged_inputs_;  // indices of inputs whose values are checked
  bool outputs_known_ = true;               // every output dim is an expression over symbols that inputs bind
};

/// Whom an error is about: `engine "name"`, or the program around engines, whose metadata has no name.
TORCHTRT_API std::string subject_of(const format::Metadata& metadata);

/// DLPack's type for a dtype.
TORCHTRT_API DLDataType to_dlpack(DataType dtype);

}  // namespace torchtrt::runtime
