// SPDX-License-Identifier: Apache-2.0
#include "compiler/convert.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include <torchtrt/base/error.h>

#include "converters/context.h"

namespace torchtrt::compiler {
namespace {

using backend::Builder;
using backend::Reason;
using backend::Refusal;
using converters::Context;
using network::Network;
using network::ValueId;

constexpr Interval kInt32Range{INT32_MIN, INT32_MAX};

const converters::ConvertFunction* find_converter(const std::string& target) {
  const auto& rows = converters::table();
  const auto row = std::lower_bound(rows.begin(), rows.end(), target,
                                    [](const converters::TableRow& r, const std::string& t) { return r.target < t; });
  return row == rows.end() || row->target != target ? nullptr : &row->convert;
}

// Converts one graph into one network, node by node.
class Driver {
 public:
  Driver(const graph::Graph& graph, std::span<Builder* const> backends)
      : graph_(graph), backends_(backends), uses_(graph::use_counts(graph)), net_(graph.name), context_(net_, uses_) {
    for (const auto& [name, range] : graph.symbols) net_.add_symbol(name, range);
    for (const graph::Input& input : graph.inputs) {
      if (!input.shape_symbol.empty()) {
        context_.bind(input.name, net_.add_shape_input(input.name, input.shape_symbol));
      } else {
        add_input(input.name, input.meta);
      }
    }
    for (const graph::Constant& constant : graph.constants) {
      constants_.emplace(constant.name, &constant);
    }
  }

  /// nullopt if the node went into the network; otherwise nothing of it is left there.
  std::optional<Refusal> convert(const graph::Node& node) {
    const Network::Checkpoint before = net_.checkpoint();
    net_.set_origin(node.name, node.source);
    std::optional<Refusal> refusal;
    try {
      refusal = try_convert(node, before);
    } catch (const converters::Refused& refused) {
      refusal = refused.refusal();
    } catch (const Error& error) {
      // A rule of the network that the converter ran into: the node asks for something no layer expresses.
      refusal = Refusal{Reason::kAttribute, error.what()};
    }
    if (refusal) {
      net_.rollback(before);
      forget_constants_after(before);
    }
    return refusal;
  }

  /// The results of a node that stays in PyTorch enter the network as inputs.
  void add_results_as_inputs(const graph::Node& node) {
    for (const graph::Node::Output& output : node.outputs) {
      // Layers may have taken the plain name by now ("mul_1": the second layer of the node "mul").
      if (output.meta) add_input(output.name, *output.meta, "pytorch." + output.name);
    }
  }

  Network finish() {
    for (const std::string& name : graph_.outputs) {
      bind_constant(name);
      const ValueId* value = context_.lookup(name);
      TORCHTRT_CHECK(value != nullptr, kInternal, "graph output %", name, " has no value");
      net_.mark_output(*value, name);
    }
    network::remove_dead_layers(net_);
    net_.verify();
    return std::move(net_);
  }

 private:
  void add_input(const std::string& name, const graph::TensorMeta& meta) { add_input(name, meta, name); }
  void add_input(const std::string& name, const graph::TensorMeta& meta, const std::string& input_name) {
    const ValueId input = net_.add_input(input_name, meta.dtype, meta.dims);
    // Engines with narrower integers take 64-bit inputs whose values fit; the runtime checks that they do.
    const bool narrow = std::any_of(backends_.begin(), backends_.end(),
                                    [](const Builder* builder) { return builder->narrows_int64(); });
    if (meta.dtype == DataType::kInt64 && narrow) net_.refine_range(input, kInt32Range);
    context_.bind(name, input);
  }

  // Constants enter the network where they are first used.
  void bind_constant(const std::string& name) {
    const auto found = constants_.find(name);
    if (found == constants_.end() || context_.lookup(name) != nullptr) return;
    const graph::Constant& constant = *found->second;
    context_.bind(name, net_.add_constant(constant.meta.dims, constant.meta.dtype, constant.weights, constant.name));
    bound_constants_.push_back(name);
  }
  void bind_constants(const graph::Argument& argument) {
    if (const auto* ref = std::get_if<graph::Ref>(&argument.value)) {
      bind_constant(ref->name);
    } else if (const auto* list = std::get_if<graph::List>(&argument.value)) {
      for (const graph::Argument& item : *list) bind_constants(item);
    }
  }
  void forget_constants_after(const Network::Checkpoint& checkpoint) {
    std::erase_if(bound_constants_, [&](const std::string& name) {
      const bool gone = context_.lookup(name)->index >= checkpoint.values;
      if (gone) context_.unbind(name);
      return gone;
    });
  }

  std::optional<Refusal> try_convert(const graph::Node& node, const Network::Checkpoint& before) {
    const converters::ConvertFunction* converter = find_converter(node.target);
    if (converter == nullptr) {
      return Refusal{Reason::kNoConverter, "no converter is registered for " + node.target};
    }
    for (const graph::Argument& argument : node.args) bind_constants(argument);
    for (const auto& [name, argument] : node.kwargs) bind_constants(argument);
    (*converter)(context_, node);
    for (const graph::Node::Output& output : node.outputs) {
      if (!output.meta) continue;
      const ValueId* value = context_.lookup(output.name);
      // A result that the converter does not give is fine as long as nobody reads it.
      if (value == nullptr && uses_.count(output.name) == 0) continue;
      TORCHTRT_CHECK(value != nullptr, kInternal, "the converter of ", node.target, " gave no value for %",
                     output.name);
      const DataType dtype = net_.value(*value).dtype;
      TORCHTRT_CHECK(dtype == output.meta->dtype, kInternal, "the converter of ", node.target, " gave ",
                     to_string(dtype), " for %", output.name, ", captured as ", to_string(output.meta->dtype));
      net_.refine_dims(*value, output.meta->dims);
    }
    for (std::size_t i = before.layers; i < net_.layers().size(); ++i) {
      for (const Builder* builder : backends_) {
        if (std::optional<Refusal> refusal = builder->check(net_, net_.layers()[i])) {
          refusal->message = std::string(builder->name()) + ": " + refusal->message;
          return refusal;
        }
      }
    }
    return std::nullopt;
  }

  const graph::Graph& graph_;
  std::span<Builder* const> backends_;
  const std::unordered_map<std::string, std::size_t> uses_;
  Network net_;
  Context context_;
  std::unordered_map<std::string, const graph::Constant*> constants_;
  std::vector<std::string> bound_constants_;
};

}  // namespace

std::vector<NodeRefusal> query(const graph::Graph& graph, std::span<Builder* const> backends) {
  Driver driver(graph, backends);
  std::vector<NodeRefusal> refusals;
  for (const graph::Node& node : graph.nodes) {
    if (std::optional<Refusal> refusal = driver.convert(node)) {
      refusals.push_back({node.name, node.target, std::move(*refusal), node.source});
      driver.add_results_as_inputs(node);
    }
  }
  return refusals;
}

Network convert(const graph::Graph& graph, std::span<Builder* const> backends) {
  Driver driver(graph, backends);
  for (const graph::Node& node : graph.nodes) {
    if (const std::optional<Refusal> refusal = driver.convert(node)) {
      throw ConversionError({node.name, node.target, *refusal, node.source});
    }
  }
  return driver.finish();
}

ConversionError::ConversionError(NodeRefusal refusal)
    : Error(ErrorCode::kUnsupported, detail::concat("node ", refusal.node, " (", refusal.target,
                                                    ") cannot be converted: ", refusal.refusal.message,
                                                    refusal.source.empty() ? "" : "; from ", refusal.source)),
      refusal_(std::move(refusal)) {}

}  // namespace torchtrt::compiler
