# SPDX-License-Identifier: Apache-2.0
"""Running compiled programs: modes, and the modules they are made of."""

from ._inspection import LayerTime, get_nvtx, inspect, profile, set_nvtx
from ._modes import (
    enable_cudagraphs,
    enable_output_allocator,
    enable_pre_allocated_outputs,
    get_cpu_settings,
    get_cudagraphs_mode,
    get_multi_device_safe_mode,
    get_rebuild_engines,
    get_whole_cudagraphs_mode,
    optimization_profile,
    set_cpu_settings,
    set_cudagraphs_mode,
    set_multi_device_safe_mode,
    set_rebuild_engines,
)
from ._module import CompiledModule, EngineModule, TorchBlock, engine_modules
from ._runtime_cache import RuntimeCache
from ._runtime_settings import (
    RuntimeSettings,
    runtime_cache,
    runtime_config,
    save_runtime_cache,
    set_dynamic_shapes_kernel_strategy,
)
from ._weight_streaming import weight_streaming
from ._whole_graph import CudaGraphsTorchTensorRTModule

TorchTensorRTModule = EngineModule

__all__ = [
    "CompiledModule",
    "CudaGraphsTorchTensorRTModule",
    "EngineModule",
    "LayerTime",
    "RuntimeCache",
    "RuntimeSettings",
    "TorchBlock",
    "TorchTensorRTModule",
    "enable_cudagraphs",
    "enable_output_allocator",
    "enable_pre_allocated_outputs",
    "engine_modules",
    "get_cpu_settings",
    "get_cudagraphs_mode",
    "get_multi_device_safe_mode",
    "get_nvtx",
    "get_rebuild_engines",
    "get_whole_cudagraphs_mode",
    "inspect",
    "optimization_profile",
    "profile",
    "runtime_cache",
    "runtime_config",
    "save_runtime_cache",
    "set_cpu_settings",
    "set_cudagraphs_mode",
    "set_dynamic_shapes_kernel_strategy",
    "set_multi_device_safe_mode",
    "set_nvtx",
    "set_rebuild_engines",
    "weight_streaming",
]
