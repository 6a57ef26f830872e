// SPDX-License-Identifier: Apache-2.0
#include "compiler/pipeline.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <torchtrt/backend/layer_error.h>
#include <torchtrt/backend/properties.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "compiler/builders.h"
#include "compiler/exact_form.h"
#include "compiler/packed_network.h"
#include "format/package.h"
#include "format/rebuild.h"

namespace torchtrt::compiler {
namespace {

bool wants_exact_form(const std::vector<std::string>& targets) {
  return std::find(targets.begin(), targets.end(), backend::kExactBackend) != targets.end();
}

// TensorRT's are for GPUs.
bool any_for_the_cpu(const std::vector<std::string>& targets) {
  return std::any_of(targets.begin(), targets.end(),
                     [](const std::string& target) { return !target.starts_with("tensorrt"); });
}

/// The targets that cannot be built on this machine, and why.
class LeftOut {
 public:
  LeftOut(std::string engine, const std::vector<std::string>& targets)
      : engine_(std::move(engine)),
        may_leave_out_(targets.size() > 1),
        exact_form_is_wanted_(wants_exact_form(targets)) {}

  /// Calls `function`; what is missing for one of several targets is noted instead of thrown.
  template <typename Function>
  void attempt(const std::string& target, Function&& function) {
    try {
      function();
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound || !may_leave_out_) throw;
      reasons_ += detail::concat(reasons_.empty() ? "" : "\n", target, ": ", error.what());
    }
  }
  void check_any(bool any) const {
    TORCHTRT_CHECK(any || exact_form_is_wanted_, kNotFound, "engine \"", engine_,
                   "\" can be built for none of its targets on this machine:\n", reasons_);
  }
  void warn() const {
    if (reasons_.empty()) return;
    TORCHTRT_LOG(kWarning, "engine \"", engine_, "\" is packed without the targets that this machine cannot build:\n",
                 reasons_);
  }

