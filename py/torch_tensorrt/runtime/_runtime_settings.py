# SPDX-License-Identifier: Apache-2.0
"""Settings of TensorRT-RTX: when it compiles kernels for the shapes that it meets, its own CUDA graphs, its cache.

Engines of other backends take them and say once in the log that they change nothing. They are not saved with a program.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from .._compiled_graphs import listen
from .._engine import engines_of
from ._inspection import _engines
from ._runtime_cache import RuntimeCache

_KERNELS = ("lazy", "eager", "none")
_GRAPHS = ("disabled", "whole_graph_capture")


@dataclass(frozen=True)
class RuntimeSettings:
    """How engines of TensorRT-RTX compile and run on this machine.

    Args:
        dynamic_shapes_kernel_specialization_strategy: kernels for the very shapes that an engine meets are compiled in
            the background ("lazy"), by the call that meets them ("eager"), or never ("none").
        cuda_graph_strategy: whether TensorRT-RTX records CUDA graphs of its own: "disabled" or "whole_graph_capture".
        runtime_cache: file that keeps what was compiled, for the next process, as a path or a ``RuntimeCache``; several
            engines and processes may share it. None: no cache.
    """

    dynamic_shapes_kernel_specialization_strategy: str = "lazy"
    cuda_graph_strategy: str = "disabled"
    runtime_cache: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        _check(
            self.dynamic_shapes_kernel_specialization_strategy,
            _KERNELS,
            "dynamic_shapes_kernel_specialization_strategy",
        )
        _check(self.cuda_graph_strategy, _GRAPHS, "cuda_graph_strategy")
        if self.runtime_cache is not None:
            path = os.fspath(self.runtime_cache)
            if not isinstance(path, str) or not path:
                raise ValueError(f"runtime_cache: expected the path of a file, or None, got {self.runtime_cache!r}")
            object.__setattr__(self, "runtime_cache", path)

    def merge(self, **overrides: Any) -> RuntimeSettings:
        """The same settings but for those given."""
        return replace(self, **overrides)


def _check(value: Any, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise ValueError(f"{what}: expected {' or '.join(map(repr, known))}, got {value!r}")


def settings_of(engine: Any) -> RuntimeSettings:
    kernels, graphs, cache = engine.runtime_settings()
    return RuntimeSettings(_KERNELS[kernels], _GRAPHS[graphs], cache or None)


def apply_settings(engine: Any, settings: RuntimeSettings) -> None:
    engine.set_runtime_settings(
        _KERNELS.index(settings.dynamic_shapes_kernel_specialization_strategy),
        _GRAPHS.index(settings.cuda_graph_strategy),
        str(settings.runtime_cache or ""),
    )


class runtime_config:  # noqa: N801 - a context manager, named as scripts know it
    """``with runtime_config(module, cuda_graph_strategy=...):`` other settings for a module's engines, or for those of
    a list of modules, while the block lasts. Each engine keeps what is not given, and gets its own back at the end.
    """

    def __init__(self, target: Any, **overrides: Any) -> None:
        self._target = target
        self._engines = _engines_of_all(target, "runtime_config")
        RuntimeSettings().merge(**overrides)  # an error shows here, before the block
        self._overrides = overrides
        self._former: list[tuple[Any, RuntimeSettings]] = []
        self._stop_listening: list[Callable[[], None]] = []

    def __enter__(self) -> Any:
        self._former = []
        try:
            self._apply(self._engines)
        except BaseException:
            self._restore()
            raise
        modules = self._target if isinstance(self._target, Sequence) else [self._target]
        self._stop_listening = [listen(item, lambda program: self._apply(engines_of(program))) for item in modules]
        return self._target

    def _apply(self, engines: Sequence[Any]) -> None:
        for engine in engines:
            settings = settings_of(engine)
            self._former.append((engine, settings))
            apply_settings(engine, settings.merge(**self._overrides))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for stop in self._stop_listening:
            stop()
        self._restore()

    def _restore(self) -> None:
        for engine, settings in self._former:
            apply_settings(engine, settings)


def set_dynamic_shapes_kernel_strategy(target: Any, strategy: str) -> None:
    """Sets ``dynamic_shapes_kernel_specialization_strategy`` of the engines of a module or of a list of modules."""
    _check(strategy, _KERNELS, "set_dynamic_shapes_kernel_strategy")
    for engine in _engines_of_all(target, "set_dynamic_shapes_kernel_strategy"):
        apply_settings(engine, settings_of(engine).merge(dynamic_shapes_kernel_specialization_strategy=strategy))


class runtime_cache(runtime_config):  # noqa: N801
    """``with runtime_cache(module, path):`` the engines use the cache in this file, or this ``RuntimeCache``, while the
    block lasts. Without a path it is a private file, which ends with the process.

    The end of the block writes the file if the cache grew, and raises RuntimeError if that is impossible; without
    ``autosave`` a failure is only a warning in the log.
    """

    def __init__(self, target: Any, path: str | os.PathLike[str] = "", autosave: bool = True) -> None:
        super().__init__(target, runtime_cache=path or RuntimeCache())
        self._autosave = autosave

    def _restore(self) -> None:
        try:
            if self._autosave:
                save_runtime_cache(self._target)
        finally:
            super()._restore()


def save_runtime_cache(target: Any) -> None:
    """Writes the runtime caches of a module's engines now, where they have one and it grew.

    Raises:
        RuntimeError: a file cannot be written.
    """
    for engine in _engines_of_all(target, "save_runtime_cache"):
        engine.save_runtime_cache()


def _engines_of_all(target: Any, what: str) -> list[Any]:
    targets = target if isinstance(target, Sequence) else [target]
    return [engine for module in targets for engine in _engines(module, what)]
