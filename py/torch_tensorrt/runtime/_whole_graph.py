# SPDX-License-Identifier: Apache-2.0
"""A module with engines and PyTorch operators in one CUDA graph per combination of input shapes."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils import _pytree as pytree

from .._engine import engines_of

_LOGGER = logging.getLogger("torch_tensorrt")
_CAPACITY = 8
_WARM_UPS = 3  # what PyTorch's own documentation asks for before a capture


class Recorder(Protocol):
    """What records and replays. Tests put another one in the place of CUDA."""

    def is_recording(self) -> bool:
        """Whether the current stream is being recorded by somebody."""

    def can_record(self, tensors: list[torch.Tensor]) -> bool: ...

    def turn(self, tensors: list[torch.Tensor]) -> AbstractContextManager[None]:
        """The block of one call on these inputs: what blocks enqueue runs in their order, also on different streams."""

    def record(self, run: Callable[[], Any], memory: list[torch.Tensor]) -> tuple[Callable[[], None], Any]:
        """Warms up and records ``run``, which reads ``memory``; gives the replay, and the results that it fills."""


class CudaRecorder:
    """PyTorch's CUDA graphs, all in one memory pool; that calls take turns makes it safe."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._done: dict[int, torch.cuda.Event] = {}  # behind the last turn on each device

    def is_recording(self) -> bool:
        return torch.cuda.is_current_stream_capturing()

    def can_record(self, tensors: list[torch.Tensor]) -> bool:
        return bool(tensors) and all(tensor.is_cuda and tensor.device == tensors[0].device for tensor in tensors)

    @contextmanager
    def turn(self, tensors: list[torch.Tensor]) -> Iterator[None]:
        device = tensors[0].device.index
        with torch.cuda.device(device):
            done = self._done.setdefault(device, torch.cuda.Event())  # type: ignore[no-untyped-call]
            done.wait()  # for nothing, if it was never recorded
            try:
                yield
            finally:
                done.record()

    def record(self, run: Callable[[], Any], memory: list[torch.Tensor]) -> tuple[Callable[[], None], Any]:
        home = torch.cuda.current_stream()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(home)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                run()
        home.wait_stream(side)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with (
            _whole_after_a_failure(self._pool),
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            results = run()

        def replay() -> None:
            stream = torch.cuda.current_stream()
            if stream != home:
                # So that the allocator gives the memory to nobody before this stream is done with it.
                for tensor in memory:
                    tensor.record_stream(stream)
            graph.replay()

        return replay, results


@contextmanager
def _whole_after_a_failure(pool: Any) -> Iterator[None]:
    """Puts back what ``torch.cuda.graph`` leaves behind when the driver refuses to end a recording: the current stream,
    the random generator and the allocator as they are within a recording (seen with PyTorch 2.11)."""
    device = torch.cuda.current_device()
    generator = torch.cuda.default_generators[device]
    state = generator.clone_state()
    try:
        with torch.cuda.stream(torch.cuda.current_stream()):
            yield
    except BaseException:
        generator.graphsafe_set_state(state)
        with suppress(Exception):  # the allocator is through with the pool if the recording did end
            torch._C._cuda_endAllocateToPool(device, pool)
            torch._C._cuda_releasePool(device, pool)
        raise


@dataclass
class _Recording:
    inputs: list[torch.Tensor]
    replay: Callable[[], None]
    results: Any


# Those that live, to find the recordings that an engine is in.
_MODULES: weakref.WeakSet[CudaGraphsTorchTensorRTModule] = weakref.WeakSet()
_MODULES_LOCK = threading.Lock()


class CudaGraphsTorchTensorRTModule(torch.nn.Module):
    """Calls a compiled module through recordings, one per combination of input shapes; the least recently used of
    eight makes room.

    Inputs are copied into a recording's memory and results out of it, so that what a caller holds is never written
    again. Results are detached. A recording that fails although the plain run succeeds is tried no more: the module
    then runs without, after a warning. Thread-safe: calls take turns.
    """

    def __init__(self, compiled_module: Any, recorder: Recorder | None = None) -> None:
        super().__init__()
        self.compiled_module = compiled_module
        self._engines = engines_of(compiled_module)
        self._recorder: Recorder = recorder or CudaRecorder()
        self._recordings: OrderedDict[Hashable, _Recording] = OrderedDict()
        self._failed = False
        self._lock = threading.Lock()
        with _MODULES_LOCK:
            _MODULES.add(self)

    def reset(self) -> None:
        """Forgets all recordings, and that one failed."""
        with self._lock:
            self._recordings.clear()
            self._failed = False

    def _hold(self, stack: ExitStack) -> None:
        """Forgets all recordings, whose launches are over then, and makes none before the stack ends."""
        stack.enter_context(self._lock)
        devices = {tensor.device for recording in self._recordings.values() for tensor in recording.inputs}
        for device in devices:
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        self._recordings.clear()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        if self._failed or self._recorder.is_recording() or not self._recorder.can_record(tensors):
            return self.compiled_module(*args, **kwargs)
        profiles = tuple(engine.optimization_profile() for engine in self._engines)
        key = (str(spec), profiles, tuple(_key_of(leaf) for leaf in leaves))
        with self._lock, torch.no_grad(), self._recorder.turn(tensors):
            recording = self._recordings.get(key)
            if recording is None:
                try:
                    recording = self._record(leaves, spec)
                except Exception as error:
                    plain = self.compiled_module(*args, **kwargs)  # an error of the inputs shows here again
                    self._failed = True
                    self._recordings.clear()
                    _LOGGER.warning("the module cannot be recorded into a CUDA graph and runs without: %s", error)
                    return plain
                if len(self._recordings) == _CAPACITY:
                    self._recordings.popitem(last=False)
                self._recordings[key] = recording
            self._recordings.move_to_end(key)
            for memory, tensor in zip(recording.inputs, tensors, strict=True):
                memory.copy_(tensor)
            recording.replay()
            return pytree.tree_map_only(torch.Tensor, torch.clone, recording.results)

    def _record(self, leaves: list[Any], spec: pytree.TreeSpec) -> _Recording:
        # Ordinary tensors in any case: those of an inference mode could not be written outside of it.
        with torch.inference_mode(False), torch.no_grad():
            own = [leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(own, spec)
        memory = [leaf for leaf in own if isinstance(leaf, torch.Tensor)]
        with _unchanged_buffers(self.compiled_module):
            replay, results = self._recorder.record(lambda: self.compiled_module(*args, **kwargs), memory)
        return _Recording(memory, replay, results)


@contextmanager
def _unchanged_buffers(module: Any) -> Iterator[None]:
    """A block whose runs of the module, such as warm-ups, leave its state as it is."""
    buffers = list(module.buffers()) if isinstance(module, torch.nn.Module) else []
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.inference_mode():  # in which every tensor may be written
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)


@contextmanager
def without_recordings(engines: list[Any]) -> Iterator[None]:
    """A block in which none of these engines is in a whole module's recording; calls of such modules wait for its end,
    and record anew."""

    def states(of: list[Any]) -> set[int]:
        return {engine.payload().data_ptr() for engine in of}  # copies of an engine share it

    wanted = states(engines)
    with _MODULES_LOCK:
        found = [module for module in _MODULES if wanted & states(module._engines)]
    with ExitStack() as stack:
        for module in sorted(found, key=id):  # in one order, so that two such blocks do not wait for each other
            module._hold(stack)
        yield


def _key_of(leaf: Any) -> Hashable:
    """What a recording depends on besides the elements of tensors."""
    if isinstance(leaf, torch.Tensor):
        return (leaf.shape, leaf.stride(), leaf.dtype, leaf.device)
    return (type(leaf), leaf)
