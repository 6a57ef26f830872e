// SPDX-License-Identifier: Apache-2.0
#include "runtime/binding_plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <torchtrt/base/error.h>

#include "runtime/dltensor.h"
#include "runtime/value_range.h"

namespace torchtrt::runtime {
namespace {

using Shape = std::span<const std::int64_t>;

std::string text_of(Shape shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::string text_of(Interval range) {
  const auto side = [](std::int64_t value, const char* open) {
    return value == Interval::kUnbounded ? std::string(open) : std::to_string(value);
  };
  return "[" + side(range.min, "-inf") + ", " + side(range.max, "inf") + "]";
}

std::string text_of(DLDataType type) {
  for (const DataType dtype : {DataType::kFloat64, DataType::kFloat32, DataType::kFloat16, DataType::kBFloat16,
                               DataType::kInt64, DataType::kInt32, DataType::kInt16, DataType::kInt8, DataType::kUInt8,
                               DataType::kBool, DataType::kFloat8E4M3}) {
    const DLDataType candidate = to_dlpack(dtype);
    if (candidate.code == type.code && candidate.bits == type.bits && candidate.lanes == type.lanes) {
      return std::string(to_string(dtype));
    }
  }
  return "another dtype (DLPack code " + std::to_string(type.code) + ", " + std::to_string(type.bits) + " bits)";
}

bool is_contiguous(const DLTensor& tensor) {
  if (tensor.strides == nullptr) {
    return true;
  }
  const Shape shape = shape_of(tensor);
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    return true;
  }
  std::int64_t expected = 1;  // The elements of a contiguous tensor exist, so that their number fits.
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) {
      return false;
    }
    expected *= tensor.shape[i];
  }
  return true;
}

}  // namespace

std::string subject_of(const format::Metadata& metadata) {
  return metadata.name.empty() ? "the program" : "engine \"" + metadata.name + "\"";
}

DLDataType to_dlpack(DataType dtype) {
  const auto bits = static_cast<std::uint8_t>(8 * size_of(dtype));
  switch (dtype) {
    case DataType::kFloat64:
    case DataType::kFloat32:
    case DataType::kFloat16: return {kDLFloat, bits, 1};
    case DataType::kBFloat16: return {kDLBfloat, bits, 1};
    case DataType::kInt64:
    case DataType::kInt32:
    case DataType::kInt16:
    case DataType::kInt8: return {kDLInt, bits, 1};
    case DataType::kUInt8: return {kDLUInt, bits, 1};
    case DataType::kBool: return {kDLBool, bits, 1};
    case DataType::kFloat8E4M3: return {kDLFloat8_e4m3fn, bits, 1};
  }
  fail(ErrorCode::kInternal, "no such DataType: ", static_cast<int>(dtype));
}

/// Finds the symbols' values in the inputs' shapes. Lives for one resolution.
class BindingPlan::Solver {
 public:
  explicit Solver(const format::Metadata& metadata) : metadata_(metadata) {}

  template <typename... Parts>
  [[noreturn]] void fail_at(ErrorCode code, const format::InputSpec& input, const Parts&... parts) const {
    fail(code, subject_of(metadata_), ", input \"", input.name, "\"", parts...);
  }

