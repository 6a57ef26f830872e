// SPDX-License-Identifier: Apache-2.0
#include "converters/families.h"

namespace torchtrt::converters {

std::span<const TableRow> ordering_rows() { return {}; }

}  // namespace torchtrt::converters
