// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <torchtrt/base/dtype.h>
#include <torchtrt/network/network.h>

/// The elements of constants in texts.
namespace torchtrt::network {

/// Constants beyond this many elements are printed as a digest.
inline constexpr std::size_t kMaxPrintedElements = 16;

/// The shortest number that reads back as the same bits ("-1", "0.1", "inf", "nan", "true"); where there is none (a NaN
/// with a payload, float8), the bit pattern: "0x7fc00001". `element` points to size_of(dtype) bytes, unaligned.
std::string element_text(DataType dtype, const void* element);

/// The inverse; floating values are rounded to `dtype`. Error(kInvalidArgument) for text that is no such element.
void read_element(DataType dtype, const std::string& text, void* element);

/// What stands for elements that are not in the text. Pages that nobody touches take no memory. Error(kInvalidArgument)
/// where there is no address space for them.
Weights zero_weights(std::size_t bytes);

}  // namespace torchtrt::network
