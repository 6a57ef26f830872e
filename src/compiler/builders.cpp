// SPDX-License-Identifier: Apache-2.0
#include "compiler/builders.h"

#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <torchtrt/base/error.h>

#include "base/module.h"

namespace torchtrt::compiler {
namespace {

struct Target {
  std::string_view name;
  std::string_view needs;  // what the user installs
  std::array<std::string_view, 2>
      modules;  // several where a vendor's major versions need one each; the first is preferred
};
constexpr std::array<Target, 3> kTargets{{
    {"openvino", "the Python package openvino (`pip install openvino==2026.4.1`)", {"openvino"}},
    {"tensorrt_rtx",
     "the Python package tensorrt-rtx-cu13-libs (`pip install tensorrt-rtx-cu13-libs`)",
     {"tensorrt_rtx"}},
    {"tensorrt", "TensorRT 10 or 11 from NVIDIA (set TensorRT_ROOT to its folder)", {"tensorrt11", "tensorrt10"}},
}};

backend::Builder* open(const Target& target, std::string_view module) {
  const std::string file = detail::concat("libtorchtrt_", module, "_builder.so");
  const std::string remedy = detail::concat("building for target \"", target.name, "\" needs ", target.needs,
                                            " and a torchtrt that was built with it");
  const auto entry = reinterpret_cast<backend::BuilderEntry>(module_entry(file, backend::kBuilderSymbol, remedy));
  backend::Builder* builder = entry(backend::kBuilderInterfaceVersion);
  TORCHTRT_CHECK(builder != nullptr, kVersionMismatch, file, " is not a module for interface version ",
                 backend::kBuilderInterfaceVersion,
                 " of this compiler: install libtorchtrt and its modules from one release");
  return builder;
}

/// A target with a module for each major version of its library: the first that finds its library builds.
class Choice final : public backend::Builder {
 public:
  explicit Choice(const Target& target) : target_(target) {
    std::optional<Error> missing;
    for (const std::string_view module : target.modules) {
      try {
        modules_.push_back(open(target, module));
      } catch (const Error& error) {
        missing = error;
      }
    }
    if (modules_.empty()) throw *missing;
  }

  // What needs no library is the same in all of them: they have one source.
  [[nodiscard]] std::string_view name() const override { return target_.name; }
  [[nodiscard]] bool narrows_int64() const override { return modules_.front()->narrows_int64(); }
  [[nodiscard]] bool takes_guards() const override { return modules_.front()->takes_guards(); }
  [[nodiscard]] std::optional<backend::Refusal> check(const network::Network& network,
                                                      const network::Layer& layer) const override {
    return modules_.front()->check(network, layer);
  }
  std::string version() override { return chosen().version(); }
  backend::BuiltEngine build(const network::Network& network, const backend::BuildSettings& settings) override {
    return chosen().build(network, settings);
  }
  std::optional<backend::BuiltEngine> refit(const network::Network& network,
                                            const backend::FormerEngine& former) override {
    return chosen().refit(network, former);
  }

 private:
  backend::Builder& chosen() {
    const std::lock_guard lock(mutex_);
    if (chosen_ != nullptr) return *chosen_;
    std::string reasons;
    ErrorCode code = ErrorCode::kNotFound;
    for (backend::Builder* module : modules_) {
      try {
        module->version();
        chosen_ = module;
        return *module;
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kNotFound) code = error.code();
        reasons += detail::concat("\n", error.what());
      }
    }
    // All of them: the library may be an old release of either.
    fail(code, "building for target \"", target_.name, "\" needs ", target_.needs, ":", reasons);
  }

  const Target& target_;
  std::vector<backend::Builder*> modules_;
  std::mutex mutex_;
  backend::Builder* chosen_ = nullptr;
};

backend::Builder* open(const Target& target) {
  return target.modules[1].empty() ? open(target, target.modules[0]) : new Choice(target);
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
       "\": expected \"openvino\", \"tensorrt_rtx\", \"tensorrt\" or \"aten\"");
}

}  // namespace torchtrt::compiler
