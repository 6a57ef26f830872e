// SPDX-License-Identifier: Apache-2.0
#include "compiler/convert.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include <torchtrt/base/error.h>

#include <torchtrt/converters/context.h>
#include <torchtrt/converters/plugin.h>
#include <torchtrt/converters/registry.h>

namespace torchtrt::compiler {
namespace {

using backend::Builder;
using backend::Reason;
using backend::Refusal;
using converters::Context;
using network::Network;
using network::ValueId;

constexpr Interval kInt32Range{INT32_MIN, INT32_MAX};
// Of integers that count, index or number something: products with sizes stay within 32 bits, and float32 has them exactly.
constexpr Interval kUsualRange{-(1 << 20), 1 << 20};

const converters::ConvertFunction* find_converter(const std::string& target) {
  const auto& rows = converters::table();
  const auto row = std::lower_bound(rows.begin(), rows.end(), target,
                                    [](const converters::TableRow& r, const std::string& t) { return r.target < t; });
  return row == rows.end() || row->target != target ? nullptr : &row->convert;
}

bool narrows_int64(std::span<Builder* const> backends) {
  return std::any_of(backends.begin(), backends.end(), [](const Builder* builder) { return builder->narrows_int64(); });
}

// Converts one graph into one network, node by node.
class Driver {
 public:
  struct Options {
    bool use_plugins = false, narrow_int64_inputs = false;
    Assume assume = Assume::kNothing;
    std::optional<Interval> integer_inputs = std::nullopt;  ///< Assumed of inputs of 32 and 64 bits.
  };
  Driver(const graph::Graph& graph, std::span<Builder* const> backends, const Options& options)
      : graph_(graph),
        backends_(backends),
        options_(options),
        uses_(graph::use_counts(graph)),
        net_(graph.name),
        context_(net_, uses_) {
    context_.take_guards(
        options.assume == Assume::kWhatIsChecked &&
        std::all_of(backends.begin(), backends.end(), [](const Builder* b) { return b->takes_guards(); }));
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
    std::optional<Refusal> refusal = try_convert(node, before);
    if (refusal) {
      net_.rollback(before);
      forget_constants_after(before);
    }
    for (std::size_t i = before.layers; i < net_.layers().size(); ++i) nodes_[net_.layers()[i].name] = node.name;
    return refusal;
  }

  /// The results of a node that stays in PyTorch enter the network as inputs.
  void add_results_as_inputs(const graph::Node& node) {
    const bool wide = gives_wide_integers(node);
    for (const graph::Node::Output& output : node.outputs) {
      // Layers may have taken the plain name by now ("mul_1": the second layer of the node "mul").
      if (output.meta) add_input(output.name, *output.meta, "pytorch." + output.name, !wide);
    }
  }

  Converted finish() {
    for (const std::string& name : graph_.outputs) {
      bind_constant(name);
      const ValueId* value = context_.lookup(name);
      TORCHTRT_CHECK(value != nullptr, kInternal, "graph output %", name, " has no value");
      net_.mark_output(*value, name);
    }
    network::remove_dead_layers(net_);
    net_.verify();
    const bool has_data_dependent_outputs = net_.has_data_dependent_outputs();
    return {std::move(net_), requires_output_allocator_ || has_data_dependent_outputs, std::move(nodes_)};
  }

 private:
  void add_input(const std::string& name, const graph::TensorMeta& meta) { add_input(name, meta, name); }
  void add_input(const std::string& name, const graph::TensorMeta& meta, const std::string& input_name,
                 bool assume_narrow = true) {
    const ValueId input = net_.add_input(input_name, meta.dtype, meta.dims);
    if (!assume_narrow) {
      context_.bind(name, input);
      return;
    }
    // Engines with narrower integers take 64-bit inputs whose values fit; the runtime checks that they do.
    const bool narrow = options_.narrow_int64_inputs || narrows_int64(backends_);
    if (meta.dtype == DataType::kInt64 && narrow) net_.refine_range(input, kInt32Range);
    const bool is_wide = meta.dtype == DataType::kInt64 || meta.dtype == DataType::kInt32;
    if (is_wide && options_.integer_inputs) net_.refine_range(input, *options_.integer_inputs);
    context_.bind(name, input);
  }

