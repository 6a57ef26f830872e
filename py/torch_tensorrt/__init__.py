# SPDX-License-Identifier: Apache-2.0
"""Compiles PyTorch models to inference engines (OpenVINO on CPUs, TensorRT on NVIDIA GPUs) and runs them."""

from ._library import load_binding as _load_binding

_C = _load_binding()

from . import _engine as _engine_op  # noqa: E402

_engine_op.register()

from . import dynamo, logging, runtime  # noqa: E402
from ._compile import compile, convert_method_to_trt_engine  # noqa: E402
from ._device import Device  # noqa: E402
from ._enums import DeviceType, EngineCapability, Platform, dtype, memory_format  # noqa: E402
from ._features import ENABLED_FEATURES, FeatureSet  # noqa: E402
from ._input import Input  # noqa: E402
from ._save import load, save  # noqa: E402
from ._version import __version__  # noqa: E402
from .dynamo import _backend as _torch_compile_backend  # noqa: E402

_torch_compile_backend.register()

__all__ = [
    "ENABLED_FEATURES",
    "Device",
    "DeviceType",
    "EngineCapability",
    "FeatureSet",
    "Input",
    "Platform",
    "__version__",
    "compile",
    "convert_method_to_trt_engine",
    "dtype",
    "dynamo",
    "load",
    "logging",
    "memory_format",
    "runtime",
    "save",
]
