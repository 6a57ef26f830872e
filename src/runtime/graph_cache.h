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
///   known shapes    inputs are copied to the staging memory, the graph is launched, outputs are copied out
///
/// A graph reads and writes only its staging memory and scratch memory that it keeps, so it does not matter where
/// callers' tensors are, nor which stream a call is on: graphs are recorded on a private stream and launched on the
/// caller's.
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

  void stage_inputs(Entry& entry, const backend::RunRequest& request);
  void deliver_outputs(Entry& entry, const backend::RunRequest& request);
  std::unique_ptr<DeviceMemory> staging(std::size_t bytes);
  void note_stream(Entry& entry, void* stream);

  DeviceApi& api_;
  int device_;
  std::vector<std::size_t> output_item_sizes_;
  std::size_t capacity_;
  std::vector<std::shared_ptr<Entry>> entries_;  // the one used last at the back
  // What the context asked for in its last run, in its order. Graphs of one context never run at the same time, so they
  // share it; a graph that needs more gets new memory.
  struct Scratch {
    std::shared_ptr<DeviceMemory> memory;
    std::size_t bytes = 0;
  };
  std::vector<Scratch> scratch_;
  std::string failure_;
};

}  // namespace torchtrt::runtime
