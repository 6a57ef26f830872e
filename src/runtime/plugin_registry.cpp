// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <mutex>
#include <utility>

#include <torchtrt/backend/plugin.h>
#include <torchtrt/base/error.h>

namespace torchtrt::backend {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, PluginFactory, std::less<>> factories;
};

// Never destroyed: libraries are closed after static objects are gone.
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

}  // namespace

PluginRegistration::PluginRegistration(PluginRegistration&& other) noexcept : name_(std::exchange(other.name_, {})) {}

PluginRegistration& PluginRegistration::operator=(PluginRegistration&& other) noexcept {
  std::swap(name_, other.name_);
  return *this;
}

PluginRegistration::~PluginRegistration() {
  if (name_.empty()) return;
  const std::lock_guard lock(registry().mutex);
  registry().factories.erase(name_);
}

PluginRegistration register_plugin(const std::string& name, PluginFactory factory) {
  TORCHTRT_CHECK(!name.empty() && factory != nullptr, kInvalidArgument,
                 "a plugin needs a name and a function that makes it");
  const std::lock_guard lock(registry().mutex);
  const bool added = registry().factories.emplace(name, std::move(factory)).second;
  TORCHTRT_CHECK(added, kInvalidArgument, "a plugin \"", name,
                 "\" is registered already: open one library that brings it, not two");
  return PluginRegistration(name);
}

std::shared_ptr<const Plugin> make_plugin(const std::string& name, const std::string& attributes,
                                          std::string_view library, std::string_view engine) {
  PluginFactory factory;
  {
    const std::lock_guard lock(registry().mutex);
    if (const auto found = registry().factories.find(name); found != registry().factories.end()) {
      factory = found->second;
    }
  }
  TORCHTRT_CHECK(factory != nullptr, kNotFound, "engine \"", engine, "\" uses the plugin \"", name, "\" of ",
                 library.empty() ? "a plugin library" : library,
                 ", which is not loaded: dlopen it, link it or LD_PRELOAD it before the engine's first run");
  try {
    return factory(attributes);
  } catch (const Error& error) {
    fail(error.code(), "engine \"", engine, "\": the plugin \"", name, "\" of ", library, ": ", error.what());
  }
}

}  // namespace torchtrt::backend
