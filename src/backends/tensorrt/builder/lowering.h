// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <NvInfer.h>
#include <torchtrt/network/network.h>

#include "backends/tensorrt/compat/functions.h"
#include "backends/tensorrt/types.h"

namespace torchtrt::tensorrt {

/// Lowers one network into a TensorRT network definition with the same inputs and outputs. Weights share the network's
/// memory: it must live until the engine is built.
class Lowering {
 public:
  /// `functions`: what the library behind the definition has. `refittable`: whether other weights will replace these.
  /// TensorRT's refitter knows those that are constant layers; a convolution that takes its weights from one has far
  /// fewer kernels to choose from (ResNet-50 took 23 times as long on an H200), so otherwise they are its own.
  /// `use_fp32_acc`: see backend::BuildSettings. Not of refittable networks, whose weights reach the products as they are.
  Lowering(const network::Network& net, nvinfer1::INetworkDefinition& definition, const compat::Functions& functions,
           bool refittable, bool use_fp32_acc = true)
      : net_(net),
        trt_(definition),
        functions_(functions),
        refittable_(refittable),
        adds_up_in_float32_(use_fp32_acc && !refittable) {}
  /// Error(kUnsupported) that names our layer and gives TensorRT's reason.
  void run();

  /// Weights of the definition after run(), each once. Their names are positions: the same for networks of one structure.
  struct NamedWeights {
    std::string name;
    nvinfer1::Weights weights;
    std::optional<network::ValueId> constant;  ///< Of the network; nullopt: made by the lowering.
  };
  [[nodiscard]] const std::vector<NamedWeights>& weights() const { return weights_; }
  /// Whether the lowering looked for NaN among the elements of this constant, and found none: it adds other layers then.
  [[nodiscard]] bool never_nan(network::ValueId constant) const;

  /// The tensor of a value after run() (for tests that compare inferred shapes).
  [[nodiscard]] nvinfer1::ITensor& tensor(network::ValueId id) { return *value(id); }

 private:
  using Tensor = nvinfer1::ITensor*;
  using Layer = network::Layer;

  void add_inputs();
  void lower(const Layer& layer);
  void mark_outputs();

  std::vector<Tensor> lower(const Layer& layer, const network::Constant& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Activation& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Unary& op);
  std::vector<Tensor> lower(const Layer& layer, const network::ElementWise& op);
  std::vector<Tensor> lower(const Layer& layer, const network::MatrixMultiply& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Convolution& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Deconvolution& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Pooling& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Reduce& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Softmax& op);
  std::vector<Tensor> lower(const Layer& layer, const network::TopK& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Gather& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Scatter& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Slice& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Shuffle& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Broadcast& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Concatenation& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Select& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Cast& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Identity& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Resize& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Normalization& op);
  Tensor one_group(const Layer& layer, const network::Normalization& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Fill& op);
  std::vector<Tensor> lower(const Layer& layer, const network::ShapeOf& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Attention& op);
  std::vector<Tensor> lower(const Layer& layer, const network::CumulativeSum& op);
  std::vector<Tensor> lower(const Layer& layer, const network::NonZero& op);
  std::vector<Tensor> lower(const Layer& layer, const network::Plugin& op);
  std::vector<Tensor> lower(const Layer& layer, const network::NonMaxSuppression& op);

  // --- operands ---------------------------------------------------------------------------------------------------------
  [[nodiscard]] Tensor operand(const Layer& layer, std::size_t index) { return value(layer.inputs.at(index)); }
  /// A constant becomes a layer where its tensor is first asked for.
  Tensor value(network::ValueId id);
  nvinfer1::Weights weights_of(network::ValueId constant);
  /// The operand's elements, where the layer may have them as its own weights; nullopt where it takes the tensor.
  std::optional<nvinfer1::Weights> own_weights(const Layer& layer, std::size_t index);
  [[nodiscard]] const Dims& dims(const Layer& layer, std::size_t index) const {
    return net_.value(layer.inputs.at(index)).dims;
  }
  [[nodiscard]] DataType dtype(const Layer& layer, std::size_t index) const {
    return net_.value(layer.inputs.at(index)).dtype;
  }

  // --- building blocks: each checks what TensorRT returns -----------------------------------------------------------------
  template <typename TrtLayer>
  TrtLayer* checked(TrtLayer* layer);
  template <typename TrtLayer>
  Tensor output(TrtLayer* layer) {
    return checked(layer)->getOutput(0);
  }
  Tensor elementwise(Tensor a, Tensor b, nvinfer1::ElementWiseOperation operation);
  /// The same, computed in float32; of a's type.
  Tensor in_float32(Tensor a, Tensor b, nvinfer1::ElementWiseOperation operation);
  Tensor cast(Tensor x, nvinfer1::DataType type);
  Tensor constant(const nvinfer1::Dims& dims, const nvinfer1::Weights& weights);
  void name(const nvinfer1::Weights& weights, std::optional<network::ValueId> of);
  Tensor number(DataType dtype, double value, std::size_t rank);
  /// bool: which elements are NaN.
  Tensor is_nan(Tensor x);
  /// An int64 constant of shape [values.size()].
  Tensor integers(const std::vector<std::int64_t>& values);
  Tensor reshape(Tensor x, const Dims& to);
  /// `from`, of to's rank: x's dims.
  Tensor broadcast(Tensor x, const Dims& from, const Dims& to);
  Tensor with_width(Tensor x, const Dims& from, const Expr& width);
  /// 0, 1, .. length - 1: int64, [length].
  Tensor count_up(const Expr& length);
  /// The positions along an axis of a tensor of this rank: int64, 1 in the other dimensions.
  Tensor positions(const Expr& length, std::size_t axis, std::size_t rank);
  Tensor repeat_heads(Tensor x, const Dims& from, const Expr& heads);
  Tensor attention(const Layer& layer, const network::Attention& op, Tensor q, Tensor mask);
  Tensor extreme(const Layer& layer, bool largest);
  Tensor reduce_extreme(Tensor x, DataType type, std::size_t rank, bool largest, const std::vector<std::int64_t>& axes,
                        bool keep_dims);

  // --- shapes as data (lowering_shapes.cpp) ---------------------------------------------------------------------------------
  Tensor materialize(const Expr& expr);  ///< int64, [1]
  Tensor materialize(const Dims& dims);  ///< int64, [dims.size()]
  Tensor materialize_symbol(const std::string& name);

  const network::Network& net_;
  nvinfer1::INetworkDefinition& trt_;
  const compat::Functions functions_;
  const bool refittable_;
  const bool adds_up_in_float32_;
  std::unordered_map<std::uint32_t, Tensor> values_;
  std::map<std::string, Tensor> expressions_;  // by text
  std::vector<NamedWeights> weights_;
  std::vector<std::shared_ptr<void>> storage_;  // constants made here, until the engine is built
  const Layer* current_ = nullptr;              // for error messages
};

/// Static dims as TensorRT's; -1 where not static.
nvinfer1::Dims to_dims(const Dims& dims);
/// One bit an axis.
std::uint32_t axes_mask(const std::vector<std::int64_t>& axes);

}  // namespace torchtrt::tensorrt
