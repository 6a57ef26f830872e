// SPDX-License-Identifier: Apache-2.0
#include "backends/openvino/plugin_operation.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <openvino/core/attribute_visitor.hpp>

#include <torchtrt/base/error.h>

namespace torchtrt::openvino {
namespace {

DLDataType to_dlpack(const ov::element::Type& type) {
  const auto bits = static_cast<std::uint8_t>(type.bitwidth());
  if (type == ov::element::boolean) return {kDLBool, 8, 1};
  if (type == ov::element::bf16) return {kDLBfloat, bits, 1};
  if (type.is_real()) return {kDLFloat, bits, 1};
  return {static_cast<std::uint8_t>(type.is_signed() ? kDLInt : kDLUInt), bits, 1};
}

/// Tensors as DLPack has them; the shapes are kept beside.
class Tensors {
 public:
  explicit Tensors(std::size_t count) : shapes_(count), tensors_(count) {}
  void set(std::size_t index, const ov::Tensor& tensor) {
    const ov::Shape shape = tensor.get_shape();
    shapes_[index].assign(shape.begin(), shape.end());
    DLTensor& view = tensors_[index];
    view.data = const_cast<void*>(tensor.data());
    view.device = {kDLCPU, 0};
    view.dtype = to_dlpack(tensor.get_element_type());
    view.ndim = static_cast<std::int32_t>(shape.size());
    view.shape = shapes_[index].data();
  }
  [[nodiscard]] std::span<const DLTensor> view() const { return tensors_; }

 private:
  std::vector<std::vector<std::int64_t>> shapes_;
  std::vector<DLTensor> tensors_;
};

bool is_open(std::int64_t dim) { return dim < 0; }

// OpenVINO has its shape tensors in either width.
ov::Shape read_shape(const ov::Tensor& tensor) {
  ov::Shape shape;
  for (std::size_t i = 0; i < tensor.get_size(); ++i) {
    const std::int64_t dim =
        tensor.get_element_type() == ov::element::i32 ? tensor.data<std::int32_t>()[i] : tensor.data<std::int64_t>()[i];
    shape.push_back(static_cast<std::size_t>(std::max<std::int64_t>(dim, 0)));
  }
  return shape;
}

}  // namespace

PluginOperation::PluginOperation(const ov::OutputVector& inputs, std::size_t operands, std::string name,
                                 std::string attributes, std::string library, const std::vector<Result>& results)
    : Op(inputs),
      operands_(static_cast<std::int64_t>(operands)),
      name_(std::move(name)),
      attributes_(std::move(attributes)),
      library_(std::move(library)) {
  for (const Result& result : results) {
    types_.push_back(result.type.get_type_name());
    ranks_.push_back(static_cast<std::int64_t>(result.dims.size()));
    dims_.insert(dims_.end(), result.dims.begin(), result.dims.end());
  }
  constructor_validate_and_infer_types();
}

void PluginOperation::prepare(const std::string& engine) {
  plugin_ = backend::make_plugin(name_, attributes_, library_, engine);
}

bool PluginOperation::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("operands", operands_);
  visitor.on_attribute("plugin", name_);
  visitor.on_attribute("attributes", attributes_);
  visitor.on_attribute("library", library_);
  visitor.on_attribute("types", types_);
  visitor.on_attribute("ranks", ranks_);
  visitor.on_attribute("dims", dims_);
  return true;
}

void PluginOperation::validate_and_infer_types() {
  // The attributes may come from a damaged file.
  OPENVINO_ASSERT(types_.size() == ranks_.size(), "a plugin with ", types_.size(), " types and ", ranks_.size(),
                  " ranks of results");
  std::size_t next = 0;
  std::size_t shapes = 0;
  set_output_size(types_.size());
  for (std::size_t i = 0; i < types_.size(); ++i) {
    const std::int64_t rank = ranks_[i];
    OPENVINO_ASSERT(rank >= 0 && rank <= static_cast<std::int64_t>(dims_.size() - next), "a plugin's result of rank ",
                    rank);
    ov::PartialShape shape(std::vector<ov::Dimension>(dims_.begin() + static_cast<std::ptrdiff_t>(next),
                                                      dims_.begin() + static_cast<std::ptrdiff_t>(next) + rank));
    next += static_cast<std::size_t>(rank);
    if (shape.is_dynamic()) ++shapes;
    set_output_type(i, ov::element::Type(types_[i]), shape);
  }
  OPENVINO_ASSERT(operands_ >= 0 && get_input_size() == static_cast<std::size_t>(operands_) + shapes, "a plugin with ",
                  get_input_size(), " inputs, of which ", operands_, " are operands");
}

std::shared_ptr<ov::Node> PluginOperation::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  auto clone = std::make_shared<PluginOperation>();
  clone->set_arguments(inputs);
  clone->operands_ = operands_;
  clone->name_ = name_;
  clone->attributes_ = attributes_;
  clone->library_ = library_;
  clone->types_ = types_;
  clone->ranks_ = ranks_;
  clone->dims_ = dims_;
  clone->plugin_ = plugin_;
  clone->failure_ = failure_;
  clone->constructor_validate_and_infer_types();
  return clone;
}

bool PluginOperation::evaluate(ov::TensorVector& results, const ov::TensorVector& inputs) const {
  if (plugin_ == nullptr) return false;
  const auto operands = static_cast<std::size_t>(operands_);
  std::size_t next = 0;
  std::size_t shapes = operands;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto first = dims_.begin() + static_cast<std::ptrdiff_t>(next);
    if (std::any_of(first, first + ranks_[i], &is_open)) results[i].set_shape(read_shape(inputs[shapes++]));
    next += static_cast<std::size_t>(ranks_[i]);
  }
  Tensors from(operands);
  Tensors to(results.size());
  for (std::size_t i = 0; i < operands; ++i) from.set(i, inputs[i]);
  for (std::size_t i = 0; i < results.size(); ++i) to.set(i, results[i]);
  try {
    plugin_->run(from.view(), to.view(), nullptr);
  } catch (...) {
    if (failure_ == nullptr || !failure_->is_running) throw;
    if (failure_->error == nullptr) failure_->error = std::current_exception();
    // The run goes on, and nobody sees what it computes; but indices, for one, have to be valid.
    for (ov::Tensor& result : results) std::memset(result.data(), 0, result.get_byte_size());
  }
  return true;
}

}  // namespace torchtrt::openvino
