// SPDX-License-Identifier: Apache-2.0
#include "runtime/target_loader.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include <torchtrt/backend/properties.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>
#include <torchtrt/runtime.h>

#include "base/module.h"
#include "format/rebuild.h"
#include "runtime/executor_loader.h"
#include "runtime/settings.h"

namespace torchtrt::runtime {
namespace {

constexpr std::size_t kAlignment = 64;

template <typename Spec>
std::vector<backend::Binding> bindings_of(const std::vector<Spec>& specs) {
  std::vector<backend::Binding> bindings;
  for (const Spec& spec : specs) {
    backend::Binding& binding = bindings.emplace_back(backend::Binding{spec.name, spec.dtype, {}});
    for (const Expr& dim : spec.dims) {
      binding.shape.push_back(dim.is_constant() ? dim.value() : -1);
    }
  }
  return bindings;
}

std::string name_of(DLDevice device) {
  return device.device_type == kDLCPU ? "cpu" : detail::concat("cuda:", device.device_id);
}

std::string joined(const std::vector<std::string>& names, std::string_view separator) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : std::string(separator)) + name;
  return text;
}

void add_new(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

std::vector<std::string> names_of_targets(const format::Metadata& metadata) {
  std::vector<std::string> names;
  for (const format::TargetSpec& target : metadata.targets) names.push_back(target.backend);
  return names;
}

// What can be built for a kind of device, best first.
std::vector<std::string> usual_targets(DLDeviceType type) {
  if (type == kDLCPU) return {"openvino"};
  return {"tensorrt", "tensorrt_rtx"};
}

bool is_misfit(ErrorCode code) {
  return code == ErrorCode::kNotFound || code == ErrorCode::kVersionMismatch || code == ErrorCode::kUnsupported;
}

// One block of memory for all sections, each at a multiple of 64 as in a package.
std::vector<backend::Payload> aligned_copies(std::vector<format::RebuiltSection>& sections,
                                             std::shared_ptr<const void>& owner) {
  std::size_t size = 0;
  for (const auto& section : sections) size += (section.bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
  std::shared_ptr<std::byte> memory(static_cast<std::byte*>(std::aligned_alloc(kAlignment, std::max(size, kAlignment))),
                                    &std::free);
  TORCHTRT_CHECK(memory != nullptr, kInternal, "no memory for a rebuilt engine of ", size, " bytes");
  std::vector<backend::Payload> payloads;
  std::byte* next = memory.get();
  for (format::RebuiltSection& section : sections) {
    if (!section.bytes.empty()) std::memcpy(next, section.bytes.data(), section.bytes.size());
    payloads.push_back({section.name, {next, section.bytes.size()}});
    next += (section.bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
    section.owner.reset();  // so that the weights are in memory twice only one section at a time
  }
  owner = std::move(memory);
  return payloads;
}

format::Rebuilder& open_rebuilder() {
  const auto entry = reinterpret_cast<format::RebuilderEntry>(
      module_entry(format::kCompilerLibrary, format::kRebuilderSymbol,
                   "rebuilding engines needs the compiler, libtorchtrt.so, and the target's builder module beside the "
                   "runtime"));
  format::Rebuilder* rebuilder = entry(format::kRebuilderInterfaceVersion);
  TORCHTRT_CHECK(rebuilder != nullptr, kVersionMismatch, format::kCompilerLibrary, " is not for interface version ",
                 format::kRebuilderInterfaceVersion,
                 " of this runtime: install libtorchtrt and its modules from one release");
  return *rebuilder;
}

class Loader {
 public:
  Loader(const format::Metadata& metadata, std::span<const std::byte> payload, const std::shared_ptr<const void>& owner,
         DLDevice device)
      : metadata_(metadata), payload_(payload), owner_(owner), device_(device) {
    if (device.device_type != kDLCPU) return;
    for (const format::TargetSpec& target : metadata.targets) {
      if (target.backend == backend::kExactBackend) exact_ = &target;
    }
  }

  ChosenTarget run() {
    ChosenTarget chosen;
    for (const format::TargetSpec* target : candidates()) {
      add_new(wanted_, target->backend);
      const std::string what = detail::concat(target->backend, ", built by ", target->producer);
      if (attempt(what, chosen, [&] { return load_packed(*target); })) return chosen;
    }
    const bool rebuilds = may_rebuild(metadata_) && !wanted_.empty();
    if (exact_ != nullptr && !rebuilds) return load_exact();
    const bool none_packed = wanted_.empty();
    for (const std::string& usual : usual_targets(device_.device_type)) add_new(wanted_, usual);
    if (may_rebuild(metadata_)) {
      for (const std::string& backend : wanted_) {
        if (attempt(backend + ", rebuilt", chosen, [&] { return load_rebuilt(backend); }, true)) return chosen;
      }
    }
    if (exact_ != nullptr) return load_exact();
    fail_for_all(none_packed);
  }

  // The package has one.
  ChosenTarget load_exact() {
    if (!misfits_.empty()) {
      TORCHTRT_LOG(kWarning, "engine \"", metadata_.name,
                   "\" runs its exact form, PyTorch's own operators, which is slower:", list_of_misfits(), remedy());
    }
    return load_packed(*exact_);
  }
  [[nodiscard]] bool has_exact() const { return exact_ != nullptr; }

 private:
  /// A vendor's library does not take intact bytes, and there is an exact form.
  struct Refused : Error {
    using Error::Error;
  };
  struct Misfit {
    std::string target, reason;
    ErrorCode code;
  };

  // The targets for the device, best first; not the exact form.
  [[nodiscard]] std::vector<const format::TargetSpec*> candidates() const {
    std::vector<const format::TargetSpec*> found;
    for (const format::TargetSpec& target : metadata_.targets) {
      if (target.backend == backend::kExactBackend) continue;
      if (device_type_of(target, metadata_) == device_.device_type) found.push_back(&target);
    }
    // TensorRT's plans are made for this very GPU, TensorRT-RTX's for a family of them.
    std::stable_partition(found.begin(), found.end(), [](const auto* target) { return target->backend == "tensorrt"; });
    return found;
  }

  // Whether `load` gave an engine; a misfit is noted.
  template <typename Load>
  bool attempt(const std::string& what, ChosenTarget& chosen, Load load, bool rebuilding = false) {
    try {
      chosen = load();
      return true;
    } catch (const Refused& refused) {
      misfits_.push_back({what, refused.what(), refused.code()});
      return false;
    } catch (const Error& error) {
      // Of a target that is rebuilt, everything but damage means that it cannot be.
      if (!is_misfit(error.code()) && (!rebuilding || error.code() == ErrorCode::kDataLoss)) throw;
      TORCHTRT_LOG(kInfo, "engine \"", metadata_.name, "\": target ", what, ", does not fit ", name_of(device_),
                   " and is passed over: ", error.what());
      misfits_.push_back({what, error.what(), error.code()});
      return false;
    }
  }

  ChosenTarget load_packed(const format::TargetSpec& target) {
    backend::LoadRequest request;
    request.properties = target.properties;
    request.owner = owner_;
    backend::Executor& executor = executor_of(target.backend, target.properties);
    for (const format::SectionSpec& section : target.sections) {
      format::verify_checksum(section, payload_, metadata_.name);
      request.payloads.push_back({section.name, format::section_bytes(section, payload_)});
    }
    return load(target.backend, executor, request, "");
  }

  ChosenTarget load_rebuilt(const std::string& backend) {
    TORCHTRT_LOG(kInfo, "rebuilding engine \"", metadata_.name, "\" for target ", backend);
    format::RebuiltTarget target;
    on_device([&] { target = open_rebuilder().rebuild(metadata_, payload_, backend); });
    backend::LoadRequest request;
    request.properties = target.properties;
    request.payloads = aligned_copies(target.sections, request.owner);
    return load(backend, executor_of(backend, target.properties), request, ", rebuilt from its network");
  }

  static backend::Executor& executor_of(const std::string& backend,
                                        const std::map<std::string, std::string>& properties) {
    const auto module = properties.find(backend::kModuleProperty);
    return load_executor(module == properties.end() ? backend : module->second);
  }

  ChosenTarget load(const std::string& backend, backend::Executor& executor, backend::LoadRequest& request,
                    std::string_view origin) {
    request.engine_name = metadata_.name;
    request.inputs = bindings_of(metadata_.inputs);
    request.outputs = bindings_of(metadata_.outputs);
    request.settings = current_executor_settings();
    request.device = device_;
    request.has_exact_form = exact_ != nullptr && backend != backend::kExactBackend;
    const std::string version = executor.version();
    std::unique_ptr<backend::ExecutableEngine> executable;
    const bool exact = backend == backend::kExactBackend;
    try {
      on_device([&] { executable = executor.load(request); });
    } catch (const Error& error) {
      // Its bytes are what the builder wrote.
      if (exact || exact_ == nullptr) throw;
      throw Refused(error.code(), error.what());
    }
    TORCHTRT_LOG(kInfo, "engine \"", metadata_.name, "\" runs on ", name_of(device_), " by ", version, origin,
                 " (targets: ", joined(names_of_targets(metadata_), ", "), ")");
    const auto recordable = request.properties.find(backend::kRecordableProperty);
    const bool may_record = recordable == request.properties.end() || recordable->second != "false";
    DeviceApi* api = device_.device_type == kDLCUDA ? &device_api() : nullptr;
    return {backend, std::make_unique<LoadedEngine>(std::move(executable), metadata_, device_, api, may_record, exact)};
  }

  // Calls `function` with the device as the thread's, and not in anybody's recording.
  template <typename Function>
  void on_device(Function&& function) {
    if (device_.device_type != kDLCUDA) {
      function();
      return;
    }
    DeviceApi& api = device_api();
    const DeviceGuard guard(api, device_.device_id);
    api.outside_recordings(std::forward<Function>(function));
  }

  [[noreturn]] void fail_for_all(bool none_packed) const {
    const std::string targets = joined(names_of_targets(metadata_), ", ");
    if (none_packed && misfits_.empty()) {
      fail(ErrorCode::kUnsupported, "engine \"", metadata_.name, "\" was compiled for ", metadata_.device, " (",
           targets, ") and cannot run on ", device_.device_type == kDLCPU ? "the CPU" : "CUDA devices",
           ": move the inputs, or compile the model for that device as well. ",
           how_to_rebuild(metadata_, device_.device_type));
    }
    if (misfits_.size() == 1) fail(misfits_[0].code, misfits_[0].reason, remedy());
    fail(misfits_.front().code, "engine \"", metadata_.name, "\" (targets: ", targets, "): nothing fits ",
         name_of(device_), ":", list_of_misfits(), remedy());
  }

  // A line of its own, or nothing: what is missing can be installed, as the reason says, and nothing has to be compiled
  // again for that.
  [[nodiscard]] std::string remedy() const {
    const bool installable = misfits_.size() == 1 && misfits_[0].code == ErrorCode::kNotFound && !metadata_.network;
    return installable ? "" : "\n" + how_to_rebuild(metadata_, device_.device_type);
  }

  [[nodiscard]] std::string list_of_misfits() const {
    std::string list;
    for (const Misfit& misfit : misfits_) list += "\n  " + misfit.target + ": " + misfit.reason;
    return list;
  }

  const format::Metadata& metadata_;
  std::span<const std::byte> payload_;
  const std::shared_ptr<const void>& owner_;
  DLDevice device_;
  const format::TargetSpec* exact_ = nullptr;
  std::vector<std::string> wanted_;  // targets to rebuild, best first
  std::vector<Misfit> misfits_;
};

}  // namespace

DLDeviceType device_type_of(const format::TargetSpec& target, const format::Metadata& metadata) {
  if (target.backend == "openvino" || target.backend == backend::kExactBackend) {
    return kDLCPU;
  }
  if (target.backend == "tensorrt" || target.backend == "tensorrt_rtx") {
    return kDLCUDA;
  }
  return metadata.device == "cuda" ? kDLCUDA : kDLCPU;
}

bool may_rebuild(const format::Metadata& metadata) { return metadata.network.has_value() && rebuild_engines(); }

std::string how_to_rebuild(const format::Metadata& metadata, DLDeviceType type) {
  if (!metadata.network) {
    return "Compile the model again for this machine. (Files of models that are compiled with rebuildable=True can be "
           "rebuilt without the model: python -m torch_tensorrt rebuild.)";
  }
  std::vector<std::string> targets;
  bool any_for_device = false;
  for (const format::TargetSpec& target : metadata.targets) {
    if (target.backend == backend::kExactBackend) continue;  // is kept
    targets.push_back(target.backend);
    any_for_device = any_for_device || device_type_of(target, metadata) == type;
  }
  if (!any_for_device) targets.push_back(usual_targets(type).back());
  std::string text =
      "The package carries its network. To build it for this machine: python -m torch_tensorrt rebuild <file> <new "
      "file> --targets " +
      joined(targets, ",");
  if (!rebuild_engines()) {
    text +=
        ", or call torchtrt::runtime::set_rebuild_engines(true), in Python "
        "torch_tensorrt.runtime.set_rebuild_engines(True), before the run";
  }
  return text + ".";
}

ChosenTarget load_best_target(const format::Metadata& metadata, std::span<const std::byte> payload,
                              const std::shared_ptr<const void>& owner, DLDevice device) {
  return Loader(metadata, payload, owner, device).run();
}

std::unique_ptr<LoadedEngine> load_exact_form(const format::Metadata& metadata, std::span<const std::byte> payload,
                                              const std::shared_ptr<const void>& owner) {
  Loader loader(metadata, payload, owner, {kDLCPU, 0});
  return loader.has_exact() ? loader.load_exact().engine : nullptr;
}

}  // namespace torchtrt::runtime
