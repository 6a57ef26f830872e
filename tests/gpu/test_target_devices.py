# SPDX-License-Identifier: Apache-2.0
"""A TensorRT engine and two GPUs: where it runs, with multi-device safe mode and without."""

from __future__ import annotations

import threading

import pytest
import torch

from torch_tensorrt import runtime

from .compiled import Compiled, Mlp, assert_same, batch, compile_for

pytestmark = pytest.mark.skipif(torch.cuda.device_count() == 1, reason="there is one GPU, this needs two")


@pytest.fixture
def mlp(target: str) -> Compiled:
    if torch.cuda.get_device_capability(0) != torch.cuda.get_device_capability(1):
        pytest.skip("the GPUs are of different kinds: an engine of TensorRT runs on one kind")
    return compile_for(target, Mlp())


def check_on(compiled: Compiled, x: torch.Tensor, y: torch.Tensor, device: str) -> None:
    assert y.device == torch.device(device)
    with torch.no_grad():
        assert_same(y.to("cuda:0"), compiled.eager(x.to("cuda:0")))


def test_the_inputs_device_is_where_it_runs(mlp: Compiled) -> None:
    for device in ("cuda:0", "cuda:1", "cuda:0", "cuda:1"):
        x = batch(4, device)
        check_on(mlp, x, mlp.module(x), device)
        assert torch.cuda.current_device() == 0, "the thread's device is as before"


def test_safe_mode_stays_on_the_first_device(mlp: Compiled) -> None:
    mlp.check(batch(4, "cuda:0"))
    with runtime.set_multi_device_safe_mode(True):
        for device in ("cuda:1", "cpu", "cuda:0"):
            x = batch(4, device)
            check_on(mlp, x, mlp.module(x), "cuda:0")
        with torch.cuda.device(1):
            x = batch(2, "cuda:1")
            check_on(mlp, x, mlp.module(x), "cuda:0")
            assert torch.cuda.current_device() == 1


@pytest.mark.parametrize("graphs", [False, True], ids=["plain", "graphs"])
def test_a_thread_per_gpu(mlp: Compiled, graphs: bool) -> None:
    runtime.set_cudagraphs_mode(graphs)
    answers: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {"cuda:0": [], "cuda:1": []}
    errors: list[Exception] = []

    def work(device: str) -> None:
        try:
            torch.cuda.set_device(device)
            for call in range(50):
                x = batch(1 + call % 3, device)
                answers[device].append((x, mlp.module(x)))
            torch.cuda.synchronize()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(device,)) for device in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for device, given in answers.items():
        assert len(given) == 50
        for x, y in given:
            check_on(mlp, x, y, device)