 private:
  std::string engine_, reasons_;
  bool may_leave_out_, exact_form_is_wanted_;
};

// None if the exact form is all that is wanted.
std::vector<backend::Builder*> open_builders(const std::vector<std::string>& targets, LeftOut& left_out) {
  TORCHTRT_CHECK(!targets.empty(), kInvalidArgument, "at least one target is needed, e.g. \"openvino\"");
  std::vector<backend::Builder*> builders;
  for (const std::string& target : targets) {
    if (target == backend::kExactBackend) continue;
    left_out.attempt(target, [&] { builders.push_back(&builder(target)); });
  }
  left_out.check_any(!builders.empty());
  return builders;
}

// What the metadata takes from the network.
void describe(const network::Network& net, format::Metadata& metadata) {
  metadata.name = net.name();
  std::set<std::string> used;
  for (const network::Input& input : net.inputs()) {
    const network::Value& value = net.value(input.value);
    format::InputSpec spec{value.name, value.dtype, value.dims, input.symbol, std::nullopt};
    // Only what says more than the dtype has to be checked at run time.
    const Interval everything = network::range_of(value.dtype);
    if (is_integral(value.dtype) && !input.is_shape_tensor &&
        (value.range.min > everything.min || value.range.max < everything.max)) {
      spec.value_range = value.range;
    }
    for (const Expr& dim : value.dims) dim.collect_symbols(used);
    if (input.is_shape_tensor) used.insert(input.symbol);
    metadata.inputs.push_back(std::move(spec));
  }
  for (const network::Network::Output& output : net.outputs()) {
    const network::Value& value = net.value(output.value);
    for (const Expr& dim : value.dims) dim.collect_symbols(used);
    metadata.outputs.push_back({output.name, value.dtype, value.dims});
  }
  for (const auto& [name, range] : net.symbols()) {
    if (used.count(name) != 0) metadata.symbols[name] = {range.min, range.opt, range.max};
  }
}

// What the metadata takes from a graph that no builder sees.
void describe(const graph::Graph& graph, format::Metadata& metadata) {
  metadata.name = graph.name;
  std::set<std::string> bound, used;
  for (const graph::Input& input : graph.inputs) {
    for (const Expr& dim : input.meta.dims) dim.collect_symbols(bound);
    if (!input.shape_symbol.empty()) bound.insert(input.shape_symbol);
    metadata.inputs.push_back({input.name, input.meta.dtype, input.meta.dims, input.shape_symbol, std::nullopt});
  }
  std::map<std::string, const graph::TensorMeta*> values;
  for (const graph::Input& input : graph.inputs) values[input.name] = &input.meta;
  for (const graph::Constant& constant : graph.constants) values[constant.name] = &constant.meta;
  for (const graph::Node& node : graph.nodes) {
    for (const graph::Node::Output& output : node.outputs) values[output.name] = output.meta ? &*output.meta : nullptr;
  }
  for (const std::string& name : graph.outputs) {
    const graph::TensorMeta* meta = values.at(name);
    TORCHTRT_CHECK(meta != nullptr, kUnsupported, "output ", name, " of the graph is no tensor");
    for (const Expr& dim : meta->dims) dim.collect_symbols(used);
    metadata.outputs.push_back({name, meta->dtype, meta->dims});
  }
  metadata.requires_output_allocator = !std::includes(bound.begin(), bound.end(), used.begin(), used.end());
  used.merge(bound);
  for (const auto& [name, range] : graph.symbols) {
    if (used.count(name) != 0) metadata.symbols[name] = {range.min, range.opt, range.max};
  }
}

// Targets of a package by backend, as their builders take them.
using FormerEngines = std::map<std::string, backend::FormerEngine, std::less<>>;

FormerEngines former_engines(const Package& package) {
  FormerEngines result;
  for (const format::TargetSpec& target : format::read_metadata(package.metadata, package.payload.size()).targets) {
    backend::FormerEngine& engine = result[target.backend];
    engine.properties = target.properties;
    for (const format::SectionSpec& section : target.sections) {
      engine.sections.emplace_back(section.name, format::section_bytes(section, package.payload));
    }
  }
  return result;
}

backend::BuiltEngine build_or_refit(backend::Builder& builder, const network::Network& net,
                                    const backend::BuildSettings& settings, const FormerEngines& former) {
  if (const auto found = former.find(builder.name()); found != former.end()) {
    if (std::optional<backend::BuiltEngine> refitted = builder.refit(net, found->second)) return *refitted;
  }
  TORCHTRT_LOG(kInfo, "building engine ", net.name(), " for ", builder.name(), ": ", net.layers().size(), " layers");
  return builder.build(net, settings);
}

format::TargetSpec build_target(backend::Builder& builder, const network::Network& net,
                                const backend::BuildSettings& settings, const FormerEngines& former,
                                format::PayloadWriter& payload, std::vector<StoredConstants>& stored) {
  const backend::BuiltEngine built = build_or_refit(builder, net, settings, former);
  format::TargetSpec target{std::string(builder.name()), built.producer, built.properties, {}};
  for (const backend::Section& section : built.sections) {
    target.sections.push_back(payload.append(
        section.name, std::span<const std::byte>(static_cast<const std::byte*>(section.data), section.size)));
    StoredConstants constants{target.backend, target.sections.back(), {}};
    for (const backend::ConstantPlace& place : built.constants) {
      if (place.section == section.name) constants.places.push_back({place.offset, place.size});
    }
    if (!constants.places.empty()) stored.push_back(std::move(constants));
  }
  return target;
}

CompiledEngine packed(const format::Metadata& metadata, format::PayloadWriter& payload) {
  CompiledEngine compiled;
  compiled.requires_output_allocator = metadata.requires_output_allocator;
  compiled.metadata = format::write_metadata(metadata);
  compiled.payload = payload.take();
  return compiled;
}

// Builds for all of the builders and writes the package.
CompiledEngine build_package(const network::Network& net, format::Metadata metadata,
                             const backend::BuildSettings& settings, bool rebuildable,
                             const std::vector<backend::Builder*>& builders, const std::optional<ExactForm>& exact,
                             LeftOut& left_out, const FormerEngines& former = {}) {
  const std::string text = network::print(net);
  TORCHTRT_LOG(kGraph, "network of engine ", net.name(), ":\n", text);
  format::PayloadWriter payload;
  std::vector<StoredConstants> stored;
  metadata.targets.clear();
  for (backend::Builder* builder : builders) {
    TORCHTRT_CHECK(!settings.keep_going || settings.keep_going(), kCancelled, "the build of engine ", net.name(),
                   " for ", builder->name(), " was cancelled");
    left_out.attempt(std::string(builder->name()), [&] {
      metadata.targets.push_back(build_target(*builder, net, settings, former, payload, stored));
    });
  }
  left_out.check_any(!metadata.targets.empty());
  left_out.warn();
  if (exact) metadata.targets.push_back(exact->write(payload, stored));
  if (rebuildable) metadata.network = pack_network(net, settings, payload);
  CompiledEngine compiled = packed(metadata, payload);
  compiled.network = text;
  compiled.layer_count = net.layers().size();
  return compiled;
}

// The exact form alone.
CompiledEngine pack_graph(const graph::Graph& graph, format::Metadata metadata, const std::optional<ExactForm>& exact) {
  TORCHTRT_CHECK(exact.has_value(), kUnsupported, "engine \"", graph.name,
                 "\" needs a size that nothing in its graph determines: it cannot be built for target \"",
                 backend::kExactBackend, "\"");
  describe(graph, metadata);
  format::PayloadWriter payload;
  metadata.targets = {exact->write(payload, {})};
  CompiledEngine compiled = packed(metadata, payload);
  compiled.network = graph::print(graph);
  compiled.layer_count = graph.nodes.size();
  return compiled;
}

// --- rebuilding
// ---------------------------------------------------------------------------------------------------------

// What the runtime checks comes from the metadata: it must say of the inputs what the network was built on.
void check_describes(const format::Metadata& metadata, const network::Network& net) {
  format::Metadata described;
  describe(net, described);
  TORCHTRT_CHECK(described.inputs == metadata.inputs && described.outputs == metadata.outputs &&
                     described.symbols == metadata.symbols,
                 kDataLoss, "engine \"", metadata.name, "\": its metadata describes another network than it carries");
}

// The rules by which convert() would have left a node in PyTorch.
void check_takes(backend::Builder& builder, const network::Network& net) {
  TORCHTRT_CHECK(net.guards().empty() || builder.takes_guards(), kUnsupported, "engine \"", net.name(),
                 "\" cannot be built for target \"", builder.name(),
                 "\", whose engines compute no guards: compile the model again with this target among `targets`");
  for (const network::Layer& layer : net.layers()) {
    if (const std::optional<backend::Refusal> refusal = builder.check(net, layer)) {
      fail(ErrorCode::kUnsupported, "engine \"", net.name(), "\" cannot be built for target \"", builder.name(),
           "\", which refuses the ", network::kind_name(layer.op), " layer \"", layer.name, "\": ", refusal->message,
           layer.source.empty() ? "" : "; from ", layer.source,
           "; compile the model again with this target among `targets`");
    }
  }
  for (const network::Input& input : net.inputs()) {
    const network::Value& value = net.value(input.value);
    const bool fits = value.range.min >= INT32_MIN && value.range.max <= INT32_MAX;
    TORCHTRT_CHECK(!builder.narrows_int64() || value.dtype != DataType::kInt64 || input.is_shape_tensor || fits,
                   kUnsupported, "engine \"", net.name(), "\" cannot be built for target \"", builder.name(),
                   "\", which computes integers in 32 bits: nothing says that input \"", value.name, "\" fits");
  }
}

class TargetRebuilder final : public format::Rebuilder {
 public:
  format::RebuiltTarget rebuild(const format::Metadata& metadata, std::span<const std::byte> payload,
                                std::string_view target) override {
    backend::Builder& chosen = builder(target);
    const UnpackedNetwork unpacked = unpack_network(metadata, payload);
    check_describes(metadata, unpacked.network);
    check_takes(chosen, unpacked.network);
    backend::BuiltEngine built = chosen.build(unpacked.network, unpacked.settings);
    format::RebuiltTarget result{std::string(target), built.producer, built.properties, {}};
    for (backend::Section& section : built.sections) {
      result.sections.push_back(
          {section.name, section.owner, {static_cast<const std::byte*>(section.data), section.size}});
    }
    return result;
  }
};

}  // namespace

