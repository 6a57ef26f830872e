// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torchtrt/backend/executor.h>
#include <torchtrt/base/export.h>

#include "runtime/device.h"

namespace torchtrt::runtime {

/// The CUDA graphs of one execution context: one per combination of input shapes and profile that was asked for, the least recently used makes room.
/// Not thread-safe, as the context is not.
///
///   new shapes      the engine runs plainly over staging memory, which gives the call's answer and warms the engine up
///                   (lazy initialisation must not be recorded); then the same run is recorded, not executed
///   known shapes    the graph gets the addresses of the call's inputs and outputs, and is launched
///
/// The engine's part of a graph reads and writes staging memory and scratch memory that the graph keeps. The copies to and
/// from staging memory are the graph's first and last nodes, whose addresses change from call to call: to change one costs
/// the host a seventh of what a copy of its own does. It does not matter which stream a call is on: graphs are recorded on a
/// private stream and launched on the caller's.
class TORCHTRT_API GraphCache {
 public:
  /// `output_item_sizes`: bytes per element of each output.
  GraphCache(DeviceApi& api, int device, std::vector<std::size_t> output_item_sizes, std::size_t capacity);

  enum class Outcome { kRecorded, kReplayed, kFailed };
  /// Answers a call whose shapes are `key` (ResolvedShapes::key); `request.stream` is the thread's current one. kFailed:
  /// the answer is right, but recording failed as failure() says, and the context is in a state that nobody knows: it
  /// must not be used again. Errors of the plain run go on; nothing is kept then.
  Outcome run(backend::Context& context, const backend::RunRequest& request, const std::vector<std::int64_t>& key);

  void clear() { entries_.clear(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  struct Entry;
  class StagingSink;
  class Services;

  std::shared_ptr<Entry> make_entry(const backend::RunRequest& request, const std::vector<std::int64_t>& key);
  Outcome record(std::shared_ptr<Entry> entry, backend::Context& context, const backend::RunRequest& request);
  bool replay(Entry& entry, const backend::RunRequest& request);
  std::unique_ptr<DeviceMemory> staging(std::size_t bytes);
  static void note_stream(Entry& entry, void* stream);

  DeviceApi& api_;
  int device_;
  std::vector<std::size_t> output_item_sizes_;
  std::size_t capacity_;
  std::vector<std::shared_ptr<Entry>> entries_;  // the one used last at the back
  // What the context asked for in its last run, in its order. Graphs of one context never run at the same time, so they
  // share it; a graph that needs more gets new memory. A thread's own scratch memory (scratch.h) would not do: a replay on
  // another stream would write what that thread's runs are using.
  struct Scratch {
    std::shared_ptr<DeviceMemory> memory;
    std::size_t bytes = 0;
  };
  std::vector<Scratch> scratch_;
  std::string failure_;
};

}  // namespace torchtrt::runtime
