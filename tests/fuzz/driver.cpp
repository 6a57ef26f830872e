// SPDX-License-Identifier: Apache-2.0
// Stands in for libFuzzer where the compiler has none: mutates the seeds without looking at coverage, for a given time.
//
//   <program> [-max_total_time=<seconds>] [-seed=<number>] <folder or file>...
//
// What made it crash is left in ./crash-input.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

using Bytes = std::vector<std::uint8_t>;
Bytes current;

void save_current() {
  std::ofstream("crash-input", std::ios::binary)
      .write(reinterpret_cast<const char*>(current.data()), static_cast<std::streamsize>(current.size()));
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class Mutator {
 public:
  Mutator(std::vector<Bytes> seeds, unsigned seed) : seeds_(std::move(seeds)), random_(seed) {}

  /// A seed with a few random changes.
  Bytes next() {
    Bytes bytes = seeds_[below(seeds_.size())];
    for (std::size_t changes = 1 + below(8); changes > 0; --changes) change(bytes);
    return bytes;
  }

 private:
  std::size_t below(std::size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void change(Bytes& bytes) {
    const std::size_t at = below(bytes.size() + 1);
    const auto position = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(6)) {
      case 0:
        if (at < bytes.size()) bytes[at] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 1: bytes.insert(position, static_cast<std::uint8_t>(below(256))); break;
      case 2:  // leave something out
        bytes.erase(position,
                    position + static_cast<std::ptrdiff_t>(below(std::min<std::size_t>(16, bytes.size() - at) + 1)));
        break;
      case 3:  // truncate
        if (below(8) == 0) bytes.resize(at);
        break;
      case 4: {  // a piece of another seed
        const Bytes& other = seeds_[below(seeds_.size())];
        const std::size_t from = below(other.size()), count = below(std::min<std::size_t>(64, other.size() - from) + 1);
        const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
        bytes.insert(position, begin, begin + static_cast<std::ptrdiff_t>(count));
        break;
      }
      default: {  // numbers at the edges
        static const char* const kNumbers[] = {"0",          "-1",   "9223372036854775807", "-9223372036854775808",
                                               "4294967296", "1e999"};
        const std::string number = kNumbers[below(std::size(kNumbers))];
        bytes.insert(position, number.begin(), number.end());
      }
    }
  }

  std::vector<Bytes> seeds_;
  std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
  double seconds = 10;
  unsigned seed = 1;
  std::vector<Bytes> seeds;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("-max_total_time=")) {
      seconds = std::stod(argument.substr(16));
    } else if (argument.starts_with("-seed=")) {
      seed = static_cast<unsigned>(std::stoul(argument.substr(6)));
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::directory_iterator(argument)) seeds.push_back(read_file(entry.path()));
    } else {
      seeds.push_back(read_file(argument));
    }
  }
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds given\n");
    return 2;
  }
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save_current);
  std::set_terminate([] {
    save_current();
    std::abort();
  });
  for (const Bytes& bytes : seeds) {
    current = bytes;
    LLVMFuzzerTestOneInput(current.data(), current.size());
  }
  Mutator mutator(std::move(seeds), seed);
  std::uint64_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    current = mutator.next();
    LLVMFuzzerTestOneInput(current.data(), current.size());
  }
  std::printf("%llu inputs in %.0f s\n", static_cast<unsigned long long>(runs), seconds);
  return 0;
}
