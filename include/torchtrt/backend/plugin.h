// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <ATen/dlpack.h>  // DLPack's C header, as libtorch ships it; it includes nothing of torch

#include <torchtrt/base/export.h>

/// Plugins: what an engine computes that no layer expresses. For authors of plugin libraries.
///
/// A plugin library registers its plugins while it is opened (linked, dlopened or preloaded) and links
/// libtorchtrt_runtime.so only. One plugin serves every backend that takes plugins: each wraps it in what its vendor has
/// for this (an OpenVINO operation, a TensorRT IPluginV3). libtorchtrt_plugins.so is such a library.
namespace torchtrt::backend {

/// One plugin layer of a loaded engine. Immutable; run() is called from many threads at the same time.
class Plugin {
 public:
  virtual ~Plugin() = default;
  /// Computes the results of the layer. Tensors are contiguous, all on one device, and in the layer's order; results are
  /// allocated. A tensor's dtype may be wider than the layer's where a backend computes wider (float32 for float16).
  /// On a GPU the work is enqueued on `stream`, and inputs live until it is done. Throws if it cannot.
  virtual void run(std::span<const DLTensor> inputs, std::span<const DLTensor> results, void* stream) const = 0;
};

/// Makes the plugin of one layer from the layer's attributes. Error(kInvalidArgument) or Error(kNotFound) if it cannot.
using PluginFactory = std::function<std::unique_ptr<const Plugin>(const std::string& attributes)>;

/// Takes the plugin back when it is destroyed, as that of a static object is when its library is closed.
class TORCHTRT_API PluginRegistration {
 public:
  PluginRegistration() = default;
  explicit PluginRegistration(std::string name) : name_(std::move(name)) {}
  PluginRegistration(PluginRegistration&& other) noexcept;
  PluginRegistration& operator=(PluginRegistration&& other) noexcept;
  ~PluginRegistration();

 private:
  std::string name_;  ///< Empty: nothing to take back.
};

/// Thread-safe. Error(kInvalidArgument) for an empty name, no factory, or a name that is taken.
[[nodiscard]] TORCHTRT_API PluginRegistration register_plugin(const std::string& name, PluginFactory factory);

/// The plugin of a layer. `library` and `engine` are for the message of Error(kNotFound), if none of that name is
/// registered. Thread-safe.
TORCHTRT_API std::shared_ptr<const Plugin> make_plugin(const std::string& name, const std::string& attributes,
                                                       std::string_view library, std::string_view engine);

/// The library with torchtrt's own plugins, and its plugin that calls an operator of PyTorch (src/plugins/README.md).
inline constexpr const char* kPluginsLibrary = "libtorchtrt_plugins.so";
inline constexpr const char* kTorchOperatorPlugin = "torch_operator";

}  // namespace torchtrt::backend
