// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/converters/context.h>

#include <utility>

namespace torchtrt::converters {
namespace {

using backend::Reason;
using graph::Argument;
using graph::Node;

// An argument that has a value, or nullptr for a missing one and for None.
const Argument* present(const Argument* argument) {
  return argument == nullptr || std::holds_alternative<std::monostate>(argument->value) ? nullptr : argument;
}

[[noreturn]] void unexpected(const Node& node, std::string_view name, std::string_view expected) {
  refuse(Reason::kAttribute, node.target, ": argument `", name, "` is not ", expected);
}

template <typename T>
const T& required(const std::optional<T>& value, const Node& node, std::string_view name) {
  if (!value) refuse(Reason::kAttribute, node.target, ": argument `", name, "` is missing");
  return *value;
}

std::optional<Expr> as_expr(const Argument& argument) {
  if (const auto* integer = std::get_if<std::int64_t>(&argument.value)) return Expr(*integer);
  if (const auto* boolean = std::get_if<bool>(&argument.value)) return Expr(*boolean ? 1 : 0);
  if (const auto* expr = std::get_if<Expr>(&argument.value)) return *expr;
  return std::nullopt;
}

std::int64_t constant_of(const Expr& expr, const Node& node, std::string_view name) {
  if (!expr.is_constant()) {
    refuse(Reason::kDynamicShape, node.target, ": argument `", name, "` is ", expr,
           ", and only constants are supported");
  }
  return expr.value();
}

}  // namespace

const Argument* Context::find(const Node& node, std::size_t index, std::string_view name) const {
  if (index < node.args.size()) return &node.args[index];
  const auto found = node.kwargs.find(std::string(name));
  return found == node.kwargs.end() ? nullptr : &found->second;
}

bool Context::is_none(const Node& node, std::size_t index, std::string_view name) const {
  return present(find(node, index, name)) == nullptr;
}

const ValueId* Context::lookup(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<ValueId> Context::optional_tensor(const Node& node, std::size_t index, std::string_view name) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return std::nullopt;
  const auto* ref = std::get_if<graph::Ref>(&argument->value);
  if (ref == nullptr) unexpected(node, name, "a tensor");
  const ValueId* value = lookup(ref->name);
  TORCHTRT_CHECK(value != nullptr, kInternal, "node ", node.name, " reads %", ref->name, ", which has no value yet");
  return *value;
}

bool Context::is_only_use(const Node& node, std::size_t index, std::string_view name) const {
  const Argument* argument = find(node, index, name);
  const auto* ref = argument == nullptr ? nullptr : std::get_if<graph::Ref>(&argument->value);
  if (ref == nullptr) return false;
  const auto found = uses_.find(ref->name);
  return found != uses_.end() && found->second == 1;
}

ValueId Context::tensor(const Node& node, std::size_t index, std::string_view name) {
  return required(optional_tensor(node, index, name), node, name);
}

std::vector<ValueId> Context::tensors(const Node& node, std::size_t index, std::string_view name) {
  const Argument* argument = present(find(node, index, name));
  const auto* list = argument == nullptr ? nullptr : std::get_if<graph::List>(&argument->value);
  if (list == nullptr) unexpected(node, name, "a list of tensors");
  std::vector<ValueId> values;
  for (const Argument& item : *list) {
    const auto* ref = std::get_if<graph::Ref>(&item.value);
    const ValueId* value = ref == nullptr ? nullptr : lookup(ref->name);
    if (value == nullptr) unexpected(node, name, "a list of tensors");
    values.push_back(*value);
  }
  return values;
}

std::int64_t Context::integer(const Node& node, std::size_t index, std::string_view name,
                              std::optional<std::int64_t> fallback) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return required(fallback, node, name);
  const std::optional<Expr> value = as_expr(*argument);
  if (!value) unexpected(node, name, "an integer");
  return constant_of(*value, node, name);
}

double Context::number(const Node& node, std::size_t index, std::string_view name, std::optional<double> fallback) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return required(fallback, node, name);
  if (const auto* value = std::get_if<double>(&argument->value)) return *value;
  const std::optional<Expr> value = as_expr(*argument);
  if (!value) unexpected(node, name, "a number");
  return static_cast<double>(constant_of(*value, node, name));
}

