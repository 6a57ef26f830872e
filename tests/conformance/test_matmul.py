# SPDX-License-Identifier: Apache-2.0
"""Matrix products of every rank."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from .harness import FLOATS, check, check_refused

SHAPES = [
    ((5,), (5,)),
    ((5,), (5, 3)),
    ((3, 5), (5,)),
    ((3, 5), (5, 2)),
    ((5,), (2, 5, 3)),
    ((2, 3, 5), (5,)),
    ((2, 3, 5), (5, 4)),
    ((3, 5), (2, 5, 4)),
    ((1, 3, 5), (4, 5, 2)),
    ((2, 1, 3, 5), (4, 5, 2)),
]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...], dtype: torch.dtype) -> None:
    check(torch.matmul, torch.randn(a).to(dtype), torch.randn(b).to(dtype))


def test_dynamic_batch_that_may_be_empty() -> None:
    batch = {0: Dim("n", min=0, max=8)}
    more = [(torch.randn(n, 3, 5), torch.randn(n, 5, 2)) for n in (1, 8, 0)]
    check(torch.matmul, torch.randn(4, 3, 5), torch.randn(4, 5, 2), dynamic=(batch, batch), more=more)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 4, 5), (2, 3, 4, 5)])
def test_linear(shape: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    check(nn.Linear(5, 3, bias=bias).to(dtype), torch.randn(shape).to(dtype))


def test_linear_of_a_vector_of_weights() -> None:
    check(F.linear, torch.randn(2, 5), torch.randn(5))


def test_linear_of_dynamic_sizes() -> None:
    sizes = {0: Dim("n", min=0, max=8), 1: Dim("s", min=1, max=9)}
    more = [(torch.randn(8, 1, 5),), (torch.randn(3, 9, 5),), (torch.randn(0, 2, 5),)]
    check(nn.Linear(5, 3), torch.randn(2, 4, 5), dynamic=(sizes,), more=more)


@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (0, 1), (2, 0.5)])
def test_added_products(beta: float, alpha: float) -> None:
    factors = {"beta": beta, "alpha": alpha}
    check(lambda s, a, b: torch.addmm(s, a, b, **factors), torch.randn(2), torch.randn(3, 5), torch.randn(5, 2))
    check(lambda s, a, b: torch.addmv(s, a, b, **factors), torch.randn(3), torch.randn(3, 5), torch.randn(5))
    check(
        lambda s, a, b: torch.baddbmm(s, a, b, **factors),
        torch.randn(2, 3, 2),
        torch.randn(2, 3, 5),
        torch.randn(2, 5, 2),
    )


def test_beta_zero_ignores_nan() -> None:
    nan = torch.full((2,), torch.nan)
    check(lambda s, a, b: torch.addmm(s, a, b, beta=0), nan, torch.randn(3, 5), torch.randn(5, 2))


def test_other_names() -> None:
    check(torch.dot, torch.randn(5), torch.randn(5))
    check(torch.mv, torch.randn(3, 5), torch.randn(5))
    check(torch.mm, torch.randn(3, 5), torch.randn(5, 2))
    check(torch.bmm, torch.randn(2, 3, 5), torch.randn(2, 5, 2))
    check(lambda a, b: torch.einsum("bhld,bhsd->bhls", a, b), torch.randn(2, 3, 4, 5), torch.randn(2, 3, 6, 5))


def test_what_stays_in_pytorch() -> None:
    check_refused(torch.matmul, torch.ones(2, 2).long(), torch.ones(2, 2).long(), reason="DATA_TYPE")
    check_refused(torch.matmul, torch.randn(2, 2).double(), torch.randn(2, 2).double(), reason="DATA_TYPE")
    check_refused(torch.matmul, torch.randn(3, 0), torch.randn(0, 2), reason="ATTRIBUTE")
