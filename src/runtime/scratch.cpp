// SPDX-License-Identifier: Apache-2.0
#include "runtime/scratch.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

namespace torchtrt::runtime {
namespace {

struct Piece {
  DeviceApi* api;
  int device;
  void* stream;
  std::size_t bytes;
  std::unique_ptr<DeviceMemory> memory;
};

std::vector<Piece>& pieces() {
  static thread_local std::vector<Piece> held;  // the one used last at the back
  return held;
}

}  // namespace

void* scratch_of_thread(DeviceApi& api, int device, void* stream, std::size_t bytes) {
  std::vector<Piece>& held = pieces();
  const auto known = std::find_if(held.rbegin(), held.rend(), [&](const Piece& piece) {
    return piece.stream == stream && piece.device == device && piece.api == &api;
  });
  if (known != held.rend() && known->bytes >= bytes) {
    std::rotate(std::prev(known.base()), known.base(), held.end());
    return held.back().memory->data();
  }
  // Given back first, so that the allocator may make the larger piece of it. It goes to work behind this stream's.
  if (known != held.rend()) {
    held.erase(std::prev(known.base()));
  } else if (held.size() == kScratchStreams) {
    held.erase(held.begin());
  }
  held.push_back({&api, device, stream, bytes, api.allocate(device, std::max<std::size_t>(bytes, 1))});
  return held.back().memory->data();
}

void release_scratch() { pieces().clear(); }

}  // namespace torchtrt::runtime
