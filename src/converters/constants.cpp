// SPDX-License-Identifier: Apache-2.0
#include "converters/constants.h"

#include <cstring>
#include <memory>
#include <utility>

#include "base/half.h"

namespace torchtrt::converters {
namespace {

template <typename T>
network::Weights own(std::vector<T> elements) {
  const auto storage = std::make_shared<const std::vector<T>>(std::move(elements));
  return {std::shared_ptr<const void>(storage, storage->data()), storage->size() * sizeof(T)};
}

template <typename T, typename Function>
auto transform(const std::vector<T>& from, Function function) {
  std::vector<decltype(function(from[0]))> to;
  to.reserve(from.size());
  for (const T& element : from) to.push_back(function(element));
  return to;
}

template <typename T>
std::vector<T> copy(const network::Weights& weights) {
  std::vector<T> elements(weights.bytes / sizeof(T));
  if (!elements.empty()) std::memcpy(elements.data(), weights.data.get(), elements.size() * sizeof(T));
  return elements;
}

}  // namespace

std::optional<std::vector<float>> read_floats(const Network& net, ValueId value) {
  const network::Weights* weights = net.constant(value);
  if (weights == nullptr) return std::nullopt;
  switch (net.value(value).dtype) {
    case DataType::kFloat32: return copy<float>(*weights);
    case DataType::kFloat16: return transform(copy<std::uint16_t>(*weights), from_float16);
    case DataType::kBFloat16: return transform(copy<std::uint16_t>(*weights), from_bfloat16);
    default: return std::nullopt;
  }
}

std::optional<double> read_number(const Network& net, ValueId value) {
  const network::Weights* weights = net.constant(value);
  const DataType dtype = net.value(value).dtype;
  if (weights == nullptr || volume(net.value(value).dims) != Expr(1)) return std::nullopt;
  const auto as = [&]<typename T>(T) -> std::optional<double> { return static_cast<double>(copy<T>(*weights)[0]); };
  switch (dtype) {
    case DataType::kFloat64: return as(double());
    case DataType::kInt64: return as(std::int64_t());
    case DataType::kInt32: return as(std::int32_t());
    case DataType::kInt16: return as(std::int16_t());
    case DataType::kInt8: return as(std::int8_t());
    case DataType::kUInt8: return as(std::uint8_t());
    default: break;
  }
  const std::optional<std::vector<float>> floats = read_floats(net, value);
  return floats ? std::optional<double>((*floats)[0]) : std::nullopt;
}

ValueId add_floats(Network& net, Dims dims, DataType dtype, const std::vector<float>& elements) {
  network::Weights weights;
  switch (dtype) {
    case DataType::kFloat32: weights = own(elements); break;
    case DataType::kFloat16: weights = own(transform(elements, to_float16)); break;
    case DataType::kBFloat16: weights = own(transform(elements, to_bfloat16)); break;
    default: fail(ErrorCode::kInternal, "no folded constants of dtype ", to_string(dtype));
  }
  return net.add_constant(std::move(dims), dtype, std::move(weights));
}

ValueId add_integers(Network& net, const std::vector<std::int64_t>& elements) {
  return net.add_constant({Expr(static_cast<std::int64_t>(elements.size()))}, DataType::kInt64, own(elements));
}

ValueId view_as(Network& net, ValueId value, Dims dims) {
  if (net.value(value).dims == dims) return value;
  if (const network::Weights* weights = net.constant(value); weights != nullptr && is_static(dims)) {
    return net.add_constant(std::move(dims), net.value(value).dtype, *weights);
  }
  return net.add_reshape(value, std::move(dims));
}

}  // namespace torchtrt::converters
