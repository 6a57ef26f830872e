// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <torchtrt/backend/builder.h>
#include <torchtrt/backend/layer_error.h>
#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>
#include <openvino/pass/serialize.hpp>
#include <openvino/runtime/core.hpp>
#include <openvino/runtime/properties.hpp>

#include "backends/openvino/builder/check.h"
#include "backends/openvino/builder/lowering.h"
#include "backends/openvino/element_type.h"
#include "backends/openvino/forks.h"
#include "backends/openvino/nonfinite.h"
#include "base/classic_numbers.h"

namespace torchtrt::openvino {
namespace {

// bfloat16 execution is right only where PyTorch computes in bfloat16 too: a float32 value anywhere forbids it.
bool all_floats_are_bfloat16(const network::Network& net) {
  bool any = false;
  for (std::uint32_t i = 0; i < net.value_count(); ++i) {
    const DataType dtype = net.value(network::ValueId{i}).dtype;
    if (dtype == DataType::kBFloat16) any = true;
    if (is_floating(dtype) && dtype != DataType::kBFloat16) return false;
  }
  return any;
}

std::string inference_precision(const network::Network& net, const std::string& wanted) {
  if (wanted == "auto") return all_floats_are_bfloat16(net) ? "bf16" : "f32";
  if (wanted == "float32") return "f32";
  if (wanted == "bfloat16") return "bf16";
  fail(ErrorCode::kInvalidArgument, "inference_precision is \"", wanted,
       "\", expected \"auto\", \"float32\" or \"bfloat16\"");
}

std::size_t weight_bytes(const network::Network& net) {
  std::size_t bytes = 0;
  for (const network::Layer& layer : net.layers()) {
    if (const auto* constant = std::get_if<network::Constant>(&layer.op)) bytes += constant->weights->bytes;
  }
  return bytes;
}

// Room for the weights at once, so that writing hundreds of megabytes does not copy them again and again.
std::string reserved(std::size_t bytes) {
  std::string buffer;
  buffer.reserve(bytes + bytes / 64 + 4096);
  return buffer;
}

backend::Section section(const std::string& name, std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  return {name, owner, owner->data(), owner->size()};
}

// The CPU plugin; nullptr where it does not open, as on a machine that only builds. Never destroyed: its threads may
// outlive main's statics.
ov::Core* cpu() {
  static ov::Core* const instance = []() -> ov::Core* {
    forks();  // are counted from here on
    try {
      auto made = std::make_unique<ov::Core>();
      made->get_versions("CPU");
      return made.release();
    } catch (const std::exception& error) {
      TORCHTRT_LOG(kInfo,
                   "OpenVINO's CPU plugin does not open here, so that engines are built untried: ", error.what());
      return nullptr;
    }
  }();
  return instance;
}

// Why the plugin does not take the model; "" if it does.
std::string fault_of(ov::Core& core, const std::shared_ptr<const ov::Model>& model, const std::string& precision) {
  try {
    ov::AnyMap properties{ov::hint::inference_precision(precision == "bf16" ? ov::element::bf16 : ov::element::f32),
                          ov::num_streams(1), ov::hint::enable_cpu_pinning(false)};
    // In a forked process OpenVINO would wait for the parent's threads; without streams the calling one computes.
    if (forks() > 0) {
      properties[ov::num_streams.name()] = ov::streams::Num(0);
      properties.insert(ov::inference_num_threads(1));
    }
    core.compile_model(model, "CPU", properties);
    return "";
  } catch (const std::exception& error) {
    const std::string message = error.what();
    return message.empty() ? "it gives no reason" : message;
  }
}

// Compiles the model as an executor will, since the plugin has limits that are written nowhere. Of a model that it does
// not take, the first layer with which it stops taking it is to blame.
void check_loads(const network::Network& net, const Lowering& lowering, const std::shared_ptr<const ov::Model>& model,
                 const std::string& precision) {
  const bool has_plugins = std::any_of(net.layers().begin(), net.layers().end(), [](const network::Layer& layer) {
    return std::holds_alternative<network::Plugin>(layer.op);
  });
  if (has_plugins) return;  // They get their code where the engine runs, and do not compile before.
  ov::Core* const core = cpu();
  if (core == nullptr) return;
  std::string fault = fault_of(*core, model, precision);
  if (fault.empty()) return;
  std::size_t good = 0;
  std::size_t bad = net.layers().size();
  while (bad - good > 1) {
    const std::size_t middle = good + (bad - good) / 2;
    std::string found = fault_of(*core, lowering.prefix(middle), precision);
    if (found.empty()) {
      good = middle;
    } else {
      bad = middle;
      fault = std::move(found);
    }
  }
  const network::Layer& layer = net.layers().at(bad - 1);
  throw backend::LayerError(layer.name, detail::concat("OpenVINO does not compile the ", network::kind_name(layer.op),
                                                       " layer \"", layer.name, "\": ", fault));
}

std::optional<std::uint64_t> attribute(std::string_view element, std::string_view name) {
  const std::size_t found = element.find(name);
  if (found == std::string_view::npos) return std::nullopt;
  std::uint64_t value = 0;
  const char* begin = element.data() + found + name.size();
  const auto [end, error] = std::from_chars(begin, element.data() + element.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

// The constants by the IR: `<data element_type="f32" shape="4, 4" offset="0" size="64" />`.
std::vector<backend::ConstantPlace> constants_of(std::string_view xml) {
  std::vector<backend::ConstantPlace> places;
  for (std::size_t at = xml.find("<data "); at != std::string_view::npos; at = xml.find("<data ", at + 1)) {
    const std::string_view element = xml.substr(at, xml.find('>', at) - at);
    const auto offset = attribute(element, " offset=\""), size = attribute(element, " size=\"");
    if (offset && size) places.push_back({kWeightsSection, *offset, *size});
  }
  return places;
}

class OpenVinoBuilder final : public backend::Builder {
 public:
  [[nodiscard]] std::string_view name() const override { return "openvino"; }
  std::string version() override { return openvino_version(); }
  [[nodiscard]] bool narrows_int64() const override { return true; }
  [[nodiscard]] bool takes_guards() const override { return true; }

  [[nodiscard]] std::optional<backend::Refusal> check(const network::Network& net,
                                                      const network::Layer& layer) const override {
    return openvino::check(net, layer);
  }

  backend::BuiltEngine build(const network::Network& net, const backend::BuildSettings& settings) override {
    const std::string precision = inference_precision(net, settings.inference_precision);
    const ClassicNumbers classic;
    try {
      Lowering lowering(net, precision == "bf16");
      const std::shared_ptr<ov::Model> model = lowering.run();
      make_exact_for_finite_inputs(*model);
      check_loads(net, lowering, model, precision);
      std::ostringstream xml;
      std::ostringstream weights(reserved(weight_bytes(net)));
      ov::pass::Serialize(xml, weights).run_on_model(model);
      std::string text = std::move(xml).str();
      std::vector<backend::ConstantPlace> constants = constants_of(text);
      std::map<std::string, std::string> properties{{kPrecisionProperty, precision},
                                                    {kVersionProperty, openvino_version()}};
      if (!net.guards().empty()) properties[kGuardsProperty] = std::to_string(net.guards().size());
      return {{section(kModelSection, std::move(text)), section(kWeightsSection, std::move(weights).str())},
              std::move(properties),
              "OpenVINO " + openvino_version(),
              std::move(constants)};
    } catch (const ov::Exception& error) {
      fail(ErrorCode::kUnsupported, "OpenVINO cannot build engine ", net.name(), ": ", error.what());
    }
  }
};

}  // namespace
}  // namespace torchtrt::openvino

extern "C" TORCHTRT_API torchtrt::backend::Builder* torchtrt_builder(std::uint32_t interface_version) {
  static auto* builder = new torchtrt::openvino::OpenVinoBuilder;
  return interface_version == torchtrt::backend::kBuilderInterfaceVersion ? builder : nullptr;
}
