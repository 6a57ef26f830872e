// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <mutex>

#include <torchtrt/base/error.h>
#include <torchtrt/converters/registry.h>

namespace torchtrt::converters {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<std::shared_ptr<const Converter>> converters;  // in the order of registration
};
Registry& registry() {
  static auto* instance = new Registry;  // never destroyed: registrations may be static objects elsewhere
  return *instance;
}

}  // namespace

Registration& Registration::operator=(Registration&& other) noexcept {
  std::swap(converter_, other.converter_);
  return *this;
}

Registration::~Registration() {
  if (converter_ == nullptr) return;
  const std::lock_guard lock(registry().mutex);
  std::erase(registry().converters, converter_);
}

Registration register_converter(Converter converter) {
  TORCHTRT_CHECK(!converter.target.empty() && converter.convert != nullptr, kInvalidArgument,
                 "a converter needs a target, such as \"aten.nonzero.default\", and a function");
  if (converter.name.empty()) converter.name = "a converter registered for " + converter.target;
  auto shared = std::make_shared<const Converter>(std::move(converter));
  const std::lock_guard lock(registry().mutex);
  registry().converters.push_back(shared);
  return Registration(std::move(shared));
}

std::vector<std::shared_ptr<const Converter>> user_converters(const std::string& target) {
  std::vector<std::shared_ptr<const Converter>> found;
  const std::lock_guard lock(registry().mutex);
  const auto& all = registry().converters;
  std::copy_if(all.rbegin(), all.rend(), std::back_inserter(found),
               [&](const auto& converter) { return converter->target == target; });
  std::stable_partition(found.begin(), found.end(),
                        [](const auto& converter) { return converter->priority == Priority::kHigh; });
  return found;
}

std::vector<std::string> user_targets() {
  std::vector<std::string> targets;
  const std::lock_guard lock(registry().mutex);
  for (const auto& converter : registry().converters) targets.push_back(converter->target);
  return targets;
}

}  // namespace torchtrt::converters
