// SPDX-License-Identifier: Apache-2.0
#include "network/elements.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include <torchtrt/base/error.h>

#include "base/half.h"

namespace torchtrt::network {
namespace {

// Whether all of `text` is a number; hexadecimal ones without their 0x.
template <typename T, typename... Base>
std::optional<T> to_number(std::string_view text, Base... base) {
  T number{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, base...);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

template <typename T>
std::string to_text(T number) {
  char buffer[40];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, number).ptr};
}

template <typename T>
T load(const void* element) {
  T value{};
  std::memcpy(&value, element, sizeof value);
  return value;
}

template <typename T>
bool store(std::optional<T> value, void* element) {
  if (value) std::memcpy(element, &*value, sizeof *value);
  return value.has_value();
}

std::optional<std::uint16_t> to_half(const std::string& text, std::uint16_t (*convert)(float)) {
  const auto number = to_number<float>(text);
  return number ? std::optional(convert(*number)) : std::nullopt;
}

// The element as a number, which need not say all of it; empty where the dtype has no such text.
std::string number_text(DataType dtype, const void* element) {
  switch (dtype) {
    case DataType::kFloat64: return to_text(load<double>(element));
    case DataType::kFloat32: return to_text(load<float>(element));
    case DataType::kFloat16: return to_text(from_float16(load<std::uint16_t>(element)));
    case DataType::kBFloat16: return to_text(from_bfloat16(load<std::uint16_t>(element)));
    case DataType::kInt64: return to_text(load<std::int64_t>(element));
    case DataType::kInt32: return to_text(load<std::int32_t>(element));
    case DataType::kInt16: return to_text(load<std::int16_t>(element));
    case DataType::kInt8: return to_text(static_cast<int>(load<std::int8_t>(element)));
    case DataType::kUInt8: return to_text(static_cast<int>(load<std::uint8_t>(element)));
    case DataType::kBool: return load<std::uint8_t>(element) != 0 ? "true" : "false";
    case DataType::kFloat8E4M3: return "";
  }
  return "";
}

bool read_number(DataType dtype, const std::string& text, void* element) {
  switch (dtype) {
    case DataType::kFloat64: return store(to_number<double>(text), element);
    case DataType::kFloat32: return store(to_number<float>(text), element);
    case DataType::kFloat16: return store(to_half(text, to_float16), element);
    case DataType::kBFloat16: return store(to_half(text, to_bfloat16), element);
    case DataType::kInt64: return store(to_number<std::int64_t>(text), element);
    case DataType::kInt32: return store(to_number<std::int32_t>(text), element);
    case DataType::kInt16: return store(to_number<std::int16_t>(text), element);
    case DataType::kInt8: return store(to_number<std::int8_t>(text), element);
    case DataType::kUInt8: return store(to_number<std::uint8_t>(text), element);
    case DataType::kBool:
      return (text == "true" || text == "false") && store(std::optional<std::uint8_t>(text == "true"), element);
    case DataType::kFloat8E4M3: return false;
  }
  return false;
}

}  // namespace

std::string element_text(DataType dtype, const void* element) {
  const std::string number = number_text(dtype, element);
  unsigned char read_back[8];
  if (!number.empty() && read_number(dtype, number, read_back) &&
      std::memcmp(read_back, element, size_of(dtype)) == 0) {
    return number;
  }
  std::uint64_t bits = 0;
  std::memcpy(&bits, element, size_of(dtype));
  char buffer[24];
  return "0x" + std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, bits, 16).ptr);
}

void read_element(DataType dtype, const std::string& text, void* element) {
  if (!text.starts_with("0x")) {
    TORCHTRT_CHECK(read_number(dtype, text, element), kInvalidArgument, "\"", text, "\" is no ", to_string(dtype));
    return;
  }
  const auto bits = to_number<std::uint64_t>(std::string_view(text).substr(2), 16);
  const std::size_t size = size_of(dtype);
  TORCHTRT_CHECK(bits && (size == 8 || *bits >> (8 * size) == 0), kInvalidArgument, "\"", text,
                 "\" is no bit pattern of ", to_string(dtype));
  std::memcpy(element, &*bits, size);
}

Weights zero_weights(std::size_t bytes) {
  std::shared_ptr<void> storage(std::calloc(std::max<std::size_t>(bytes, 1), 1), &std::free);
  TORCHTRT_CHECK(storage != nullptr, kInvalidArgument, "no memory for a constant of ", bytes, " bytes");
  return {std::move(storage), bytes};
}

}  // namespace torchtrt::network
