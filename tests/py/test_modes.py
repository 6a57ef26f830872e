# SPDX-License-Identifier: Apache-2.0
"""Runtime modes from Python: what they mean, for every kind of module, and that each block leaves what it found."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Counter, Mlp, Split, assert_same

import torch_tensorrt
from torch_tensorrt import runtime
from torch_tensorrt._engine import engines_of
from torch_tensorrt.runtime._modes import has_torch_parts
from torch_tensorrt.runtime._whole_graph import CudaGraphsTorchTensorRTModule

CUDAGRAPHS, OUTPUT_ALLOCATOR, PRE_ALLOCATED = 0, 1, 2
MANAGERS = {
    CUDAGRAPHS: runtime.enable_cudagraphs,
    OUTPUT_ALLOCATOR: runtime.enable_output_allocator,
    PRE_ALLOCATED: runtime.enable_pre_allocated_outputs,
}


class Nonzero(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(torch.relu(x) * 2)


@pytest.fixture(scope="module")
def every_kind(module: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same program in every form that a script may hold."""
    folder = tmp_path_factory.mktemp("modes")
    x = torch.rand(2, 16)
    scripted = torch.jit.trace(module, (x,))
    for format_, name in [("exported_program", "m.ep"), ("torchscript", "m.ts"), ("aot_inductor", "m.pt2")]:
        torch_tensorrt.save(module, str(folder / name), output_format=format_)
    exported = torch_tensorrt.load(str(folder / "m.ep"))
    return {
        "compiled": module,
        "exported": torch.export.export(module, (x,)).module(),
        "loaded program": exported,
        "loaded module": exported.module(),
        "traced": scripted,
        "loaded TorchScript": torch_tensorrt.load(str(folder / "m.ts")),
        "loaded package": torch_tensorrt.load(str(folder / "m.pt2")),
        "inside another module": torch.nn.Sequential(module, torch.nn.ReLU()),
    }


KINDS = [
    "compiled",
    "exported",
    "loaded program",
    "loaded module",
    "traced",
    "loaded TorchScript",
    "loaded package",
    "inside another module",
]


@pytest.fixture(autouse=True)
def _modes_are_as_before() -> Iterator[None]:
    yield
    assert not runtime.get_cudagraphs_mode()
    assert not runtime.get_whole_cudagraphs_mode()
    assert not runtime.get_multi_device_safe_mode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MANAGERS)
def test_managers_find_the_engines_of_every_kind_of_module(
    every_kind: dict[str, Any], model: Mlp, kind: str, mode: int
) -> None:
    program = every_kind[kind]
    engines = engines_of(program)
    assert engines
    x = torch.rand(2, 16)
    with MANAGERS[mode](program) as inside:
        assert all(engine.mode_is_on(mode) for engine in engines)
        if kind not in ("inside another module", "loaded program"):  # the latter is no callable
            assert_same(inside(x), model(x))
    assert not any(engine.mode_is_on(mode) for engine in engines)


@pytest.mark.parametrize("mode", MANAGERS)
def test_blocks_nest_and_end_by_exceptions(module: Any, mode: int) -> None:
    manager = MANAGERS[mode]
    (engine,) = engines_of(module)
    with manager(module) as outer:
        assert outer is module
        with pytest.raises(KeyError), manager(module):
            raise KeyError
        assert engine.mode_is_on(mode)
    assert not engine.mode_is_on(mode)
    again = manager(module)
    for _ in range(2):
        with again, again:
            assert engine.mode_is_on(mode)
        assert not engine.mode_is_on(mode)


def test_blocks_of_two_threads_may_overlap(module: Any) -> None:
    (engine,) = engines_of(module)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with runtime.enable_pre_allocated_outputs(module):
            entered.set()
            leave.wait()

    with runtime.enable_pre_allocated_outputs(module):
        other = threading.Thread(target=hold)
        other.start()
        entered.wait()
    assert engine.mode_is_on(PRE_ALLOCATED), "the other thread's block is open"
    leave.set()
    other.join()
    assert not engine.mode_is_on(PRE_ALLOCATED)


def test_modules_without_engines_are_refused() -> None:
    for manager in MANAGERS.values():
        with pytest.raises(ValueError, match="no engine found in ReLU"):
            manager(torch.nn.ReLU())


# --- process-wide defaults ---


