// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <span>

#include <torchtrt/converters/context.h>
#include "converters/families.h"

namespace torchtrt::converters {
namespace {

std::vector<TableRow> merge() {
  std::vector<TableRow> rows;
  for (const std::span<const TableRow> family :
       {activation_rows(), attention_rows(), cast_rows(), convolution_rows(), creation_rows(), elementwise_rows(),
        indexing_rows(), matmul_rows(), normalization_rows(), ordering_rows(), pooling_rows(), reduction_rows(),
        resize_rows(), selection_rows(), shape_rows(), unary_rows(), unique_rows()}) {
    rows.insert(rows.end(), family.begin(), family.end());
  }
  std::sort(rows.begin(), rows.end(), [](const TableRow& a, const TableRow& b) { return a.target < b.target; });
  for (std::size_t i = 1; i < rows.size(); ++i) {
    TORCHTRT_CHECK(rows[i - 1].target != rows[i].target, kInternal, rows[i].target, " has two converters");
  }
  return rows;
}

}  // namespace

const std::vector<TableRow>& table() {
  static const std::vector<TableRow> rows = merge();
  return rows;
}

}  // namespace torchtrt::converters
