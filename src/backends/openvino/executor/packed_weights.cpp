// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/packed_weights.h"

#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <openvino/op/ops.hpp>

#include "backends/openvino/executor/computed_once.h"
#include "backends/openvino/is_any.h"

namespace torchtrt::openvino {
namespace {

namespace v0 = ov::op::v0;
namespace v1 = ov::op::v1;

using Input = ov::Input<ov::Node>;

// Whether the node's result is its operand's elements, which the plugin may leave where they are or read through.
bool moves(const ov::Node& node) {
  return is_any<v1::Reshape, v1::Transpose, v0::Squeeze, v0::Unsqueeze, v0::Convert, v0::Concat, v1::Split,
                v1::VariadicSplit, v1::StridedSlice, v1::Broadcast, ov::op::v3::Broadcast, ov::op::v7::Roll,
                ov::op::v8::Gather, ov::op::v8::Slice>(node);
}

std::string layout(const Input& input, const ComputedOnce& fixed);

// The layouts in which a value is read by the layers that pack it; "" if none does.
std::string layouts(const ov::Output<ov::Node>& value, const ComputedOnce& fixed) {
  std::string text;
  for (const Input& reader : value.get_target_inputs()) text += layout(reader, fixed);
  return text;
}

// The same of one reader. How the value is moved on the way there counts: the plugin folds that into the constant, or into
// the way in which it is read.
std::string layout(const Input& input, const ComputedOnce& fixed) {
  ov::Node& node = *input.get_node();
  std::ostringstream text;
  if (is_any<v0::MatMul>(node)) {
    const auto& product = static_cast<const v0::MatMul&>(node);
    const bool transposed = input.get_index() == 0 ? product.get_transpose_a() : product.get_transpose_b();
    text << "product " << input.get_index() << transposed << ';';
  } else if (is_any<v1::Convolution, v1::GroupConvolution, v1::ConvolutionBackpropData,
                    v1::GroupConvolutionBackpropData>(node)) {
    text << node.get_type_info().name << ' ' << input.get_index() << ';';
  } else if (fixed.contains(&node) && moves(node)) {
    std::string behind;
    for (const ov::Output<ov::Node>& value : node.outputs()) behind += layouts(value, fixed);
    if (behind.empty()) return "";
    text << node.get_type_info().name << input.get_index() << node.get_output_partial_shape(0);
    for (const ov::Output<ov::Node>& value : node.input_values()) {
      const auto order = ov::as_type_ptr<v0::Constant>(value.get_node_shared_ptr());
      if (order == nullptr || !order->get_element_type().is_integral() || order->get_shape().size() > 1) continue;
      for (const std::int64_t axis : order->cast_vector<std::int64_t>()) text << ' ' << axis;
    }
    text << '(' << behind << ')';
  }
  return std::move(text).str();
}

std::shared_ptr<v0::Constant> copied(const v0::Constant& constant, const std::string& layout) {
  auto copy =
      std::make_shared<v0::Constant>(constant.get_element_type(), constant.get_shape(), constant.get_data_ptr());
  copy->set_friendly_name(constant.get_friendly_name() + "/" + layout);
  return copy;
}

// The fixed value once more, of constants of its own.
ov::Output<ov::Node> computed_again(const ov::Output<ov::Node>& value, const std::string& layout) {
  std::map<const ov::Node*, std::shared_ptr<ov::Node>> copies;
  const std::function<ov::Output<ov::Node>(const ov::Output<ov::Node>&)> copy =
      [&](const ov::Output<ov::Node>& output) {
        std::shared_ptr<ov::Node>& made = copies[output.get_node()];
        if (made == nullptr) {
          if (const auto* constant = ov::as_type<v0::Constant>(output.get_node())) {
            made = copied(*constant, layout);
          } else {
            ov::OutputVector operands;
            for (const ov::Output<ov::Node>& operand : output.get_node()->input_values())
              operands.push_back(copy(operand));
            made = output.get_node()->clone_with_new_inputs(operands);
            made->set_friendly_name(output.get_node()->get_friendly_name() + "/" + layout);
          }
        }
        return made->output(output.get_index());
      };
  return copy(value);
}

// What is computed once of constants, by the node's kind and those of its operands: OpenVINO computes nodes that are equal
// in this and more only once.
std::string kind_of(const ov::Node& node, std::map<const ov::Node*, std::string>& kinds) {
  std::ostringstream text;
  text << node.get_type_info().name << node.get_output_element_type(0) << node.get_output_partial_shape(0);
  for (const ov::Output<ov::Node>& value : node.input_values()) text << '(' << kinds[value.get_node()] << ')';
  // What says more is longer than what it is good for: some kinds are one then, and are copied without need.
  constexpr std::size_t kLongest = 1024;
  return std::move(text).str().substr(0, kLongest);
}

// The readers of one constant, or of values that may become one.
struct Readers {
  struct Reader {
    Input input;
    std::string layout;
  };
  std::vector<Reader> all;

  // All but those that read as the first does get a copy for their layout: one of a constant, since those of one address
  // are equal, and one of each computed value.
  void separate() {
    std::map<std::pair<std::string, const ov::Node*>, ov::Output<ov::Node>> copies;
    for (Reader& reader : all) {
      if (reader.layout == all.front().layout) continue;
      const ov::Output<ov::Node> value = reader.input.get_source_output();
      const ov::Node* computed = is_any<v0::Constant>(*value.get_node()) ? nullptr : value.get_node();
      const auto [copy, is_new] = copies.try_emplace({reader.layout + std::to_string(value.get_index()), computed});
      if (is_new) copy->second = computed_again(value, reader.layout);
      reader.input.replace_source_output(copy->second);
    }
  }
};

}  // namespace

void separate_packed_weights(const ov::Model& model) {
  const ov::NodeVector nodes = model.get_ordered_ops();  // kept until the end: readers may lose theirs
  ComputedOnce fixed;
  for (const std::shared_ptr<ov::Node>& node : nodes) {
    if (is_computed_once(*node, fixed)) fixed.insert(node.get());
  }
  std::map<const void*, Readers> of_constants;  // by address
  std::map<std::string, Readers> of_computed;   // by kind
  std::map<const ov::Node*, std::string> kinds;
  for (const std::shared_ptr<ov::Node>& node : nodes) {
    if (!fixed.contains(node.get())) continue;
    const std::string& kind = kinds[node.get()] = kind_of(*node, kinds);
    const auto constant = ov::as_type_ptr<v0::Constant>(node);
    // One of a single dimension can be shaped into matrices on the way to its readers.
    if (constant != nullptr && ov::shape_size(constant->get_shape()) < 2) continue;
    for (const ov::Output<ov::Node>& value : node->outputs()) {
      std::ostringstream type;
      type << value.get_element_type() << value.get_partial_shape();
      for (const Input& input : value.get_target_inputs()) {
        const std::string read_as = layout(input, fixed);
        if (read_as.empty()) continue;
        Readers& readers = constant != nullptr ? of_constants[constant->get_data_ptr()] : of_computed[kind];
        readers.all.push_back({input, type.str() + read_as});
      }
    }
  }
  for (auto& [address, readers] : of_constants) readers.separate();
  // Behind the constants: a copy of what is computed holds copies of what was separated.
  for (auto& [kind, readers] : of_computed) readers.separate();
}

}  // namespace torchtrt::openvino
