# SPDX-License-Identifier: Apache-2.0
"""Seeing into engines: what a backend made of them, how long their layers take, and ranges in NVIDIA's tools."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch

from .._engine import engines_of
from .._library import load_binding


class LayerTime(NamedTuple):
    """A layer in a profile, under the name that the backend's library gives it. Times are in milliseconds.

    ``last_ms`` of OpenVINO's layers is the mean of the calls since a profile of the engine began last.
    """

    name: str
    calls: int
    total_ms: float
    last_ms: float


class EngineProfiler:
    """Measures the layers of some engines from its making to ``stop()``."""

    def __init__(self, engines: list[Any]) -> None:
        self._profiler = load_binding().Profiler(engines)

    def stop(self) -> None:
        self._profiler.stop()

    @property
    def engines(self) -> dict[str, list[LayerTime]]:
        """What was measured so far: for each engine its layers, in the order in which they run."""
        return {name: [LayerTime(*layer) for layer in layers] for name, layers in self._profiler.result()}

    def __str__(self) -> str:
        lines = []
        for name, layers in self.engines.items():
            total = sum(layer.total_ms for layer in layers)
            lines.append(f"{name}: {total:.3f} ms")
            for layer in sorted(layers, key=lambda layer: -layer.total_ms):
                share = 100 * layer.total_ms / total if total else 0.0
                lines.append(f"  {layer.total_ms:10.3f} ms {share:5.1f} %  {layer.calls:6} calls  {layer.name}")
        return "\n".join(lines)


class profile:  # noqa: N801 - a context manager, named as a function
    """``with profile(module) as result:`` measures the module's engines while the block lasts.

    ``result.engines`` has the layers of each engine with calls, total and last time in milliseconds, also when the
    block is over; ``print(result)`` shows them, the longest first. Calls are slower meanwhile, wait for their work on a
    GPU, and run without CUDA graphs. Blocks may be nested and overlap between threads; each sees all calls.
    """

    def __init__(self, module: Any) -> None:
        self._engines = _engines(module, "profile")
        self._profiler: EngineProfiler | None = None

    def __enter__(self) -> EngineProfiler:
        self._profiler = EngineProfiler(self._engines)
        return self._profiler

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._profiler is not None
        self._profiler.stop()


def inspect(module: Any) -> dict[str, Any]:
    """What the backends made of a module's engines: for each engine's name an object with ``backend``, ``version`` and
    ``layers``, a list with what the backend says of each layer. Engines that did not run yet are loaded."""
    return {engine.name(): json.loads(engine.get_engine_layer_info()) for engine in _engines(module, "inspect")}


def set_nvtx(enabled: bool) -> None:
    """Makes each call of an engine an NVTX range ``torchtrt: <name>`` for NVIDIA's tools; default off.

    Raises:
        RuntimeError: torch_tensorrt was built without NVTX.
    """
    if not isinstance(enabled, bool):
        raise TypeError(f"set_nvtx: expected True or False, got {enabled!r}")
    torch.ops.tensorrt.set_nvtx(enabled)


def get_nvtx() -> bool:
    return bool(torch.ops.tensorrt.get_nvtx())


def write_profile(path: Path, layers: list[LayerTime], profile_format: str) -> None:
    """A profile as a file: "perfetto", a trace of one average call for ui.perfetto.dev and chrome://tracing, or "trex",
    what trtexec --exportProfile writes."""
    total = sum(layer.total_ms for layer in layers)
    document: Any
    if profile_format == "perfetto":
        events, start = [], 0.0
        for layer in layers:
            duration = 1000 * layer.total_ms / layer.calls  # microseconds
            events.append({"name": layer.name, "ph": "X", "pid": 0, "tid": 0, "ts": start, "dur": duration})
            start += duration
        document = {"traceEvents": events}
    else:
        document = [{"count": max((layer.calls for layer in layers), default=0)}]
        for layer in layers:
            average = layer.total_ms / layer.calls
            percentage = 100 * layer.total_ms / total if total else 0.0
            document.append(
                {"name": layer.name, "timeMs": layer.total_ms, "averageMs": average, "percentage": percentage}
            )
    path.write_text(json.dumps(document, indent=1))


def _engines(module: Any, what: str) -> list[Any]:
    engines = engines_of(module)
    if not engines:
        raise ValueError(
            f"{what}: no engine found in {type(module).__name__}; "
            "give it a module that torch_tensorrt compiled or loaded"
        )
    return engines
