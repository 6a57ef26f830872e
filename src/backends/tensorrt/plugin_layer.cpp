// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/plugin_layer.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <torchtrt/base/error.h>
#include <nlohmann/json.hpp>

#include "backends/tensorrt/driver.h"
#include "backends/tensorrt/logger.h"

namespace torchtrt::tensorrt {
namespace {

constexpr const char* kName = "torchtrt_plugin";
constexpr const char* kVersion = "1";
constexpr const char* kNamespace = "torchtrt";
constexpr const char* kField = "layer";

DLDataType to_dlpack(nvinfer1::DataType type) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT: return {kDLFloat, 32, 1};
    case nvinfer1::DataType::kHALF: return {kDLFloat, 16, 1};
    case nvinfer1::DataType::kBF16: return {kDLBfloat, 16, 1};
    case nvinfer1::DataType::kINT64: return {kDLInt, 64, 1};
    case nvinfer1::DataType::kINT32: return {kDLInt, 32, 1};
    case nvinfer1::DataType::kINT8: return {kDLInt, 8, 1};
    case nvinfer1::DataType::kUINT8: return {kDLUInt, 8, 1};
    case nvinfer1::DataType::kBOOL: return {kDLBool, 8, 1};
    default: fail(ErrorCode::kUnsupported, "plugins take no tensors of TensorRT's type ", static_cast<int>(type));
  }
}

// TensorRT calls with the engine's device as the thread's.
DLTensor view(const nvinfer1::PluginTensorDesc& description, const void* data, int device) {
  DLTensor tensor{};
  tensor.data = const_cast<void*>(data);
  tensor.device = {kDLCUDA, device};
  tensor.ndim = description.dims.nbDims;
  tensor.dtype = to_dlpack(description.type);
  tensor.shape = const_cast<std::int64_t*>(description.dims.d);
  return tensor;
}

// TensorRT's callbacks must not throw: the reason goes where its own errors go, and a number says that there is one.
template <typename Action>
int32_t guarded(const std::string& plugin, const char* doing, const Action& action) noexcept {
  try {
    action();
    return 0;
  } catch (const std::exception& error) {
    const std::string text = "plugin " + plugin + " failed to " + doing + ": " + error.what();
    Logger::get().log(nvinfer1::ILogger::Severity::kERROR, text.c_str());
    return 1;
  }
}

bool has_open_dims(const std::vector<std::int64_t>& dims) {
  return std::any_of(dims.begin(), dims.end(), [](std::int64_t dim) { return dim < 0; });
}

/// Makes the layers of a plan that is read.
class Creator final : public nvinfer1::IPluginCreatorV3One {
 public:
  nvinfer1::IPluginV3* createPlugin(const char* /*name*/, const nvinfer1::PluginFieldCollection* fields,
                                    nvinfer1::TensorRTPhase /*phase*/) noexcept override {
    nvinfer1::IPluginV3* layer = nullptr;
    guarded(kName, "be made", [&] {
      TORCHTRT_CHECK(fields != nullptr && fields->nbFields == 1 && fields->fields[0].length > 0, kDataLoss,
                     "the plan has no attributes for it");
      const nvinfer1::PluginField& field = fields->fields[0];
      layer = new PluginLayer(
          read_spec(std::string(static_cast<const char*>(field.data), static_cast<std::size_t>(field.length))));
    });
    return layer;
  }
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &fields_; }
  [[nodiscard]] const char* getPluginName() const noexcept override { return kName; }
  [[nodiscard]] const char* getPluginVersion() const noexcept override { return kVersion; }
  [[nodiscard]] const char* getPluginNamespace() const noexcept override { return kNamespace; }

 private:
  nvinfer1::PluginField field_{kField, nullptr, nvinfer1::PluginFieldType::kCHAR, 0};
  nvinfer1::PluginFieldCollection fields_{1, &field_};
};

}  // namespace

std::string write_spec(const PluginSpec& spec) {
  nlohmann::json text{{"plugin", spec.name}, {"attributes", spec.attributes}, {"library", spec.library}};
  text["inputs"] = nlohmann::json::array();
  for (const nvinfer1::DataType type : spec.inputs) text["inputs"].push_back(static_cast<int>(type));
  for (const nvinfer1::DataType type : spec.results) text["results"].push_back(static_cast<int>(type));
  text["dims"] = spec.dims;
  return text.dump();
}

PluginSpec read_spec(const std::string& text) {
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    PluginSpec spec{json.at("plugin"), json.at("attributes"), json.at("library"), {}, {}, json.at("dims")};
    for (const int type : json.at("inputs")) spec.inputs.push_back(static_cast<nvinfer1::DataType>(type));
    for (const int type : json.at("results")) spec.results.push_back(static_cast<nvinfer1::DataType>(type));
    TORCHTRT_CHECK(spec.results.size() == spec.dims.size() && !spec.dims.empty(), kDataLoss, "a plugin layer with ",
                   spec.results.size(), " types and ", spec.dims.size(), " shapes of results");
    for (const std::vector<std::int64_t>& dims : spec.dims) {
      TORCHTRT_CHECK(dims.size() <= nvinfer1::Dims::MAX_DIMS, kDataLoss, "a plugin's result of rank ", dims.size());
    }
    return spec;
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::kDataLoss, "this is no plugin layer: ", error.what());
  }
}

PluginLayer::PluginLayer(PluginSpec spec)
    : spec_(std::move(spec)),
      plugin_(backend::make_plugin(spec_.name, spec_.attributes, spec_.library, "a TensorRT engine")),
      text_(write_spec(spec_)),
      field_{kField, text_.data(), nvinfer1::PluginFieldType::kCHAR, static_cast<int32_t>(text_.size())} {}

