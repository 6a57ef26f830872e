// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <torchtrt/converters/context.h>

/// The families of operators, one file each (convert_<family>.cpp). A new family is a line here and one in table.cpp.
namespace torchtrt::converters {

std::span<const TableRow> activation_rows();
std::span<const TableRow> attention_rows();
std::span<const TableRow> cast_rows();
std::span<const TableRow> convolution_rows();
std::span<const TableRow> creation_rows();
std::span<const TableRow> elementwise_rows();
std::span<const TableRow> indexing_rows();
std::span<const TableRow> matmul_rows();
std::span<const TableRow> normalization_rows();
std::span<const TableRow> ordering_rows();
std::span<const TableRow> pooling_rows();
std::span<const TableRow> reduction_rows();
std::span<const TableRow> resize_rows();
std::span<const TableRow> selection_rows();
std::span<const TableRow> shape_rows();
std::span<const TableRow> unary_rows();
std::span<const TableRow> unique_rows();

}  // namespace torchtrt::converters
