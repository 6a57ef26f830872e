# SPDX-License-Identifier: Apache-2.0
"""What torch.compile made for a module: its graphs, and who wants to know of new ones.

A module that ``torch.compile(backend="torch_tensorrt")`` returned holds no engines: they come into being in its calls,
one or several for each graph and each kind of input. They are found by the module that was being called.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch._dynamo.eval_frame import OptimizedModule

_LOCK = threading.RLock()
_GRAPHS: weakref.WeakKeyDictionary[torch.nn.Module, weakref.WeakSet[Any]] = weakref.WeakKeyDictionary()
_LISTENERS: weakref.WeakKeyDictionary[torch.nn.Module, list[Callable[[Any], None]]] = weakref.WeakKeyDictionary()


def original(module: Any) -> torch.nn.Module | None:
    """The module that torch.compile was given, for what it returned (and for one whose ``compile()`` was called); None
    for other modules."""
    if isinstance(module, OptimizedModule):
        return module._orig_mod
    compiled = isinstance(module, torch.nn.Module) and module.__dict__.get("_compiled_call_impl") is not None
    return module if compiled else None


def originals(module: Any) -> list[torch.nn.Module]:
    """Those in a tree of modules."""
    children = module.modules() if isinstance(module, torch.nn.Module) else ()
    return [found for child in children if (found := original(child)) is not None]


def being_called() -> list[weakref.ref[torch.nn.Module]]:
    """The modules of torch.compile in whose calls this thread is."""
    found: dict[int, torch.nn.Module] = {}
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if "self" in frame.f_code.co_varnames and (module := original(frame.f_locals.get("self"))) is not None:
            found[id(module)] = module
        frame = frame.f_back
    return [weakref.ref(module) for module in found.values()]


def announce(graph: Any, modules: list[weakref.ref[torch.nn.Module]]) -> None:
    """Says that `graph` (``graph.program`` is what it calls) was compiled, or compiled again, for these modules."""
    with _LOCK:
        listeners: list[Callable[[Any], None]] = []
        for reference in modules:
            if (module := reference()) is not None:
                _GRAPHS.setdefault(module, weakref.WeakSet()).add(graph)
                listeners += _LISTENERS.get(module, [])
        for listener in dict.fromkeys(listeners):
            listener(graph.program)


def programs_of(module: torch.nn.Module) -> list[Any]:
    """What the graphs of this module (not of its children) call."""
    with _LOCK:
        return [graph.program for graph in _GRAPHS.get(module, ())]


def listen(module: Any, listener: Callable[[Any], None]) -> Callable[[], None]:
    """Calls `listener` with each program that torch.compile makes for a module, or a module in it, until what this
    returns is called. The listener is called by the thread that compiles, never by two at once."""
    watched = originals(module)
    with _LOCK:
        for item in watched:
            _LISTENERS.setdefault(item, []).append(listener)

    def stop() -> None:
        with _LOCK:
            for item in watched:
                _LISTENERS[item].remove(listener)

    return stop
