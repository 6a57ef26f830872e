// SPDX-License-Identifier: Apache-2.0
#include "runtime/graph_cache.h"

#include <algorithm>
#include <utility>

#include <torchtrt/base/error.h>

#include "runtime/call_services.h"
#include "runtime/dltensor.h"

namespace torchtrt::runtime {
namespace {

std::size_t bytes_of(const DLTensor& tensor) {
  return static_cast<std::size_t>(volume(shape_of(tensor))) * ((tensor.dtype.bits + 7U) / 8U);
}

}  // namespace

/// One graph with the memory that it reads and writes.
struct GraphCache::Entry {
  struct Buffer {
    std::unique_ptr<DeviceMemory> memory;
    std::size_t bytes = 0;
    std::vector<std::int64_t> shape;
    std::size_t copy = 0;           // the graph's, between this memory and the caller's; of no bytes there is none
    const void* callers = nullptr;  // the caller's, as the graph knows it
  };
  std::vector<std::int64_t> key;
  int profile = -1;  // as it was asked for
  std::vector<Buffer> inputs, outputs;
  std::vector<DLTensor> tensors;  // the inputs as the engine gets them
  std::vector<void*> streams;     // that the memory is known to be used on; first the one it was made for
  std::vector<std::vector<std::byte>> host_values;  // of shape inputs
  std::vector<std::vector<std::byte>> written;      // what replays write from the host; moves keep it where it is
  std::vector<std::shared_ptr<DeviceMemory>> scratch;
  std::unique_ptr<Graph> graph;
};

/// Gives the engine the staging memory of its outputs.
class GraphCache::StagingSink final : public backend::OutputSink {
 public:
  StagingSink(GraphCache& cache, Entry& entry) : cache_(cache), entry_(entry) {}

  void* allocate(std::size_t index, std::span<const std::int64_t> shape) override {
    Entry::Buffer& buffer = entry_.outputs.at(index);
    if (buffer.memory == nullptr) {
      buffer.shape.assign(shape.begin(), shape.end());
      buffer.bytes = static_cast<std::size_t>(volume(shape)) * cache_.output_item_sizes_[index];
      buffer.memory = cache_.staging(buffer.bytes);
    }
    return buffer.memory->data();
  }

  void adopt(std::size_t index, std::span<const std::int64_t>, void*, std::shared_ptr<void>) override {
    fail(ErrorCode::kInternal, "output ", index,
         " lies in the engine's own memory, which a CUDA graph cannot hand out");
  }

 private:
  GraphCache& cache_;
  Entry& entry_;
};

/// Gives both runs of an entry, the plain one and the recorded one, the same scratch memory.
class GraphCache::Services final : public backend::DeviceServices {
 public:
  Services(GraphCache& cache, Entry& entry, void* stream) : cache_(cache), entry_(entry), stream_(stream) {}

  std::shared_ptr<void> allocate(std::size_t bytes) override {
    const std::size_t index = count_++;
    if (index == cache_.scratch_.size()) cache_.scratch_.emplace_back();
    Scratch& scratch = cache_.scratch_[index];
    if (scratch.memory == nullptr || scratch.bytes < bytes) scratch = {cache_.staging(bytes), bytes};
    auto& kept = entry_.scratch;
    if (std::find(kept.begin(), kept.end(), scratch.memory) == kept.end()) {
      scratch.memory->use_on_current_stream();  // it may have been made for another entry's stream
      kept.push_back(scratch.memory);
    }
    return shared_data(scratch.memory);
  }
  void* scratch(std::size_t bytes) override { return allocate(bytes).get(); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    cache_.api_.copy_async(to, from, bytes, stream_);
  }
  void write(void* to, const void* from, std::size_t bytes) override {
    const auto* first = static_cast<const std::byte*>(from);
    copy(to, entry_.written.emplace_back(first, first + bytes).data(), bytes);
  }

