// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/executor/packed_weights.h"

#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <openvino/op/ops.hpp>

#include "backends/openvino/is_any.h"

namespace torchtrt::openvino {
namespace {

namespace v0 = ov::op::v0;
namespace v1 = ov::op::v1;

using Input = ov::Input<ov::Node>;

std::string layout(const Input& input);

// Whether the reader makes another constant of the constant that it reads.
bool others_are_constant(const Input& input) {
  const ov::OutputVector values = input.get_node()->input_values();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i != input.get_index() && !is_any<v0::Constant>(*values[i].get_node())) return false;
  }
  return !is_any<v0::Result>(*input.get_node());
}

// The layouts in which a value is read by the layers that pack it; "" if none does.
std::string layouts(const ov::Output<ov::Node>& value) {
  std::string text;
  for (const Input& reader : value.get_target_inputs()) text += layout(reader);
  return text;
}

// The same of one reader. What is done to the value on the way there counts: the plugin
// folds that into the constant, or into the way in which it is read.
std::string layout(const Input& input) {
  ov::Node& node = *input.get_node();
  std::ostringstream text;
  if (is_any<v0::MatMul>(node)) {
    const auto& product = static_cast<const v0::MatMul&>(node);
    const bool transposed = input.get_index() == 0 ? product.get_transpose_a() : product.get_transpose_b();
    text << "product " << input.get_index() << transposed << ';';
  } else if (is_any<v1::Convolution, v1::GroupConvolution, v1::ConvolutionBackpropData,
                    v1::GroupConvolutionBackpropData>(node)) {
    text << node.get_type_info().name << ' ' << input.get_index() << ';';
  } else if (others_are_constant(input)) {
    const std::string behind = layouts(node.output(0));
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

}  // namespace

void separate_packed_weights(const ov::Model& model) {
  struct Reader {
    Input input;
    std::string layout;
  };
  std::map<const void*, std::vector<Reader>> readers;  // by the constant's address
  for (const std::shared_ptr<ov::Node>& node : model.get_ordered_ops()) {
    const auto constant = ov::as_type_ptr<v0::Constant>(node);
    // One of a single dimension can be shaped into matrices on the way to its readers.
    if (constant == nullptr || ov::shape_size(constant->get_shape()) < 2) continue;
    for (const Input& input : constant->output(0).get_target_inputs()) {
      if (const std::string read_as = layout(input); !read_as.empty()) {
        std::ostringstream text;
        text << constant->get_element_type() << constant->get_shape() << read_as;
        readers[constant->get_data_ptr()].push_back({input, std::move(text).str()});
      }
    }
  }
  for (auto& [address, all] : readers) {
    std::map<std::string, std::shared_ptr<v0::Constant>> copies{{all.front().layout, nullptr}};
    for (Reader& reader : all) {
      const auto [copy, is_new] = copies.try_emplace(reader.layout);
      const auto* constant = ov::as_type<v0::Constant>(reader.input.get_source_output().get_node());
      if (is_new) {
        copy->second = std::make_shared<v0::Constant>(constant->get_element_type(), constant->get_shape(),
                                                      constant->get_data_ptr());
        copy->second->set_friendly_name(constant->get_friendly_name() + "/" + reader.layout);
      }
      if (copy->second != nullptr) reader.input.replace_source_output(copy->second);
    }
  }
}

}  // namespace torchtrt::openvino
