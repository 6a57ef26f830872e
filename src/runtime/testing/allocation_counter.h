// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

/// Counts what operator new is asked for. Include it in exactly one file of a program: it replaces the program's operator
/// new, which all shared libraries of the process use as well.
namespace torchtrt::runtime::testing {

/// Allocations of the calling thread since the object was made.
class AllocationCounter {
 public:
  AllocationCounter() : start_(total()) {}
  [[nodiscard]] std::size_t count() const { return total() - start_; }

  /// Called at each allocation of the calling thread, if set. It may allocate: that is not counted.
  static void (*&observer())() {
    static thread_local void (*function)() = nullptr;
    return function;
  }
  static void* allocate(std::size_t bytes, std::size_t alignment) {
    ++total();
    if (void (*const function)() = observer(); function != nullptr) {
      const std::size_t before = total();
      observer() = nullptr;
      function();
      observer() = function;
      total() = before;
    }
    void* memory = alignment <= alignof(std::max_align_t)
                       ? std::malloc(bytes == 0 ? 1 : bytes)
                       : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }

 private:
  static std::size_t& total() {
    static thread_local std::size_t count = 0;
    return count;
  }
  std::size_t start_;
};

}  // namespace torchtrt::runtime::testing

// The other forms call these; the address sanitizer's form that does not throw would not.
void* operator new(std::size_t bytes) { return torchtrt::runtime::testing::AllocationCounter::allocate(bytes, 1); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return ::operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return torchtrt::runtime::testing::AllocationCounter::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