  /// Checks the rank and binds the dims that are a symbol alone. To be called for every input before check_dims.
  void bind_dims(std::size_t index, Shape shape) {
    const format::InputSpec& input = metadata_.inputs[index];
    if (shape.size() != input.dims.size()) {
      fail_at(ErrorCode::kInvalidArgument, input, ": expected ", input.dims.size(), " dimensions ",
              to_string(input.dims), ", but got ", shape.size(), ": ", text_of(shape));
    }
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (input.dims[i].is_symbol()) {
        bind(input.dims[i].symbol_name(), shape[i], {index, i});
      }
    }
  }

  void bind_value(std::size_t index, std::int64_t value) {
    bind(metadata_.inputs[index].shape_symbol, value, {index, kValue});
  }

  /// Checks the dims that are numbers or expressions.
  void check_dims(std::size_t index, Shape shape) const {
    const format::InputSpec& input = metadata_.inputs[index];
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const Expr& dim = input.dims[i];
      if (dim.is_symbol()) {
        continue;
      }
      if (const std::optional<std::int64_t> expected = evaluate(dim); expected && *expected != shape[i]) {
        fail_at(ErrorCode::kInvalidArgument, input, ", dimension ", i, ": expected ", *expected,
                dim.is_constant() ? "" : " (" + dim.str() + ")", ", but got ", shape[i], " in shape ", text_of(shape));
      }
    }
  }

  /// Checks what must hold of the sizes together. A guard over a symbol that has no value is not looked at.
  void check_guards() const {
    using Sign = format::GuardSpec::Sign;
    const auto fails = [this](const format::GuardSpec::Comparison& comparison) {
      const std::optional<std::int64_t> value = evaluate(comparison.value);
      return value && (comparison.sign == Sign::kZero      ? *value != 0
                       : comparison.sign == Sign::kNonzero ? *value == 0
                                                           : *value < 0);
    };
    for (const format::GuardSpec& guard : metadata_.guards) {
      if (!guard.any.empty() && std::all_of(guard.any.begin(), guard.any.end(), fails)) {
        fail(ErrorCode::kOutOfRange, subject_of(metadata_), " was captured for sizes with ", guard.text,
             ", which do not hold here (", bound_sizes(),
             "); where its Python code branches on sizes, capture and compile it for each branch");
      }
    }
  }

  /// nullopt if the expression uses a symbol that has no value.
  [[nodiscard]] std::optional<std::int64_t> evaluate(const Expr& expr) const {
    if (expr.is_constant()) {
      return expr.value();
    }
    bool known = true;
    const auto lookup = [&](const std::string& name) -> std::int64_t {
      const auto found = values_.find(name);
      known = known && found != values_.end();
      return found != values_.end() ? found->second.value : 1;
    };
    std::set<std::string> names;
    expr.collect_symbols(names);
    for (const std::string& name : names) {
      lookup(name);
    }
    return known ? std::optional(expr.evaluate(lookup)) : std::nullopt;
  }

 private:
  static constexpr std::size_t kValue = SIZE_MAX;
  struct Place {
    std::size_t input = 0, dim = 0;
  };
  struct Bound {
    std::int64_t value = 0;
    Place place;
  };

  /// "input "x", dimension 1: 4; ..."
  [[nodiscard]] std::string bound_sizes() const {
    std::string text;
    for (const auto& [name, bound] : values_) {
      text += (text.empty() ? "input \"" : "; input \"") + metadata_.inputs[bound.place.input].name + "\"" +
              where(bound.place) + ": " + std::to_string(bound.value);
    }
    return text;
  }

  [[nodiscard]] std::string where(Place place) const {
    return place.dim == kValue ? std::string(", value") : ", dimension " + std::to_string(place.dim);
  }

  void bind(const std::string& symbol, std::int64_t value, Place place) {
    const format::InputSpec& input = metadata_.inputs[place.input];
    const format::SymbolSpec& range = metadata_.symbols.at(symbol);
    if (value < range.min || value > range.max) {
      fail_at(ErrorCode::kOutOfRange, input, where(place), ": ", value, " is outside the range ",
              text_of(Interval{range.min, range.max}), " that it was compiled for (symbol ", symbol, ")");
    }
    const auto [found, inserted] = values_.try_emplace(symbol, Bound{value, place});
    if (!inserted && found->second.value != value) {
      const Bound& first = found->second;
      fail_at(ErrorCode::kOutOfRange, input, where(place), ": expected ", first.value, ", as in input \"",
              metadata_.inputs[first.place.input].name, "\"", where(first.place), " (both are symbol ", symbol,
              "), but got ", value);
    }
  }

  const format::Metadata& metadata_;
  std::map<std::string, Bound> values_;
};

BindingPlan::BindingPlan(const format::Metadata& metadata) : metadata_(metadata) {
  std::set<std::string> bound;
  for (std::size_t i = 0; i < metadata.inputs.size(); ++i) {
    const format::InputSpec& input = metadata.inputs[i];
    types_.push_back(to_dlpack(input.dtype));
    for (const Expr& dim : input.dims) {
      dim.collect_symbols(bound);
    }
    if (!input.shape_symbol.empty()) {
      shape_inputs_.push_back(i);
      bound.insert(input.shape_symbol);
    }
    if (input.value_range) {
      ranged_inputs_.push_back(i);
    }
  }
  for (const format::OutputSpec& output : metadata.outputs) {
    std::set<std::string> used;
    for (const Expr& dim : output.dims) {
      dim.collect_symbols(used);
    }
    outputs_known_ = outputs_known_ && std::all_of(used.begin(), used.end(),
                                                   [&](const std::string& symbol) { return bound.contains(symbol); });
  }
}

