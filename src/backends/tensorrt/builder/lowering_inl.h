// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torchtrt/base/error.h>

#include "backends/tensorrt/builder/lowering.h"
#include "backends/tensorrt/compat/version.h"
#include "backends/tensorrt/logger.h"

namespace torchtrt::tensorrt {

template <typename TrtLayer>
TrtLayer* Lowering::checked(TrtLayer* layer) {
  TORCHTRT_CHECK(layer != nullptr, kUnsupported, compat::kProductName, " refuses the ",
                 current_ == nullptr ? "network" : network::kind_name(current_->op), " layer \"",
                 current_ == nullptr ? "" : current_->name, "\": ", Logger::take_errors());
  return layer;
}

}  // namespace torchtrt::tensorrt
