// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include <torchtrt/base/error.h>

namespace torchtrt::backend {

/// What Builder::build throws where one layer of the network is to blame: the vendor's library does not take it, although
/// check() did. The compiler leaves that layer's operator in PyTorch and tries again.
class TORCHTRT_API LayerError : public Error {
 public:
  LayerError(std::string layer, const std::string& message)
      : Error(ErrorCode::kUnsupported, message), layer_(std::move(layer)) {}
  /// Its name in the network.
  [[nodiscard]] const std::string& layer() const noexcept { return layer_; }

 private:
  std::string layer_;
};

}  // namespace torchtrt::backend
