// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/executor/inspection.h"

#include <nlohmann/json.hpp>

namespace torchtrt::tensorrt {

std::string describe(std::string_view information, const std::string& engine, const char* backend,
                     const std::string& version) {
  using Json = nlohmann::ordered_json;
  Json result{{"engine", engine}, {"backend", backend}, {"version", version}};
  const Json found = Json::parse(information, nullptr, /*allow_exceptions=*/false);
  if (found.is_object() && found.contains("Layers")) {
    result["layers"] = found["Layers"];
    if (found.contains("Bindings")) result["bindings"] = found["Bindings"];
  } else {
    result["layers"] = nullptr;
    result["text"] = std::string(information);
  }
  return result.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace torchtrt::tensorrt
