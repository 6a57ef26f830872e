// SPDX-License-Identifier: Apache-2.0
// The file of a runtime cache: damage, other identities, several caches and processes; and what inspection makes of
// TensorRT's words. Fakes take the library's place.
#include "backends/tensorrt/executor/runtime_cache.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include <torchtrt/base/error.h>
#include <torchtrt/base/log.h>
#include <nlohmann/json.hpp>

#include "backends/tensorrt/executor/inspection.h"

namespace torchtrt::tensorrt {
namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

struct FakeNative final : NativeCache {
  bool load(std::span<const std::byte> bytes) override {
    if (refuses) return false;
    kernels.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  }
  std::vector<std::byte> serialize() override { return bytes_of(kernels); }
  std::string kernels;
  bool refuses = false;
};

class RuntimeCacheTest : public ::testing::Test {
 protected:
  RuntimeCacheTest() : folder(std::filesystem::temp_directory_path() / ("runtime_cache_" + std::to_string(getpid()))) {
    std::filesystem::create_directories(folder);
    path = folder / "cache";
    set_log_sink([this](LogLevel level, const std::string& line) {
      if (level == LogLevel::kWarning) warnings.push_back(line);
    });
  }
  ~RuntimeCacheTest() override {
    set_log_sink(nullptr);
    std::filesystem::remove_all(folder);
  }

  static FakeNative& fake(RuntimeCache& cache) { return static_cast<FakeNative&>(cache.native()); }
  [[nodiscard]] std::unique_ptr<RuntimeCache> make(const std::string& identity = "RTX 1", bool refuses = false) const {
    auto native = std::make_unique<FakeNative>();
    native->refuses = refuses;
    return std::make_unique<RuntimeCache>(path, identity, std::move(native));
  }
  void save(const std::string& kernels, const std::string& identity = "RTX 1") const {
    const auto cache = make(identity);
    fake(*cache).kernels = kernels;
    cache->save();
  }
  [[nodiscard]] std::string loaded(const std::string& identity = "RTX 1") const {
    return fake(*make(identity)).kernels;
  }
  [[nodiscard]] std::string file() const {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void write(const std::string& contents) const { std::ofstream(path, std::ios::binary) << contents; }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }

  std::filesystem::path folder, path;
  std::vector<std::string> warnings;
};

TEST_F(RuntimeCacheTest, KeepsKernelsForTheNextProcess) {
  EXPECT_EQ(loaded(), "");
  save("abc");
  EXPECT_EQ(loaded(), "abc");
  save("abcdef");
  EXPECT_EQ(loaded(), "abcdef");
  EXPECT_EQ(files(), 1U) << "nothing is left beside it";
  EXPECT_TRUE(warnings.empty());
}

TEST_F(RuntimeCacheTest, IsWrittenOnlyIfItGrew) {
  make()->save();
  EXPECT_FALSE(std::filesystem::exists(path)) << "there was nothing to keep";
  save("abc");
  const auto before = std::filesystem::last_write_time(path);
  const auto cache = make();
  cache->save();
  EXPECT_EQ(std::filesystem::last_write_time(path), before);
  save("ab");  // a process that knew less
  EXPECT_EQ(loaded(), "abc");
}

TEST_F(RuntimeCacheTest, OfAnotherReleaseOrGpuIsReplaced) {
  save("of another release", "RTX 1");
  EXPECT_EQ(loaded("RTX 2"), "");
  save("new", "RTX 2");
  EXPECT_EQ(loaded("RTX 2"), "new") << "though it is smaller";
  EXPECT_TRUE(warnings.empty()) << "nothing is wrong";
}

TEST_F(RuntimeCacheTest, DamageIsAWarningAndAFreshOne) {
  save("abcdef");
  const std::string good = file();
  for (std::size_t size = 1; size < good.size(); ++size) {
    write(good.substr(0, size));
    EXPECT_EQ(loaded(), "") << size;
  }
  EXPECT_EQ(warnings.size(), good.size() - 1);
  for (std::size_t at = 8; at < good.size(); ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
    write(damaged);
    EXPECT_EQ(loaded(), "") << at;
  }
  EXPECT_EQ(warnings.size(), 2 * good.size() - 9);
  EXPECT_NE(warnings.back().find("is damaged; a fresh one will replace it"), std::string::npos);
  save("x");
  EXPECT_EQ(loaded(), "x");
}

TEST_F(RuntimeCacheTest, WhatTheLibraryRefusesIsReplaced) {
  save("by another driver");
  const auto cache = make("RTX 1", /*refuses=*/true);
  EXPECT_EQ(warnings.size(), 1U);
  fake(*cache).kernels = "new";
  cache->save();
  EXPECT_EQ(loaded(), "new");
}

TEST_F(RuntimeCacheTest, WhatWasNeverACacheStays) {
  write("a model, say");
  try {
    static_cast<void>(make());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("is no runtime cache"), std::string::npos);
  }
  EXPECT_EQ(file(), "a model, say");
}

TEST_F(RuntimeCacheTest, AFolderThatIsNotThere) {
  const auto cache = std::make_unique<RuntimeCache>(folder / "none" / "cache", "RTX 1", std::make_unique<FakeNative>());
  fake(*cache).kernels = "abc";
  try {
    cache->save();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  }
}

TEST_F(RuntimeCacheTest, EnginesOfOneProcessShareIt) {
  int made = 0;
  const auto create = [&made]() -> std::unique_ptr<NativeCache> {
    ++made;
    return std::make_unique<FakeNative>();
  };
  const auto first = RuntimeCache::open(path, "RTX 1", create);
  const auto second = RuntimeCache::open(folder / "." / "cache", "RTX 1", create);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, RuntimeCache::open(path, "RTX 2", create)) << "another GPU's";
  EXPECT_EQ(made, 2);
}

TEST_F(RuntimeCacheTest, ProcessesThatWriteAtOnceLeaveAWholeFile) {
  std::vector<pid_t> children;
  for (int child = 0; child < 4; ++child) {
    const pid_t pid = fork();
    if (pid == 0) {
      set_log_sink(nullptr);
      for (std::size_t size = 1; size < 200; ++size) save(std::string(size * 100, 'k'));
      _exit(0);
    }
    children.push_back(pid);
  }
  for (int look = 0; look < 200; ++look) {
    const std::string kernels = loaded();
    EXPECT_EQ(kernels, std::string(kernels.size(), 'k'));
  }
  for (const pid_t pid : children) {
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(loaded(), std::string(19900, 'k'));
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(warnings.empty());
}

TEST(Inspection, OfWhatTensorRtSays) {
  const auto parsed = [](const char* text) {
    return nlohmann::json::parse(describe(text, "net", "tensorrt", "11.2.1"));
  };
  const nlohmann::json result = parsed(R"({"Layers": ["conv + relu", {"Name": "fc"}], "Bindings": ["x", "y"]})");
  EXPECT_EQ(result, nlohmann::json::parse(R"({"engine":"net","backend":"tensorrt","version":"11.2.1",
      "layers":["conv + relu",{"Name":"fc"}],"bindings":["x","y"]})"));
  for (const char* other : {"", "no JSON", "[1]"}) {
    EXPECT_EQ(parsed(other)["text"], other);
    EXPECT_TRUE(parsed(other)["layers"].is_null());
  }
}

}  // namespace
}  // namespace torchtrt::tensorrt
