// SPDX-License-Identifier: Apache-2.0
#include "compiler/pipeline.h"

#include <set>
#include <utility>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "compiler/builders.h"
#include "format/package.h"

namespace torchtrt::compiler {
namespace {

std::vector<backend::Builder*> open_builders(const CompileSettings& settings) {
  TORCHTRT_CHECK(!settings.targets.empty(), kInvalidArgument, "at least one target is needed, e.g. \"openvino\"");
  std::vector<backend::Builder*> builders;
  for (const std::string& target : settings.targets) builders.push_back(&builder(target));
  return builders;
}

// Metadata of everything but the targets.
format::Metadata describe(const Converted& converted, const CompileSettings& settings) {
  const network::Network& net = converted.network;
  format::Metadata metadata;
  metadata.name = net.name();
  metadata.device = settings.device;
  metadata.producer = {{"torchtrt", TORCHTRT_VERSION}, {"torch", settings.torch_version}};
  metadata.requires_output_allocator = converted.requires_output_allocator;
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
  return metadata;
}

}  // namespace

std::vector<NodeRefusal> query(const graph::Graph& graph, const CompileSettings& settings) {
  graph.verify();
  return query(graph, open_builders(settings), settings.use_plugins);
}

CompiledEngine compile(const graph::Graph& graph, const CompileSettings& settings) {
  graph.verify();
  const std::vector<backend::Builder*> builders = open_builders(settings);
  const Converted converted = convert(graph, builders, settings.use_plugins);
  const network::Network& net = converted.network;

  CompiledEngine compiled;
  compiled.network = network::print(net);
  compiled.layer_count = net.layers().size();
  TORCHTRT_LOG(kGraph, "network of engine ", net.name(), ":\n", compiled.network);

  format::Metadata metadata = describe(converted, settings);
  format::PayloadWriter payload;
  for (backend::Builder* builder : builders) {
    TORCHTRT_CHECK(!settings.build.keep_going || settings.build.keep_going(), kCancelled, "the build of engine ",
                   net.name(), " for ", builder->name(), " was cancelled");
    TORCHTRT_LOG(kInfo, "building engine ", net.name(), " for ", builder->name(), ": ", compiled.layer_count,
                 " layers");
    const backend::BuiltEngine built = builder->build(net, settings.build);
    format::TargetSpec target{std::string(builder->name()), built.producer, built.properties, {}};
    for (const backend::Section& section : built.sections) {
      target.sections.push_back(payload.append(
          section.name, std::span<const std::byte>(static_cast<const std::byte*>(section.data), section.size)));
    }
    metadata.targets.push_back(std::move(target));
  }
  compiled.requires_output_allocator = metadata.requires_output_allocator;
  compiled.metadata = format::write_metadata(metadata);
  compiled.payload = payload.take();
  return compiled;
}

}  // namespace torchtrt::compiler
