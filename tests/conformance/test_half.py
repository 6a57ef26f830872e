# SPDX-License-Identifier: Apache-2.0
"""Half precision: casts that lose numbers, and statistics that PyTorch computes in float32."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional as F

from .harness import compile_function

HALVES = (torch.bfloat16, torch.float16)
CASTS = (torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("given", CASTS, ids=str)
def test_chains_of_casts(given: torch.dtype, dynamic: bool) -> None:
    """Of numbers that the one type holds and the other does not: bfloat16 and float16 are of one size."""
    # All of them bfloat16's: how the plugin rounds to bfloat16 depends on the machine.
    x = torch.tensor([3e38, -3e38, 7e4, 65280.0, 1e-30, 6e-8, 1.0078125, 0.1]).bfloat16().to(given)
    chains = [chain for chain in itertools.product(CASTS, repeat=3) if chain[0] != given]

    def function(x: Tensor) -> list[Tensor]:
        results = []
        for chain in chains:
            y = x
            for dtype in chain:
                y = y.to(dtype)
            results.append(y)
            results.append(y.reshape(2, -1).t().float())
        return results

    shapes = ({0: Dim("n", min=1, max=8) * 2},) if dynamic else None
    outcome = compile_function(function, x, dynamic=shapes)
    for actual, expected in zip(outcome.answer(x), outcome.reference(x), strict=True):
        assert torch.equal(actual, expected)


STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "var": lambda x: x.var(1),
    "std": lambda x: x.std(1),
    "var_biased": lambda x: x.var(1, correction=0),
    "var_of_all": lambda x: x.var(),
    "var_mean": lambda x: torch.stack(torch.var_mean(x, 1)),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "group_norm": lambda x: F.group_norm(x[:, :, None], 4),
    "instance_norm": lambda x: F.instance_norm(x[None]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[1:]),
    "normalize": lambda x: F.normalize(x, dim=1),
    "softmax": lambda x: x.softmax(1),
    "norm": lambda x: (x / 64).norm(dim=1),
}


@pytest.mark.parametrize("rows", [2, 4, 16])
@pytest.mark.parametrize("mean", [0.0, 100.0, 300.0])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_statistics(dtype: torch.dtype, mean: float, rows: int) -> None:
    """Means far from zero, and squares beyond float16."""
    torch.manual_seed(0)
    x = (torch.randn(rows, 64) + mean).to(dtype)
    names = [name for name in STATISTICS if name != "instance_norm"]
    outcome = compile_function(lambda x: [STATISTICS[name](x) for name in names], x)
    exact = {name: STATISTICS[name](x.double()) for name in names}
    for name, actual, eager in zip(names, outcome.answer(x), outcome.reference(x), strict=True):
        # As near to the truth as eager is, or within two roundings of it.
        largest = exact[name].abs().max().item()
        allowed = (eager.double() - exact[name]).abs().max().item() + 2 * largest * torch.finfo(dtype).eps
        assert (actual.double() - exact[name]).abs().max().item() <= allowed, name
