# SPDX-License-Identifier: Apache-2.0
"""Seeing into engines: what a backend made of them, how long their layers take, and ranges in NVIDIA's tools."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch

from .._compiled_graphs import listen, originals
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


def _by_name(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """By the engine's name; engines of several programs may have one name: the second is `name (2)`."""
    found: dict[str, Any] = {}
    for name, item in items:
        number = next(n for n in itertools.count(1) if (f"{name} ({n})" if n > 1 else name) not in found)
        found[f"{name} ({number})" if number > 1 else name] = item
    return found


class EngineProfiler:
    """Measures the layers of some engines from its making, or from ``add()`` on, to ``stop()``."""

    def __init__(self, engines: list[Any]) -> None:
        self._profilers = [load_binding().Profiler(engines)]

    def add(self, engines: list[Any]) -> None:
        self._profilers.append(load_binding().Profiler(engines))

    def stop(self) -> None:
        for profiler in self._profilers:
            profiler.stop()

    @property
    def engines(self) -> dict[str, list[LayerTime]]:
        """What was measured so far: for each engine its layers, in the order in which they run."""
        measured = [item for profiler in self._profilers for item in profiler.result()]
        return _by_name((name, [LayerTime(*layer) for layer in layers]) for name, layers in measured)

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
        self._module = module
        self._engines = _engines(module, "profile")
        self._profiler: EngineProfiler | None = None

    def __enter__(self) -> EngineProfiler:
        profiler = EngineProfiler(self._engines)
        self._stop_listening = listen(self._module, lambda program: profiler.add(engines_of(program)))
        self._profiler = profiler
        return profiler

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._profiler is not None
        self._stop_listening()
        self._profiler.stop()


def inspect(module: Any) -> dict[str, Any]:
    """What the backends made of a module's engines: for each engine's name an object with ``backend``, ``version`` and
    ``layers``, a list with what the backend says of each layer. Engines that did not run yet are loaded."""
    engines = _engines(module, "inspect")
    return _by_name((engine.name(), json.loads(engine.get_engine_layer_info())) for engine in engines)


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
    """The module's engines; ValueError if it has none and will have none (torch.compile's come with its calls)."""
    engines = engines_of(module)
    if not engines and not originals(module):
        raise ValueError(
            f"{what}: no engine found in {type(module).__name__}; "
            "give it a module that torch_tensorrt compiled or loaded"
        )
    return engines
