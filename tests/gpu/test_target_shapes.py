# SPDX-License-Identifier: Apache-2.0
"""Shapes that are known at the call: ranges, sizes as data, inputs that are views, and what lies outside the ranges."""

from __future__ import annotations

import pytest
import torch

from torch_tensorrt import Input, runtime

from .compiled import ROWS, WIDTH, Compiled, Mixed, Mlp, Positions, batch, compile_for


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
