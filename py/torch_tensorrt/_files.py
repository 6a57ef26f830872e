# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import secrets
import stat
from collections.abc import Iterator

from ._library import load_binding

_PREFIX, _SUFFIX = ".torchtrt-", ".tmp"


class Stream(io.RawIOBase):
    """A file for PyTorch's writers. They end the process when a write raises (they write in their destructor, too), for
    a full disk or for an interrupt, so here none does: the first error is kept for ``finish``."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__()
        self._file = file
        self._writer = load_binding().FileWriter(file.fileno())
        # Not a function of Python's: between two of its instructions a signal's handler may raise.
        self.write = self._writer.write  # type: ignore[method-assign]

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def finish(self) -> None:
        """Brings everything to the disk; OSError for this or any earlier failure."""
        if self._writer.error:
            raise OSError(self._writer.error, os.strerror(self._writer.error))
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[Stream]:
    """A stream to a file beside `path`, which takes its place when the block ends without an error.

    A symbolic link is followed. Files beside, which processes that were killed left behind, are removed.

    Raises:
        FileNotFoundError: the folder does not exist.
        IsADirectoryError: `path` is a folder.
        OSError: the folder or the disk does not take the file, or `path` is a device, a pipe or a socket.
    """
    destination = os.path.realpath(path)
    folder = os.path.dirname(destination)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"save: the folder {folder} does not exist")
    if os.path.isdir(destination):
        raise IsADirectoryError(f"save: {path!r} is a folder; give the name of a file in it")
    if os.path.exists(destination) and not stat.S_ISREG(os.stat(destination).st_mode):
        raise OSError(f"save: {path!r} is a device, a pipe or a socket; give the name of a file")
    _remove_abandoned(folder)
    with contextlib.ExitStack() as stack:
        try:
            file, temporary = _open_beside(folder)
        except OSError as error:
            raise _explained(error, path, "save where you may write") from error
        stack.enter_context(file)
        stack.callback(_remove, temporary)
        stream = Stream(file)
        yield stream
        try:
            stream.finish()
            os.replace(temporary, destination)
        except OSError as error:
            raise _explained(error, path, "the file at this place is as it was before") from error


def _explained(error: OSError, path: str, advice: str) -> OSError:
    return type(error)(error.errno, f"save: cannot write {path!r}: {error.strerror}; {advice}")


def _open_beside(folder: str) -> tuple[io.FileIO, str]:
    """A new file that is locked while this process has it open: by that the others know that it is not abandoned."""
    while True:
        temporary = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}")
        file = io.FileIO(temporary, "xb")
        with contextlib.suppress(OSError):  # a file system without locks: nothing there is taken for abandoned
            fcntl.flock(file, fcntl.LOCK_EX)
        # Between its creation and the lock another process may have taken it for abandoned.
        if os.path.exists(temporary):
            return file, temporary
        file.close()


def _remove_abandoned(folder: str) -> None:
    """Removes the files of processes that ended while they wrote."""
    try:
        found = [name for name in os.listdir(folder) if name.startswith(_PREFIX) and name.endswith(_SUFFIX)]
    except OSError:
        return  # a folder that may be written but not listed
    for name in found:
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError), open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an error while its writer lives
            os.unlink(path)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
