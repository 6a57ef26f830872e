# SPDX-License-Identifier: Apache-2.0
"""Engines on a GPU from Python: streams, modes, files, memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import torch_tensorrt
from torch_tensorrt import runtime

from .conftest import BIAS, make_engine


def test_runs_and_copies() -> None:
    engine = make_engine("runs")
    for rows in (1, 32, 4):
        x = torch.randn(rows, 3, device="cuda")
        assert torch.equal(engine(x), x + BIAS)
        assert torch.equal(copy.deepcopy(engine)(x), x + BIAS)
    with pytest.raises(ValueError, match="33 is outside the range"):
        engine(torch.randn(33, 3, device="cuda"))
    with pytest.raises(ValueError, match="cuda"):
        engine(torch.randn(3, 3))


def test_inputs_are_read_on_the_callers_stream() -> None:
    engine = make_engine("streams", delay_us=500)
    stream = torch.cuda.Stream()
    for i in range(20):
        with torch.cuda.stream(stream):
            x = torch.zeros(8, 3, device="cuda")
            torch.cuda._sleep(1_000_000)
            x += i
            y = engine(x)
            z = y * 2  # PyTorch's work behind the engine's
            del x
            rubbish = torch.full((8, 3), float("nan"), device="cuda")  # takes the memory of x, behind the engine
        stream.synchronize()
        assert torch.equal(z, torch.full_like(z, 2 * (i + BIAS)))
        assert rubbish.isnan().all()


def test_torchscript_files(tmp_path: Path) -> None:
    module = torch.nn.Sequential(make_engine("scripted"), torch.nn.ReLU())
    x = torch.randn(5, 3, device="cuda")
    torch.jit.trace(module, x).save(str(tmp_path / "m.ts"))
    for location in ("cuda", "cpu", None):
        loaded = torch.jit.load(str(tmp_path / "m.ts"), map_location=location)
        assert torch.equal(loaded(x), torch.relu(x + BIAS))
    with torch_tensorrt.runtime.enable_cudagraphs(loaded) as recorded:
        for _ in range(3):
            assert torch.equal(recorded(x), torch.relu(x + BIAS))


def test_safe_mode_moves_inputs() -> None:
    engine = make_engine("moved")
    x = torch.randn(4, 3)
    with runtime.set_multi_device_safe_mode(True):
        y = engine(x)
    assert y.device == torch.device("cuda", 0)
    assert torch.equal(y.cpu(), x + BIAS)


def test_pre_allocated_outputs() -> None:
    engine = make_engine("ahead", delay_us=100)
    kept = []
    with runtime.enable_pre_allocated_outputs(engine) as module:
        for i in range(20):
            x = torch.full((2 + i // 7, 3), float(i), device="cuda")
            kept.append((module(x), i))
    for y, i in kept:
        assert torch.equal(y, torch.full_like(y, i + BIAS))


MODES: dict[str, Callable[[Any], Any]] = {
    "plain": lambda engine: runtime.set_multi_device_safe_mode(False),
    "graphs": runtime.enable_cudagraphs,
    "pre-allocated": runtime.enable_pre_allocated_outputs,
    "safe": lambda engine: runtime.set_multi_device_safe_mode(True),
}


@pytest.mark.alone
@pytest.mark.parametrize("mode", list(MODES))
def test_memory_does_not_grow(mode: str) -> None:
    engine = make_engine(f"memory {mode}")
    inputs = [torch.randn(rows, 3, device="cuda") for rows in range(1, 13)]  # more shapes than graphs are kept
    streams = [torch.cuda.Stream() for _ in range(3)]

    def calls(count: int) -> None:
        for i in range(count):
            with torch.cuda.stream(streams[i // 20 % 3]):
                engine(inputs[i % len(inputs)])

    with MODES[mode](engine):
        calls(300)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        allocated, free = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[0]
        calls(1200)
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        assert torch.cuda.memory_allocated() <= allocated + 64 * 1024
        assert free - torch.cuda.mem_get_info()[0] <= 32 * 2**20


@pytest.mark.alone
def test_whole_recordings_release_their_memory() -> None:
    """Recording again and again must not keep a context for each recording that is gone."""
    module = torch.nn.Sequential(make_engine("again"), torch.nn.ReLU())
    x = torch.randn(4, 3, device="cuda")

    def record(count: int) -> int:
        for _ in range(count):
            with torch.no_grad(), runtime.enable_cudagraphs(module) as whole:
                assert torch.equal(whole(x), torch.relu(x + BIAS))
            del whole
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info()[0])

    before = record(3)
    assert before - record(60) <= 32 * 2**20
