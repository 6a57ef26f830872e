# SPDX-License-Identifier: Apache-2.0
"""Weight streaming budgets on TensorRT's own engines: answers, device memory, and what recordings do with them."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from torch_tensorrt import runtime

from .compiled import WIDTH, Compiled, batch, compile_for

HIDDEN = 4096
WEIGHTS = 4 * HIDDEN * HIDDEN  # bytes of the large layer


class Large(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.large, self.last = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.last(torch.relu(self.large(torch.relu(self.first(x))))), dim=-1)


@pytest.fixture(scope="module")
def large(target: str) -> Compiled:
    return compile_for(target, Large(), enable_weight_streaming=True)


def test_budgets(large: Compiled) -> None:
    with runtime.weight_streaming(large.module) as streaming:
        total = streaming.total_device_budget
        assert total >= WEIGHTS
        assert 0 <= streaming.get_automatic_weight_streaming_budget() <= total
        for budget in (total, 0, total // 2, total):
            streaming.device_budget = budget
            assert streaming.device_budget == budget
            for rows in (1, 8, 1):
                large.check(batch(rows))


@pytest.mark.alone
def test_a_small_budget_saves_device_memory(large: Compiled) -> None:
    def free_with(budget: int) -> int:
        streaming.device_budget = budget
        large.check(batch(8))
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]

    with runtime.weight_streaming(large.module) as streaming:
        all_of_it, nothing = free_with(streaming.total_device_budget), free_with(0)
    assert nothing - all_of_it >= WEIGHTS // 2


def test_cuda_graphs(large: Compiled) -> None:
    with runtime.enable_cudagraphs(large.module) as module, runtime.weight_streaming(large.module) as streaming:
        for budget in (0, streaming.total_device_budget, 0):
            streaming.device_budget = budget
            for rows in (1, 8, 1, 8):
                large.check(batch(rows), module=module)


def test_whole_modules(large: Compiled) -> None:
    with runtime.weight_streaming(large.module) as streaming, torch.no_grad():
        whole = runtime.CudaGraphsTorchTensorRTModule(large.module)
        for budget in (streaming.total_device_budget, 0, streaming.total_device_budget):
            streaming.device_budget = budget
            for rows in (1, 8, 1, 8):
                large.check(batch(rows), module=whole)


def test_the_callers_recording_keeps_its_budget(large: Compiled) -> None:
    x = batch(4)
    with runtime.weight_streaming(large.module) as streaming, torch.no_grad():
        streaming.device_budget = streaming.total_device_budget
        large.check(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            recorded = large.module(x)
        with pytest.raises(RuntimeError, match="in recordings of the caller's"):
            streaming.device_budget = 0
        graph.replay()
        torch.testing.assert_close(recorded, large.check(x))
        torch.cuda.synchronize()
        del graph
        streaming.device_budget = 0
        large.check(x)


def test_threads(large: Compiled) -> None:
    failures: list[BaseException] = []
    stop = threading.Event()

    def serve() -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream()):
                while not stop.is_set():
                    large.check(batch(4))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    with runtime.weight_streaming(large.module) as streaming:
        for budget in (0, streaming.total_device_budget) * 10:
            streaming.device_budget = budget
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
