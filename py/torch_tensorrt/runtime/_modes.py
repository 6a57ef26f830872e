# SPDX-License-Identifier: Apache-2.0
"""Runtime modes: process-wide defaults, and context managers for the engines of one module.

The modes live in the C++ runtime (torchtrt/runtime.h); Python sets and reads them. The managers take any module that
holds engines: compiled, loaded, re-exported or scripted; of one that torch.compile returned, engines that come into
being inside the block count too. They may be nested, and end by an exception or on another
thread: a mode is on as long as some block wants it.
"""

from __future__ import annotations

import logging
import operator
import threading
from types import TracebackType
from typing import Any

import torch

from .._compiled_graphs import listen, originals
from .._engine import engines_of, parse_metadata
from .._library import load_binding
from ._inspection import _engines
from ._module import EngineModule
from ._runtime_settings import runtime_config
from ._whole_graph import CudaGraphsTorchTensorRTModule

_LOGGER = logging.getLogger("torch_tensorrt")

# EngineMode in src/runtime/modes.h.
_CUDAGRAPHS, _OUTPUT_ALLOCATOR, _PRE_ALLOCATED_OUTPUTS = 0, 1, 2


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


def set_rebuild_engines(enabled: bool) -> _Restore:
    """Whether an engine that does not fit this machine is built anew when it first runs; default off.

    Only for models that were compiled with ``rebuildable=True``; otherwise, and while this is off, such an engine is an
    error. It takes as long as compiling did, in each process: ``python -m torch_tensorrt rebuild`` does it once. Used
    as ``with set_rebuild_engines(True):`` it restores the former value at the end.
    """
    previous = get_rebuild_engines()
    torch.ops.tensorrt.set_rebuild_engines(_check_bool(enabled, "set_rebuild_engines"))
    return _Restore(torch.ops.tensorrt.set_rebuild_engines, previous)


def get_rebuild_engines() -> bool:
    return bool(torch.ops.tensorrt.get_rebuild_engines())


def set_cudagraphs_mode(mode: bool) -> None:
    """Switches CUDA graphs for all engines of the process; default off."""
    torch.ops.tensorrt.set_cudagraphs_mode(1 if _check_bool(mode, "set_cudagraphs_mode") else 0)


def get_cudagraphs_mode() -> bool:
    """Whether CUDA graphs are on: by the process's default, or in a block of ``enable_cudagraphs`` that is open."""
    return int(torch.ops.tensorrt.get_cudagraphs_mode()) != 0 or enable_cudagraphs.open_blocks > 0


def get_whole_cudagraphs_mode() -> bool:
    """Whether whole modules, not only their engines, are recorded."""
    return int(torch.ops.tensorrt.get_cudagraphs_mode()) == 2 or enable_cudagraphs.open_whole_blocks > 0


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


class _EngineMode:
    """A mode of all engines of a module while the block lasts; ``with ... as m`` gives the module."""

    _mode: int

    def __init__(self, module: Any) -> None:
        self._module = module
        self._engines = _engines(module, type(self).__name__)
        self._open: list[_OpenMode] = []  # by nested block of this object

    def __enter__(self) -> Any:
        self._open.append(_OpenMode(self._module, self._engines, self._mode))
        return self._module

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.pop().end()


class _OpenMode:
    """A mode that is on for some engines, and for those that torch.compile makes for their module meanwhile."""

    def __init__(self, module: Any, engines: list[Any], mode: int) -> None:
        self._mode = mode
        self._engines: list[Any] = []
        self._add(engines)
        self._stop_listening = listen(module, lambda program: self._add(engines_of(program)))

    def _add(self, engines: list[Any]) -> None:
        for engine in engines:
            if self._mode == _CUDAGRAPHS and engine.requires_output_allocator():
                _LOGGER.warning("engine %r needs the output allocator and runs without CUDA graphs", engine.name())
                continue
            engine.enable_mode(self._mode)
            self._engines.append(engine)

    def end(self) -> None:
        self._stop_listening()
        for engine in self._engines:
            engine.disable_mode(self._mode)


class enable_output_allocator(_EngineMode):  # noqa: N801 - the name that scripts use
    """Outputs are allocated by the engine while it runs, at the size that the run gives them.

    Engines whose outputs' shapes depend on data do so anyway. Calls raise RuntimeError while CUDA graphs are on.
    """

    _mode = _OUTPUT_ALLOCATOR


class enable_pre_allocated_outputs(_EngineMode):  # noqa: N801
    """Each call allocates the outputs of a next call with the same input shapes, so that the next one begins at once.

    Results are never written again. Where the output allocator is on this changes nothing.
    """

    _mode = _PRE_ALLOCATED_OUTPUTS


