// SPDX-License-Identifier: Apache-2.0
#include "compiler/builders.h"

#include <array>
#include <map>
#include <mutex>

#include <torchtrt/base/error.h>

#include "base/module.h"

namespace torchtrt::compiler {
namespace {

struct Target {
  std::string_view name;
  std::string_view needs;  // what the user installs
};
constexpr std::array<Target, 3> kTargets{{
    {"openvino", "the Python package openvino (`pip install openvino==2026.4.1`)"},
    {"tensorrt_rtx", "the Python package tensorrt-rtx-cu13-libs (`pip install tensorrt-rtx-cu13-libs`)"},
    {"tensorrt", "TensorRT from NVIDIA (set TensorRT_ROOT to its folder)"},
}};

backend::Builder* open(const Target& target) {
  const std::string file = detail::concat("libtorchtrt_", target.name, "_builder.so");
  const std::string remedy = detail::concat("building for target \"", target.name, "\" needs ", target.needs,
                                            " and a torchtrt that was built with it");
  const auto entry = reinterpret_cast<backend::BuilderEntry>(module_entry(file, backend::kBuilderSymbol, remedy));
  backend::Builder* builder = entry(backend::kBuilderInterfaceVersion);
  TORCHTRT_CHECK(builder != nullptr, kVersionMismatch, file, " is not a module for interface version ",
                 backend::kBuilderInterfaceVersion,
                 " of this compiler: install libtorchtrt and its modules from one release");
  return builder;
}

}  // namespace

backend::Builder& builder(std::string_view name) {
  static std::mutex mutex;
  static auto* opened = new std::map<std::string, backend::Builder*, std::less<>>;
  const std::lock_guard lock(mutex);
  if (const auto found = opened->find(name); found != opened->end()) return *found->second;
  for (const Target& target : kTargets) {
    if (target.name == name) {
      backend::Builder* result = open(target);  // a failure is not remembered: the user may install what is missing
      opened->emplace(name, result);
      return *result;
    }
  }
  fail(ErrorCode::kInvalidArgument, "unknown target \"", name,
       "\": expected \"openvino\", \"tensorrt_rtx\" or \"tensorrt\"");
}

}  // namespace torchtrt::compiler
