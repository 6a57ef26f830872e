// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <openvino/core/model.hpp>
#include <openvino/core/node_output.hpp>

#include <torchtrt/network/network.h>

#include "backends/openvino/element_type.h"

namespace torchtrt::openvino {

/// Lowers one network to an OpenVINO model with the same order of inputs and outputs. Constants share the network's
/// memory: the model must not outlive it.
class Lowering {
 public:
  /// `in_bfloat16`: the model will be compiled to compute in bfloat16.
  Lowering(const network::Network& net, bool in_bfloat16) : net_(net), in_bfloat16_(in_bfloat16) {}
  /// backend::LayerError for a layer that has no counterpart.
  std::shared_ptr<ov::Model> run();
  /// After run(): the first `layers` layers alone. Its outputs are what none of them reads.
  [[nodiscard]] std::shared_ptr<ov::Model> prefix(std::size_t layers) const;

 private:
  using Output = ov::Output<ov::Node>;

  void add_parameters();
  void lower(const network::Layer& layer);

  // One overload a layer kind; each returns the layer's outputs. Grouped in lowering_<group>.cpp.
  std::vector<Output> lower(const network::Layer& layer, const network::Constant& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Activation& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Unary& op);
  std::vector<Output> lower(const network::Layer& layer, const network::ElementWise& op);
  std::vector<Output> lower(const network::Layer& layer, const network::MatrixMultiply& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Convolution& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Deconvolution& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Pooling& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Reduce& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Softmax& op);
  std::vector<Output> lower(const network::Layer& layer, const network::TopK& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Gather& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Scatter& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Slice& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Shuffle& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Broadcast& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Concatenation& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Select& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Cast& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Identity& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Resize& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Normalization& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Fill& op);
  std::vector<Output> lower(const network::Layer& layer, const network::ShapeOf& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Attention& op);
  std::vector<Output> lower(const network::Layer& layer, const network::CumulativeSum& op);
  std::vector<Output> lower(const network::Layer& layer, const network::NonZero& op);
  std::vector<Output> lower(const network::Layer& layer, const network::Plugin& op);
  std::vector<Output> lower(const network::Layer& layer, const network::NonMaxSuppression& op);

  /// An operand of an integer maximum or minimum.
  [[nodiscard]] Output own_bound(const network::Layer& layer, std::size_t index) const;
  /// kEqual, kGreater or kLess of the layer's operands.
  [[nodiscard]] Output compare(const network::Layer& layer, network::ElementWiseOperation operation) const;
  /// kMax or kMin along axes.
  static Output extreme(const Output& x, const network::Reduce& reduce);

  // --- operands
  [[nodiscard]] Output operand(const network::Layer& layer, std::size_t index) const;
  [[nodiscard]] const network::Value& value_of(const network::Layer& layer, std::size_t index) const;
  [[nodiscard]] bool has_operand(const network::Layer& layer, std::size_t index) const {
    return index < layer.inputs.size();
  }

  // --- shapes as data (lowering_shapes.cpp)
  /// The expression's value as an i64 tensor of shape [1], made from the parameters' shapes.
  Output materialize(const Expr& expr);
  /// The same as a 0-d tensor.
  Output materialize_scalar(const Expr& expr);
  /// The expressions' values as an i64 tensor of shape [dims.size()].
  Output materialize(const Dims& dims);
  Output materialize_symbol(const std::string& name);
  /// The symbol's value is the size of `counted` along `axis`.
  void bind_count(const std::string& symbol, const Output& counted, std::int64_t axis);
  /// A reshape whose target uses 0 (copy) and -1 (infer) where that avoids arithmetic on shapes.
  Output reshape(const Output& data, const Dims& from, const Dims& to);
  static Output transpose(const Output& data, const std::vector<std::int64_t>& permutation);
  /// Whether an output must not be a view of the value that it was reshaped from.
  [[nodiscard]] bool needs_copy(network::ValueId output) const;

  const network::Network& net_;
  const bool in_bfloat16_;
  std::unordered_map<std::uint32_t, Output> values_;
  ov::ParameterVector parameters_;
  std::map<std::string, Output> symbols_;      // [1] i64
  std::map<std::string, Output> expressions_;  // by text
};

/// Whether the value is among the layer's operands.
inline bool reads(const network::Layer& layer, network::ValueId value) {
  return std::ranges::find(layer.inputs, value) != layer.inputs.end();
}
/// Whether float32 holds every integer of the range.
inline bool is_exact_in_float(const Interval& range) { return range.min >= -(1 << 24) && range.max <= (1 << 24); }
/// An i64 constant of shape [values.size()].
std::shared_ptr<ov::Node> int_constant(const std::vector<std::int64_t>& values);
/// A 0-d constant of the type of `like`; infinities and NaN too.
std::shared_ptr<ov::Node> number(const ov::Output<ov::Node>& like, double value);
/// x * factor with the factor in float32, which x's type may not hold.
ov::Output<ov::Node> scaled(const ov::Output<ov::Node>& x, double factor);
/// A copy that the plugin neither drops nor fuses nor computes in place: a roll by nothing.
std::shared_ptr<ov::Node> copied(const ov::Output<ov::Node>& x);
/// Division of integers that rounds down.
std::shared_ptr<ov::Node> floor_divide(const ov::Output<ov::Node>& a, const ov::Output<ov::Node>& b);

}  // namespace torchtrt::openvino
