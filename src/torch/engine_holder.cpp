// SPDX-License-Identifier: Apache-2.0
#include "torch/engine_holder.h"

#include <cstring>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <torchtrt/base/error.h>

#include "torch/dtypes.h"

namespace torchtrt::torch_adapter {
namespace {

constexpr std::size_t kAlignment = 64;

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), static_cast<std::size_t>(tensor.numel())};
}

std::vector<at::ScalarType> output_types_of(const runtime::Engine& engine) {
  std::vector<at::ScalarType> types;
  for (const format::OutputSpec& output : engine.metadata().outputs) {
    types.push_back(to_scalar_type(output.dtype));
  }
  return types;
}

at::Tensor checked_payload(const at::Tensor& payload) {
  TORCHTRT_CHECK(payload.defined() && payload.layout() == at::kStrided && payload.scalar_type() == at::kByte,
                 kTypeMismatch, "an engine's payload must be a uint8 tensor");
  TORCHTRT_CHECK(payload.dim() == 1 && !payload.device().is_meta() && payload.unsafeGetTensorImpl()->has_storage(),
                 kInvalidArgument, "an engine's payload must be a tensor of one dimension that has data");
  at::Tensor bytes = payload.detach().cpu().contiguous();
  if (reinterpret_cast<std::uintptr_t>(bytes.const_data_ptr()) % kAlignment != 0) {
    bytes = bytes.clone();  // torch allocates with that alignment
  }
  return bytes;
}

/// The engines that live, to be found by equal state. Never destroyed: holders may outlive static objects.
struct Registry {
  std::mutex mutex;
  std::unordered_multimap<std::size_t, std::weak_ptr<SharedEngine>> engines;  // by hash of the metadata
};
Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

/// Metadata holds the checksums of all bytes, so states with equal metadata nearly always are copies; the comparison of
/// the bytes makes it certain. (An engine with another one's weights would give wrong answers.)
bool same_state(const SharedEngine& engine, const std::string& metadata, const at::Tensor& payload) {
  const auto ours = bytes_of(engine.payload), theirs = bytes_of(payload);
  return engine.metadata == metadata && ours.size() == theirs.size() &&
         (ours.data() == theirs.data() || std::memcmp(ours.data(), theirs.data(), ours.size()) == 0);
}

std::shared_ptr<SharedEngine> find_or_make(std::string metadata, at::Tensor payload) {
  const std::size_t key = std::hash<std::string>{}(metadata);
  auto& engines = registry().engines;
  const std::lock_guard lock(registry().mutex);
  const auto [first, last] = engines.equal_range(key);
  for (auto candidate = first; candidate != last; ++candidate) {
    std::shared_ptr<SharedEngine> engine = candidate->second.lock();
    if (engine != nullptr && same_state(*engine, metadata, payload)) {
      return engine;
    }
  }
  auto engine = std::make_shared<SharedEngine>(std::move(metadata), std::move(payload));
  std::erase_if(engines, [](const auto& entry) { return entry.second.expired(); });
  engines.emplace(key, engine);
  return engine;
}

template <typename Spec>
std::string text_of(const std::vector<Spec>& specs) {
  std::string text;
  for (const Spec& spec : specs) {
    text +=
        (text.empty() ? "" : ", ") + spec.name + " " + std::string(to_string(spec.dtype)) + " " + to_string(spec.dims);
  }
  return text;
}

}  // namespace

SharedEngine::SharedEngine(std::string metadata_text, at::Tensor payload_bytes)
    : metadata(std::move(metadata_text)),
      payload(std::move(payload_bytes)),
      // The owner is the tensor itself: a share of its storage.
      engine(metadata, bytes_of(payload), std::make_shared<at::Tensor>(payload)),
      output_types(output_types_of(engine)) {}

EngineHolder::EngineHolder(std::string metadata, const at::Tensor& payload)
    : shared_(find_or_make(std::move(metadata), checked_payload(payload))) {}

std::vector<c10::intrusive_ptr<EngineHolder>> live_engines() {
  std::vector<c10::intrusive_ptr<EngineHolder>> result;
  const std::lock_guard lock(registry().mutex);
  for (const auto& [key, engine] : registry().engines) {
    if (auto shared = engine.lock()) result.push_back(c10::make_intrusive<EngineHolder>(std::move(shared)));
  }
  return result;
}

std::string EngineHolder::describe() const {
  const format::Metadata& data = engine().metadata();
  std::string targets;
  for (const format::TargetSpec& target : data.targets) {
    targets += (targets.empty() ? "" : ", ") + target.backend;
  }
  const std::string running = engine().target();
  return "Engine(" + data.name + ", inputs: " + text_of(data.inputs) + "; outputs: " + text_of(data.outputs) +
         "; targets: " + targets + (running.empty() ? "" : "; runs by " + running) + ")";
}

std::tuple<std::tuple<std::string, std::string>, std::tuple<std::string, at::Tensor>> EngineHolder::flatten() const {
  return {{"metadata", metadata()}, {"payload", payload()}};
}

}  // namespace torchtrt::torch_adapter