void BindingPlan::check_bindings(std::span<const DLTensor> inputs, DLDevice device) const {
  const Solver messages(metadata_);
  if (inputs.size() != types_.size()) {
    std::string names;
    for (const format::InputSpec& input : metadata_.inputs) {
      names += (names.empty() ? "" : ", ") + input.name;
    }
    fail(ErrorCode::kInvalidArgument, subject_of(metadata_), ": expected ", types_.size(), " inputs (", names,
         "), but got ", inputs.size());
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const DLTensor& tensor = inputs[i];
    const format::InputSpec& spec = metadata_.inputs[i];
    if (tensor.dtype.code != types_[i].code || tensor.dtype.bits != types_[i].bits ||
        tensor.dtype.lanes != types_[i].lanes) {
      messages.fail_at(ErrorCode::kTypeMismatch, spec, ": expected dtype ", to_string(spec.dtype), ", but got ",
                       text_of(tensor.dtype), "; convert it before the call");
    }
    const DLDevice wanted = spec.shape_symbol.empty() ? device : DLDevice{kDLCPU, 0};
    if (tensor.device.device_type != wanted.device_type || tensor.device.device_id != wanted.device_id) {
      messages.fail_at(ErrorCode::kInvalidArgument, spec, ": expected a tensor on ", text_of(wanted),
                       ", but got one on ", text_of(tensor.device), "; move it before the call");
    }
    if (tensor.strides != nullptr && !is_contiguous(tensor)) {
      messages.fail_at(ErrorCode::kInvalidArgument, spec, ": expected a contiguous tensor; call .contiguous() before");
    }
  }
}

bool BindingPlan::matches(const ResolvedShapes& shapes, std::span<const DLTensor> inputs) const {
  const std::int64_t* key = shapes.key.data();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const DLTensor& tensor = inputs[i];
    if (static_cast<std::size_t>(tensor.ndim) != metadata_.inputs[i].dims.size()) {
      return false;
    }
    for (int d = 0; d < tensor.ndim; ++d) {
      if (tensor.shape[d] != *key++) {
        return false;
      }
    }
  }
  for (const std::size_t i : shape_inputs_) {
    if (*static_cast<const std::int64_t*>(data_of(inputs[i])) != *key++) {
      return false;
    }
  }
  return true;
}

ResolvedShapes BindingPlan::resolve(std::span<const DLTensor> inputs) const {
  Solver solver(metadata_);
  ResolvedShapes result;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Shape shape = shape_of(inputs[i]);
    solver.bind_dims(i, shape);
    result.key.insert(result.key.end(), shape.begin(), shape.end());
  }
  for (const std::size_t i : shape_inputs_) {
    const std::int64_t value = *static_cast<const std::int64_t*>(data_of(inputs[i]));
    solver.bind_value(i, value);
    result.key.push_back(value);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    solver.check_dims(i, shape_of(inputs[i]));
  }
  solver.check_guards();
  if (!outputs_known_) {
    return result;
  }
  for (const format::OutputSpec& output : metadata_.outputs) {
    std::vector<std::int64_t>& shape = result.outputs.emplace_back();
    for (const Expr& dim : output.dims) {
      const std::optional<std::int64_t> value = solver.evaluate(dim);
      if (!value || *value < 0) [[unlikely]] {
        result.impossible =
            detail::concat("engine \"", metadata_.name, "\", output \"", output.name,
                           "\": the inputs' shapes give no size for dimension ", shape.size(), " (", dim, ")");
      }
      shape.push_back(value.value_or(0));
    }
  }
  return result;
}

void BindingPlan::check_values(std::span<const DLTensor> inputs) const {
  for (const std::size_t i : ranged_inputs_) {
    const DLTensor& tensor = inputs[i];
    if (tensor.device.device_type != kDLCPU) {
      continue;
    }
    const format::InputSpec& spec = metadata_.inputs[i];
    const auto outside = find_value_outside(data_of(tensor), static_cast<std::size_t>(volume(shape_of(tensor))),
                                            spec.dtype, *spec.value_range);
    if (outside) [[unlikely]] {
      throw backend::OutsideGuards(detail::concat(
          subject_of(metadata_), ", input \"", spec.name, "\", element ", outside->index, " of ",
          volume(shape_of(tensor)), ": the value ", outside->value, " is outside ", text_of(*spec.value_range),
          ", the range that the engine computes as PyTorch does (for an index: the rows that exist)"));
    }
  }
}

std::vector<std::vector<std::int64_t>> BindingPlan::infer_output_shapes(
    std::span<const std::vector<std::int64_t>> input_shapes) const {
  TORCHTRT_CHECK(input_shapes.size() == metadata_.inputs.size(), kInvalidArgument, "engine \"", metadata_.name,
                 "\": expected the shapes of ", metadata_.inputs.size(), " inputs, but got ", input_shapes.size());
  Solver solver(metadata_);
  for (std::size_t i = 0; i < input_shapes.size(); ++i) {
    solver.bind_dims(i, input_shapes[i]);
  }
  for (std::size_t i = 0; i < input_shapes.size(); ++i) {
    solver.check_dims(i, input_shapes[i]);
  }
  std::vector<std::vector<std::int64_t>> result;
  for (const format::OutputSpec& output : metadata_.outputs) {
    std::vector<std::int64_t>& shape = result.emplace_back();
    for (const Expr& dim : output.dims) {
      shape.push_back(solver.evaluate(dim).value_or(-1));
    }
  }
  return result;
}

}  // namespace torchtrt::runtime
