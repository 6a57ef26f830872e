// SPDX-License-Identifier: Apache-2.0
#include <torchtrt/base/error.h>

namespace torchtrt {

const char* to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument: return "InvalidArgument";
    case ErrorCode::kTypeMismatch: return "TypeMismatch";
    case ErrorCode::kOutOfRange: return "OutOfRange";
    case ErrorCode::kUnsupported: return "Unsupported";
    case ErrorCode::kIncompatibleMode: return "IncompatibleMode";
    case ErrorCode::kNotFound: return "NotFound";
    case ErrorCode::kVersionMismatch: return "VersionMismatch";
    case ErrorCode::kDataLoss: return "DataLoss";
    case ErrorCode::kInternal: return "Internal";
    case ErrorCode::kCancelled: return "Cancelled";
  }
  return "Unknown";
}

}  // namespace torchtrt