std::vector<NodeRefusal> query(const graph::Graph& graph, const CompileSettings& settings) {
  graph.verify();
  LeftOut left_out(graph.name, settings.targets);
  const std::vector<backend::Builder*> builders = open_builders(settings.targets, left_out);
  if (builders.empty()) return {};  // PyTorch takes every node
  return query(graph, builders, settings.use_plugins);
}

CompiledEngine compile(const graph::Graph& graph, const CompileSettings& settings,
                       const std::optional<Package>& former) {
  graph.verify();
  LeftOut left_out(graph.name, settings.targets);
  TORCHTRT_CHECK(!wants_exact_form(settings.targets) || settings.device == "cpu", kUnsupported, "engine \"", graph.name,
                 "\": target \"", backend::kExactBackend, "\" runs on the CPU, not on ", settings.device);
  const std::vector<backend::Builder*> builders = open_builders(settings.targets, left_out);
  format::Metadata metadata;
  metadata.device = settings.device;
  metadata.producer = {{"torchtrt", TORCHTRT_VERSION}, {"torch", settings.torch_version}};
  std::optional<ExactForm> exact;
  if (settings.device == "cpu" && any_for_the_cpu(settings.targets) && !settings.build.strip_weights) {
    exact = ExactForm::of(graph, settings.torch_version);
  }
  if (builders.empty()) return pack_graph(graph, std::move(metadata), exact);
  const Converted converted = convert(graph, builders, settings.use_plugins, settings.rebuildable,
                                      exact ? Assume::kWhatIsChecked : Assume::kNothing);
  describe(converted.network, metadata);
  metadata.requires_output_allocator = converted.requires_output_allocator;
  try {
    return build_package(converted.network, std::move(metadata), settings.build, settings.rebuildable, builders, exact,
                         left_out, former ? former_engines(*former) : FormerEngines{});
  } catch (const backend::LayerError& error) {
    const auto name = converted.nodes.find(error.layer());
    if (name == converted.nodes.end()) throw;
    const auto node = std::ranges::find(graph.nodes, name->second, &graph::Node::name);
    const backend::Refusal refusal{backend::Reason::kBuildFailure, error.what()};
    throw ConversionError({node->name, node->target, refusal, node->source});
  }
}

