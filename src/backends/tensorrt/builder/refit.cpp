// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/refit.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <tuple>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>

#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/plan_runtime.h"
#include "backends/tensorrt/properties.h"

namespace torchtrt::tensorrt {
namespace {

constexpr const char* kAny = "any";
constexpr const char* kIdentical = "identical";

// Of Refit::kAny; TensorRT has its own say (make_refittable).
bool is_replaceable(const network::Network& net, const Lowering::NamedWeights& named) {
  return named.constant && is_floating(net.value(*named.constant).dtype);
}

// What a plan fixes: the structure, with the elements of all constants but those whose weights can be replaced, and which
// of the latter the lowering saw to be without NaN.
std::string structure_of(const network::Network& net, const Lowering& lowering, bool any,
                         const std::set<std::string>& fixed) {
  std::set<network::ValueId> hidden;
  std::string without_nan;
  for (const Lowering::NamedWeights& named : lowering.weights()) {
    if (!any || !is_replaceable(net, named) || fixed.contains(named.name)) continue;
    hidden.insert(*named.constant);
    if (lowering.never_nan(*named.constant)) without_nan += " " + named.name;
  }
  // A constant that is the same elements as a hidden one is hidden as well.
  const auto elements = [&](network::ValueId id) {
    const network::Weights* weights = net.constant(id);
    return std::tuple(weights->data.get(), weights->bytes, net.value(id).dtype);
  };
  std::set<std::tuple<const void*, std::size_t, DataType>> names;
  for (const network::ValueId id : hidden) names.insert(elements(id));
  const network::HidesElements hides = [&](network::ValueId id) { return names.contains(elements(id)); };
  return std::to_string(network::structure_digest(net, hides)) + without_nan;
}

std::set<std::string> words(std::string_view text) {
  std::set<std::string> result;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    result.emplace(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return result;
}

}  // namespace

Properties make_refittable(const network::Network& net, const Lowering& lowering, backend::Refit refit,
                           nvinfer1::INetworkDefinition& definition) {
  if (refit == backend::Refit::kNone) return {};
  const bool any = refit == backend::Refit::kAny;
  std::set<std::string> fixed;
  std::string fixed_text;
  for (const Lowering::NamedWeights& named : lowering.weights()) {
    if (any && !is_replaceable(net, named)) continue;
    const char* name = named.name.c_str();
    if (definition.setWeightsName(named.weights, name) && (!any || definition.markWeightsRefittable(name))) continue;
    fixed.insert(named.name);
    fixed_text += (fixed_text.empty() ? "" : ",") + named.name;
  }
  Logger::take_errors();  // what cannot be refitted was no error
  return {{kRefitProperty, any ? kAny : kIdentical},
          {kRefitStructureProperty, structure_of(net, lowering, any, fixed)},
          {kRefitFixedProperty, fixed_text}};
}

void set_refit_flags(nvinfer1::IBuilderConfig& config, const backend::BuildSettings& settings) {
  TORCHTRT_CHECK(!settings.strip_weights || settings.refit != backend::Refit::kNone, kInvalidArgument,
                 "strip_weights needs Refit::kIdentical or Refit::kAny: how else would the weights come back");
  if (settings.refit == backend::Refit::kAny) config.setFlag(nvinfer1::BuilderFlag::kREFIT_INDIVIDUAL);
  if (settings.refit == backend::Refit::kIdentical) config.setFlag(nvinfer1::BuilderFlag::kREFIT_IDENTICAL);
  if (settings.strip_weights) config.setFlag(nvinfer1::BuilderFlag::kSTRIP_PLAN);
}

std::string misfit_of(const network::Network& net, const Lowering& lowering, const Properties& properties) {
  const std::string kind = property(properties, kRefitProperty);
  if (kind.empty()) return "it was not built for that";
  if (const std::string built = property(properties, kVersionProperty); built != Library::get().version()) {
    return "it was built by " + std::string(compat::kProductName) + " " + built + ", and this machine has " +
           Library::get().version();
  }
  const std::set<std::string> fixed = words(property(properties, kRefitFixedProperty));
  if (structure_of(net, lowering, kind == kAny, fixed) != property(properties, kRefitStructureProperty)) {
    return kind == kAny ? "the network differs from its own in more than weights that can be replaced"
                        : "the network differs from its own, of which it takes the very weights only";
  }
  return "";
}

std::optional<backend::BuiltEngine> refit(const network::Network& net, const backend::FormerEngine& former) {
  const auto refused = [&](const std::string& why) {
    TORCHTRT_LOG(kInfo, "engine ", net.name(), " for ", compat::kBackendName, " is not refitted: ", why);
    return std::nullopt;
  };
  if (property(former.properties, kRefitProperty).empty()) return refused("it was not built for that");
  // Names and order of the weights are those of the lowering, whatever becomes of the definition.
  const std::unique_ptr<nvinfer1::IBuilder> builder = Library::get().create_builder();
  const std::unique_ptr<nvinfer1::INetworkDefinition> definition(builder->createNetworkV2(compat::network_flags()));
  TORCHTRT_CHECK(definition != nullptr, kUnsupported, compat::kProductName,
                 " gives no network: ", Logger::take_errors());
  Lowering lowering(net, *definition, Library::get().functions(), /*refittable=*/true);
  lowering.run();
  if (const std::string why = misfit_of(net, lowering, former.properties); !why.empty()) return refused(why);

  const std::unique_ptr<nvinfer1::IRuntime> runtime = runtime_for(former.properties);
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  for (const auto& [name, bytes] : former.sections) {
    if (name == kPlanSection) engine.reset(runtime->deserializeCudaEngine(bytes.data(), bytes.size()));
  }
  if (engine == nullptr) return refused("it cannot be loaded: " + Logger::take_errors());
  const std::unique_ptr<nvinfer1::IRefitter> refitter = Library::get().create_refitter(*engine);
  if (refitter == nullptr)
    return refused(compat::kProductName + std::string(" gives no refitter: ") + Logger::take_errors());
  if (const std::string why = replace_weights(*refitter, lowering.weights()); !why.empty()) return refused(why);

  backend::BuiltEngine result{
      {}, former.properties, std::string(compat::kProductName) + " " + Library::get().version()};
  const std::unique_ptr<nvinfer1::ISerializationConfig> config(engine->createSerializationConfig());
  TORCHTRT_CHECK(config != nullptr, kInternal, compat::kProductName, " cannot write the refitted engine ", net.name(),
                 ": ", Logger::take_errors());
  config->clearFlag(nvinfer1::SerializationFlag::kEXCLUDE_WEIGHTS);
  if (result.properties.erase(kStrippedProperty) > 0) {
    if (Library::get().functions().include_refit) {
      config->setFlag(nvinfer1::SerializationFlag::kINCLUDE_REFIT);
    } else {  // it cannot be done again
      for (const char* name : {kRefitProperty, kRefitStructureProperty, kRefitFixedProperty})
        result.properties.erase(name);
    }
  }
  const std::shared_ptr<nvinfer1::IHostMemory> plan(engine->serializeWithConfig(*config));
  TORCHTRT_CHECK(plan != nullptr, kInternal, compat::kProductName, " cannot write the refitted engine ", net.name(),
                 ": ", Logger::take_errors());
  result.sections.push_back({kPlanSection, plan, plan->data(), plan->size()});
  TORCHTRT_LOG(kInfo, "engine ", net.name(), " for ", compat::kBackendName, " was refitted");
  return result;
}

}  // namespace torchtrt::tensorrt
