// SPDX-License-Identifier: Apache-2.0
// The plugin that calls an operator of PyTorch's dispatcher; README.md has its attributes.
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/DLConvertor.h>
#include <ATen/TracerMode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <nlohmann/json.hpp>

#include <torchtrt/backend/plugin.h>
#include <torchtrt/base/error.h>

#include "torch/dtypes.h"

namespace torchtrt::plugins {
namespace {

using nlohmann::json;

/// The tensors of one call.
struct Operands {
  std::vector<at::Tensor> tensors;
  const std::int64_t* sizes = nullptr;
};

at::ScalarType read_dtype(const json& name) {
  const std::optional<DataType> dtype = parse_dtype(name.get<std::string>());
  TORCHTRT_CHECK(dtype, kDataLoss, name.dump(), " is no dtype");
  return torch_adapter::to_scalar_type(*dtype);
}

double read_number(const json& text) {
  const auto& digits = text.get_ref<const std::string&>();
  double value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  TORCHTRT_CHECK(error == std::errc() && stop == digits.data() + digits.size(), kDataLoss, "\"", digits,
                 "\" is no number");
  return value;
}

/// One argument of the operator, as its schema wants it.
class Argument {
 public:
  Argument(const json& value, const c10::TypePtr& type, std::size_t tensors) {
    if (const auto optional = type->cast<c10::OptionalType>()) {
      if (!value.is_null()) *this = Argument(value, optional->getElementType(), tensors);
      return;  // None
    }
    if (value.is_object() && value.contains("tensor")) {
      require(type->kind() == c10::TypeKind::TensorType, value, type);
      kind_ = Kind::kTensor;
      index_ = value.at("tensor").get<std::size_t>();
      TORCHTRT_CHECK(index_ < tensors, kDataLoss, "operand ", index_, " of ", tensors);
    } else if (value.is_object() && value.contains("size")) {
      require(is_integer(type), value, type);
      kind_ = Kind::kSize;
      index_ = value.at("size").get<std::size_t>();
    } else if (const auto list = type->cast<c10::ListType>()) {
      require(value.is_array(), value, type);
      kind_ = Kind::kList;
      element_ = list->getElementType();
      for (const json& item : value) items_.emplace_back(item, element_, tensors);
    } else {
      constant_ = read_constant(value, type);
    }
  }

  /// The largest index of a symbolic size plus one.
  [[nodiscard]] std::size_t sizes_needed() const {
    std::size_t needed = kind_ == Kind::kSize ? index_ + 1 : 0;
    for (const Argument& item : items_) needed = std::max(needed, item.sizes_needed());
    return needed;
  }

  [[nodiscard]] c10::IValue value(const Operands& operands) const {
    switch (kind_) {
      case Kind::kTensor: return operands.tensors[index_];
      case Kind::kSize: return operands.sizes[index_];
      case Kind::kConstant: return constant_;
      case Kind::kList: break;
    }
    c10::impl::GenericList list(is_integer(element_) ? c10::TypePtr(c10::IntType::get()) : element_);
    for (const Argument& item : items_) list.push_back(item.value(operands));
    return list;
  }

 private:
  enum class Kind { kConstant, kTensor, kSize, kList };

  static bool is_integer(const c10::TypePtr& type) {
    return type->kind() == c10::TypeKind::IntType || type->kind() == c10::TypeKind::SymIntType ||
           type->kind() == c10::TypeKind::NumberType;
  }
  static void require(bool condition, const json& value, const c10::TypePtr& type) {
    TORCHTRT_CHECK(condition, kInvalidArgument, "an argument of type ", type->str(), " cannot be ", value.dump());
  }

  static c10::IValue read_constant(const json& value, const c10::TypePtr& type) {
    const bool is_number = value.is_object() && value.contains("number");
    switch (type->kind()) {
      case c10::TypeKind::IntType:
      case c10::TypeKind::SymIntType:
        if (value.is_object() && value.contains("dtype")) return static_cast<std::int64_t>(read_dtype(value["dtype"]));
        require(value.is_number_integer(), value, type);
        return value.get<std::int64_t>();
      case c10::TypeKind::FloatType:
      case c10::TypeKind::SymFloatType:
        require(is_number || value.is_number_integer(), value, type);
        return is_number ? read_number(value["number"]) : static_cast<double>(value.get<std::int64_t>());
      case c10::TypeKind::NumberType:
        if (is_number) return read_number(value["number"]);
        if (value.is_boolean()) return value.get<bool>();
        require(value.is_number_integer(), value, type);
        return value.get<std::int64_t>();
      case c10::TypeKind::BoolType:
      case c10::TypeKind::SymBoolType: require(value.is_boolean(), value, type); return value.get<bool>();
      case c10::TypeKind::StringType: require(value.is_string(), value, type); return value.get<std::string>();
      default: fail(ErrorCode::kUnsupported, "engines cannot hold an argument of type ", type->str());
    }
  }

