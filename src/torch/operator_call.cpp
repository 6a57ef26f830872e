// SPDX-License-Identifier: Apache-2.0
#include "torch/operator_call.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <ATen/ScalarOps.h>
#include <nlohmann/json.hpp>

#include <torchtrt/base/error.h>

#include "torch/dtypes.h"

namespace torchtrt::torch_adapter {
namespace {

using nlohmann::json;

c10::OperatorHandle find(const std::string& name, const std::string& library) {
  const std::size_t dot = name.find('.');
  const c10::OperatorName full(name.substr(0, dot), dot == std::string::npos ? "" : name.substr(dot + 1));
  const std::optional<c10::OperatorHandle> found = c10::Dispatcher::singleton().findSchema(full);
  TORCHTRT_CHECK(found, kNotFound, "PyTorch has no operator ", name, " in this process: ",
                 library.empty() ? "open the library (or, in Python, import the module) that registers it"
                                 : "open " + library + ", which registers it");
  return *found;
}

bool is_integer(const c10::TypePtr& type) {
  return type->kind() == c10::TypeKind::IntType || type->kind() == c10::TypeKind::SymIntType;
}
bool is_float(const c10::TypePtr& type) {
  return type->kind() == c10::TypeKind::FloatType || type->kind() == c10::TypeKind::SymFloatType;
}

void require(bool condition, const json& value, const c10::TypePtr& type) {
  TORCHTRT_CHECK(condition, kInvalidArgument, "an argument of type ", type->str(), " cannot be ", value.dump());
}

std::size_t read_index(const json& value, const char* what, std::size_t count) {
  TORCHTRT_CHECK(value.is_number_unsigned() && value.get<std::uint64_t>() < count, kDataLoss, what, " ", value.dump(),
                 " of ", count);
  return value.get<std::size_t>();
}

double read_number(const json& text) {
  TORCHTRT_CHECK(text.is_string(), kDataLoss, text.dump(), " is no number as text");
  const auto& digits = text.get_ref<const std::string&>();
  double value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  TORCHTRT_CHECK(error == std::errc() && stop == digits.data() + digits.size(), kDataLoss, "\"", digits,
                 "\" is no number");
  return value;
}

std::int64_t read_integer(const json& value, const c10::TypePtr& type) {
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  require(value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX), value,
          type);
  return value.get<std::int64_t>();
}

std::int64_t read_dtype(const json& name) {
  const std::optional<DataType> dtype = name.is_string() ? parse_dtype(name.get<std::string>()) : std::nullopt;
  TORCHTRT_CHECK(dtype, kDataLoss, name.dump(), " is no dtype");
  return static_cast<std::int64_t>(to_scalar_type(*dtype));
}

// Layouts and memory formats, which schemas have as integers, in Python's spelling.
std::int64_t read_enumerator(const json& value, const c10::TypePtr& type) {
  const auto& name = value.get_ref<const std::string&>();
  if (name == "torch.strided") return static_cast<std::int64_t>(c10::Layout::Strided);
  if (name == "torch.contiguous_format") return static_cast<std::int64_t>(c10::MemoryFormat::Contiguous);
  if (name == "torch.preserve_format") return static_cast<std::int64_t>(c10::MemoryFormat::Preserve);
  if (name == "torch.channels_last") return static_cast<std::int64_t>(c10::MemoryFormat::ChannelsLast);
  if (name == "torch.channels_last_3d") return static_cast<std::int64_t>(c10::MemoryFormat::ChannelsLast3d);
  require(false, value, type);
  return 0;
}

// A number where the schema has a tensor, as Python's front end makes one: it takes no part in promotion.
at::Tensor wrapped(const c10::Scalar& number) {
  at::Tensor tensor = c10::scalar_to_tensor(number);
  tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
  return tensor;
}

c10::IValue read_constant(const json& value, const c10::TypePtr& type) {
  const bool is_number = value.is_object() && value.contains("number");
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
      if (is_number) return wrapped(read_number(value["number"]));
      if (value.is_boolean()) return wrapped(value.get<bool>());
      return wrapped(read_integer(value, type));
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      if (value.is_object() && value.contains("dtype")) return read_dtype(value["dtype"]);
      if (value.is_string()) return read_enumerator(value, type);
      return read_integer(value, type);
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType:
      return is_number ? read_number(value["number"]) : static_cast<double>(read_integer(value, type));
    case c10::TypeKind::NumberType:
      if (is_number) return read_number(value["number"]);
      if (value.is_boolean()) return value.get<bool>();
      return read_integer(value, type);
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType: require(value.is_boolean(), value, type); return value.get<bool>();
    case c10::TypeKind::StringType: require(value.is_string(), value, type); return value.get<std::string>();
    case c10::TypeKind::DeviceObjType:
      // Engines are for one kind of device; only the CPU's has a name that is the same everywhere.
      require(value == "cpu" || value == "cpu:0", value, type);
      return c10::Device(c10::kCPU);
    default: fail(ErrorCode::kUnsupported, "engines cannot hold an argument of type ", type->str());
  }
}

void sort_out(std::vector<std::size_t>& indices) {
  std::sort(indices.begin(), indices.end());
  indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
}

}  // namespace

