// SPDX-License-Identifier: Apache-2.0
#include "torch/aten_program.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <nlohmann/json.hpp>

#include <torchtrt/base/error.h>

#include "torch/dtypes.h"

namespace torchtrt::torch_adapter {
namespace {

using nlohmann::json;

// Limits that no graph comes near, so that a damaged file fails early and cheaply.
constexpr std::size_t kMaxRank = 64;
constexpr std::size_t kMaxExpression = 1024;  // characters
constexpr std::size_t kMaxResults = 4096;     // of one node
constexpr std::size_t kNever = SIZE_MAX;

template <typename... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]] {
    fail(ErrorCode::kDataLoss, "the ATen program: ", parts...);
  }
}

const json& field(const json& object, const char* name) {
  require(object.is_object(), "expected an object with \"", name, "\", got ", object.type_name());
  const auto found = object.find(name);
  require(found != object.end(), "\"", name, "\" is missing");
  return *found;
}
const json& list(const json& object, const char* name) {
  const json& value = field(object, name);
  require(value.is_array(), "\"", name, "\" is no list");
  return value;
}
const std::string& text(const json& object, const char* name) {
  const json& value = field(object, name);
  require(value.is_string(), "\"", name, "\" is no text");
  return value.get_ref<const std::string&>();
}
at::ScalarType dtype(const json& object) {
  const std::optional<DataType> found = parse_dtype(text(object, "dtype"));
  require(found.has_value(), "\"", text(object, "dtype"), "\" is no dtype");
  return to_scalar_type(*found);
}
std::uint64_t number(const json& value, const char* what) {
  require(value.is_number_unsigned() && value.get<std::uint64_t>() <= INT64_MAX, what, " is no size");
  return value.get<std::uint64_t>();
}
Expr expression(const json& value) {
  if (!value.is_string()) return Expr(static_cast<std::int64_t>(number(value, "a dimension")));
  const auto& written = value.get_ref<const std::string&>();
  require(written.size() <= kMaxExpression, "an expression of ", written.size(), " characters");
  return Expr::parse(written);
}
Dims shape(const json& object) {
  const json& dims = list(object, "shape");
  require(dims.size() <= kMaxRank, dims.size(), " dimensions");
  Dims result;
  for (const json& dim : dims) result.push_back(expression(dim));
  return result;
}

// A view of the section's bytes, or a copy where their address does not suit the dtype.
at::Tensor read_constant(const json& constant, const AtenProgram::Sections& sections) {
  const at::ScalarType type = dtype(constant);
  const auto section = sections.find(text(constant, "section"));
  require(section != sections.end(), "section \"", text(constant, "section"), "\" is missing");
  std::vector<std::int64_t> sizes;
  for (const json& dim : list(constant, "shape")) {
    sizes.push_back(static_cast<std::int64_t>(number(dim, "a constant's dimension")));
  }
  const bool is_empty = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
  const std::uint64_t most = is_empty ? INT64_MAX : section->second.size();  // strides are no larger
  std::uint64_t elements = 1;
  for (const std::int64_t dim : sizes) {
    const auto size = static_cast<std::uint64_t>(std::max<std::int64_t>(dim, 1));
    require(elements <= most / size, "a constant does not fit into its section");
    elements *= size;
  }
  if (is_empty) elements = 0;
  require(sizes.size() <= kMaxRank, sizes.size(), " dimensions");
  const std::uint64_t offset = number(field(constant, "offset"), "an offset");
  const std::size_t item = c10::elementSize(type);
  require(offset <= section->second.size() && elements <= (section->second.size() - offset) / item,
          "a constant does not fit into its section");
  const std::byte* data = section->second.data() + offset;
  const at::Tensor view = at::from_blob(const_cast<std::byte*>(data), sizes, at::TensorOptions(type));
  if (reinterpret_cast<std::uintptr_t>(data) % item == 0) return view;
  at::Tensor aligned = at::empty(sizes, at::TensorOptions(type));
  std::copy_n(data, elements * item, static_cast<std::byte*>(aligned.mutable_data_ptr()));
  return aligned;
}

}  // namespace

class AtenProgram::Reader {
 public:
  Reader(AtenProgram& program, const Sections& sections) : program_(program), sections_(sections) {}

