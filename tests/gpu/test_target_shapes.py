# SPDX-License-Identifier: Apache-2.0
"""Shapes that are known at the call: ranges, sizes as data, inputs that are views, and what lies outside the ranges."""

from __future__ import annotations

import pytest
import torch

from torch_tensorrt import Input, runtime

from .compiled import ROWS, WIDTH, Compiled, Mixed, Mlp, Positions, assert_same, batch, compile_for


def test_batches(target: str) -> None:
    for compiled in (compile_for(target, Mlp()), compile_for(target, Mixed())):
        for count in (1, ROWS, 7, 8, 1):
            compiled.check(batch(count))
        with pytest.raises(ValueError, match=f"{ROWS + 1} is outside the range"):
            compiled.module(batch(ROWS + 1))
        compiled.check(batch(2))  # an error changes nothing


@pytest.fixture
def positions(target: str) -> Compiled:
    example = Input(min_shape=(1, 1, WIDTH), opt_shape=(2, 8, WIDTH), max_shape=(4, 64, WIDTH), dtype=torch.float32)
    return compile_for(target, Positions(), example)


SHAPES = [(1, 1), (4, 64), (2, 8), (3, 5), (2, 8)]


def test_sizes_as_data(positions: Compiled) -> None:
    for rows, columns in SHAPES:
        positions.check(torch.randn(rows, columns, WIDTH, device="cuda"))


def test_sizes_as_data_in_graphs(positions: Compiled) -> None:
    runtime.set_cudagraphs_mode(True)
    for rows, columns in SHAPES * 3:
        positions.check(torch.randn(rows, columns, WIDTH, device="cuda"))


def test_views(target: str) -> None:
    """Inputs that are not contiguous, and ones whose memory is aligned to their elements only."""
    mlp = compile_for(target, Mlp())
    wide = torch.randn(9, WIDTH + 5, device="cuda")
    mlp.check(wide[:, 3 : 3 + WIDTH])
    mlp.check(torch.randn(WIDTH, 6, device="cuda").t())
    flat = torch.randn(4 * WIDTH + 1, device="cuda")
    mlp.check(flat[1:].view(4, WIDTH))
    mlp.check(batch(1).expand(5, WIDTH))


def test_static_shapes(target: str) -> None:
    compiled = compile_for(target, Mlp(), batch(5))
    compiled.check(batch(5))
    with pytest.raises(ValueError, match="expected 5"):
        compiled.module(batch(6))


class Constants(torch.nn.Module):
    """Results of parameters, and of sizes, alone: engines that no tensor of the caller's comes into."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(4, WIDTH))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        steps = torch.arange(x.shape[0], device=x.device, dtype=torch.float32)
        return torch.erfinv(x.sigmoid()), torch.tanh(self.weight) @ self.weight.t(), torch.sin(steps) * 2


@pytest.mark.parametrize("index", range(2))
def test_engines_without_inputs(target: str, index: int) -> None:
    """They run on the GPU, and their results are there."""
    if index >= torch.cuda.device_count():
        pytest.skip("needs two GPUs")
    with torch.cuda.device(index):
        compiled = compile_for(target, Constants().to(f"cuda:{index}"), device=f"cuda:{index}")
        for _ in range(2):
            x = batch(3, f"cuda:{index}")
            with torch.no_grad():
                actual, expected = compiled.module(x), compiled.eager(x)
            torch.cuda.synchronize()
            for one, other in zip(actual, expected, strict=True):
                assert one.device == other.device
                assert_same(one, other)