  Kind kind_ = Kind::kConstant;
  c10::IValue constant_;
  std::size_t index_ = 0;
  c10::TypePtr element_;
  std::vector<Argument> items_;
};

c10::Device device_of(const DLTensor& tensor) {
  if (tensor.device.device_type == kDLCPU) return {c10::kCPU};
  TORCHTRT_CHECK(tensor.device.device_type == kDLCUDA, kInvalidArgument, "a tensor on a device of DLPack's type ",
                 static_cast<int>(tensor.device.device_type), "; plugins run on CPUs and on CUDA devices");
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(tensor.device.device_id)};
}

at::Tensor borrow(const DLTensor& tensor) {
  auto* data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  const at::TensorOptions options = at::TensorOptions(at::toScalarType(tensor.dtype)).device(device_of(tensor));
  return at::from_blob(data, {tensor.shape, static_cast<std::size_t>(tensor.ndim)}, options);
}

class TorchOperator final : public backend::Plugin {
 public:
  explicit TorchOperator(const json& text)
      : name_(text.at("operator").get<std::string>()), op_(find(name_, text.value("library", ""))) {
    for (const json& dtype : text.at("inputs")) inputs_.push_back(read_dtype(dtype));
    for (const json& dtype : text.at("results")) results_.push_back(read_dtype(dtype));
    TORCHTRT_CHECK(!results_.empty(), kDataLoss, name_, " as a plugin has results");
    has_sizes_ = text.value("has_sizes", false);
    read_arguments(text.at("arguments"), text.at("keywords"));
  }

  void run(std::span<const DLTensor> inputs, std::span<const DLTensor> results, void* stream) const override {
    TORCHTRT_CHECK(inputs.size() == inputs_.size() + (has_sizes_ ? 1 : 0) && results.size() == results_.size(),
                   kDataLoss, name_, ": ", inputs.size(), " inputs and ", results.size(), " results; its plugin has ",
                   inputs_.size() + (has_sizes_ ? 1 : 0), " and ", results_.size());
    // The call belongs to the engine: neither autograd, tracing nor autocast of the caller has a part in it.
    const c10::InferenceMode inference;
    const at::tracer::impl::NoTracerDispatchMode no_tracing;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    std::optional<c10::StreamGuard> on_stream;
    if (device_of(results[0]).is_cuda()) {
      // A stream that PyTorch did not make is known to it by its handle.
      on_stream.emplace(c10::Stream(c10::Stream::UNSAFE, device_of(results[0]),
                                    static_cast<c10::StreamId>(reinterpret_cast<std::intptr_t>(stream))));
    }
    std::vector<c10::IValue> stack = make_stack(inputs);
    try {
      op_.callBoxed(&stack);
    } catch (const c10::Error& error) {
      fail(ErrorCode::kInternal, name_, " failed: ", error.what_without_backtrace());
    }
    deliver(stack, results);
  }

 private:
  static c10::OperatorHandle find(const std::string& name, const std::string& library) {
    const std::size_t dot = name.find('.');
    const c10::OperatorName full(name.substr(0, dot), dot == std::string::npos ? "" : name.substr(dot + 1));
    const std::optional<c10::OperatorHandle> found = c10::Dispatcher::singleton().findSchema(full);
    TORCHTRT_CHECK(found, kNotFound, "PyTorch has no operator ", name, " in this process: ",
                   library.empty() ? "open the library (or, in Python, import the module) that registers it"
                                   : "open " + library + ", which registers it");
    return *found;
  }

