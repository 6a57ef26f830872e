# SPDX-License-Identifier: Apache-2.0
"""Enumerations of the public API: element types, memory formats, device types, engine capabilities, platforms."""

# ruff: noqa: PIE796 - aliases are meant

from __future__ import annotations

import platform as _platform
from enum import Enum, auto
from typing import Any

import numpy as np
import torch


class dtype(Enum):  # noqa: N801 - the name that scripts use
    """Element types, with conversions from and to torch's, numpy's and Python's."""

    unknown = auto()
    u8 = auto()
    i8 = auto()
    i32 = auto()
    i64 = auto()
    f16 = auto()
    f32 = auto()
    f64 = auto()
    b = auto()
    bf16 = auto()
    f8 = auto()
    f4 = auto()

    uint8 = u8
    int8 = i8
    int32 = i32
    int = i32
    int64 = i64
    long = i64
    half = f16
    fp16 = f16
    float16 = f16
    fp32 = f32
    float32 = f32
    float = f32
    fp64 = f64
    float64 = f64
    double = f64
    bool = b
    bfloat16 = bf16
    fp8 = f8
    float8 = f8
    fp4 = f4
    float4 = f4

    @classmethod
    def _from(cls, value: Any, use_default: Any = False) -> dtype:
        """From a torch, numpy or Python type, a name, or another dtype; TypeError for anything else."""
        found = cls.try_from(value)
        if found is not None:
            return found
        if use_default:
            return cls.f32
        raise TypeError(f"torch_tensorrt.dtype: {value!r} is not an element type that engines know")

    @classmethod
    def try_from(cls, value: Any, use_default: Any = False) -> dtype | None:
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls.__members__.get(value.removeprefix("torch."))
        if isinstance(value, torch.dtype):
            return _FROM_TORCH.get(value)
        python = {float: cls.f32, int: cls.i32, bool: cls.b}.get(value)  # torch_tensorrt's historical meaning
        if python is not None:
            return python
        try:
            return _FROM_NUMPY.get(np.dtype(value))
        except TypeError:
            return None

    def to(self, target: Any, use_default: Any = False) -> Any:
        """This type as ``torch.dtype``, ``numpy.dtype`` or ``torch_tensorrt.dtype``."""
        found = self.try_to(target)
        if found is not None:
            return found
        if use_default:
            return torch.float32 if target is torch.dtype else np.dtype(np.float32)
        raise TypeError(f"torch_tensorrt.dtype.{self.name} has no counterpart in {target}")

    def try_to(self, target: Any, use_default: Any = False) -> Any:
        if target is torch.dtype:
            return _TO_TORCH.get(self)
        if target is np.dtype:
            return _TO_NUMPY.get(self)
        return self if target is dtype else None


_TO_TORCH = {
    dtype.u8: torch.uint8,
    dtype.i8: torch.int8,
    dtype.i32: torch.int32,
    dtype.i64: torch.int64,
    dtype.f16: torch.float16,
    dtype.f32: torch.float32,
    dtype.f64: torch.float64,
    dtype.b: torch.bool,
    dtype.bf16: torch.bfloat16,
    dtype.f8: torch.float8_e4m3fn,
}
_FROM_TORCH = {value: key for key, value in _TO_TORCH.items()}
_TO_NUMPY = {
    dtype.u8: np.dtype(np.uint8),
    dtype.i8: np.dtype(np.int8),
    dtype.i32: np.dtype(np.int32),
    dtype.i64: np.dtype(np.int64),
    dtype.f16: np.dtype(np.float16),
    dtype.f32: np.dtype(np.float32),
    dtype.f64: np.dtype(np.float64),
    dtype.b: np.dtype(np.bool_),
}
_FROM_NUMPY = {value: key for key, value in _TO_NUMPY.items()}


class memory_format(Enum):  # noqa: N801 - the name that scripts use
    """Memory layouts of inputs. Engines take row-major contiguous tensors; other layouts are copied at the call."""

    linear = auto()
    hwc = auto()
    dhwc = auto()
    contiguous = linear
    channels_last = hwc
    channels_last_3d = dhwc

    @classmethod
    def _from(cls, value: Any) -> memory_format:
        found = cls.try_from(value)
        if found is None:
            raise TypeError(f"torch_tensorrt.memory_format: {value!r} is not a memory format that inputs can have")
        return found

    @classmethod
    def try_from(cls, value: Any) -> memory_format | None:
        if isinstance(value, cls):
            return value
        return {
            torch.contiguous_format: cls.linear,
            torch.channels_last: cls.hwc,
            torch.channels_last_3d: cls.dhwc,
        }.get(value)

    def to(self, target: Any) -> Any:
        found = self.try_to(target)
        if found is None:
            raise TypeError(f"torch_tensorrt.memory_format.{self.name} has no counterpart in {target}")
        return found

    def try_to(self, target: Any) -> Any:
        if target is torch.memory_format:
            return {
                memory_format.linear: torch.contiguous_format,
                memory_format.hwc: torch.channels_last,
                memory_format.dhwc: torch.channels_last_3d,
            }[self]
        return self if target is memory_format else None


class DeviceType(Enum):
    """Kinds of devices that engines are built for."""

    UNKNOWN = auto()
    GPU = auto()
    DLA = auto()
    CPU = auto()


class EngineCapability(Enum):
    """Restrictions of the engine. Only STANDARD can be built today."""

    STANDARD = auto()
    SAFETY = auto()
    DLA_STANDALONE = auto()


class Platform(Enum):
    """Operating system and processor."""

    LINUX_X86_64 = auto()
    LINUX_AARCH64 = auto()
    WIN_X86_64 = auto()
    WIN_ARM64 = auto()
    UNKNOWN = auto()

    @classmethod
    def current_platform(cls) -> Platform:
        system = _platform.system()
        machine = _platform.machine().lower()
        arm = machine in ("aarch64", "arm64")
        if system == "Linux":
            return cls.LINUX_AARCH64 if arm else cls.LINUX_X86_64 if machine in ("x86_64", "amd64") else cls.UNKNOWN
        if system == "Windows":
            return cls.WIN_ARM64 if arm else cls.WIN_X86_64
        return cls.UNKNOWN
