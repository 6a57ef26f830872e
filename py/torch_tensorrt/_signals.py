# SPDX-License-Identifier: Apache-2.0
"""Signals that wait."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Runs handlers that are Python functions (Ctrl-C has one) after the block instead of within it.

    PyTorch's binding has places where an exception of a handler is lost, or ends the process: the conversion of an
    engine for its pickler is one. Python runs handlers in the main thread alone; in another there is nothing to hold.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    held: dict[int, Callable[[int, FrameType | None], Any]] = {
        number: handler for number in signal.valid_signals() if callable(handler := signal.getsignal(number))
    }
    try:
        with contextlib.ExitStack() as stack:
            for number, handler in held.items():
                stack.callback(signal.signal, number, handler)
                signal.signal(number, lambda number, frame: arrived.append((number, frame)))
            yield
    finally:
        for arrival, frame in arrived:
            held[arrival](arrival, frame)
