# SPDX-License-Identifier: Apache-2.0
"""Eight threads on one TensorRT engine, each on a stream of its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from torch_tensorrt import runtime

from .compiled import Compiled, Mixed, Mlp, assert_same, batch, compile_for

THREADS, CALLS = 8, 60


@pytest.mark.parametrize("mode", ["standard", "graphs", "pre-allocated", "whole"])
def test_threads_share_an_engine(target: str, mode: str) -> None:
    compiled = compile_for(target, Mixed() if mode == "whole" else Mlp())
    if mode == "graphs":
        runtime.set_cudagraphs_mode(True)
    if mode == "pre-allocated":
        with runtime.enable_pre_allocated_outputs(compiled.module) as module:
            check_threads(compiled, module)
    elif mode == "whole":
        with runtime.enable_cudagraphs(compiled.module) as module:
            check_threads(compiled, module)
    else:
        check_threads(compiled, compiled.module)


def check_threads(compiled: Compiled, module: Any) -> None:
    """All answers are eager's; they are compared when all threads are done, so that nothing keeps the threads apart."""
    start = threading.Barrier(THREADS)
    answers: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in range(THREADS)]
    errors: list[Exception] = []

    def work(index: int) -> None:
        try:
            with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
                start.wait()
                for call in range(CALLS):
                    x = batch(1 + (index + call) % 5)
                    answers[index].append((x, module(x)))
        except Exception as error:
            errors.append(error)
            start.abort()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    torch.cuda.synchronize()
    with torch.no_grad():
        for given in answers:
            assert len(given) == CALLS
            for x, y in given:
                assert_same(y, compiled.eager(x))