PluginLayer::PluginLayer(const PluginLayer& other)
    : nvinfer1::IPluginV3(other),
      nvinfer1::IPluginV3OneCore(other),
      nvinfer1::IPluginV3OneBuild(other),
      nvinfer1::IPluginV3OneRuntime(other),
      spec_(other.spec_),
      plugin_(other.plugin_),
      text_(other.text_),
      field_{kField, text_.data(), nvinfer1::PluginFieldType::kCHAR, static_cast<int32_t>(text_.size())} {}

nvinfer1::IPluginCapability* PluginLayer::getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept {
  switch (type) {
    case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
    case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
    case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
  }
  return nullptr;
}

nvinfer1::IPluginV3* PluginLayer::clone() noexcept {
  nvinfer1::IPluginV3* copy = nullptr;
  guarded(spec_.name, "be copied", [&] { copy = new PluginLayer(*this); });
  return copy;
}

const char* PluginLayer::getPluginName() const noexcept { return kName; }
const char* PluginLayer::getPluginVersion() const noexcept { return kVersion; }
const char* PluginLayer::getPluginNamespace() const noexcept { return kNamespace; }

int32_t PluginLayer::configurePlugin(const nvinfer1::DynamicPluginTensorDesc* /*in*/, int32_t /*inputs*/,
                                     const nvinfer1::DynamicPluginTensorDesc* /*out*/, int32_t /*results*/) noexcept {
  return 0;
}

int32_t PluginLayer::getOutputDataTypes(nvinfer1::DataType* types, int32_t results,
                                        const nvinfer1::DataType* /*input_types*/, int32_t /*inputs*/) const noexcept {
  if (results != getNbOutputs()) return 1;
  std::copy(spec_.results.begin(), spec_.results.end(), types);
  return 0;
}

int32_t PluginLayer::getOutputShapes(const nvinfer1::DimsExprs* /*inputs*/, int32_t /*input_count*/,
                                     const nvinfer1::DimsExprs* shape_inputs, int32_t shape_count,
                                     nvinfer1::DimsExprs* outputs, int32_t output_count,
                                     nvinfer1::IExprBuilder& expressions) noexcept {
  if (output_count != getNbOutputs()) return 1;
  int32_t next = 0;
  for (std::size_t i = 0; i < spec_.dims.size(); ++i) {
    const std::vector<std::int64_t>& dims = spec_.dims[i];
    const nvinfer1::DimsExprs* shape = nullptr;
    if (has_open_dims(dims)) {
      if (next == shape_count || shape_inputs[next].nbDims != static_cast<int32_t>(dims.size())) return 1;
      shape = &shape_inputs[next++];
    }
    outputs[i].nbDims = static_cast<int32_t>(dims.size());
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      outputs[i].d[axis] = dims[axis] < 0 ? shape->d[axis] : expressions.constant(dims[axis]);
    }
  }
  return 0;
}

bool PluginLayer::supportsFormatCombination(int32_t position, const nvinfer1::DynamicPluginTensorDesc* in_out,
                                            int32_t inputs, int32_t /*results*/) noexcept {
  const nvinfer1::PluginTensorDesc& tensor = in_out[position].desc;
  if (tensor.format != nvinfer1::TensorFormat::kLINEAR) return false;
  const bool is_input = position < inputs;
  const std::vector<nvinfer1::DataType>& types = is_input ? spec_.inputs : spec_.results;
  const auto index = static_cast<std::size_t>(is_input ? position : position - inputs);
  return index < types.size() && tensor.type == types[index];
}

int32_t PluginLayer::getNbOutputs() const noexcept { return static_cast<int32_t>(spec_.results.size()); }

int32_t PluginLayer::onShapeChange(const nvinfer1::PluginTensorDesc* /*in*/, int32_t /*inputs*/,
                                   const nvinfer1::PluginTensorDesc* /*out*/, int32_t /*results*/) noexcept {
  return 0;
}

int32_t PluginLayer::enqueue(const nvinfer1::PluginTensorDesc* in, const nvinfer1::PluginTensorDesc* out,
                             const void* const* inputs, void* const* results, void* /*workspace*/,
                             cudaStream_t stream) noexcept {
  return guarded(spec_.name, "run", [&] {
    const int device = Driver::get().current();
    std::vector<DLTensor> from;
    std::vector<DLTensor> to;
    for (std::size_t i = 0; i < spec_.inputs.size(); ++i) from.push_back(view(in[i], inputs[i], device));
    for (std::size_t i = 0; i < spec_.results.size(); ++i) to.push_back(view(out[i], results[i], device));
    plugin_->run(from, to, stream);
  });
}

nvinfer1::IPluginV3* PluginLayer::attachToContext(nvinfer1::IPluginResourceContext* /*context*/) noexcept {
  return clone();
}

const nvinfer1::PluginFieldCollection* PluginLayer::getFieldsToSerialize() noexcept { return &fields_; }

void register_plugin_layer(nvinfer1::IPluginRegistry& registry) {
  static auto* const creator = new Creator;  // never destroyed: the registry is the library's
  if (registry.getCreator(kName, kVersion, kNamespace) != nullptr) return;
  TORCHTRT_CHECK(registry.registerCreator(*creator, kNamespace), kInternal,
                 "TensorRT does not take the creator of plugin layers: ", Logger::take_errors());
}

}  // namespace torchtrt::tensorrt
