// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include <torchtrt/converters/context.h>

/// Arithmetic on constants while converting, so that engines get the folded result instead of the steps to it.
namespace torchtrt::converters {

/// The elements of a floating constant as float32; nullopt for a value that is not a constant or is float64 or float8.
std::optional<std::vector<float>> read_floats(const Network& net, ValueId value);

/// The element of a constant that has one and is a number (not bool, not float8); nullopt for others.
std::optional<double> read_number(const Network& net, ValueId value);

/// A constant of a floating dtype; elements are rounded to it (to nearest, ties to even). `dims` are static.
ValueId add_floats(Network& net, Dims dims, DataType dtype, const std::vector<float>& elements);

/// An int64 constant of rank 1.
ValueId add_integers(Network& net, const std::vector<std::int64_t>& elements);

/// The value under `dims`, which has the same volume: a constant stays one (it shares the elements), anything else is
/// reshaped.
ValueId view_as(Network& net, ValueId value, Dims dims);

}  // namespace torchtrt::converters