  void read(const json& root) {
    for (const json& input : list(root, "inputs")) read_input(input);
    for (const json& constant : list(root, "constants")) {
      program_.constants_.push_back(read_constant(constant, sections_));
      add_value(program_.constants_.back().scalar_type());
    }
    for (const json& size : list(root, "sizes")) {
      Size& read = program_.sizes_.emplace_back(Size{expression(size), {}});
      std::set<std::string> names;
      read.value.collect_symbols(names);
      read.symbols.assign(names.begin(), names.end());
    }
    for (const json& node : list(root, "nodes")) read_node(node);
    for (const json& output : list(root, "outputs")) {
      const std::uint64_t index = number(output, "an output");
      require(index < types_.size() && types_[index], "output ", index, " is no tensor of it");
      program_.outputs_.push_back(index);
      program_.output_types_.push_back(*types_[index]);
      last_use_[index] = kNever;
    }
    program_.values_ = types_.size();
    for (std::size_t value = program_.inputs_.size() + program_.constants_.size(); value < last_use_.size(); ++value) {
      if (last_use_[value] != kNever) program_.nodes_[last_use_[value]].last_used.push_back(value);
    }
  }

 private:
  void add_value(std::optional<at::ScalarType> type) {
    types_.push_back(type);
    last_use_.push_back(kNever);
  }

  // The first to determine a symbol gives it its value.
  std::optional<std::size_t> declare(const std::string& symbol) {
    const auto [found, inserted] = program_.symbol_index_.try_emplace(symbol, program_.symbols_.size());
    if (!inserted) return std::nullopt;
    program_.symbols_.push_back(symbol);
    return found->second;
  }
  void bind(const Dims& dims, std::size_t value, std::vector<Node::Binding>& bindings) {
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (!dims[i].is_symbol()) continue;
      if (const auto symbol = declare(dims[i].symbol_name())) bindings.push_back({*symbol, value, i});
    }
  }

  void read_input(const json& input) {
    const Dims dims = shape(input);
    program_.inputs_.push_back({text(input, "name"), dtype(input), dims.size()});
    const std::size_t index = program_.inputs_.size() - 1;
    bind(dims, index, program_.input_bindings_);
    if (input.contains("shape_symbol")) {
      require(program_.inputs_.back().dtype == at::kLong && dims.empty(), "a symbol's value is a 0-d int64 tensor");
      if (const auto symbol = declare(text(input, "shape_symbol"))) program_.shape_inputs_.emplace_back(index, *symbol);
    }
    add_value(program_.inputs_.back().dtype);
  }

  void read_node(const json& node) {
    const std::string& name = text(node, "name");
    const std::size_t index = program_.nodes_.size();
    try {
      static const json kNone = json::object();
      const auto keywords = node.find("keywords");
      OperatorCall call(text(node, "operator"), "", list(node, "arguments"), keywords == node.end() ? kNone : *keywords,
                        types_.size(), program_.sizes_.size());
      for (const std::size_t value : call.tensors()) {
        require(types_[value].has_value(), "value ", value, " is no tensor");
        last_use_[value] = index;
      }
      for (const std::size_t size : call.sizes()) {
        for (const std::string& symbol : program_.sizes_[size].symbols) {
          require(program_.symbol_index_.contains(symbol), "nothing determines ", symbol, " so far");
        }
      }
      program_.nodes_.push_back({name, std::move(call), {}, types_.size(), 0, {}});
    } catch (const Error& error) {
      fail(error.code(), "node ", name, ": ", error.what());
    }
    const json& results = list(node, "results");
    require(results.size() <= kMaxResults, "node ", name, " has ", results.size(), " results");
    Node& read = program_.nodes_.back();
    read.results = results.size();
    for (const json& result : results) {
      if (!result.is_null()) bind(shape(result), types_.size(), read.bindings);
      add_value(result.is_null() ? std::nullopt : std::optional(dtype(result)));
      last_use_.back() = index;  // of one that nobody reads
    }
  }

  AtenProgram& program_;
  const Sections& sections_;
  std::vector<std::optional<at::ScalarType>> types_;  // by value; none: no tensor
  std::vector<std::size_t> last_use_;                 // by value: the node; kNever: it stays
};

AtenProgram::AtenProgram(std::string_view text, const Sections& sections) {
  try {
    Reader(*this, sections).read(json::parse(text));
  } catch (const json::exception& error) {
    fail(ErrorCode::kDataLoss, "the ATen program: ", error.what());
  } catch (const c10::Error& error) {
    fail(ErrorCode::kDataLoss, "the ATen program: ", error.what_without_backtrace());
  }
}

