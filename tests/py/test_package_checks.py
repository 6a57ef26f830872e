# SPDX-License-Identifier: Apache-2.0
"""AOTInductor packages raise where eager does: for indices and sizes that Inductor's code does not look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from py_models import assert_same
from torch import nn
from torch.nn import functional as F

import torch_tensorrt

ROWS, COLUMNS = 5, 4

INDICES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "index": lambda x, i: x[i],
    "index of two": lambda x, i: x[i, i % 2],
    "index_put": lambda x, i: x.index_put((i,), x[:1].sum(0)),
    "index_select": lambda x, i: x.index_select(0, i),
    "index_add": lambda x, i: x.index_add(0, i, x[: i.shape[0]]),
    "index_copy": lambda x, i: x.index_copy(0, i, x[: i.shape[0]]),
    "index_fill": lambda x, i: x.index_fill(0, i, 3.0),
    "gather": lambda x, i: x.gather(0, i.unsqueeze(1)),
    "scatter": lambda x, i: x.scatter(0, i.unsqueeze(1), x),
    "scatter of a number": lambda x, i: x.scatter(0, i.unsqueeze(1), 2.0),
    "scatter_add": lambda x, i: x.scatter_add(0, i.unsqueeze(1), x),
    "scatter_reduce": lambda x, i: x.scatter_reduce(0, i.unsqueeze(1), x, "amax"),
    "take": lambda x, i: x.take(i * 4),
    "take_along_dim": lambda x, i: x.take_along_dim(i.unsqueeze(1), 0),
    "embedding": lambda x, i: F.embedding(i, x),
}

SIZES: dict[str, Callable[[torch.Tensor], Any]] = {
    "max of rows": lambda x: x.max(0).values,
    "amin": lambda x: x.amin(0),
    "argmax": lambda x: x.argmax(0),
    "max of all": lambda x: x.flatten().max(),
    "median": lambda x: x.median(0).values,
    "topk": lambda x: x.topk(3, 0).values,
    "avg_pool1d": lambda x: F.avg_pool1d(x.t().unsqueeze(0), 3),
    "max_pool2d with indices": lambda x: F.max_pool2d(x[None, None], 2, return_indices=True)[1],
    "interpolate": lambda x: F.interpolate(x.t().unsqueeze(0), size=7, mode="linear"),
    "bilinear": lambda x: F.interpolate(x[None, None], size=(7, 7), mode="bilinear"),
    "conv1d": lambda x: F.conv1d(x.t().unsqueeze(0), torch.ones(2, 4, 3)),
    "reflection_pad1d": lambda x: F.pad(x.t().unsqueeze(0), (2, 2), mode="reflect"),
}


def raises(run: Callable[..., Any], *args: torch.Tensor) -> bool:
    try:
        run(*(arg.clone() for arg in args))
    except (IndexError, RuntimeError, ValueError):
        return True
    return False


def package(model: nn.Module, inputs: list[Any], min_block_size: int, folder: Path) -> Any:
    module = torch_tensorrt.compile(model.eval(), arg_inputs=inputs, min_block_size=min_block_size)
    return in_form(module, "aot_inductor", folder)


@pytest.mark.parametrize("min_block_size", [1, 100])
def test_indices_outside(min_block_size: int, tmp_path: Path) -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor, *indices: torch.Tensor) -> list[torch.Tensor]:
            return [op(x, index) + 1 for op, index in zip(INDICES.values(), indices, strict=True)]

    x, fine = torch.randn(ROWS, COLUMNS), torch.tensor([0, 4, 2])
    indices = [fine.clone() for _ in INDICES]
    run = package(Model(), [x, *indices], min_block_size, tmp_path)
    for position, name in enumerate(INDICES):
        for wrong in (-1, -5, -6, 5, 1000):
            given = [torch.tensor([0, wrong, 2]) if at == position else fine for at in range(len(INDICES))]
            if raises(Model(), x, *given):
                assert raises(run, x, *given), f"{name}: eager raises for the index {wrong}"
            else:
                assert_same(run(x, *given), Model()(x, *given))
    assert_same(run(x, *indices), Model()(x, *indices))


@pytest.mark.parametrize("min_block_size", [1, 100])
def test_sizes_that_are_too_small(min_block_size: int, tmp_path: Path) -> None:
    class Model(nn.Module):
        def forward(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
            return [op(torch.relu(x)) + 1 for op, x in zip(SIZES.values(), inputs, strict=True)]

    args = [torch.rand(6, COLUMNS) for _ in SIZES]
    ranges = [((0, COLUMNS), (6, COLUMNS), (8 + index, COLUMNS)) for index in range(len(SIZES))]  # a size for each
    inputs = [torch_tensorrt.Input(min_shape=low, opt_shape=opt, max_shape=high) for low, opt, high in ranges]
    run = package(Model(), inputs, min_block_size, tmp_path)
    for position, name in enumerate(SIZES):
        for rows in (0, 1, 2, 3, 8):
            given = [torch.rand(rows, COLUMNS) if at == position else x for at, x in enumerate(args)]
            if raises(Model(), *given):
                assert raises(run, *given), f"{name}: eager raises for {rows} rows"
            else:
                assert_same(run(*given), Model()(*given))