class enable_cudagraphs:  # noqa: N801
    """``with enable_cudagraphs(module) as module:``: CUDA graphs for the module while the block lasts.

    The module's engines are recorded one by one; if there are PyTorch operators between them, the whole module is
    recorded, and what the block gives is a wrapper that must be called instead of the module. On the CPU there is
    nothing to record: the block gives the module and changes nothing.

    With ``cuda_graph_strategy`` ("whole_graph_capture" or "disabled") TensorRT-RTX records its engines itself, or does
    not, and nothing else is recorded.

    Raises:
        RuntimeError: some engine requires the output allocator, or ``cuda_graph_strategy`` is given for an engine that
            is not one of TensorRT-RTX.
    """

    _lock = threading.Lock()
    open_blocks = 0
    open_whole_blocks = 0

    def __init__(self, module: Any, *, cuda_graph_strategy: Any = None) -> None:
        engines = _engines(module, "enable_cudagraphs")
        described = [parse_metadata(engine.metadata()) for engine in engines]
        if cuda_graph_strategy is not None and not all(_is_rtx(engine) for engine in described):
            raise RuntimeError("cuda_graph_strategy exists for TensorRT-RTX engines only")
        if any(engine.requires_output_allocator() for engine in engines):
            raise load_binding().IncompatibleModeError(
                "The model contains submodules that require a dynamic output allocator at runtime, which is "
                "incompatible with CUDA Graphs. Please disable CUDA Graphs."
            )
        self._strategy = (
            None if cuda_graph_strategy is None else runtime_config(module, cuda_graph_strategy=cuda_graph_strategy)
        )
        # torch.compile's graphs are engines and PyTorch, and may be compiled in the block: their engines are recorded.
        on_gpu = any(engine.get("device", "cpu") != "cpu" for engine in described) and not originals(module)
        self._wrapper = CudaGraphsTorchTensorRTModule(module) if on_gpu and has_torch_parts(module) else None
        if self._strategy is not None:
            self._wrapper = None
        self._module, self._engines = module, engines
        self._open: list[_OpenMode] = []

    def __enter__(self) -> Any:
        whole = self._wrapper is not None
        if self._strategy is not None:
            self._strategy.__enter__()
        with enable_cudagraphs._lock:
            enable_cudagraphs.open_blocks += 1
            enable_cudagraphs.open_whole_blocks += whole
        if whole:
            return self._wrapper
        if self._strategy is not None:
            return self._module
        self._open.append(_OpenMode(self._module, self._engines, _CUDAGRAPHS))
        return self._module

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        whole = self._wrapper is not None
        with enable_cudagraphs._lock:
            enable_cudagraphs.open_blocks -= 1
            enable_cudagraphs.open_whole_blocks -= whole
        if self._wrapper is not None:
            self._wrapper.reset()
            return
        if self._strategy is not None:
            self._strategy.__exit__(kind, error, traceback)
            return
        self._open.pop().end()


class optimization_profile:  # noqa: N801
    """``with optimization_profile(module, 1) as module:``: the module's engines run with that optimization profile.

    Profiles are numbered as in ``Input(profiles=...)``. "auto" lets each call choose the most specialized profile that
    takes its shapes, as without a block; None changes nothing. At the end the former choice is back: of several open
    blocks the one opened last decides. Engines with one profile (those on a CPU, or without dynamic inputs) keep it. A
    call with shapes that the profile does not take raises ValueError.

    Raises:
        TypeError: `profile` is neither an int nor "auto" nor None.
        ValueError: no engine has that profile, or one of several does not.
    """

    _AUTOMATIC = -1

    def __init__(self, module: Any, profile: int | str | None = "auto") -> None:
        if isinstance(profile, bool) or not (profile is None or profile == "auto" or isinstance(profile, int)):
            raise TypeError(f'optimization_profile: expected the number of a profile, "auto" or None, got {profile!r}')
        self._module, self._profile = module, profile
        self._engines = _engines(module, "optimization_profile")
        self._open: list[list[tuple[Any, int]]] = []  # by nested block of this object
        if isinstance(profile, int):
            counts = [engine.optimization_profile_count() for engine in self._engines]
            least = min((count for count in counts if count > 1), default=1)
            if not 0 <= profile < least:
                raise ValueError(
                    f"optimization_profile: there is no profile {profile}, "
                    + ("the engines have one, number 0" if least == 1 else f"the engines have 0 to {least - 1}")
                )

    def __enter__(self) -> Any:
        opened = []
        if self._profile is not None:
            for engine in self._engines:
                has_choice = isinstance(self._profile, int) and engine.optimization_profile_count() > 1
                opened.append((engine, engine.open_profile(self._profile if has_choice else self._AUTOMATIC)))
        self._open.append(opened)
        return self._module

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for engine, ticket in self._open.pop():
            engine.close_profile(ticket)


def _is_rtx(metadata: dict[str, Any]) -> bool:
    return any(target.get("backend") == "tensorrt_rtx" for target in metadata.get("targets", []))


def has_torch_parts(module: Any) -> bool:
    """Whether PyTorch computes something between a module's engines. True for a module that cannot be looked into."""
    if isinstance(module, EngineModule):
        return False
    graph = getattr(module, "graph", None)
    if not isinstance(graph, torch.fx.Graph):
        return True
    engine_ops = (torch.ops.tensorrt.execute_engine.default, torch.ops.tensorrt.check_inputs.default, operator.getitem)
    modules = dict(module.named_modules())

    def computes(node: torch.fx.Node) -> bool:
        if node.op == "call_module":
            # torch.export's modules end with one that compares shapes: it has no results.
            return bool(node.users) and not isinstance(modules.get(str(node.target)), EngineModule)
        return node.op == "call_method" or (node.op == "call_function" and node.target not in engine_ops)

    return any(computes(node) for node in graph.nodes)
