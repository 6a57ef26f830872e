// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <NvInfer.h>
#include <torchtrt/backend/builder.h>

#include "backends/tensorrt/builder/lowering.h"
#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/properties.h"

/// Plans whose weights can be replaced, with TensorRT's refitter.
///
/// Of Refit::kAny every floating-point constant of the network can be, as long as TensorRT takes it for refittable; numbers
/// that the lowering adds, and integers, which decide shapes, stay what they are. Of Refit::kIdentical nothing may change,
/// and everything has a name. Which constant has which name follows from the structure of the network, so a plan remembers
/// what it fixes, and takes the weights of a network only if that has the same structure.
namespace torchtrt::tensorrt {

/// Names the weights of a lowered network, and marks those that can be replaced. Before the build.
/// Properties of the plan that refit() reads.
Properties make_refittable(const network::Network& net, const Lowering& lowering, backend::Refit refit,
                           nvinfer1::INetworkDefinition& definition);
void set_refit_flags(nvinfer1::IBuilderConfig& config, const backend::BuildSettings& settings);

/// Why the plan that has these properties cannot take the network's weights; "" if it can.
std::string misfit_of(const network::Network& net, const Lowering& lowering, const Properties& properties);

/// Gives all weights that the refitter knows by name; the reason if it does not take them, "" if it does.
/// Refitter: nvinfer1::IRefitter; a test has another one.
template <typename Refitter>
std::string replace_weights(Refitter& refitter, const std::vector<Lowering::NamedWeights>& weights) {
  std::map<std::string, nvinfer1::Weights> by_name;
  for (const Lowering::NamedWeights& named : weights) by_name[named.name] = named.weights;
  std::vector<const char*> names(static_cast<std::size_t>(refitter.getAllWeights(0, nullptr)));
  refitter.getAllWeights(static_cast<std::int32_t>(names.size()), names.data());
  for (const char* name : names) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) return std::string("its weights \"") + name + "\" are not known";
    if (!refitter.setNamedWeights(name, found->second)) {
      return std::string("weights \"") + name + "\" are refused: " + Logger::take_errors();
    }
  }
  if (const std::int32_t missing = refitter.getMissingWeights(0, nullptr); missing > 0) {
    return std::to_string(missing) + " weights are missing";
  }
  return refitter.refitCudaEngine() ? "" : Logger::take_errors();
}

/// The former plan with the weights of the network; nullopt with a line in the log where it cannot be.
std::optional<backend::BuiltEngine> refit(const network::Network& net, const backend::FormerEngine& former);

}  // namespace torchtrt::tensorrt
