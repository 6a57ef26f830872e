// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/layout.h"

#include <algorithm>

#include <torchtrt/base/error.h>

namespace torchtrt::tensorrt {
namespace {

bool takes(const ProfileRange& range, const std::vector<std::int64_t>& values) {
  for (std::size_t i = 0; i < range.min.size(); ++i) {
    if (i >= values.size() || values[i] < range.min[i] || values[i] > range.max[i]) return false;
  }
  return true;
}

bool takes(const Profile& profile, const InputValues& values) {
  for (std::size_t i = 0; i < profile.inputs.size(); ++i) {
    if (!takes(profile.inputs[i], values[i])) return false;
  }
  return true;
}

// How many combinations of sizes the profile is for; a double, because the product leaves 64 bits easily.
double extent(const Profile& profile) {
  double result = 1;
  for (const ProfileRange& range : profile.inputs) {
    for (std::size_t i = 0; i < range.min.size(); ++i) result *= static_cast<double>(range.max[i] - range.min[i]) + 1;
  }
  return result;
}

}  // namespace

std::optional<std::size_t> choose_profile(const Layout& layout, const InputValues& values) {
  std::optional<std::size_t> best;
  double least = 0;
  for (std::size_t i = 0; i < layout.profiles.size(); ++i) {
    if (!takes(layout.profiles[i], values)) continue;
    const double size = extent(layout.profiles[i]);
    if (!best || size < least) {
      best = i;
      least = size;
    }
  }
  return best;
}

void fail_without_profile(const Layout& layout, const InputValues& values) {
  for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
    std::string ranges;
    bool taken = false;
    for (const Profile& profile : layout.profiles) {
      const ProfileRange& range = profile.inputs[i];
      taken = taken || takes(range, values[i]);
      ranges += (ranges.empty() ? "" : " or ") + text_of(range.min) + " to " + text_of(range.max);
    }
    if (!taken) {
      fail(ErrorCode::kOutOfRange, "engine \"", layout.engine, "\", input \"", layout.inputs[i].name,
           "\": ", layout.inputs[i].is_shape_input ? "values" : "shape", " ", text_of(values[i]),
           " is outside of what the engine was built for, ", ranges);
    }
  }
  fail(ErrorCode::kOutOfRange, "engine \"", layout.engine, "\": no optimization profile takes these shapes together");
}

void check_profile(const Layout& layout, std::size_t profile, const InputValues& values) {
  TORCHTRT_CHECK(profile < layout.profiles.size(), kOutOfRange, "engine \"", layout.engine,
                 "\": there is no optimization profile ", profile, ", it has ", layout.profiles.size());
  for (std::size_t i = 0; i < layout.inputs.size(); ++i) {
    const ProfileRange& range = layout.profiles[profile].inputs[i];
    TORCHTRT_CHECK(takes(range, values[i]), kOutOfRange, "engine \"", layout.engine, "\", input \"",
                   layout.inputs[i].name, "\": ", layout.inputs[i].is_shape_input ? "values" : "shape", " ",
                   text_of(values[i]), " is outside of optimization profile ", profile, ", ", text_of(range.min),
                   " to ", text_of(range.max), ": choose another profile, or \"auto\"");
  }
}

std::string text_of(Shape shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace torchtrt::tensorrt