def test_cudagraphs_mode_is_a_default_and_a_block(module: Any, model: Mlp) -> None:
    x = torch.rand(2, 16)
    runtime.set_cudagraphs_mode(True)
    try:
        assert runtime.get_cudagraphs_mode()
        assert_same(module(x), model(x))
    finally:
        runtime.set_cudagraphs_mode(False)
    with runtime.enable_cudagraphs(module) as inside:
        assert runtime.get_cudagraphs_mode()
        assert not runtime.get_whole_cudagraphs_mode()
        assert_same(inside(x), model(x))


def test_strategy_is_for_rtx(module: Any) -> None:
    with pytest.raises(RuntimeError, match="TensorRT-RTX engines only"):
        runtime.enable_cudagraphs(module, cuda_graph_strategy="whole_graph_capture")


# --- outputs ---


def test_pre_allocated_outputs_are_never_written_again(module: Any, model: Mlp) -> None:
    with runtime.enable_pre_allocated_outputs(module), torch.no_grad():
        kept = []
        for batch in (2, 2, 2, 5, 5, 1, 2, 2):
            x = torch.rand(batch, 16)
            kept.append((module(x), model(x)))
        for ours, theirs in kept:
            assert_same(ours, theirs)
        assert len({ours.data_ptr() for ours, _ in kept}) == len(kept)


def test_pre_allocated_outputs_keep_inference_mode_apart(module: Any) -> None:
    x = torch.rand(2, 16)
    with runtime.enable_pre_allocated_outputs(module):
        with torch.inference_mode():
            assert module(x).is_inference()
        assert not module(x).is_inference()
        with torch.inference_mode():
            assert module(x).is_inference()


def test_allocator_and_graphs_exclude_each_other(module: Any, model: Mlp) -> None:
    x = torch.rand(2, 16)
    with (
        runtime.enable_cudagraphs(module),
        runtime.enable_output_allocator(module),
        pytest.raises(RuntimeError, match="Both CUDA Graphs and dynamic output allocation are enabled"),
    ):
        module(x)
    assert_same(module(x), model(x))


def test_data_dependent_engines_use_the_allocator_by_themselves() -> None:
    module = torch_tensorrt.compile(Nonzero(), inputs=[torch.rand(4, 5)], min_block_size=1)
    (engine,) = engines_of(module)
    assert engine.requires_output_allocator()
    for x in (torch.rand(4, 5) - 0.5, torch.zeros(4, 5), -torch.ones(4, 5)):
        assert_same(module(x), Nonzero()(x))
        with runtime.enable_pre_allocated_outputs(module), runtime.enable_output_allocator(module):
            assert_same(module(x), Nonzero()(x))
    with pytest.raises(RuntimeError, match="The model contains submodules that require a dynamic output allocator"):
        runtime.enable_cudagraphs(module)
    runtime.set_cudagraphs_mode(True)
    try:
        with pytest.raises(RuntimeError, match="require a dynamic output allocator"):
            module(torch.rand(4, 5))
    finally:
        runtime.set_cudagraphs_mode(False)


# --- whole graphs, with a recorder that needs no GPU ---


class FakeRecorder:
    """Records by remembering what to run."""

    def __init__(self, fails: bool = False) -> None:
        self.recorded, self.replayed, self.fails = 0, 0, fails

    def is_recording(self) -> bool:
        return False

    def can_record(self, tensors: list[torch.Tensor]) -> bool:
        return True

    def turn(self, tensors: list[torch.Tensor]) -> AbstractContextManager[None]:
        return nullcontext()

    def record(self, run: Callable[[], Any], memory: list[torch.Tensor]) -> tuple[Callable[[], None], Any]:
        results = run()
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            with torch.inference_mode():  # in which every tensor may be written
                results.copy_(run())

        return replay, results


@pytest.fixture(scope="module")
def split() -> tuple[Split, Any]:
    torch.manual_seed(0)
    model = Split().eval()
    batch = torch_tensorrt.Input(min_shape=(1, 12), opt_shape=(4, 12), max_shape=(16, 12))
    return model, torch_tensorrt.compile(model, inputs=[batch], min_block_size=1)


def test_torch_parts_ask_for_whole_graphs(split: tuple[Split, Any], every_kind: dict[str, Any]) -> None:
    assert has_torch_parts(split[1])
    assert not has_torch_parts(every_kind["compiled"])
    assert not has_torch_parts(every_kind["exported"])
    assert has_torch_parts(every_kind["inside another module"])
    with runtime.enable_cudagraphs(split[1]) as inside:
        assert inside is split[1], "there is nothing to record on the CPU"


