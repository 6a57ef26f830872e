// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace torchtrt::backend {

/// Where an engine's weights are. Those that are not on the GPU are copied there while the engine runs. All in bytes.
struct WeightStreaming {
  std::int64_t streamable = 0;  ///< Weights that can stay in host memory; 0: none.
  std::int64_t budget = 0;      ///< How many of them are kept on the GPU; `streamable`: nothing is streamed.
  std::int64_t automatic = 0;   ///< The budget that the vendor's library proposes for the memory that is free now.

  bool operator==(const WeightStreaming&) const = default;
};

}  // namespace torchtrt::backend