 private:
  GraphCache& cache_;
  Entry& entry_;
  void* stream_;
  std::size_t count_ = 0;
};

GraphCache::GraphCache(DeviceApi& api, int device, std::vector<std::size_t> output_item_sizes, std::size_t capacity)
    : api_(api), device_(device), output_item_sizes_(std::move(output_item_sizes)), capacity_(capacity) {}

std::unique_ptr<DeviceMemory> GraphCache::staging(std::size_t bytes) {
  return api_.allocate(device_, std::max<std::size_t>(bytes, 1));
}

// Once for each stream: the allocator's lock is taken for every piece of memory.
void GraphCache::note_stream(Entry& entry, void* stream) {
  if (std::find(entry.streams.begin(), entry.streams.end(), stream) != entry.streams.end()) return;
  for (const auto* buffers : {&entry.inputs, &entry.outputs}) {
    for (const Entry::Buffer& buffer : *buffers) {
      if (buffer.memory != nullptr) buffer.memory->use_on_current_stream();
    }
  }
  for (const auto& memory : entry.scratch) memory->use_on_current_stream();
  entry.streams.push_back(stream);
}

GraphCache::Outcome GraphCache::run(backend::Context& context, const backend::RunRequest& request,
                                    const std::vector<std::int64_t>& key) {
  const auto known = std::find_if(entries_.rbegin(), entries_.rend(), [&](const auto& entry) {
    return entry->key == key && entry->profile == request.profile;
  });
  if (known != entries_.rend()) {
    std::rotate(std::prev(known.base()), known.base(), entries_.end());
    if (replay(*entries_.back(), request)) return Outcome::kReplayed;
    entries_.pop_back();
  }
  return record(make_entry(request, key), context, request);
}

// False: the graph cannot copy from or to memory of the call's kind, so it has to be recorded anew.
bool GraphCache::replay(Entry& entry, const backend::RunRequest& request) {
  note_stream(entry, request.stream);
  const auto moves = [&](Entry::Buffer& buffer, void* to, const void* from, const void* callers) {
    if (buffer.bytes == 0 || buffer.callers == callers) return true;
    try {
      entry.graph->set_copy(buffer.copy, to, from);
    } catch (const Error&) {
      return false;
    }
    buffer.callers = callers;
    return true;
  };
  for (std::size_t i = 0; i < entry.inputs.size(); ++i) {
    Entry::Buffer& buffer = entry.inputs[i];
    // An input on the host is a shape: its value is in the key, so it is what was recorded.
    if (buffer.memory == nullptr) continue;
    const void* const from = data_of(request.inputs[i]);
    if (!moves(buffer, buffer.memory->data(), from, from)) return false;
  }
  for (std::size_t i = 0; i < entry.outputs.size(); ++i) {
    Entry::Buffer& buffer = entry.outputs[i];
    void* const to = request.outputs->allocate(i, buffer.shape);
    if (!moves(buffer, to, buffer.memory->data(), to)) return false;
  }
  entry.graph->launch(request.stream);
  return true;
}

std::shared_ptr<GraphCache::Entry> GraphCache::make_entry(const backend::RunRequest& request,
                                                          const std::vector<std::int64_t>& key) {
  auto entry = std::make_shared<Entry>();
  entry->key = key;
  entry->profile = request.profile;
  entry->streams.push_back(request.stream);
  entry->outputs.resize(output_item_sizes_.size());
  entry->inputs.resize(request.inputs.size());
  entry->host_values.resize(request.inputs.size());
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    const DLTensor& input = request.inputs[i];
    Entry::Buffer& buffer = entry->inputs[i];
    buffer.bytes = bytes_of(input);
    buffer.shape.assign(input.shape, input.shape + input.ndim);
    DLTensor& tensor = entry->tensors.emplace_back(input);
    tensor.byte_offset = 0;
    tensor.shape = buffer.shape.data();
    tensor.strides = nullptr;
    if (input.device.device_type == kDLCPU) {
      const auto* bytes = static_cast<const std::byte*>(data_of(input));
      entry->host_values[i].assign(bytes, bytes + buffer.bytes);
      tensor.data = entry->host_values[i].data();
    } else {
      buffer.callers = data_of(input);
      buffer.memory = staging(buffer.bytes);
      tensor.data = buffer.memory->data();
    }
  }
  return entry;
}

GraphCache::Outcome GraphCache::record(std::shared_ptr<Entry> entry, backend::Context& context,
                                       const backend::RunRequest& request) {
  StagingSink sink(*this, *entry);
  const auto run_engine = [&](void* stream) {
    Services services(*this, *entry, stream);
    context.run({entry->tensors, request.output_shapes, &sink, stream, &services, request.profile});
  };
  for (const Entry::Buffer& buffer : entry->inputs) {
    if (buffer.memory == nullptr || buffer.bytes == 0) continue;
    api_.copy_async(buffer.memory->data(), buffer.callers, buffer.bytes, request.stream);
  }
  run_engine(request.stream);
  for (std::size_t i = 0; i < entry->outputs.size(); ++i) {
    Entry::Buffer& buffer = entry->outputs[i];
    void* const to = request.outputs->allocate(i, buffer.shape);
    buffer.callers = to;
    if (buffer.bytes > 0) api_.copy_async(to, buffer.memory->data(), buffer.bytes, request.stream);
  }
  try {
    entry->graph = api_.capture(device_, [&](GraphRecording& recording) {
      for (Entry::Buffer& buffer : entry->inputs) {
        if (buffer.memory == nullptr || buffer.bytes == 0) continue;
        buffer.copy = recording.copy(buffer.memory->data(), buffer.callers, buffer.bytes);
      }
      run_engine(recording.stream());
      for (Entry::Buffer& buffer : entry->outputs) {
        if (buffer.bytes == 0) continue;
        buffer.copy = recording.copy(const_cast<void*>(buffer.callers), buffer.memory->data(), buffer.bytes);
      }
    });
  } catch (const Error& error) {
    failure_ = error.what();
    return Outcome::kFailed;
  }
  if (entries_.size() == capacity_) entries_.erase(entries_.begin());
  entries_.push_back(std::move(entry));
  return Outcome::kRecorded;
}

}  // namespace torchtrt::runtime