def test_whole_graphs_record_new_shapes_and_replay_known_ones(split: tuple[Split, Any]) -> None:
    model, module = split
    recorder = FakeRecorder()
    whole = CudaGraphsTorchTensorRTModule(module, recorder)
    kept = []
    with torch.no_grad():
        for batch in (2, 3, 2, 3, 2):
            x = torch.rand(batch, 12)
            kept.append((whole(x), model(x)))
    for ours, theirs in kept:
        assert_same(ours, theirs)
    assert (recorder.recorded, recorder.replayed) == (2, 5)


def test_whole_graphs_are_bounded(split: tuple[Split, Any]) -> None:
    recorder = FakeRecorder()
    whole = CudaGraphsTorchTensorRTModule(split[1], recorder)
    for batch in [*range(1, 9), 1, 9, 1, 2]:
        whole(torch.rand(batch, 12))
    assert recorder.recorded == 10, "shape 1 stayed, shape 2 made room for shape 9"
    whole.reset()
    whole(torch.rand(1, 12))
    assert recorder.recorded == 11


def test_whole_graphs_fall_back_once(split: tuple[Split, Any], caplog: pytest.LogCaptureFixture) -> None:
    model, module = split
    whole = CudaGraphsTorchTensorRTModule(module, FakeRecorder(fails=True))
    with torch.no_grad():
        for _ in range(3):
            x = torch.rand(2, 12)
            assert_same(whole(x), model(x))
    assert sum("cannot be recorded into a CUDA graph" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_recording_does_not_move_state_on(fails: bool) -> None:
    model = Counter().eval()
    expected = copy.deepcopy(model)
    module = torch_tensorrt.compile(model, arg_inputs=[torch.rand(2, 8)], min_block_size=1)
    whole = CudaGraphsTorchTensorRTModule(module, FakeRecorder(fails))
    with torch.no_grad():
        for _ in range(3):
            x = torch.rand(2, 8)
            assert_same(whole(x), expected(x))
    assert_same(dict(module.named_buffers()), dict(expected.named_buffers()))


def test_whole_graphs_pass_bad_inputs_errors_on(split: tuple[Split, Any]) -> None:
    recorder = FakeRecorder()
    whole = CudaGraphsTorchTensorRTModule(split[1], recorder)
    with pytest.raises(ValueError, match="17 is outside the range"):
        whole(torch.rand(17, 12))
    whole(torch.rand(2, 12))
    assert recorder.replayed == 1, "the failure is not taken for one of recording"


def test_whole_graphs_know_pytorchs_errors_from_failures_of_recording() -> None:
    recorder = FakeRecorder()
    model = torch.nn.Linear(3, 2)
    whole = CudaGraphsTorchTensorRTModule(model, recorder)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        whole(torch.rand(2, 4))
    x = torch.rand(2, 3)
    assert_same(whole(x), model(x).detach())
    assert recorder.replayed == 1


def test_whole_graphs_in_and_out_of_inference_mode() -> None:
    recorder = FakeRecorder()
    whole = CudaGraphsTorchTensorRTModule(torch.nn.ReLU(), recorder)
    x = torch.rand(2, 3)
    for _ in range(2):
        with torch.inference_mode():
            assert whole(x).is_inference()
        assert not whole(x).is_inference()
    assert not whole(x.requires_grad_()).requires_grad
    assert_same(whole(x), torch.relu(x).detach())
    (recording,) = whole._recordings.values()
    assert not recording.inputs[0].requires_grad, "or each call would add to a graph that nobody frees"
    assert recorder.recorded == 1


def test_whole_graphs_from_threads(split: tuple[Split, Any]) -> None:
    model, module = split
    whole = CudaGraphsTorchTensorRTModule(module, FakeRecorder())
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        try:
            with torch.no_grad():
                for _ in range(20):
                    x = torch.rand(seed % 4 + 1, 12, generator=generator)
                    assert_same(whole(x), model(x))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_saving_the_wrapper_saves_the_module(split: tuple[Split, Any], tmp_path: Path) -> None:
    model, module = split
    torch_tensorrt.save(CudaGraphsTorchTensorRTModule(module, FakeRecorder()), str(tmp_path / "m.ep"))
    x = torch.rand(3, 12)
    assert_same(torch_tensorrt.load(str(tmp_path / "m.ep")).module()(x), model(x).detach())
