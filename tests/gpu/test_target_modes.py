# SPDX-License-Identifier: Apache-2.0
"""Every runtime mode on TensorRT's own engines, against eager PyTorch."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch

from torch_tensorrt import runtime
from torch_tensorrt.runtime import CudaGraphsTorchTensorRTModule

from .compiled import WIDTH, Compiled, Mixed, Mlp, Positive, assert_same, batch, compile_for, rows


@pytest.fixture(scope="module")
def mlp(target: str) -> Compiled:
    compiled = compile_for(target, Mlp())
    assert compiled.engines == 1
    return compiled


@pytest.fixture(scope="module")
def mixed(target: str) -> Compiled:
    compiled = compile_for(target, Mixed())
    assert compiled.engines == 2
    return compiled


def check_calls(compiled: Compiled, module: Any, counts: list[int]) -> None:
    """Answers are right, and stay so: what a caller got is never written again."""
    kept = []
    for count in counts:
        x = batch(count)
        kept.append((compiled.check(x, module=module), x))
    with torch.no_grad():
        for result, x in kept:
            assert_same(result, compiled.eager(x))


def test_standard(mlp: Compiled, mixed: Compiled) -> None:
    for compiled in (mlp, mixed):
        check_calls(compiled, compiled.module, [1, 8, 32, 3, 8])


def test_cuda_graphs_of_an_engine(mlp: Compiled) -> None:
    """More shapes than recordings are kept, each several times."""
    with runtime.enable_cudagraphs(mlp.module) as module:
        assert module is mlp.module
        check_calls(mlp, module, [1, 8, 1, 8, 32, 8, 1] + list(range(1, 13)) * 3)
    check_calls(mlp, mlp.module, [8])


def test_cuda_graphs_as_the_default(mixed: Compiled) -> None:
    """Each engine by itself, PyTorch's operators between them."""
    runtime.set_cudagraphs_mode(True)
    check_calls(mixed, mixed.module, [1, 8, 8, 1, 8, 32, 32])


def test_whole_modules(mixed: Compiled, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, logger="torch_tensorrt"),
        torch.no_grad(),
        runtime.enable_cudagraphs(mixed.module) as whole,
    ):
        assert isinstance(whole, CudaGraphsTorchTensorRTModule)
        check_calls(mixed, whole, [1, 8, 1, 8, 32, 8, 1])
        assert len(whole._recordings) == 3
    assert not caplog.records, "it could not be recorded"


def test_engines_in_the_callers_recording(mixed: Compiled) -> None:
    x = batch(4)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(3):
            mixed.eager(x)
            mixed.module(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        y = mixed.module(x)
    for _ in range(3):
        x.copy_(batch(4))
        mixed.check(batch(4))  # a call beside the recording
        graph.replay()
        with torch.no_grad():
            assert_same(y, mixed.eager(x))


def test_output_allocator_where_it_is_not_needed(mlp: Compiled) -> None:
    with runtime.enable_output_allocator(mlp.module) as module:
        check_calls(mlp, module, [1, 8, 32, 8])


def test_output_allocator_where_shapes_depend_on_data(target: str) -> None:
    if target == "tensorrt_rtx":
        pytest.skip("TensorRT-RTX has no nonzero: it stays in PyTorch, and no engine needs the allocator")
    positive = compile_for(target, Positive())
    (engine,) = runtime.engine_modules(positive.module).values()
    assert engine.engine.requires_output_allocator()
    for x in (batch(8), torch.zeros(3, WIDTH, device="cuda"), torch.ones(32, WIDTH, device="cuda"), batch(1)):
        positive.check(x)
    with pytest.raises(RuntimeError, match="dynamic output allocator"):
        runtime.enable_cudagraphs(positive.module)


def test_pre_allocated_outputs(mlp: Compiled, mixed: Compiled) -> None:
    for compiled in (mlp, mixed):
        with runtime.enable_pre_allocated_outputs(compiled.module) as module:
            check_calls(compiled, module, [8, 8, 8, 1, 8, 1, 32, 32])


def test_safe_mode_moves_inputs(mlp: Compiled) -> None:
    x = torch.randn(4, WIDTH)
    with pytest.raises(ValueError, match="cuda"):
        mlp.module(x)
    with runtime.set_multi_device_safe_mode(True), torch.no_grad():
        y = mlp.module(x)
    assert y.device == torch.device("cuda", 0)
    with torch.no_grad():
        assert_same(y, mlp.eager(x.cuda()))


def test_nested_modes(mlp: Compiled) -> None:
    outer: AbstractContextManager[Any] = runtime.enable_cudagraphs(mlp.module)
    with outer:
        with runtime.enable_pre_allocated_outputs(mlp.module), runtime.set_multi_device_safe_mode(True):
            check_calls(mlp, mlp.module, [8, 8, 1, 8])
            with runtime.enable_cudagraphs(mlp.module):
                check_calls(mlp, mlp.module, [8, 3])
            check_calls(mlp, mlp.module, [8, 8])
        with runtime.enable_output_allocator(mlp.module), pytest.raises(RuntimeError, match="Both CUDA Graphs"):
            mlp.module(batch(8))
        check_calls(mlp, mlp.module, [8, 8])
    with runtime.enable_output_allocator(mlp.module), runtime.enable_pre_allocated_outputs(mlp.module):
        check_calls(mlp, mlp.module, [8, 1])


def test_halves(target: str) -> None:
    """The same in float16, where graphs copy other sizes."""
    compiled = compile_for(target, Mlp().half(), rows(torch.float16))
    with runtime.enable_cudagraphs(compiled.module) as module, torch.no_grad():
        for count in (1, 8, 1, 8):
            x = batch(count).half()
            torch.testing.assert_close(module(x), compiled.eager(x), rtol=1e-2, atol=2e-3)
