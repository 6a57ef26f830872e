# SPDX-License-Identifier: Apache-2.0
"""A module with engines and PyTorch operators in one CUDA graph per combination of input shapes."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils import _pytree as pytree

_LOGGER = logging.getLogger("torch_tensorrt")
_CAPACITY = 8
_WARM_UPS = 3  # what PyTorch's own documentation asks for before a capture


class Recorder(Protocol):
    """What records and replays. Tests put another one in the place of CUDA."""

    def is_recording(self) -> bool:
        """Whether the current stream is being recorded by somebody."""

    def can_record(self, tensors: list[torch.Tensor]) -> bool: ...

    def record(self, run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Warms up, records ``run``, and gives the replay with the memory of the results, filled after each replay."""


class CudaRecorder:
    """PyTorch's CUDA graphs, all in one memory pool."""

    def __init__(self) -> None:
        self._pool: Any = None

    def is_recording(self) -> bool:
        return torch.cuda.is_current_stream_capturing()

    def can_record(self, tensors: list[torch.Tensor]) -> bool:
        return bool(tensors) and all(tensor.is_cuda for tensor in tensors)

    def record(self, run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                run()
        torch.cuda.current_stream().wait_stream(side)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            results = run()
        return graph.replay, results


@dataclass
class _Recording:
    inputs: list[torch.Tensor]
    replay: Callable[[], None]
    results: Any


class CudaGraphsTorchTensorRTModule(torch.nn.Module):
    """Calls a compiled module through recordings, one per combination of input shapes; the least recently used of
    eight makes room.

    Inputs are copied into a recording's memory and results out of it, so that what a caller holds is never written
    again. A recording that fails is tried no more: the module then runs without, after a warning. Thread-safe: calls
    take turns.
    """

    def __init__(self, compiled_module: Any, recorder: Recorder | None = None) -> None:
        super().__init__()
        self.compiled_module = compiled_module
        self._recorder: Recorder = recorder or CudaRecorder()
        self._recordings: OrderedDict[Hashable, _Recording] = OrderedDict()
        self._failed = False
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Forgets all recordings, and that one failed."""
        with self._lock:
            self._recordings.clear()
            self._failed = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if self._failed or self._recorder.is_recording() or not self._recorder.can_record(tensors):
            return self.compiled_module(*args, **kwargs)
        key = (str(spec), tuple(_key_of(leaf) for leaf in leaves))
        with self._lock:
            recording = self._recordings.get(key)
            if recording is None:
                recording = self._record(leaves, spec)
                if recording is None:
                    return self.compiled_module(*args, **kwargs)
                if len(self._recordings) == _CAPACITY:
                    self._recordings.popitem(last=False)
                self._recordings[key] = recording
            self._recordings.move_to_end(key)
            for memory, tensor in zip(recording.inputs, tensors, strict=True):
                memory.copy_(tensor)
            recording.replay()
            return pytree.tree_map_only(torch.Tensor, torch.clone, recording.results)

    def _record(self, leaves: list[Any], spec: pytree.TreeSpec) -> _Recording | None:
        own = [leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(own, spec)
        try:
            replay, results = self._recorder.record(lambda: self.compiled_module(*args, **kwargs))
        except RuntimeError as error:
            # An error of the inputs shows again in the plain call that follows.
            self._failed = True
            _LOGGER.warning("the module cannot be recorded into a CUDA graph and runs without: %s", error)
            return None
        return _Recording([leaf for leaf in own if isinstance(leaf, torch.Tensor)], replay, results)


def _key_of(leaf: Any) -> Hashable:
    """What a recording depends on besides the elements of tensors."""
    if isinstance(leaf, torch.Tensor):
        return (leaf.shape, leaf.stride(), leaf.dtype, leaf.device)
    return (type(leaf), leaf)
