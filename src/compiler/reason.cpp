// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/backend/builder.h>

namespace torchtrt::backend {

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::kNoConverter: return "NO_CONVERTER";
    case Reason::kAttribute: return "ATTRIBUTE";
    case Reason::kDataType: return "DATA_TYPE";
    case Reason::kDynamicShape: return "DYNAMIC_SHAPE";
    case Reason::kDataDependent: return "DATA_DEPENDENT";
    case Reason::kBackend: return "BACKEND";
    case Reason::kAliasing: return "ALIASING";
    case Reason::kUser: return "USER";
    case Reason::kBlockSize: return "BLOCK_SIZE";
    case Reason::kBuildFailure: return "BUILD_FAILURE";
  }
  return "UNKNOWN";
}

}  // namespace torchtrt::backend
