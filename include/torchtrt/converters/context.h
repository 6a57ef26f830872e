// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <torchtrt/network/network.h>

#include <torchtrt/converters/reason.h>
#include <torchtrt/graph/graph.h>

/// What a converter sees: the node's arguments as network values or plain numbers, and the network to add layers to.
///
/// A converter is `void convert_<op>(Context& ctx, const graph::Node& node)`. It reads arguments by their position in the
/// ATen schema (defaults included), adds layers through `ctx.net()`, and sets each output with `ctx.set_output`. What it
/// cannot express exactly it refuses with `refuse(Reason, ...)` before or after adding layers: nothing of a refused node
/// is kept. The same code answers the support query (there, the network is thrown away).
namespace torchtrt::converters {

using network::Network;
using network::ValueId;

class Context {
 public:
  /// `uses`: how often each value of the graph is read (graph::use_counts); kept by reference.
  Context(Network& net, const std::unordered_map<std::string, std::size_t>& uses) : net_(net), uses_(uses) {}

  [[nodiscard]] Network& net() { return net_; }

  /// Whether what cannot be proven may be assumed, with a guard (Network::add_guard): the backends compute guards, and the
  /// engine has an exact form.
  [[nodiscard]] bool takes_guards() const { return takes_guards_; }

  // --- arguments: `index` is the position in the schema, `name` its name there (an argument may come either way) -------
  [[nodiscard]] const graph::Argument* find(const graph::Node& node, std::size_t index, std::string_view name) const;
  [[nodiscard]] bool is_none(const graph::Node& node, std::size_t index, std::string_view name) const;
  /// A tensor argument.
  ValueId tensor(const graph::Node& node, std::size_t index, std::string_view name);
  std::optional<ValueId> optional_tensor(const graph::Node& node, std::size_t index, std::string_view name);
  std::vector<ValueId> tensors(const graph::Node& node, std::size_t index, std::string_view name);
  std::int64_t integer(const graph::Node& node, std::size_t index, std::string_view name,
                       std::optional<std::int64_t> fallback = std::nullopt);
  double number(const graph::Node& node, std::size_t index, std::string_view name,
                std::optional<double> fallback = std::nullopt);
  bool boolean(const graph::Node& node, std::size_t index, std::string_view name,
               std::optional<bool> fallback = std::nullopt);
  std::string string(const graph::Node& node, std::size_t index, std::string_view name, std::string_view fallback);
  std::optional<DataType> dtype(const graph::Node& node, std::size_t index, std::string_view name);
  /// An int that may be symbolic, and lists of them. Missing or None: nullopt / empty.
  std::optional<Expr> dim(const graph::Node& node, std::size_t index, std::string_view name);
  std::vector<std::int64_t> integers(const graph::Node& node, std::size_t index, std::string_view name);
  Dims dims(const graph::Node& node, std::size_t index, std::string_view name);
  /// A `Scalar` argument or a tensor argument as a value of `dtype` and rank `rank` (scalars become constants).
  ValueId tensor_or_scalar(const graph::Node& node, std::size_t index, std::string_view name, DataType dtype,
                           std::size_t rank);

  /// Whether nothing but this argument of this node reads the value, so that what made it may be changed for the node.
  [[nodiscard]] bool is_only_use(const graph::Node& node, std::size_t index, std::string_view name) const;

  // --- values ----------------------------------------------------------------------------------------------------------
  [[nodiscard]] DataType dtype_of(ValueId value) const { return net_.value(value).dtype; }
  [[nodiscard]] const Dims& dims_of(ValueId value) const { return net_.value(value).dims; }
  [[nodiscard]] std::size_t rank_of(ValueId value) const { return dims_of(value).size(); }
  /// A negative axis counted from the end; refuses one out of range.
  [[nodiscard]] static std::int64_t normalize_axis(std::int64_t axis, std::size_t rank);
  /// The value cast to `dtype`; itself if it has that already.
  ValueId cast(ValueId value, DataType dtype);
  /// Leading dimensions of 1 prepended until the rank is `rank`.
  ValueId expand_rank(ValueId value, std::size_t rank);
  /// Metadata of the node's output as PyTorch captured it; refuses where there is none.
  [[nodiscard]] const graph::TensorMeta& meta(const graph::Node& node, std::size_t output = 0) const;

  /// Gives output number `output` of the node its value. The driver checks it against the captured metadata.
  void set_output(const graph::Node& node, ValueId value, std::size_t output = 0);

  // --- used by the driver ----------------------------------------------------------------------------------------------
  void take_guards(bool takes) { takes_guards_ = takes; }
  void bind(const std::string& name, ValueId value) { values_[name] = value; }
  void unbind(const std::string& name) { values_.erase(name); }
  [[nodiscard]] const ValueId* lookup(const std::string& name) const;

 private:
  Network& net_;
  const std::unordered_map<std::string, std::size_t>& uses_;
  std::unordered_map<std::string, ValueId> values_;
  bool takes_guards_ = false;
};

using ConvertFunction = void (*)(Context&, const graph::Node&);

/// One row: an ATen overload and its converter.
struct TableRow {
  std::string_view target;  ///< "aten.add.Tensor"
  ConvertFunction convert;
};
/// Every row of every family's table (converters/table.cpp), sorted by target.
const std::vector<TableRow>& table();

}  // namespace torchtrt::converters
