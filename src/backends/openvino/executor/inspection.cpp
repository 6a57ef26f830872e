// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/inspection.h"

#include <sstream>
#include <vector>

#include <nlohmann/json.hpp>
#include <openvino/core/node.hpp>

#include "backends/openvino/element_type.h"

namespace torchtrt::openvino {
namespace {

// OpenVINO's keys for what it notes of a node; their header is not in its wheel.
constexpr const char* kType = "layerType";
constexpr const char* kKernel = "primitiveType";
constexpr const char* kPrecision = "runtimePrecision";
constexpr const char* kOriginalNames = "originalLayersNames";

// What OpenVINO notes of a node, as text; empty where it notes nothing.
std::string note(const ov::Node& node, const char* key) {
  const auto found = node.get_rt_info().find(key);
  return found == node.get_rt_info().end() ? "" : found->second.as<std::string>();
}

nlohmann::ordered_json shape_of(const ov::PartialShape& shape) {
  if (shape.rank().is_dynamic()) return nullptr;
  nlohmann::ordered_json dims = nlohmann::ordered_json::array();
  for (const ov::Dimension& dim : shape) dims.push_back(dim.is_static() ? dim.get_length() : -1);
  return dims;
}

std::string type_of(const ov::Node& node) {
  const std::string type = note(node, kType);
  return type.empty() ? node.get_type_name() : type;
}

std::vector<std::string> original_layers(const ov::Node& node) {
  std::vector<std::string> layers;
  std::istringstream names(note(node, kOriginalNames));
  for (std::string name; std::getline(names, name, ',');) layers.push_back(name);
  return layers;
}

nlohmann::ordered_json describe(const ov::Node& node) {
  nlohmann::ordered_json layer;
  layer["name"] = node.get_friendly_name();
  layer["type"] = type_of(node);
  if (const std::string kernel = note(node, kKernel); !kernel.empty()) layer["kernel"] = kernel;
  const std::string precision = note(node, kPrecision);
  if (!precision.empty()) layer["precision"] = precision;
  layer["output_shapes"] = nlohmann::ordered_json::array();
  for (const auto& output : node.outputs()) layer["output_shapes"].push_back(shape_of(output.get_partial_shape()));
  layer["original_layers"] = original_layers(node);
  return layer;
}

}  // namespace

std::string describe(const ov::Model& runtime_model, const std::string& engine) {
  nlohmann::ordered_json result{{"engine", engine}, {"backend", "openvino"}, {"version", openvino_version()}};
  result["layers"] = nlohmann::ordered_json::array();
  for (const auto& node : runtime_model.get_ordered_ops()) result["layers"].push_back(describe(*node));
  return result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::vector<ComputingLayer> computing_layers(const ov::Model& runtime_model) {
  std::vector<ComputingLayer> layers;
  for (const auto& node : runtime_model.get_ordered_ops()) {
    const std::string type = type_of(*node);
    if (type != "Input" && type != "Const" && type != "Output") layers.push_back({node->get_friendly_name(), type});
  }
  return layers;
}

}  // namespace torchtrt::openvino