  // Whether 64-bit results of a node that stays in PyTorch may well be wide: what is cast from floating values that no
  // one bounds (the logarithm of 0 in relative positions, later replaced), and what follows from it. An engine that assumed
  // otherwise would run its exact form in every call.
  [[nodiscard]] bool gives_wide_integers(const graph::Node& node) const {
    const bool casts = node.target.starts_with("aten._to_copy") || node.target.starts_with("aten.to.") ||
                       node.target.starts_with("prims.convert_element_type");
    const auto is_wide = [&](const graph::Argument& argument) {
      const auto* ref = std::get_if<graph::Ref>(&argument.value);
      const ValueId* id = ref == nullptr ? nullptr : context_.lookup(ref->name);
      if (id == nullptr) return false;
      const network::Value& value = net_.value(*id);
      if (is_floating(value.dtype)) return casts;
      return value.dtype == DataType::kInt64 && (value.range.min < INT32_MIN || value.range.max > INT32_MAX);
    };
    return std::any_of(node.args.begin(), node.args.end(), is_wide);
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
  void roll_back(const graph::Node& node, const Network::Checkpoint& before) {
    net_.rollback(before);
    for (const graph::Node::Output& output : node.outputs) context_.unbind(output.name);
  }
  void forget_constants_after(const Network::Checkpoint& checkpoint) {
    std::erase_if(bound_constants_, [&](const std::string& name) {
      const bool gone = context_.lookup(name)->index >= checkpoint.values;
      if (gone) context_.unbind(name);
      return gone;
    });
  }

  // The first of the operator's converters that does not refuse: the users', torchtrt's own, the plugin. Otherwise the
  // refusal of the last that is a converter to layers.
  std::optional<Refusal> try_convert(const graph::Node& node, const Network::Checkpoint& before) {
    for (const graph::Argument& argument : node.args) bind_constants(argument);
    for (const auto& [name, argument] : node.kwargs) bind_constants(argument);
    const Network::Checkpoint bound = net_.checkpoint();
    std::optional<Refusal> refusal{{Reason::kNoConverter, "no converter is registered for " + node.target}};
    const auto attempt = [&](const auto& function) {
      if (!refusal) return;
      try {
        refusal = function();
      } catch (const converters::Refused& refused) {
        refusal = refused.refusal();
      }
      if (refusal) roll_back(node, bound);
    };
    for (const auto& user : converters::user_converters(node.target)) {
      attempt([&] { return try_user(*user, node, before); });
    }
    if (const converters::ConvertFunction* converter = find_converter(node.target)) {
      attempt([&]() -> std::optional<Refusal> {
        try {
          (*converter)(context_, node);
          return check_results(node, before);
        } catch (const Error& error) {
          // A rule of the network that the converter ran into: the node asks for something no layer expresses.
          return Refusal{Reason::kAttribute, error.what()};
        }
      });
    }
    if (!refusal || !converters::has_plugin(node.target)) return refusal;
    if (!options_.use_plugins) {
      refusal->message += "; with use_plugins=True it is a plugin in the engine";
      return refusal;
    }
    const std::string no_layer = refusal->message;
    attempt([&] {
      converters::convert_to_plugin(context_, node);
      return check_results(node, before);
    });
    if (refusal) refusal->message = no_layer + "; and as a plugin: " + refusal->message;
    return refusal;
  }

  std::optional<Refusal> try_user(const converters::Converter& converter, const graph::Node& node,
                                  const Network::Checkpoint& before) {
    if (!converter.supports_dynamic_shapes && has_symbols(node)) {
      return Refusal{Reason::kDynamicShape, converter.name + " does not declare that it supports dynamic shapes"};
    }
    if (converter.validate && !converter.validate(node)) {
      return Refusal{Reason::kAttribute, converter.name + " says that it is not for this node"};
    }
    try {
      converter.convert(context_, node);
      std::optional<Refusal> refusal = check_results(node, before);
      if (!refusal && converter.requires_output_allocator) requires_output_allocator_ = true;
      return refusal;
    } catch (const Error& error) {
      fail(error.code(), converter.name, " failed on node ", node.name, " (", node.target, ")",
           node.source.empty() ? "" : "; from ", node.source, ": ", error.what());
    }
  }

  [[nodiscard]] bool has_symbols(const graph::Node& node) const {
    const auto any = [](const Dims& dims) {
      return std::any_of(dims.begin(), dims.end(), [](const Expr& dim) { return !dim.is_constant(); });
    };
    for (const graph::Node::Output& output : node.outputs) {
      if (output.meta && any(output.meta->dims)) return true;
    }
    for (const graph::Argument& argument : node.args) {
      const auto* ref = std::get_if<graph::Ref>(&argument.value);
      const ValueId* value = ref == nullptr ? nullptr : context_.lookup(ref->name);
      if (value != nullptr && any(net_.value(*value).dims)) return true;
    }
    return false;
  }

  // What a converter made, against the capture and the backends.
  std::optional<Refusal> check_results(const graph::Node& node, const Network::Checkpoint& before) {
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
      if (std::optional<Refusal> refusal = check_layer(net_.layers()[i])) return refusal;
    }
    // What came without a layer is an input that may go on as a result: a backend has to have values of its kind.
    for (const graph::Node::Output& output : node.outputs) {
      const ValueId* value = context_.lookup(output.name);
      if (value == nullptr || net_.producer(*value) != nullptr) continue;
      if (std::optional<Refusal> refusal = check_layer({network::Identity{}, {*value}, {*value}, node.name, ""})) {
        return refusal;
      }
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<Refusal> check_layer(const network::Layer& layer) const {
    for (const Builder* builder : backends_) {
      if (std::optional<Refusal> refusal = builder->check(net_, layer)) {
        refusal->message = std::string(builder->name()) + ": " + refusal->message;
        return refusal;
      }
    }
    return std::nullopt;
  }

  const graph::Graph& graph_;
  std::span<Builder* const> backends_;
  const Options options_;
  const std::unordered_map<std::string, std::size_t> uses_;
  Network net_;
  Context context_;
  bool requires_output_allocator_ = false;
  std::unordered_map<std::string, const graph::Constant*> constants_;
  std::vector<std::string> bound_constants_;
  std::unordered_map<std::string, std::string> nodes_;  // by layer
};

}  // namespace

namespace {

std::vector<NodeRefusal> query(const graph::Graph& graph, std::span<Builder* const> backends,
                               const Driver::Options& options) {
  Driver driver(graph, backends, options);
  std::vector<NodeRefusal> refusals;
  for (const graph::Node& node : graph.nodes) {
    if (std::optional<Refusal> refusal = driver.convert(node)) {
      refusals.push_back({node.name, node.target, std::move(*refusal), node.source});
      driver.add_results_as_inputs(node);
    }
  }
  return refusals;
}

Converted convert(const graph::Graph& graph, std::span<Builder* const> backends, const Driver::Options& options) {
  Driver driver(graph, backends, options);
  for (const graph::Node& node : graph.nodes) {
    if (const std::optional<Refusal> refusal = driver.convert(node)) {
      throw ConversionError({node.name, node.target, *refusal, node.source});
    }
  }
  return driver.finish();
}

// Whether less may be refused where integer inputs are assumed to be small.
bool may_assume_small_integers(const graph::Graph& graph, std::span<Builder* const> backends, Assume assume) {
  const auto is_wide = [](const graph::TensorMeta& meta) {
    return meta.dtype == DataType::kInt64 || meta.dtype == DataType::kInt32;
  };
  return assume == Assume::kWhatIsChecked && narrows_int64(backends) &&
         std::any_of(graph.inputs.begin(), graph.inputs.end(),
                     [&](const graph::Input& input) { return input.shape_symbol.empty() && is_wide(input.meta); });
}

}  // namespace

std::vector<NodeRefusal> query(const graph::Graph& graph, std::span<Builder* const> backends, bool use_plugins,
                               Assume assume) {
  Driver::Options options{use_plugins, false, assume};
  std::vector<NodeRefusal> refusals = query(graph, backends, options);
  if (!refusals.empty() && may_assume_small_integers(graph, backends, assume)) {
    options.integer_inputs = kUsualRange;
    std::vector<NodeRefusal> fewer = query(graph, backends, options);
    if (fewer.size() < refusals.size()) return fewer;
  }
  return refusals;
}

Converted convert(const graph::Graph& graph, std::span<Builder* const> backends, bool use_plugins,
                  bool narrow_int64_inputs, Assume assume) {
  Driver::Options options{use_plugins, narrow_int64_inputs, assume};
  try {
    return convert(graph, backends, options);
  } catch (const ConversionError&) {
    if (!may_assume_small_integers(graph, backends, assume)) throw;
  }
  options.integer_inputs = kUsualRange;
  return convert(graph, backends, options);
}

ConversionError::ConversionError(NodeRefusal refusal)
    : Error(ErrorCode::kUnsupported, detail::concat("node ", refusal.node, " (", refusal.target,
                                                    ") cannot be converted: ", refusal.refusal.message,
                                                    refusal.source.empty() ? "" : "; from ", refusal.source)),
      refusal_(std::move(refusal)) {}

}  // namespace torchtrt::compiler
