# SPDX-License-Identifier: Apache-2.0
"""The runtime cache of TensorRT-RTX as an object."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any, BinaryIO

from .._library import load_binding

_LOGGER = logging.getLogger("torch_tensorrt")
_MAGIC = b"TRTRTXC1"  # src/backends/tensorrt/executor/runtime_cache.cpp; all else in a file is the executor's matter
_NUMBERS = itertools.count()
_private: tempfile.TemporaryDirectory[str] | None = None


class RuntimeCache:
    """Kernels that TensorRT-RTX compiled, in a file: ``RuntimeSettings(runtime_cache=cache)`` or
    ``with runtime_cache(module, cache):``. It may stand wherever the path of a cache is taken, and is no more than that
    path: the cache is its file, and engines with the same path share it.

    An engine reads the file when it begins to use the cache, and writes it, if the cache grew, when it stops; ``save``
    writes it in between. The file names the release of TensorRT-RTX and the GPU that it is for and has a checksum:
    engines replace one that is for another machine, and a damaged one with a warning.

    Args:
        path: the file. Empty: a private one, which ends with the process; ``to_stream`` keeps what is in it.
        autosave_on_del: ``save`` when the object ends, or the process; a failure is a warning in the log.
    """

    def __init__(self, path: str | os.PathLike[str] = "", autosave_on_del: bool = False) -> None:
        text = os.fspath(path)
        if not isinstance(text, str):
            raise TypeError(f"RuntimeCache: expected the path of a file, got {path!r}")
        self._path = os.path.abspath(text) if text else _private_path()
        self.autosave_on_del = autosave_on_del
        if autosave_on_del:
            weakref.finalize(self, _save_quietly, self._path)

    @property
    def path(self) -> str:
        """Of the file, absolute."""
        return self._path

    def __fspath__(self) -> str:
        return self._path

    def __repr__(self) -> str:
        return f"RuntimeCache({self._path!r})"

    def load(self) -> bool:
        """Looks at the file now: whether there is a cache in it. Engines read it by themselves; those that use the
        cache already keep what they have.

        Raises:
            ValueError: the file is something else.
        """
        contents = self._contents()
        _check(contents, f'"{self._path}" is no runtime cache')
        return bool(contents)

    def save(self) -> None:
        """Writes what the engines that use the cache now have compiled, if it is more than the file holds.

        Raises:
            RuntimeError: the file cannot be written.
        """
        _save(self._path)

    def to_stream(self, stream: BinaryIO) -> int:
        """``save``, then writes the file's bytes to a binary stream, none where nothing was compiled. Gives how many.

        Raises:
            RuntimeError: the file cannot be written.
        """
        self.save()
        contents = self._contents()
        stream.write(contents)
        return len(contents)

    def from_stream(self, stream: BinaryIO) -> None:
        """Replaces the file by what is left of a binary stream, which ``to_stream`` wrote: for engines that begin to
        use the cache afterwards.

        Raises:
            ValueError: the bytes are something else; the file stays.
            RuntimeError: an engine uses the cache, and would not read the file again.
        """
        contents = stream.read()
        _check(contents, "the stream holds no runtime cache")
        if _users(self._path):
            raise RuntimeError(
                f'engines use the runtime cache "{self._path}", and read its file only when they begin to: '
                "fill it before, or after the block of runtime_cache"
            )
        beside = f"{self._path}.{os.getpid()}.{next(_NUMBERS)}"  # and renamed: other processes may read the file
        Path(beside).write_bytes(contents)
        os.replace(beside, self._path)

    def _contents(self) -> bytes:
        try:
            return Path(self._path).read_bytes()
        except FileNotFoundError:
            return b""


def _check(contents: bytes, what: str) -> None:
    if contents and not contents.startswith(_MAGIC):
        raise ValueError(f"{what}: expected what RuntimeCache.save or RuntimeCache.to_stream wrote")


def _users(path: str) -> list[Any]:
    """The engines of the process that use this file."""

    def uses(engine: Any) -> bool:
        used = engine.runtime_settings()[2]
        return bool(used) and os.path.abspath(used) == path

    return [engine for engine in load_binding().live_engines() if uses(engine)]


def _save(path: str) -> None:
    for engine in _users(path):
        engine.save_runtime_cache()


def _save_quietly(path: str) -> None:
    try:
        _save(path)
    except Exception as error:
        _LOGGER.warning("%s", error)


def _private_path() -> str:
    global _private
    if _private is None:
        _private = tempfile.TemporaryDirectory(prefix="torch_tensorrt_cache_")
        atexit.register(_end_private_files, _private)
    return os.path.join(_private.name, str(next(_NUMBERS)))


def _end_private_files(folder: tempfile.TemporaryDirectory[str]) -> None:
    # Engines may live longer than the folder, and would find it missing when they save.
    for engine in load_binding().live_engines():
        kernels, graphs, cache = engine.runtime_settings()
        if os.path.dirname(cache) == folder.name:
            engine.set_runtime_settings(kernels, graphs, "")
    folder.cleanup()
