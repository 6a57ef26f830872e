# SPDX-License-Identifier: Apache-2.0
"""Engines in PyTorch's own recordings (torch.cuda.CUDAGraph), beside them, and whole modules in one recording."""

from __future__ import annotations

import gc
import logging
import threading
from typing import Any

import pytest
import torch

import torch_tensorrt
from torch_tensorrt.runtime import CudaGraphsTorchTensorRTModule

from .conftest import BIAS, make_engine


class Mixed(torch.nn.Module):
    """PyTorch operators around two engines, one of which runs twice."""

    def __init__(self, first: torch.nn.Module, second: torch.nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.linear = torch.nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(torch.relu(self.linear(x)))) * 2 + self.first(x)


class Eager(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + BIAS


def mixed(delay_us: int = 0) -> tuple[Any, Any]:
    """The module and what it must compute."""
    module = Mixed(make_engine("first", delay_us=delay_us), make_engine("second", delay_us=delay_us)).cuda().eval()
    reference = Mixed(Eager(), Eager()).cuda().eval()
    reference.load_state_dict(module.state_dict())
    return module, reference


@pytest.mark.parametrize("mode", ["global", "thread_local", "relaxed"])
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_engines_run_into_the_callers_recording(mode: str, warm: bool) -> None:
    module, reference = mixed()
    x = torch.randn(4, 3, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):
        reference(x)  # PyTorch's own first run
        if warm:
            for _ in range(3):
                module(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph, capture_error_mode=mode):
        y = module(x)
    with torch.no_grad():
        for i in range(5):
            x.copy_(torch.randn(4, 3, device="cuda"))
            plain = module(x + i)  # calls beside the recording must not use its contexts
            graph.replay()
            torch.testing.assert_close(y, reference(x))
            torch.testing.assert_close(plain, reference(x + i))


def test_recordings_overlap_with_calls() -> None:
    """A replay in flight and plain calls on other streams do not share scratch memory."""
    engine = make_engine("overlap", delay_us=300)
    x = torch.randn(8, 3, device="cuda")
    engine(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = engine(x)
    streams = [torch.cuda.Stream() for _ in range(3)]
    torch.cuda.synchronize()
    results = []
    for i in range(30):
        graph.replay()
        with torch.cuda.stream(streams[i % 3]):
            other = torch.full((8, 3), float(i), device="cuda")
            results.append((other, engine(other)))
    torch.cuda.synchronize()
    assert torch.equal(y, x + BIAS)
    for other, result in results:
        assert torch.equal(result, other + BIAS)


@pytest.mark.parametrize("graphs", [False, True], ids=["plain", "graphs"])
def test_a_recording_is_not_disturbed_by_other_threads(graphs: bool) -> None:
    """torch.cuda.graph() by default forbids unsafe calls to every thread of the process while it records."""
    mine, theirs = make_engine("mine", delay_us=20), make_engine("theirs", delay_us=20)
    torch_tensorrt.runtime.set_cudagraphs_mode(graphs)
    x = torch.randn(4, 3, device="cuda")
    shapes = [torch.randn(rows, 3, device="cuda") for rows in range(1, 12)]
    streams = [torch.cuda.Stream() for _ in range(3)]
    for stream in streams:
        with torch.cuda.stream(stream):
            for other in shapes:  # PyTorch's allocator must not need new memory meanwhile: that is not ours
                torch.cat([theirs(other)] * 40)
    mine(x)
    # As torch.cuda.graph() does: a recording of an earlier test that goes meanwhile would spoil this one.
    gc.collect()
    torch.cuda.synchronize()
    stop, started, errors, wrong = threading.Event(), threading.Event(), [], [0]
    answers: list[tuple[torch.Tensor, torch.Tensor]] = []

    def work() -> None:
        try:
            count = 0
            while not stop.is_set() or count < 50:
                with torch.cuda.stream(streams[count % 3]):
                    other = shapes[count % len(shapes)]
                    answers.append((other, theirs(other)))
                del answers[:-20]
                count += 1
                started.set()
        except Exception as error:
            errors.append(error)
            started.set()

    thread = threading.Thread(target=work)
    recorded = []
    try:
        thread.start()
        started.wait()
        for _ in range(10):
            graph = torch.cuda.CUDAGraph()
            # Without the synchronization and garbage collection of torch.cuda.graph(), which other threads would upset.
            stream = torch.cuda.Stream()
            with torch.cuda.stream(stream):
                graph.capture_begin(capture_error_mode="global")
                y = mine(x)
                graph.capture_end()
            recorded.append((graph, y))
    finally:
        stop.set()
        thread.join()
        for error in errors:  # what the other thread met tells more than what became of the recording
            raise error
    torch.cuda.synchronize()
    for graph, y in recorded:
        graph.replay()
        wrong[0] += not torch.equal(y, x + BIAS)
    for other, answer in answers:
        wrong[0] += not torch.equal(answer, other + BIAS)
    assert wrong == [0]


def test_whole_modules_are_recorded(caplog: pytest.LogCaptureFixture) -> None:
    module, reference = mixed()
    with (
        caplog.at_level(logging.WARNING, logger="torch_tensorrt"),
        torch.no_grad(),
        torch_tensorrt.runtime.enable_cudagraphs(module) as whole,
    ):
        assert isinstance(whole, CudaGraphsTorchTensorRTModule)
        kept = []
        for i in range(24):
            x = torch.randn(1 + i % 3, 3, device="cuda")
            kept.append((whole(x), reference(x)))
        for result, expected in kept:
            torch.testing.assert_close(result, expected)
        assert len(whole._recordings) == 3
        for rows in range(1, 13):
            x = torch.randn(rows, 3, device="cuda")
            torch.testing.assert_close(whole(x), reference(x))
        assert len(whole._recordings) == 8
    assert not caplog.records


def test_whole_modules_that_cannot_be_recorded(caplog: pytest.LogCaptureFixture) -> None:
    module = torch.nn.Sequential(make_engine("syncs", operation="host_sync"), torch.nn.ReLU())
    with (
        caplog.at_level(logging.WARNING, logger="torch_tensorrt"),
        torch.no_grad(),
        torch_tensorrt.runtime.enable_cudagraphs(module) as whole,
    ):
        for rows in (2, 3, 2):
            x = torch.randn(rows, 3, device="cuda")
            assert torch.equal(whole(x), torch.relu(x + BIAS))
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert len([r for r in caplog.records if "cannot be recorded" in r.getMessage()]) == 1
    engine = make_engine("after")
    assert torch.equal(engine(x), x + BIAS)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # the failure leaves nothing behind: the next recording is one
        y = engine(x) + torch.rand_like(x)
    graph.replay()
    assert ((y - x - BIAS >= -1e-5) & (y - x - BIAS < 1.00001)).all()


def test_whole_modules_from_threads() -> None:
    module, reference = mixed(delay_us=20)
    whole = CudaGraphsTorchTensorRTModule(module)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        try:
            with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
                for i in range(30):
                    x = torch.full((1 + (i + seed) % 4, 3), float(seed * 100 + i), device="cuda")
                    result = whole(x)
                    if not torch.allclose(result, reference(x)):
                        wrong.append((seed, i))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