bool Context::boolean(const Node& node, std::size_t index, std::string_view name, std::optional<bool> fallback) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return required(fallback, node, name);
  const std::optional<Expr> value = as_expr(*argument);
  if (!value) unexpected(node, name, "a bool");
  return constant_of(*value, node, name) != 0;
}

std::string Context::string(const Node& node, std::size_t index, std::string_view name, std::string_view fallback) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return std::string(fallback);
  const auto* value = std::get_if<std::string>(&argument->value);
  if (value == nullptr) unexpected(node, name, "a string");
  return *value;
}

std::optional<DataType> Context::dtype(const Node& node, std::size_t index, std::string_view name) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return std::nullopt;
  const auto* value = std::get_if<DataType>(&argument->value);
  if (value == nullptr) unexpected(node, name, "a dtype that engines know");
  return *value;
}

std::optional<Expr> Context::dim(const Node& node, std::size_t index, std::string_view name) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return std::nullopt;
  const std::optional<Expr> value = as_expr(*argument);
  if (!value) unexpected(node, name, "an integer");
  return value;
}

Dims Context::dims(const Node& node, std::size_t index, std::string_view name) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) return {};
  // A lone integer stands for a list of one, as in PyTorch's `int[1]`.
  if (const std::optional<Expr> single = as_expr(*argument)) return {*single};
  const auto* list = std::get_if<graph::List>(&argument->value);
  if (list == nullptr) unexpected(node, name, "a list of integers");
  Dims result;
  for (const Argument& item : *list) {
    const std::optional<Expr> value = as_expr(item);
    if (!value) unexpected(node, name, "a list of integers");
    result.push_back(*value);
  }
  return result;
}

std::vector<std::int64_t> Context::integers(const Node& node, std::size_t index, std::string_view name) {
  std::vector<std::int64_t> result;
  for (const Expr& value : dims(node, index, name)) result.push_back(constant_of(value, node, name));
  return result;
}

ValueId Context::tensor_or_scalar(const Node& node, std::size_t index, std::string_view name, DataType wanted,
                                  std::size_t rank) {
  const Argument* argument = present(find(node, index, name));
  if (argument == nullptr) refuse(Reason::kAttribute, node.target, ": argument `", name, "` is missing");
  if (std::holds_alternative<graph::Ref>(argument->value)) {
    return expand_rank(cast(tensor(node, index, name), wanted), rank);
  }
  if (const auto* value = std::get_if<double>(&argument->value)) return net_.add_scalar(wanted, *value, rank);
  const std::optional<Expr> value = as_expr(*argument);
  if (!value) unexpected(node, name, "a tensor or a number");
  if (value->is_constant()) return net_.add_int_scalar(wanted, value->value(), rank);
  const ValueId symbolic = net_.add_layer(network::ShapeOf{{*value}, /*scalar=*/true}, {})[0];
  return expand_rank(cast(symbolic, wanted), rank);
}

std::int64_t Context::normalize_axis(std::int64_t axis, std::size_t rank) {
  const auto count = static_cast<std::int64_t>(rank == 0 ? 1 : rank);  // PyTorch lets 0-d tensors have axis 0 and -1
  if (axis < -count || axis >= count) {
    refuse(Reason::kAttribute, "dimension ", axis, " is out of range for a tensor of rank ", rank);
  }
  return axis < 0 ? axis + count : axis;
}

ValueId Context::cast(ValueId value, DataType to) { return dtype_of(value) == to ? value : net_.add_cast(value, to); }

ValueId Context::expand_rank(ValueId value, std::size_t rank) {
  const Dims& dims = dims_of(value);
  if (dims.size() >= rank) return value;
  Dims expanded(rank - dims.size(), Expr(1));
  expanded.insert(expanded.end(), dims.begin(), dims.end());
  return net_.add_reshape(value, std::move(expanded));
}

const graph::TensorMeta& Context::meta(const Node& node, std::size_t output) const {
  if (output >= node.outputs.size() || !node.outputs[output].meta) {
    refuse(Reason::kDataDependent, node.target, ": the capture says nothing of result ", output);
  }
  return *node.outputs[output].meta;
}

void Context::set_output(const Node& node, ValueId value, std::size_t output) {
  TORCHTRT_CHECK(output < node.outputs.size(), kInternal, node.target, " has no result ", output);
  bind(node.outputs[output].name, value);
}

}  // namespace torchtrt::converters
