// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace torchtrt::tensorrt {

/// backend::ExecutableEngine::inspect of what IEngineInspector::getEngineInformation gives: "layers" and "bindings" are its
/// own lists (of names, or of objects where the engine was built with more to say). What is not JSON comes as "text".
std::string describe(std::string_view information, const std::string& engine, const char* backend,
                     const std::string& version);

}  // namespace torchtrt::tensorrt
