# SPDX-License-Identifier: Apache-2.0
"""Log level of the compiler and the runtime: ``set_level``, or a context manager per level."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

# Order of the C++ levels: internal errors, errors, warnings, info, debug, graphs.
_PYTHON_TO_NATIVE = (
    (logging.CRITICAL, 0),
    (logging.ERROR, 1),
    (logging.WARNING, 2),
    (logging.INFO, 3),
    (logging.DEBUG, 4),
)
GRAPHS = 5
"""Below DEBUG: also prints graphs and networks."""

_LOGGER = logging.getLogger("torch_tensorrt")


def _native_level(level: int) -> int:
    for python, native in _PYTHON_TO_NATIVE:
        if level >= python:
            return native
    return GRAPHS


def set_level(level: int | str, logger: logging.Logger | None = None) -> None:
    """Sets the level of Python's logger (default: ``torch_tensorrt``) and of the C++ libraries.

    Args:
        level: as in the standard library's logging, names in any case; anything below ``logging.DEBUG`` also shows
            graphs.
    """
    target = logger or _LOGGER
    target.setLevel(level.upper() if isinstance(level, str) else level)
    from ._library import load_binding

    load_binding().set_log_level(_native_level(target.level))


class _LevelManager:
    _level = logging.WARNING

    def __enter__(self) -> _LevelManager:
        self._previous = _LOGGER.level or logging.WARNING
        set_level(self._level)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        set_level(self._previous)


class internal_errors(_LevelManager):  # noqa: N801 - names that scripts use
    """Shows internal errors only."""

    _level = logging.CRITICAL


class errors(_LevelManager):  # noqa: N801
    """Shows errors."""

    _level = logging.ERROR


class warnings(_LevelManager):  # noqa: N801
    """Shows warnings and errors."""

    _level = logging.WARNING


class info(_LevelManager):  # noqa: N801
    """Shows what the compiler does."""

    _level = logging.INFO


class debug(_LevelManager):  # noqa: N801
    """Shows details."""

    _level = logging.DEBUG


class graphs(_LevelManager):  # noqa: N801
    """Shows graphs and networks, too."""

    _level = GRAPHS
