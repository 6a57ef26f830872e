// SPDX-License-Identifier: Apache-2.0
// Stands in for libFuzzer where the compiler has none: mutates the seeds without looking at coverage, for a given time.
// Without seeds the inputs are random bytes.
//
//   <program> [-max_total_time=<seconds>] [-seed=<number>] [<folder or file>...]
//
// What made it crash is left in ./crash-input.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
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

/// The seeds in a file: its bytes, or the cases of a text of cases (src/base/testing/text_cases.h).
void read_seeds(const std::filesystem::path& path, std::vector<Bytes>& seeds) {
  const Bytes bytes = read_file(path);
  if (path.extension() != ".txt") {
    seeds.push_back(bytes);
    return;
  }
  std::istringstream lines(std::string(bytes.begin(), bytes.end()));
  Bytes seed;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("===") || line == "---") {
      if (!seed.empty()) seeds.push_back(std::move(seed));
      seed.clear();
    } else {
      seed.insert(seed.end(), line.begin(), line.end());
      seed.push_back('\n');
    }
  }
  seeds.push_back(std::move(seed));
}

class Mutator {
 public:
  Mutator(std::vector<Bytes> seeds, unsigned seed) : seeds_(std::move(seeds)), random_(seed) {}

  /// A seed with a few random changes, or random bytes.
  Bytes next() {
    if (seeds_.empty()) {
      Bytes random(below(128));
      std::generate(random.begin(), random.end(), [&] { return static_cast<std::uint8_t>(below(256)); });
      return random;
    }
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
      default: {  // numbers at the edges, and what expressions are made of
        static const char* const kTokens[] = {"0",
                                              "-1",
                                              "9223372036854775807",
                                              "-9223372036854775808",
                                              "1e999",
                                              "-",
                                              "4294967296",
                                              "9223372036854775808",
                                              "(",
                                              ")",
                                              "*",
                                              "//",
                                              "%",
                                              "max(1,",
                                              "s0"};
        const std::string token = kTokens[below(std::size(kTokens))];
        bytes.insert(position, token.begin(), token.end());
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
  std::vector<std::filesystem::path> paths;
  std::vector<Bytes> seeds;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("-max_total_time=")) {
      seconds = static_cast<double>(std::stoul(argument.substr(16)));
    } else if (argument.starts_with("-seed=")) {
      seed = static_cast<unsigned>(std::stoul(argument.substr(6)));
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::directory_iterator(argument)) paths.push_back(entry.path());
    } else if (std::filesystem::exists(argument)) {
      paths.emplace_back(argument);
    } else {
      std::fprintf(stderr, "there is no seed %s\n", argument.c_str());
      return 2;
    }
  }
  std::sort(paths.begin(), paths.end());  // so that a number repeats a run
  for (const auto& path : paths) read_seeds(path, seeds);
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