CompiledEngine rebuild(std::string_view metadata_text, std::span<const std::byte> payload,
                       std::vector<std::string> targets) {
  format::Metadata metadata = format::read_metadata(metadata_text, payload.size());
  if (targets.empty()) {
    for (const format::TargetSpec& target : metadata.targets) targets.push_back(target.backend);
  }
  std::optional<ExactForm> exact;
  if (any_for_the_cpu(targets)) exact = ExactForm::of(metadata, payload);
  TORCHTRT_CHECK(exact || !wants_exact_form(targets), kUnsupported, "engine \"", metadata.name, "\" has no target \"",
                 backend::kExactBackend, "\", which needs the model: compile it again");
  LeftOut left_out(metadata.name, targets);
  const std::vector<backend::Builder*> builders = open_builders(targets, left_out);
  const UnpackedNetwork unpacked = unpack_network(metadata, payload);
  check_describes(metadata, unpacked.network);
  for (backend::Builder* builder : builders) check_takes(*builder, unpacked.network);
  metadata.producer["torchtrt"] = TORCHTRT_VERSION;
  return build_package(unpacked.network, std::move(metadata), unpacked.settings, true, builders, exact, left_out);
}

}  // namespace torchtrt::compiler

extern "C" TORCHTRT_API torchtrt::format::Rebuilder* torchtrt_rebuilder(std::uint32_t interface_version) {
  static auto* rebuilder = new torchtrt::compiler::TargetRebuilder;
  return interface_version == torchtrt::format::kRebuilderInterfaceVersion ? rebuilder : nullptr;
}
