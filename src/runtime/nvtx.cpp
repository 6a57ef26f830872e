// SPDX-License-Identifier: Apache-2.0
#include "runtime/nvtx.h"

#include <torchtrt/base/error.h>
#include <torchtrt/runtime.h>

// Header-only: it opens the tool's library, if there is one, at the first range (NVTX_INJECTION64_PATH, which the tools
// set). CMake says where the header is; source that is built without it has no ranges.
#ifdef TORCHTRT_HAS_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace torchtrt::runtime {

#ifdef TORCHTRT_HAS_NVTX
void NvtxRange::push(const char* name) { nvtxRangePushA(name); }
void NvtxRange::pop() { nvtxRangePop(); }
constexpr bool kHasNvtx = true;
#else
void NvtxRange::push(const char*) {}
void NvtxRange::pop() {}
constexpr bool kHasNvtx = false;
#endif

void set_nvtx(bool enabled) {
  TORCHTRT_CHECK(
      kHasNvtx || !enabled, kUnsupported,
      "this build of torchtrt has no NVTX: its headers (nvtx3/nvToolsExt.h, in the wheels that torch for CUDA "
      "brings, or in a CUDA toolkit) were not there when it was built");
  NvtxRange::is_on.store(enabled);
}

bool nvtx() { return NvtxRange::is_on.load(std::memory_order_relaxed); }

}  // namespace torchtrt::runtime
