// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <NvInfer.h>
#include <torchtrt/backend/plugin.h>

namespace torchtrt::tensorrt {

/// What a plugin layer is, apart from its operands; what the plan carries of it.
struct PluginSpec {
  std::string name, attributes, library;   ///< As in network::Plugin.
  std::vector<nvinfer1::DataType> inputs;  ///< Of the operands.
  std::vector<nvinfer1::DataType> results;
  std::vector<std::vector<std::int64_t>> dims;  ///< Of the results; -1 where not static.
};

/// A plugin layer as a TensorRT plugin (IPluginV3): one class and one creator for all plugins. Shape inputs: for each
/// result with a dimension that is not static, its shape. TensorRT calls it while it builds, too, with a GPU.
class PluginLayer final : public nvinfer1::IPluginV3,
                          public nvinfer1::IPluginV3OneCore,
                          public nvinfer1::IPluginV3OneBuild,
                          public nvinfer1::IPluginV3OneRuntime {
 public:
  /// Error(kNotFound) that names the library if the plugin is not registered.
  explicit PluginLayer(PluginSpec spec);
  PluginLayer(const PluginLayer& other);

  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;
  nvinfer1::IPluginV3* clone() noexcept override;

  [[nodiscard]] const char* getPluginName() const noexcept override;
  [[nodiscard]] const char* getPluginVersion() const noexcept override;
  [[nodiscard]] const char* getPluginNamespace() const noexcept override;

  int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* in, int32_t inputs,
                          const nvinfer1::DynamicPluginTensorDesc* out, int32_t results) noexcept override;
  int32_t getOutputDataTypes(nvinfer1::DataType* types, int32_t results, const nvinfer1::DataType* input_types,
                             int32_t inputs) const noexcept override;
  int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count,
                          const nvinfer1::DimsExprs* shape_inputs, int32_t shape_count, nvinfer1::DimsExprs* outputs,
                          int32_t output_count, nvinfer1::IExprBuilder& expressions) noexcept override;
  bool supportsFormatCombination(int32_t position, const nvinfer1::DynamicPluginTensorDesc* in_out, int32_t inputs,
                                 int32_t results) noexcept override;
  [[nodiscard]] int32_t getNbOutputs() const noexcept override;

  int32_t onShapeChange(const nvinfer1::PluginTensorDesc* in, int32_t inputs, const nvinfer1::PluginTensorDesc* out,
                        int32_t results) noexcept override;
  int32_t enqueue(const nvinfer1::PluginTensorDesc* in, const nvinfer1::PluginTensorDesc* out,
                  const void* const* inputs, void* const* results, void* workspace,
                  cudaStream_t stream) noexcept override;
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override;

 private:
  PluginSpec spec_;
  std::shared_ptr<const backend::Plugin> plugin_;
  std::string text_;  ///< The spec as one field.
  nvinfer1::PluginField field_;
  nvinfer1::PluginFieldCollection fields_{1, &field_};
};

/// The spec as text, and back. Error(kDataLoss) for a text that is none.
std::string write_spec(const PluginSpec& spec);
PluginSpec read_spec(const std::string& text);

/// Makes the creator of PluginLayer known to a registry, before a plan with plugins is read.
void register_plugin_layer(nvinfer1::IPluginRegistry& registry);

}  // namespace torchtrt::tensorrt
