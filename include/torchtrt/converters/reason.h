// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <torchtrt/backend/builder.h>
#include <torchtrt/base/error.h>

namespace torchtrt::converters {

using backend::Reason;
using backend::Refusal;

/// Thrown inside a converter (and only there) to say why the node stays in PyTorch; caught in one place, the driver.
class Refused {
 public:
  Refused(Reason reason, std::string message) : refusal_{reason, std::move(message)} {}
  [[nodiscard]] const Refusal& refusal() const noexcept { return refusal_; }

 private:
  Refusal refusal_;
};

/// Throws Refused with the concatenation of `parts`.
template <typename... Parts>
[[noreturn]] void refuse(Reason reason, const Parts&... parts) {
  throw Refused(reason, ::torchtrt::detail::concat(parts...));
}

}  // namespace torchtrt::converters
