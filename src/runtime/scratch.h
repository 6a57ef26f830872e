// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <torchtrt/base/export.h>

#include "runtime/device.h"

namespace torchtrt::runtime {

/// Memory of at least `bytes` for one run that the calling thread enqueues on `stream`, its current one of `device`. Valid
/// until the run is enqueued; what is in it is undefined.
///
/// Runs that a thread enqueues on one stream follow one another, so they share one piece, whatever the engine: a call takes
/// no lock of PyTorch's allocator, for which concurrent calls would queue, and a thread holds as much as its largest engine
/// needs. Each thread has its own pieces, one for each of the last kScratchStreams streams; they go when the thread ends.
TORCHTRT_API void* scratch_of_thread(DeviceApi& api, int device, void* stream, std::size_t bytes);

/// Gives back what the calling thread holds.
TORCHTRT_API void release_scratch();

inline constexpr std::size_t kScratchStreams = 8;

}  // namespace torchtrt::runtime
