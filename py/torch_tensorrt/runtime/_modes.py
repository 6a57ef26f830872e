# SPDX-License-Identifier: Apache-2.0
"""Runtime modes: process-wide defaults and context managers.

The defaults live in the C++ runtime; Python only sets and reads them. On a CPU engine CUDA graphs, the output allocator
and pre-allocated outputs change nothing: outputs are always allocated for the shapes of the call.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch

from .._engine import engines_of, parse_metadata

_OUTPUT_ALLOCATOR_AND_GRAPHS = (
    "Both CUDA Graphs and dynamic output allocation are enabled, which are incompatible runtime modes. "
    "Please disable one of the two."
)


class _Restore:
    """Restores a value when the ``with`` block ends, also when it ends by an exception."""

    def __init__(self, restore: Any, previous: Any) -> None:
        self._restore, self._previous = restore, previous

    def __enter__(self) -> _Restore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore(self._previous)


def _check_bool(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{what}: expected True or False, got {value!r}")
    return value


def set_multi_device_safe_mode(mode: bool) -> _Restore:
    """Switches the check of devices before each call, for the whole process; default off.

    Takes effect at once. Used as ``with set_multi_device_safe_mode(True):`` it restores the former value at the end.
    """
    previous = get_multi_device_safe_mode()
    torch.ops.tensorrt.set_multi_device_safe_mode(_check_bool(mode, "set_multi_device_safe_mode"))
    return _Restore(torch.ops.tensorrt.set_multi_device_safe_mode, previous)


def get_multi_device_safe_mode() -> bool:
    return bool(torch.ops.tensorrt.get_multi_device_safe_mode())


def set_cudagraphs_mode(mode: bool) -> None:
    """Switches CUDA graphs for all engines of the process; default off."""
    torch.ops.tensorrt.set_cudagraphs_mode(1 if _check_bool(mode, "set_cudagraphs_mode") else 0)


def get_cudagraphs_mode() -> bool:
    return int(torch.ops.tensorrt.get_cudagraphs_mode()) != 0


def get_whole_cudagraphs_mode() -> bool:
    return int(torch.ops.tensorrt.get_cudagraphs_mode()) == 2


def set_cpu_settings(*, streams: int = 1, threads: int = 0) -> _Restore:
    """How CPU engines use the machine; for engines that run for the first time after the call.

    Used as a context manager it restores the former settings at the end.

    Args:
        streams: 1 gives a call all threads: lowest latency. More let that many concurrent calls run side by side, each
            on threads / streams of them: best throughput for a server; a lone call then takes up to `streams` times
            longer.
        threads: threads per engine; 0: as many as ``torch.get_num_threads()``.
    """
    previous = get_cpu_settings()
    torch.ops.tensorrt.set_cpu_settings(streams, threads)
    return _Restore(lambda settings: torch.ops.tensorrt.set_cpu_settings(*settings), previous)


def get_cpu_settings() -> tuple[int, int]:
    """(streams, threads)."""
    streams, threads = torch.ops.tensorrt.get_cpu_settings()
    return int(streams), int(threads)


class enable_cudagraphs:  # noqa: N801 - the name that scripts use
    """``with enable_cudagraphs(module) as module:``: CUDA graphs within the block, restored at its end."""

    def __init__(self, module: torch.nn.Module, *, cuda_graph_strategy: Any = None) -> None:
        if cuda_graph_strategy is not None:
            raise RuntimeError("cuda_graph_strategy exists for TensorRT-RTX engines only")
        _engines(module, "enable_cudagraphs")
        self._module = module

    def __enter__(self) -> torch.nn.Module:
        self._previous = int(torch.ops.tensorrt.get_cudagraphs_mode())
        torch.ops.tensorrt.set_cudagraphs_mode(1)
        return self._module

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        torch.ops.tensorrt.set_cudagraphs_mode(self._previous)


def _engines(module: torch.nn.Module, what: str) -> list[Any]:
    engines = engines_of(module)
    if not engines:
        raise ValueError(f"{what}: the module holds no engines")
    return engines


class _CpuMode:
    """A mode that has nothing to do on CPU engines, and is not available for others yet."""

    def __init__(self, module: torch.nn.Module) -> None:
        name = type(self).__name__
        for engine in _engines(module, name):
            device = parse_metadata(engine.metadata()).get("device", "cpu")
            if device != "cpu":
                raise NotImplementedError(f"{name} is not available for engines on {device}")

    def __enter__(self) -> _CpuMode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


class enable_output_allocator(_CpuMode):  # noqa: N801
    """Outputs are allocated by the engine while it runs. CPU engines do so wherever the shapes depend on data."""

    def __enter__(self) -> enable_output_allocator:
        if get_cudagraphs_mode():
            raise RuntimeError(_OUTPUT_ALLOCATOR_AND_GRAPHS)
        return self


class enable_pre_allocated_outputs(_CpuMode):  # noqa: N801
    """The next call's outputs are allocated ahead. CPU engines write into memory that torch caches as it is."""
