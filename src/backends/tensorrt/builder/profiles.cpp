// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/profiles.h"

#include <map>

#include <torchtrt/base/error.h>

#include "backends/tensorrt/compat/functions.h"
#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/library.h"
#include "backends/tensorrt/logger.h"
#include "backends/tensorrt/types.h"

namespace torchtrt::tensorrt {
namespace {

using Ranges = std::map<std::string, network::SymbolRange>;

constexpr std::array kSelectors{nvinfer1::OptProfileSelector::kMIN, nvinfer1::OptProfileSelector::kOPT,
                                nvinfer1::OptProfileSelector::kMAX};
constexpr std::array kBounds{&network::SymbolRange::min, &network::SymbolRange::opt, &network::SymbolRange::max};

// Every symbol's range within the profile.
Ranges merged(const network::Network& net, const Ranges& profile, std::size_t index) {
  Ranges result = net.symbols();
  for (const auto& [name, range] : profile) {
    const auto symbol = result.find(name);
    if (symbol == result.end()) continue;  // of another engine of the program
    const network::SymbolRange& whole = symbol->second;
    TORCHTRT_CHECK(whole.min <= range.min && range.min <= range.opt && range.opt <= range.max && range.max <= whole.max,
                   kInvalidArgument, "optimization profile ", index, " says ", range.min, " <= ", range.opt,
                   " <= ", range.max, " of symbol ", name, ", expected min <= opt <= max within ", whole.min, " to ",
                   whole.max);
    symbol->second = range;
  }
  return result;
}

ProfileInputs inputs_of(const network::Network& net, const Ranges& ranges) {
  ProfileInputs result;
  for (const network::Input& input : net.inputs()) {
    const network::Value& value = net.value(input.value);
    if (is_static(value.dims) && !input.is_shape_tensor) continue;
    ProfileInput& made = result.emplace_back(ProfileInput{value.name, input.is_shape_tensor, {}});
    for (std::size_t i = 0; i < kBounds.size(); ++i) {
      const auto at = [&](const std::string& name) { return ranges.at(name).*kBounds[i]; };
      if (input.is_shape_tensor) {
        made.min_opt_max[i] = {at(input.symbol)};
        continue;
      }
      for (const Expr& dim : value.dims) {
        const std::int64_t size = dim.evaluate(at);
        TORCHTRT_CHECK(size <= INT32_MAX, kUnsupported, compat::kProductName,
                       " needs an upper limit for every dimension: input ", value.name, " has ", to_string(value.dims),
                       ", and no maximum is known");
        made.min_opt_max[i].push_back(size);
      }
    }
  }
  return result;
}

}  // namespace

std::vector<ProfileInputs> plan_profiles(const network::Network& net, const backend::BuildSettings& settings) {
  std::vector<ProfileInputs> result;
  const std::vector<Ranges> profiles = settings.profiles.empty() ? std::vector<Ranges>(1) : settings.profiles;
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    result.push_back(inputs_of(net, merged(net, profiles[i], i)));
    if (result.back().empty()) return {};
  }
  return result;
}

void add_profiles(const std::vector<ProfileInputs>& profiles, nvinfer1::IBuilder& builder,
                  nvinfer1::IBuilderConfig& config) {
  for (std::size_t index = 0; index < profiles.size(); ++index) {
    nvinfer1::IOptimizationProfile* profile = builder.createOptimizationProfile();
    TORCHTRT_CHECK(profile != nullptr, kUnsupported, compat::kProductName,
                   " gives no optimization profile: ", Logger::take_errors());
    for (const ProfileInput& input : profiles[index]) {
      for (std::size_t i = 0; i < kSelectors.size(); ++i) {
        const std::vector<std::int64_t>& values = input.min_opt_max[i];
        const bool accepted = input.is_shape_input
                                  ? compat::set_shape_values(*profile, input.name.c_str(), kSelectors[i], values,
                                                             Library::get().functions())
                                  : profile->setDimensions(input.name.c_str(), kSelectors[i], to_dims(values));
        TORCHTRT_CHECK(accepted, kUnsupported, compat::kProductName, " refuses the shape range of input ", input.name,
                       " in optimization profile ", index, ": ", Logger::take_errors());
      }
    }
    TORCHTRT_CHECK(config.addOptimizationProfile(profile) >= 0, kUnsupported, compat::kProductName,
                   " refuses optimization profile ", index, ": ", Logger::take_errors());
  }
}

}  // namespace torchtrt::tensorrt
