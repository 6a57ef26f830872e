// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include <torchtrt/base/export.h>

namespace torchtrt {

/// What kind of thing went wrong. The Python binding and the torch adapter choose the Python exception type from it.
enum class ErrorCode {
  kInvalidArgument,   ///< The caller passed something that can never work (ValueError).
  kTypeMismatch,      ///< A wrong dtype or a wrong kind of object (TypeError).
  kOutOfRange,        ///< A dimension or value outside the range that was compiled (ValueError).
  kUnsupported,       ///< Valid, but no engine can do it (RuntimeError).
  kIncompatibleMode,  ///< Runtime modes that exclude each other (RuntimeError).
  kNotFound,          ///< A file, library or backend is missing (FileNotFoundError / RuntimeError).
  kVersionMismatch,   ///< A file or a vendor library of a version that cannot be used (RuntimeError).
  kDataLoss,          ///< Truncated, corrupted or foreign bytes (RuntimeError).
  kInternal,          ///< A broken invariant: a defect of torchtrt or of a vendor library (RuntimeError).
  kCancelled,         ///< The caller wanted no more of it (RuntimeError).
};

/// Returns the enumerator's name without its `k`, for messages and tests.
TORCHTRT_API const char* to_string(ErrorCode code);

/// The one exception type that torchtrt's C++ code throws. The message says what was expected, what came, and what to
/// do; it is complete on its own and needs no context from the log.
class TORCHTRT_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

namespace detail {
/// Writes numbers as C++ does, whatever the process's locale: no separators of thousands, no decimal commas.
struct TextStream : std::ostringstream {
  TextStream() { imbue(std::locale::classic()); }
};

template <typename... Parts>
std::string concat(const Parts&... parts) {
  TextStream out;
  (out << ... << parts);
  return out.str();
}
}  // namespace detail

/// Throws an Error whose message is the concatenation of `parts`.
template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, detail::concat(parts...));
}

/// Throws an Error unless `condition` holds. The parts are formatted only on failure.
#define TORCHTRT_CHECK(condition, code, ...)              \
  do {                                                    \
    if (!(condition)) [[unlikely]] {                      \
      ::torchtrt::fail(::torchtrt::ErrorCode::code, __VA_ARGS__); \
    }                                                     \
  } while (false)

}  // namespace torchtrt