OperatorArgument::OperatorArgument(const json& value, const c10::TypePtr& type, std::size_t tensors,
                                   std::size_t sizes) {
  if (const auto optional = type->cast<c10::OptionalType>()) {
    if (!value.is_null()) *this = OperatorArgument(value, optional->getElementType(), tensors, sizes);
    return;  // None
  }
  if (value.is_object() && value.contains("tensor")) {
    require(type->kind() == c10::TypeKind::TensorType, value, type);
    kind_ = Kind::kTensor;
    index_ = read_index(value["tensor"], "tensor", tensors);
  } else if (value.is_object() && value.contains("size")) {
    const bool is_tensor = type->kind() == c10::TypeKind::TensorType;
    require(is_integer(type) || is_float(type) || is_tensor || type->kind() == c10::TypeKind::NumberType, value, type);
    kind_ = is_float(type) ? Kind::kFloatSize : is_tensor ? Kind::kTensorSize : Kind::kSize;
    index_ = read_index(value["size"], "size", sizes);
  } else if (const auto list = type->cast<c10::ListType>()) {
    require(value.is_array() && list->getElementType()->kind() != c10::TypeKind::NumberType, value, type);
    kind_ = Kind::kList;
    element_ = is_integer(list->getElementType()) ? c10::TypePtr(c10::IntType::get()) : list->getElementType();
    items_.reserve(value.size());
    for (const json& item : value) items_.emplace_back(item, list->getElementType(), tensors, sizes);
  } else {
    constant_ = read_constant(value, type);
  }
}

c10::IValue OperatorArgument::value(const Operands& operands) const {
  switch (kind_) {
    case Kind::kTensor: return operands.tensors[index_];
    case Kind::kSize: return operands.sizes[index_];
    case Kind::kFloatSize: return static_cast<double>(operands.sizes[index_]);
    case Kind::kTensorSize: return wrapped(operands.sizes[index_]);
    case Kind::kConstant: return constant_;
    case Kind::kList: break;
  }
  c10::impl::GenericList list(element_);
  list.reserve(items_.size());
  for (const OperatorArgument& item : items_) list.push_back(item.value(operands));
  return list;
}

void OperatorArgument::collect(std::vector<std::size_t>& tensors, std::vector<std::size_t>& sizes) const {
  if (kind_ == Kind::kTensor) tensors.push_back(index_);
  if (kind_ == Kind::kSize || kind_ == Kind::kFloatSize || kind_ == Kind::kTensorSize) sizes.push_back(index_);
  for (const OperatorArgument& item : items_) item.collect(tensors, sizes);
}

OperatorCall::OperatorCall(std::string name, const std::string& library, const json& arguments, const json& keywords,
                           std::size_t tensors, std::size_t sizes)
    : name_(std::move(name)), op_(find(name_, library)) {
  TORCHTRT_CHECK(arguments.is_array() && keywords.is_object(), kDataLoss, name_,
                 ": expected a list of arguments and an object of keywords");
  const c10::FunctionSchema& schema = op_.schema();
  TORCHTRT_CHECK(!schema.is_mutable(), kUnsupported, name_, " writes to its arguments");
  TORCHTRT_CHECK(!schema.is_vararg() && !schema.is_varret(), kUnsupported, name_, " takes any number of arguments");
  const std::vector<c10::Argument>& declared = schema.arguments();
  TORCHTRT_CHECK(arguments.size() <= declared.size(), kInvalidArgument, name_, " takes ", declared.size(),
                 " arguments, not ", arguments.size());
  std::size_t used = 0;
  for (std::size_t i = 0; i < declared.size(); ++i) {
    const auto keyword = keywords.find(declared[i].name());
    const json* given = nullptr;
    if (i < arguments.size()) {
      given = &arguments[i];
    } else if (keyword != keywords.end()) {
      given = &*keyword;
      ++used;
    }
    if (given == nullptr) {
      TORCHTRT_CHECK(declared[i].default_value(), kInvalidArgument, name_, " needs the argument \"", declared[i].name(),
                     "\"");
      arguments_.emplace_back(*declared[i].default_value());
      continue;
    }
    try {
      // A number where the schema has a list of a fixed length stands for all of its elements.
      const std::optional<std::int32_t> length = declared[i].N();
      const bool repeated = length && *length >= 0 && !given->is_array() && !given->is_null();
      arguments_.emplace_back(repeated ? json(static_cast<std::size_t>(*length), *given) : *given, declared[i].type(),
                              tensors, sizes);
    } catch (const Error& error) {
      fail(error.code(), name_, ", argument \"", declared[i].name(), "\": ", error.what());
    }
  }
  TORCHTRT_CHECK(used == keywords.size(), kInvalidArgument, name_, " does not know every one of the keywords ",
                 keywords.dump());
  for (const OperatorArgument& argument : arguments_) argument.collect(tensors_, sizes_);
  sort_out(tensors_);
  sort_out(sizes_);
}

std::vector<at::Tensor> OperatorCall::operator()(const Operands& operands) const {
  std::vector<c10::IValue> stack;
  stack.reserve(arguments_.size());
  for (const OperatorArgument& argument : arguments_) stack.push_back(argument.value(operands));
  op_.callBoxed(&stack);
  std::vector<at::Tensor> results;
  for (const c10::IValue& value : stack) {
    if (value.isTensorList()) {
      const std::vector<at::Tensor> list = value.toTensorVector();
      results.insert(results.end(), list.begin(), list.end());
    } else {
      results.push_back(value.isTensor() ? value.toTensor() : at::Tensor());
    }
  }
  return results;
}

}  // namespace torchtrt::torch_adapter
