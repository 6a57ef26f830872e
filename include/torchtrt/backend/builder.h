// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torchtrt/network/network.h>

/// The compile side of a backend: what lowers a network to a vendor's engine. For authors of backends.
///
/// A builder module is a shared library `libtorchtrt_<backend>_builder.so` beside libtorchtrt.so that links libtorchtrt
/// and exports one C symbol, `torchtrt_builder`, of type BuilderEntry.
namespace torchtrt::backend {

/// Why something stays in PyTorch. The codes are stable: reports, tests and users' scripts may depend on them.
enum class Reason : std::uint8_t {
  kNoConverter,    ///< No converter is registered for the operator.
  kAttribute,      ///< A combination of arguments that no layer expresses.
  kDataType,       ///< A dtype that the network or the backend does not compute as PyTorch does.
  kDynamicShape,   ///< Possible with static shapes only.
  kDataDependent,  ///< The result's shape or a needed value is known only from data.
  kBackend,        ///< The backend has no such layer, or not with these limits.
  kAliasing,       ///< The result must share memory with an input or another output.
  kUser,           ///< torch_executed_ops.
  kBlockSize,      ///< Supported, but its block is smaller than min_block_size.
  kBuildFailure,   ///< The backend's builder failed on the block.
};
/// "NO_CONVERTER", "ATTRIBUTE", ...
TORCHTRT_API std::string_view to_string(Reason reason);

struct Refusal {
  Reason reason{};
  std::string message;  ///< One sentence: what was found, and what the backend can do.
};

/// Whether an engine can be given weights after it is built.
enum class Refit : std::uint8_t {
  kNone,
  kIdentical,  ///< The ones that it was built with, which is something for engines without weights.
  kAny,        ///< Any. The builder may know less of them, and the engine be slower for it.
};

/// Settings that builders understand; all have defaults that are right for most. One struct for every backend: each
/// field says who reads it.
struct BuildSettings {
  std::size_t workspace_size = 0;         ///< tensorrt*: bytes; 0 = the library's default.
  std::optional<int> optimization_level;  ///< tensorrt: 0..5.
  /// tensorrt: matrix products of float16 are added up in float32, as PyTorch's are; false: as the library likes.
  bool use_fp32_acc = true;
  std::vector<int> compute_capabilities;  ///< tensorrt_rtx: e.g. {86, 89, 120}; empty = the library's default set.
  /// openvino: "auto" (float32 exactly as float32; bfloat16 when every floating value of the network is bfloat16),
  /// "float32" or "bfloat16".
  std::string inference_precision = "auto";
  /// tensorrt*: the symbols' ranges in each optimization profile, within the symbols' own; a symbol that a profile does
  /// not name has its own there. Empty: one profile. An engine without dynamic inputs has none.
  std::vector<std::map<std::string, network::SymbolRange>> profiles;
  /// tensorrt: an engine for every GPU of compute capability 8.0 or more, not for this machine's only.
  bool hardware_compatible = false;
  /// tensorrt*: an engine for newer releases of the same major version as well.
  bool version_compatible = false;
  /// tensorrt: a file of kernel timings, read before the build and added to after it; it need not exist. A folder (it ends
  /// with '/', or is there) has one for each release and GPU. Empty: no timings are kept.
  std::string timing_cache_path;
  /// tensorrt*: the executor may leave weights in host memory and stream them.
  bool weight_streaming = false;
  /// tensorrt, and tensorrt_rtx with strip_weights: what Builder::refit() can do with the engine later.
  Refit refit = Refit::kNone;
  /// tensorrt*: leaves the weights out of the engine. It does not run before refit() gives it some: the ones that it was
  /// built with, or with Refit::kAny any.
  bool strip_weights = false;
  /// Asked before each target is built; tensorrt*: also after every step of a build, perhaps on other threads. False ends
  /// the build with Error(kCancelled), an exception ends it with that exception. Empty: builds are not cancelled.
  std::function<bool()> keep_going;
};

/// A named piece of the built engine ("model", "weights", "plan"). `owner` keeps `data` alive.
struct Section {
  std::string name;
  std::shared_ptr<const void> owner;
  const void* data = nullptr;
  std::size_t size = 0;
};

/// Where a section has the elements of a constant as they are in the network.
struct ConstantPlace {
  std::string section;
  std::uint64_t offset = 0, size = 0;  ///< Bytes within the section.
};

/// What a builder returns; it becomes one target of the engine package.
struct BuiltEngine {
  std::vector<Section> sections;
  /// Small facts that the executor needs ("inference_precision": "float32", ...). Stored in the package.
  std::map<std::string, std::string> properties;
  std::string producer;  ///< "OpenVINO 2026.4.1"
  /// Constants that others may read from its sections, so that weights are in a package once. Hints: whoever wants a
  /// constant compares its bytes.
  std::vector<ConstantPlace> constants = {};
};

/// An engine that was built before, as a package has it. The bytes live as long as the call that gets it.
struct FormerEngine {
  std::map<std::string, std::string> properties;
  std::vector<std::pair<std::string, std::span<const std::byte>>> sections;
};

/// Thread-safe; one per process, never destroyed.
class Builder {
 public:
  virtual ~Builder() = default;
  /// The target's name: "openvino", "tensorrt", "tensorrt_rtx".
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// The vendor library's version; Error(kNotFound) that names the package to install if there is none.
  virtual std::string version() = 0;
  /// Whether the backend computes 64-bit integers in 32 bits. If so, int64 inputs of its networks are required to hold
  /// 32-bit values (the runtime checks them), and check() refuses layers whose results may not fit.
  [[nodiscard]] virtual bool narrows_int64() const { return false; }
  /// Whether its engines compute the network's guards, and its executor throws OutsideGuards where one is broken.
  [[nodiscard]] virtual bool takes_guards() const { return false; }
  /// Whether this layer of the network can be lowered and computes what PyTorch computes. Looks at data only: it opens
  /// no vendor library, so the answer is the same on every machine.
  [[nodiscard]] virtual std::optional<Refusal> check(const network::Network& network,
                                                     const network::Layer& layer) const = 0;
  /// Lowers and builds. Error(kUnsupported) names the layer that could not be lowered.
  virtual BuiltEngine build(const network::Network& network, const BuildSettings& settings) = 0;
  /// The engine `former`, which build() made with BuildSettings::refit, with the weights of `network`. That is the network
  /// which it was built from, but for the values of weights. Quicker than build(). nullopt, with the reason in the log, where
  /// it cannot be done: another structure, release or GPU, or a backend that has no such thing.
  virtual std::optional<BuiltEngine> refit(const network::Network& /*network*/, const FormerEngine& /*former*/) {
    return std::nullopt;
  }
};

/// `Builder* torchtrt_builder(std::uint32_t interface_version)`: nullptr if the version is not the one it was built for.
using BuilderEntry = Builder* (*)(std::uint32_t interface_version);
inline constexpr std::uint32_t kBuilderInterfaceVersion = 1;
inline constexpr const char* kBuilderSymbol = "torchtrt_builder";

}  // namespace torchtrt::backend
