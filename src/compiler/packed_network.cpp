// SPDX-License-Identifier: Apache-2.0
#include "compiler/packed_network.h"

#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include <torchtrt/base/error.h>

#include "base/expr_budget.h"
#include "network/digest.h"
#include "network/elements.h"

namespace torchtrt::compiler {
namespace {

using Json = nlohmann::json;
using Bytes = std::span<const std::byte>;

constexpr const char* kNetworkSection = "network";
constexpr const char* kConstantsSection = "constants";
constexpr const char* kIndexSection = "index";
constexpr std::size_t kAlignment = 64;

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// --- settings
// ----------------------------------------------------------------------------------------------------------

constexpr const char* kWorkspaceSize = "workspace_size";
constexpr const char* kOptimizationLevel = "optimization_level";
constexpr const char* kUseFp32Acc = "use_fp32_acc";
constexpr const char* kComputeCapabilities = "compute_capabilities";
constexpr const char* kInferencePrecision = "inference_precision";
constexpr const char* kProfiles = "profiles";  // JSON: [{"s0": [min, opt, max], ..}, ..]
constexpr const char* kHardwareCompatible = "hardware_compatible";
constexpr const char* kVersionCompatible = "version_compatible";
constexpr const char* kWeightStreaming = "weight_streaming";

std::map<std::string, std::string> to_map(const backend::BuildSettings& settings) {
  // All of them: whoever adds a setting meets an error here, and adds it to from_map() as well.
  // Not packed: where this machine keeps its timing cache, who may cancel, and how weights are replaced, because an engine
  // that is built where it runs has them.
  const auto& [workspace_size, optimization_level, use_fp32_acc, compute_capabilities, inference_precision, profiles,
               hardware_compatible, version_compatible, timing_cache_path, weight_streaming, refit, strip_weights,
               keep_going] = settings;
  static_cast<void>(timing_cache_path);
  static_cast<void>(refit);
  static_cast<void>(strip_weights);
  static_cast<void>(keep_going);
  std::map<std::string, std::string> map{{kInferencePrecision, inference_precision}};
  if (workspace_size != 0) map[kWorkspaceSize] = std::to_string(workspace_size);
  if (optimization_level) map[kOptimizationLevel] = std::to_string(*optimization_level);
  if (!use_fp32_acc) map[kUseFp32Acc] = "false";
  for (const int capability : compute_capabilities) {
    std::string& list = map[kComputeCapabilities];
    list += (list.empty() ? "" : ",") + std::to_string(capability);
  }
  if (!profiles.empty()) {
    auto list = Json::array();
    for (const auto& profile : profiles) {
      auto ranges = Json::object();
      for (const auto& [symbol, range] : profile) ranges[symbol] = {range.min, range.opt, range.max};
      list.push_back(std::move(ranges));
    }
    map[kProfiles] = list.dump();
  }
  if (hardware_compatible) map[kHardwareCompatible] = "true";
  if (version_compatible) map[kVersionCompatible] = "true";
  if (weight_streaming) map[kWeightStreaming] = "true";
  return map;
}

template <typename Number>
Number number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  TORCHTRT_CHECK(error == std::errc() && end == text.data() + text.size(), kDataLoss, "\"", text, "\" is no number");
  return value;
}

backend::BuildSettings from_map(const std::map<std::string, std::string>& map) {
  backend::BuildSettings settings;
  const auto read = [&](const char* name, auto set) {
    if (const auto found = map.find(name); found != map.end()) set(std::string_view(found->second));
  };
  read(kWorkspaceSize, [&](std::string_view text) { settings.workspace_size = number<std::size_t>(text); });
  read(kOptimizationLevel, [&](std::string_view text) { settings.optimization_level = number<int>(text); });
  read(kUseFp32Acc, [&](std::string_view text) { settings.use_fp32_acc = text == "true"; });
  read(kInferencePrecision, [&](std::string_view text) { settings.inference_precision = text; });
  read(kComputeCapabilities, [&](std::string_view text) {
    while (!text.empty()) {
      const std::size_t comma = std::min(text.find(','), text.size());
      settings.compute_capabilities.push_back(number<int>(text.substr(0, comma)));
      text.remove_prefix(std::min(comma + 1, text.size()));
    }
  });
  read(kProfiles, [&](std::string_view text) {
    for (const Json& ranges : Json::parse(text)) {
      auto& profile = settings.profiles.emplace_back();
      for (const auto& [symbol, range] : ranges.items()) {
        profile[symbol] = {range.at(0).get<std::int64_t>(), range.at(1).get<std::int64_t>(),
                           range.at(2).get<std::int64_t>()};
      }
    }
  });
  read(kHardwareCompatible, [&](std::string_view text) { settings.hardware_compatible = text == "true"; });
  read(kVersionCompatible, [&](std::string_view text) { settings.version_compatible = text == "true"; });
  read(kWeightStreaming, [&](std::string_view text) { settings.weight_streaming = text == "true"; });
  return settings;
}

// --- reading
// -----------------------------------------------------------------------------------------------------------

class Reader {
 public:
  Reader(const format::Metadata& metadata, Bytes payload) : metadata_(metadata), payload_(payload) {}

