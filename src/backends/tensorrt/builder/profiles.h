// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <NvInfer.h>
#include <torchtrt/backend/builder.h>

namespace torchtrt::tensorrt {

/// What one optimization profile says of one input: its dims, or of a shape input its value.
struct ProfileInput {
  std::string name;
  bool is_shape_input = false;
  std::array<std::vector<std::int64_t>, 3> min_opt_max;
};
using ProfileInputs = std::vector<ProfileInput>;

/// The inputs that are not static, for each profile of the settings (BuildSettings::profiles); nothing for a network
/// without such inputs. Error(kInvalidArgument) for a range that is empty or outside of its symbol's,
/// Error(kUnsupported) for a dimension without an upper limit.
std::vector<ProfileInputs> plan_profiles(const network::Network& net, const backend::BuildSettings& settings);

/// Gives the profiles to the library, which reads `profiles` until the engine is built. Error(kUnsupported) with the
/// library's reason if it refuses one.
void add_profiles(const std::vector<ProfileInputs>& profiles, nvinfer1::IBuilder& builder,
                  nvinfer1::IBuilderConfig& config);

}  // namespace torchtrt::tensorrt
