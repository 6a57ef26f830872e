// SPDX-License-Identifier: Apache-2.0
#pragma once

/// All that TensorRT's headers want of CUDA's: two opaque handles. The builder calls no CUDA function, so that it compiles
/// without a CUDA toolkit.
typedef struct CUevent_st* cudaEvent_t;    // NOLINT(modernize-use-using): CUDA's own spelling
typedef struct CUstream_st* cudaStream_t;  // NOLINT(modernize-use-using)