  UnpackedNetwork read() {
    const std::string_view text = text_of(section(kNetworkSection));
    const Json index = Json::parse(text_of(section(kIndexSection)));
    const Bytes constants = section(kConstantsSection);
    // By place. Constants that share their elements have one place, and places do not overlap: each byte is read once.
    std::map<std::pair<std::size_t, std::size_t>, std::uint64_t> digests;
    std::size_t unread = constants.size();
    const auto source = [&](const std::string& name, std::size_t bytes, std::uint64_t digest) {
      const auto found = index.find(name);
      TORCHTRT_CHECK(found != index.end() && found->is_number_unsigned(), kDataLoss, "constant \"", name,
                     "\" is missing");
      const auto offset = found->get<std::uint64_t>();
      TORCHTRT_CHECK(offset % kAlignment == 0 && offset <= constants.size() && bytes <= constants.size() - offset,
                     kDataLoss, "constant \"", name, "\" is not inside of its section");
      // No owner: the payload outlives the network.
      const network::Weights weights{std::shared_ptr<const void>(std::shared_ptr<void>(), constants.data() + offset),
                                     bytes};
      const auto [found_digest, is_new] = digests.try_emplace({offset, bytes});
      if (is_new) {
        TORCHTRT_CHECK(bytes <= unread, kDataLoss, "constant \"", name, "\" overlaps others in its section");
        unread -= bytes;
        found_digest->second = network::digest_of(weights);
      }
      TORCHTRT_CHECK(found_digest->second == digest, kDataLoss, "constant \"", name,
                     "\" has other elements than those that were packed");
      return weights;
    };
    UnpackedNetwork result{network::parse(text, source), from_map(metadata_.network->settings)};
    const ExprBudget budget(text.size());  // to verify is to infer again
    result.network.verify();
    return result;
  }

 private:
  static std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

  Bytes section(std::string_view name) const {
    for (const format::SectionSpec& section : metadata_.network->sections) {
      if (section.name != name) continue;
      format::verify_checksum(section, payload_, metadata_.name);
      return format::section_bytes(section, payload_);
    }
    fail(ErrorCode::kDataLoss, "it has no section \"", name, "\"");
  }

  const format::Metadata& metadata_;
  Bytes payload_;
};

}  // namespace

format::NetworkSpec pack_network(const network::Network& network, const backend::BuildSettings& settings,
                                 format::PayloadWriter& payload) {
  Json index = Json::object();
  std::vector<Bytes> parts;
  std::map<std::pair<const void*, std::size_t>, std::size_t> offsets;  // by storage
  std::size_t end = 0;
  for (const network::Layer& layer : network.layers()) {
    const auto* constant = std::get_if<network::Constant>(&layer.op);
    if (constant == nullptr) continue;
    const network::Weights& weights = *constant->weights;
    TORCHTRT_CHECK(!weights.digest, kInvalidArgument, "network ", network.name(), ": the elements of constant \"",
                   layer.name, "\" are elsewhere, so that it cannot be packed");
    if (weights.bytes / size_of(constant->dtype) <= network::kMaxPrintedElements) continue;  // in the text
    const auto [known, is_new] = offsets.try_emplace({weights.data.get(), weights.bytes}, end);
    if (is_new) {
      parts.emplace_back(static_cast<const std::byte*>(weights.data.get()), weights.bytes);
      end = (end + weights.bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
    index[network.value(layer.outputs[0]).name] = known->second;
  }
  format::NetworkSpec spec{to_map(settings), {}};
  spec.sections.push_back(payload.append(kNetworkSection, bytes_of(network::print(network))));
  spec.sections.push_back(payload.append(kIndexSection, bytes_of(index.dump())));
  spec.sections.push_back(payload.append_parts(kConstantsSection, parts));
  return spec;
}

UnpackedNetwork unpack_network(const format::Metadata& metadata, Bytes payload) {
  TORCHTRT_CHECK(metadata.network.has_value(), kInvalidArgument, "engine \"", metadata.name,
                 "\" carries no network to build it from: compile the model with rebuildable=True");
  std::string reason;
  try {
    return Reader(metadata, payload).read();
  } catch (const Json::exception& error) {
    reason = error.what();
  } catch (const Error& error) {
    reason = error.what();
  }
  const auto writer = metadata.producer.find("torchtrt");
  const bool same = writer == metadata.producer.end() || writer->second == TORCHTRT_VERSION;
  fail(same ? ErrorCode::kDataLoss : ErrorCode::kVersionMismatch, "engine \"", metadata.name, "\": its packed network ",
       same ? "is damaged"
            : detail::concat("was written by torchtrt ", writer->second, " and this is torchtrt " TORCHTRT_VERSION),
       ": ", reason);
}

}  // namespace torchtrt::compiler