  void read_arguments(const json& positional, const json& keywords) {
    const c10::FunctionSchema& schema = op_.schema();
    TORCHTRT_CHECK(!schema.is_mutable(), kUnsupported, name_, " writes to its arguments");
    const std::vector<c10::Argument>& declared = schema.arguments();
    TORCHTRT_CHECK(positional.size() <= declared.size(), kInvalidArgument, name_, " takes ", declared.size(),
                   " arguments, not ", positional.size());
    std::size_t used = 0;
    for (std::size_t i = 0; i < declared.size(); ++i) {
      const auto keyword = keywords.find(declared[i].name());
      if (i < positional.size()) {
        arguments_.emplace_back(Argument(positional[i], declared[i].type(), inputs_.size()));
      } else if (keyword != keywords.end()) {
        arguments_.emplace_back(Argument(*keyword, declared[i].type(), inputs_.size()));
        ++used;
      } else {
        TORCHTRT_CHECK(declared[i].default_value(), kInvalidArgument, name_, " needs the argument \"",
                       declared[i].name(), "\"");
        arguments_.emplace_back(*declared[i].default_value());
      }
      if (const auto* argument = std::get_if<Argument>(&arguments_.back())) {
        sizes_needed_ = std::max(sizes_needed_, argument->sizes_needed());
      }
    }
    TORCHTRT_CHECK(used == keywords.size(), kInvalidArgument, name_, " does not know every one of the keywords ",
                   keywords.dump());
    TORCHTRT_CHECK(has_sizes_ || sizes_needed_ == 0, kDataLoss, name_, ": symbolic sizes without their operand");
  }

  [[nodiscard]] std::vector<c10::IValue> make_stack(std::span<const DLTensor> inputs) const {
    Operands operands;
    for (std::size_t i = 0; i < inputs_.size(); ++i) operands.tensors.push_back(borrow(inputs[i]).to(inputs_[i]));
    at::Tensor sizes;
    if (has_sizes_) {
      sizes = borrow(inputs.back()).to(at::kCPU, at::kLong);
      TORCHTRT_CHECK(static_cast<std::size_t>(sizes.numel()) >= sizes_needed_, kDataLoss, name_, ": ", sizes.numel(),
                     " symbolic sizes, expected ", sizes_needed_);
      operands.sizes = sizes.const_data_ptr<std::int64_t>();
    }
    std::vector<c10::IValue> stack;
    for (const std::variant<Argument, c10::IValue>& argument : arguments_) {
      const auto* given = std::get_if<Argument>(&argument);
      stack.push_back(given != nullptr ? given->value(operands) : std::get<c10::IValue>(argument));
    }
    return stack;
  }

  void deliver(const std::vector<c10::IValue>& stack, std::span<const DLTensor> results) const {
    std::vector<at::Tensor> tensors;
    for (const c10::IValue& value : stack) {
      if (value.isTensorList()) {
        const std::vector<at::Tensor> list = value.toTensorVector();
        tensors.insert(tensors.end(), list.begin(), list.end());
      } else {
        tensors.push_back(value.toTensor());
      }
    }
    TORCHTRT_CHECK(tensors.size() == results.size(), kInternal, name_, " gave ", tensors.size(), " results, not ",
                   results.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      const at::Tensor target = borrow(results[i]);
      // copy_ would broadcast and convert what is not what was compiled.
      TORCHTRT_CHECK(tensors[i].scalar_type() == results_[i] && tensors[i].sizes() == target.sizes(), kInternal, name_,
                     " gave ", tensors[i].scalar_type(), tensors[i].sizes(), " instead of the compiled ", results_[i],
                     target.sizes());
      target.copy_(tensors[i]);
    }
  }

  const std::string name_;
  const c10::OperatorHandle op_;
  std::vector<at::ScalarType> inputs_, results_;
  bool has_sizes_ = false;
  std::size_t sizes_needed_ = 0;
  /// As given, or a default of the schema.
  std::vector<std::variant<Argument, c10::IValue>> arguments_;
};

std::unique_ptr<const backend::Plugin> make_torch_operator(const std::string& attributes) {
  try {
    return std::make_unique<TorchOperator>(json::parse(attributes));
  } catch (const json::exception& error) {
    fail(ErrorCode::kDataLoss, "these are no attributes of ", backend::kTorchOperatorPlugin, ": ", error.what());
  }
}

const backend::PluginRegistration registration =
    backend::register_plugin(backend::kTorchOperatorPlugin, &make_torch_operator);

}  // namespace
}  // namespace torchtrt::plugins