/// The values of one run.
class AtenProgram::Frame {
 public:
  Frame(const AtenProgram& program, std::vector<at::Tensor> inputs)
      : program_(program), symbols_(program.symbols_.size()), sizes_(program.sizes_.size()) {
    values_ = std::move(inputs);
    values_.insert(values_.end(), program.constants_.begin(), program.constants_.end());
    values_.resize(program.values_);
    bind(program.input_bindings_);
    for (const auto& [input, symbol] : program.shape_inputs_) symbols_[symbol] = values_[input].item<std::int64_t>();
  }

  void run(const Node& node) {
    for (const std::size_t size : node.call.sizes()) {
      sizes_[size] = program_.sizes_[size].value.evaluate(
          [this](const std::string& name) { return symbols_[program_.symbol_index_.find(name)->second]; });
    }
    for (const std::size_t value : node.call.tensors()) {
      TORCHTRT_CHECK(values_[value].defined(), kUnsupported, "node ", node.name, ": ", node.call.name(),
                     " needs a tensor that this release of PyTorch does not give");
    }
    std::vector<at::Tensor> results = node.call({values_, sizes_});
    TORCHTRT_CHECK(results.size() == node.results, kUnsupported, "node ", node.name, ": ", node.call.name(), " gave ",
                   results.size(), " results, captured were ", node.results);
    std::move(results.begin(), results.end(), values_.begin() + static_cast<std::ptrdiff_t>(node.first_result));
    bind(node.bindings);
    for (const std::size_t value : node.last_used) values_[value].reset();
  }

  // Contiguous, and the caller's alone.
  std::vector<at::Tensor> take_outputs() {
    std::set<const void*> taken;
    for (std::size_t i = 0; i < program_.inputs_.size() + program_.constants_.size(); ++i) {
      taken.insert(values_[i].storage().unsafeGetStorageImpl());
    }
    std::vector<at::Tensor> outputs;
    for (std::size_t i = 0; i < program_.outputs_.size(); ++i) {
      const at::Tensor& value = values_[program_.outputs_[i]];
      TORCHTRT_CHECK(value.defined() && value.scalar_type() == program_.output_types_[i], kUnsupported, "output ", i,
                     " is ", value.defined() ? c10::toString(value.scalar_type()) : "no tensor", ", captured was ",
                     program_.output_types_[i]);
      at::Tensor output = value.resolve_conj().resolve_neg().contiguous();
      if (!taken.insert(output.storage().unsafeGetStorageImpl()).second) {
        output = value.clone(at::MemoryFormat::Contiguous);
        taken.insert(output.storage().unsafeGetStorageImpl());
      }
      outputs.push_back(std::move(output));
    }
    return outputs;
  }

 private:
  void bind(const std::vector<Node::Binding>& bindings) {
    for (const Node::Binding& binding : bindings) {
      const at::Tensor& value = values_[binding.value];
      TORCHTRT_CHECK(value.defined() && static_cast<std::int64_t>(binding.dim) < value.dim(), kUnsupported,
                     "a tensor with fewer than ", binding.dim + 1, " dimensions cannot give the value of ",
                     program_.symbols_[binding.symbol]);
      symbols_[binding.symbol] = value.size(static_cast<std::int64_t>(binding.dim));
    }
  }

  const AtenProgram& program_;
  std::vector<at::Tensor> values_;
  std::vector<std::int64_t> symbols_, sizes_;
};

std::vector<at::Tensor> AtenProgram::run(std::vector<at::Tensor> inputs, const Observer& observer) const {
  TORCHTRT_CHECK(inputs.size() == inputs_.size(), kInvalidArgument, "expected ", inputs_.size(), " inputs, got ",
                 inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    TORCHTRT_CHECK(
        inputs[i].scalar_type() == inputs_[i].dtype && static_cast<std::size_t>(inputs[i].dim()) == inputs_[i].rank,
        kInvalidArgument, "input \"", inputs_[i].name, "\": expected ", inputs_[i].dtype, " of rank ", inputs_[i].rank,
        ", got ", inputs[i].scalar_type(), " of rank ", inputs[i].dim());
  }
  const EngineScope scope;
  Frame frame(*this, std::move(inputs));
  for (const Node& node : nodes_) {
    if (observer) observer();
    frame.run(node);
  }
  if (observer) observer();
  return frame.take_outputs();
}

}  // namespace torchtrt::torch_adapter
