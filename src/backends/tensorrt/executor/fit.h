// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <string_view>

/// Whether one of TensorRT's plans is for this machine, by what its builder wrote down.
namespace torchtrt::tensorrt {

/// Numbers before the first dot: 11 of "11.2.1", 9 of "9.0"; -1 for what is no number.
inline int major_of(std::string_view version) {
  int major = -1;
  std::from_chars(version.data(), version.data() + version.size(), major);
  return major;
}

/// The release that built it; if it is version compatible, any of the same major version (the library itself refuses older
/// ones). Nothing is known of a plan that does not say its release.
inline bool fits_release(std::string_view built, std::string_view found, bool version_compatible) {
  return built.empty() || built == found || (version_compatible && major_of(built) == major_of(found));
}

/// The compute capability that it was built for; if it is hardware compatible, any from 8.0 on.
inline bool fits_capability(std::string_view built, std::string_view found, bool hardware_compatible) {
  return built.empty() || built == found || (hardware_compatible && major_of(built) >= 8 && major_of(found) >= 8);
}

}  // namespace torchtrt::tensorrt
