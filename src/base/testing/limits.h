// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>
#include <string>

#include <gtest/gtest.h>
#include <torchtrt/base/error.h>

namespace torchtrt::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;  // Slower, and its shadow takes the address space.
#else
inline constexpr bool kSanitized = false;
#endif

/// What a reader may take for a file of `size` bytes: memory and time grow with it, and not faster.
constexpr std::size_t allowed_bytes(std::size_t size) { return (std::size_t{32} << 20) + 256 * size; }
constexpr rlim_t allowed_seconds(std::size_t size) { return (2 + size / 250'000) * (kSanitized ? 10 : 1); }

/// Runs `read` in a child process that may take allowed_bytes(size) of address space more than this one has, and
/// allowed_seconds(size) of processor time. It has to return or to throw an Error.
template <typename Function>
void expect_within_limits(std::size_t size, Function&& read) {
  enum Result : int { kRead = 0, kRefused = 1, kNoMemory = 2, kOther = 3 };
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto set = [](auto what, rlim_t value) {
      const rlimit limit{value, value};
      ::setrlimit(what, &limit);
    };
    set(RLIMIT_CORE, 0);
    set(RLIMIT_CPU, allowed_seconds(size));
    if (!kSanitized) set(RLIMIT_AS, pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + allowed_bytes(size));
    Result result = kRead;
    try {
      read();
    } catch (const Error&) {
      result = kRefused;
    } catch (const std::bad_alloc&) {
      result = kNoMemory;
    } catch (...) {
      result = kOther;
    }
    std::_Exit(result);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_FALSE(WIFSIGNALED(status)) << size << " bytes: signal " << WTERMSIG(status) << " ("
                                    << (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL ? "out of time" : "")
                                    << ")";
  EXPECT_NE(WEXITSTATUS(status), kNoMemory)
      << size << " bytes: more than " << allowed_bytes(size) << " bytes of memory";
  EXPECT_LT(WEXITSTATUS(status), kNoMemory);
}

}  // namespace torchtrt::testing
