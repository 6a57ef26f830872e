// SPDX-License-Identifier: Apache-2.0
#include "backends/tensorrt/builder/timing_cache.h"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "backends/tensorrt/testing/layers/harness.h"

namespace torchtrt::tensorrt {
namespace {

using testing::Log;

class TimingCacheTest : public ::testing::Test {
 protected:
  TimingCacheTest() { std::filesystem::create_directories(folder); }
  ~TimingCacheTest() override { std::filesystem::remove_all(folder); }

  /// What the builder gets from the file, one after the other, if it takes `accepted` and fresh caches.
  std::vector<std::string> offered(const std::string& accepted) {
    std::vector<std::string> result;
    read_timing_cache(path, [&](std::span<const std::byte> bytes) {
      result.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return bytes.empty() || result.back() == accepted;
    });
    return result;
  }
  /// Writes `text`, and before it what others have written since `read`.
  void write(const std::string& text, const std::string& read = "") const {
    std::string all = text;
    write_timing_cache(
        path, std::as_bytes(std::span(read)),
        [&](std::span<const std::byte> others) {
          all.insert(0, reinterpret_cast<const char*>(others.data()), others.size());
        },
        [&] {
          const auto bytes = std::as_bytes(std::span(all));
          return std::vector<std::byte>(bytes.begin(), bytes.end());
        });
  }
  [[nodiscard]] std::string content() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  /// But for the lock.
  [[nodiscard]] std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      count += entry.is_regular_file() && entry.path().extension() != ".lock";
    }
    return count;
  }

  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("torchtrt_timing_" + std::to_string(::getpid()));
  std::string path = (folder / "new" / "cache.bin").string();
};

TEST_F(TimingCacheTest, IsMadeReadAndReplaced) {
  Log log;
  EXPECT_EQ(offered(""), std::vector<std::string>{""}) << "no file: a fresh one";
  write("timings");
  EXPECT_EQ(content(), "timings");
  EXPECT_EQ(offered("timings"), std::vector<std::string>{"timings"});
  write("more timings", "timings");
  EXPECT_EQ(content(), "more timings");
  EXPECT_EQ(files(), 1U) << "the temporary file is gone";
  EXPECT_EQ(log.lines(), "");
}

TEST_F(TimingCacheTest, WhatOthersWroteStays) {
  write("a");
  write("b");
  EXPECT_EQ(content(), "ab");
}

TEST_F(TimingCacheTest, ThreadsLoseNothing) {
  std::vector<std::thread> threads;
  for (char letter = 'a'; letter < 'i'; ++letter) {
    threads.emplace_back([this, letter] { write(std::string(100, letter)); });
  }
  for (std::thread& thread : threads) thread.join();
  std::string all = content();
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all.size(), 800U);
  EXPECT_EQ(std::unique(all.begin(), all.end()) - all.begin(), 8);
}

TEST_F(TimingCacheTest, AFolderHasAFileForEachReleaseAndGpu) {
  EXPECT_EQ(timing_cache_file("", "TensorRT 10.6.0", "NVIDIA H200"), "");
  EXPECT_EQ(timing_cache_file("/nowhere/cache", "TensorRT 10.6.0", "NVIDIA H200"), "/nowhere/cache");
  EXPECT_EQ(timing_cache_file("/nowhere/cache/", "TensorRT 10.6.0", "NVIDIA H200"),
            "/nowhere/cache/TensorRT_10.6.0-NVIDIA_H200.timings");
  EXPECT_EQ(timing_cache_file(folder.string(), "TensorRT 11.2.1", "a/../b"),
            (folder / "TensorRT_11.2.1-a_.._b.timings").string());
}

TEST_F(TimingCacheTest, ADamagedOneIsReplaced) {
  Log log;
  write("junk");
  EXPECT_EQ(offered("timings"), (std::vector<std::string>{"junk", ""}));
  EXPECT_TRUE(log.has("cache.bin\" is damaged")) << log.lines();
}

TEST_F(TimingCacheTest, NothingIsWrittenForNothing) {
  write("timings");
  write("");
  EXPECT_EQ(content(), "timings");
}

TEST_F(TimingCacheTest, AFileThatCannotBeIsAWarning) {
  Log log;
  std::ofstream(folder / "file").put('x');
  path = (folder / "file" / "cache.bin").string();  // below a file
  write("timings");
  EXPECT_TRUE(log.has("2 the timing cache \"" + path + "\" cannot be written")) << log.lines();
  path = (folder / "directory").string();
  std::filesystem::create_directories(path);
  write("timings");
  EXPECT_TRUE(log.has("2 the timing cache \"" + path + "\" cannot be written")) << log.lines();
  EXPECT_EQ(files(), 1U);
}

TEST_F(TimingCacheTest, ALibraryThatGivesNoneIsAWarning) {
  Log log;
  read_timing_cache(path, [](std::span<const std::byte>) { return false; });
  EXPECT_TRUE(log.has("2 the build goes on without a timing cache")) << log.lines();
}

}  // namespace
}  // namespace torchtrt::tensorrt
