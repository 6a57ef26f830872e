# SPDX-License-Identifier: Apache-2.0
"""Largest and smallest elements, their positions, and sorting: ties, NaN and infinities as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.export import Dim
from torch.utils import _pytree as pytree

from .harness import FLOATS, INTEGERS, check, check_refused, compile_function, on_the_cpu_only

nan, inf = torch.nan, torch.inf
SPECIAL = torch.tensor([[1.0, nan, inf, -inf, nan], [inf, 6e4, 0.0, -0.0, -inf], [-inf, -inf, -inf, -inf, -inf]])
TIES = torch.randint(0, 4, (5, 50))

FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "topk_values": lambda x: x.topk(3, 1)[0],
    "topk_smallest_values": lambda x: x.topk(3, 1, largest=False)[0],
    "sort": lambda x: x.sort(dim=1, stable=True),
    "sort_descending": lambda x: x.sort(dim=1, descending=True, stable=True),
    "sort_first_dim": lambda x: x.sort(dim=0, stable=True),
    "argmax": lambda x: x.argmax(1),
    "argmin": lambda x: x.argmin(-1, keepdim=True),
    "argmax_of_all": lambda x: x.argmax(),
    "argmin_of_all": lambda x: x.argmin(keepdim=True),
    "max": lambda x: x.max(1),
    "min": lambda x: x.min(1, keepdim=True),
}


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_ties(name: str, dtype: torch.dtype) -> None:
    check(FUNCTIONS[name], TIES.to(dtype))


ORDERS: dict[str, Callable[[torch.Tensor, int], Any]] = {
    "topk": lambda x, k: x.topk(k, 1),
    "topk_smallest": lambda x, k: x.topk(k, 1, largest=False),
    "topk_unsorted": lambda x, k: x.topk(k, 1, sorted=False),
    "topk_smallest_unsorted": lambda x, k: x.topk(k, 1, largest=False, sorted=False),
    "topk_of_columns": lambda x, k: x.t().topk(k, 0),
    "topk_of_strides": lambda x, k: x.reshape(x.shape[0], 1, -1).expand(-1, 3, -1).transpose(1, 2).topk(k, 1),
    "sort": lambda x, k: x.sort(1),
    "sort_descending": lambda x, k: x.sort(1, descending=True),
    "sort_of_columns": lambda x, k: x.t().sort(0),
    "argsort": lambda x, k: x.argsort(1),
    "argsort_stable": lambda x, k: torch.argsort(x, dim=1, stable=True, descending=True),
    "max": lambda x, k: x.max(1),
    "min": lambda x, k: x.min(1),
    "argmax": lambda x, k: x.argmax(1),
    "kthvalue": lambda x, k: x.kthvalue(k, 1),
    "median": lambda x, k: x.median(1),
    "mode": lambda x, k: x.mode(1),
}


@on_the_cpu_only
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8], ids=str)
@pytest.mark.parametrize("name", ORDERS)
def test_which_of_equal_elements(name: str, dtype: torch.dtype) -> None:
    """The very indices of eager: its choice among equal elements depends on the number of elements and on k."""
    torch.manual_seed(0)
    sizes = [(count, k) for count in (1, 16, 17, 64, 200) for k in sorted({1, count // 64, count // 3, count}) if k]

    def given(values: int) -> list[torch.Tensor]:
        inputs = [torch.randint(0, values, (2, count)).to(dtype) for count, _ in sizes]
        for x in inputs[::2] if dtype.is_floating_point else ():
            x[torch.rand(x.shape) < 0.2] = nan
            x[torch.rand(x.shape) < 0.1] = -0.0
        return inputs

    def function(*inputs: torch.Tensor) -> list[Any]:
        return [ORDERS[name](x, k) for x, (_, k) in zip(inputs, sizes, strict=True)]

    outcome = compile_function(function, *given(2))
    for inputs in (given(2), given(40)):
        answers = pytree.tree_leaves(outcome.answer(*inputs)), pytree.tree_leaves(outcome.reference(*inputs))
        for actual, expected in zip(*answers, strict=True):
            torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)


@on_the_cpu_only
def test_which_of_equal_elements_of_any_number() -> None:
    """Sizes that the call decides, and those from which on PyTorch sorts integers by their digits."""
    sizes = ({1: Dim("s", min=3, max=40000)},)
    more = [(torch.randint(0, 9, (2, count)).float(),) for count in (3, 17, 191, 192, 193, 5000)]
    functions = (lambda x: x.topk(3), lambda x: x.topk(x.shape[1] - 1, sorted=False), lambda x: x.sort())
    for function in functions:
        check(function, more[2][0], dynamic=sizes, more=more)
    for dtype in (torch.int64, torch.int32, torch.uint8, torch.float32):
        x = torch.randint(0, 9, (32768,)).to(dtype)
        for given in (x, x[1:], x[None], x[:, None]):
            check(lambda x: (x.sort(0), x.sort(-1), x.sort(0, descending=True)), given)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_and_infinities(name: str, dtype: torch.dtype) -> None:
    check(FUNCTIONS[name], SPECIAL.to(dtype))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dynamic_sizes(name: str) -> None:
    sizes = ({0: Dim("n", min=1, max=9), 1: Dim("s", min=3, max=12)},)
    more = [(torch.randn(9, 12),), (torch.randn(1, 3),)]
    check(FUNCTIONS[name], torch.randn(4, 7), dynamic=sizes, more=more)


def test_topk_with_indices() -> None:
    check(lambda x: x.topk(4), torch.randperm(40).float().view(4, 10))
    sizes = ({1: Dim("s", min=3, max=12)},)
    check(lambda x: x.topk(x.shape[1] - 1), torch.randn(4, 7), dynamic=sizes, more=[(torch.randn(4, 12),)])


def test_large() -> None:
    logits = torch.stack([torch.randperm(50257), torch.randperm(50257)]).float()  # no ties: PyTorch orders them anyhow
    check(lambda x: x.argmax(-1), logits)
    check(lambda x: x.topk(4000), logits)


def test_what_stays_in_pytorch() -> None:
    check_refused(lambda x: x.argmax(), torch.tensor(3.0), reason="ATTRIBUTE")
    check_refused(lambda x: x.sort()[0], torch.rand(5) > 0.5, reason="DATA_TYPE")
    check_refused(lambda x: x.argmax(0), torch.randn(5).double(), reason="DATA_TYPE")


@on_the_cpu_only
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_infinity_is_beyond_the_largest_number(dtype: torch.dtype, dynamic: bool) -> None:
    """NaN, infinity and the largest number are three places, at either end; each comes first in some row."""
    largest = torch.finfo(dtype).max
    ends = torch.tensor([largest, inf, -largest, -inf, nan, 1.0], dtype=dtype)
    rows = torch.stack([ends.roll(i) for i in range(6)] + [ends[:4].roll(i).repeat(2)[:6] for i in range(4)])
    x = rows.unsqueeze(1).expand(10, 3, 6).contiguous()
    functions = [
        lambda x: x.argmax(2),
        lambda x: x.argmin(2),
        lambda x: x.max(2),
        lambda x: x.min(2),
        lambda x: x.transpose(1, 2).contiguous().argmax(1),
        lambda x: x.transpose(1, 2).contiguous().min(1),
        lambda x: x.reshape(-1).argmax(),
        lambda x: x.topk(4, 2)[0],
        lambda x: x.topk(4, 2, largest=False)[0],
        lambda x: x.topk(1, 2)[0],
        lambda x: x.sort(dim=2, stable=True),
        lambda x: x.sort(dim=2, descending=True, stable=True),
        lambda x: x.argsort(dim=2, stable=True),
    ]
    sizes = ({0: Dim("n", min=1, max=99)},) if dynamic else None
    for function in functions:
        outcome = check(function, x, dynamic=sizes)
        for actual, expected in zip(
            pytree.tree_leaves(outcome.answer(x)), pytree.tree_leaves(function(x)), strict=True
        ):
            assert torch.equal(actual.nan_to_num(7, 9, -9), expected.nan_to_num(7, 9, -9))


ORDERED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "topk": lambda x: torch.topk(x, 3, dim=0)[1],
    "topk of all": lambda x: torch.topk(x, x.shape[0], dim=0, largest=False)[1],
    "sort": lambda x: torch.sort(x, dim=0, stable=True)[1],
    "descending": lambda x: torch.sort(x, dim=0, descending=True, stable=True)[1],
    "argsort": lambda x: torch.argsort(x, dim=0, stable=True),
    "argmax": lambda x: torch.argmax(x, dim=0),
    "argmin": lambda x: torch.argmin(-x, dim=0),
    "max": lambda x: torch.max(x, dim=0)[1],
    "min": lambda x: torch.min(-x, dim=0)[1],
    "sort of a cast": lambda x: torch.argsort(x.float(), dim=0, stable=True),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ORDERED)
def test_numbers_that_half_precision_makes_equal(name: str, dtype: torch.dtype) -> None:
    """The CPU plugin keeps more bits between its operations, also of what overflows."""
    order = ORDERED[name]
    # Half of these products lie where the dtype's numbers are further apart than they are.
    check(lambda x: order(x * 0.6), (1 + torch.rand(200)).to(dtype))
    large = torch.finfo(dtype).max ** 0.5
    check(
        lambda x: order(x * x), torch.tensor([1.0, 1.3 * large, -1.5 * large, 2.0, -1.4 * large, 0.5 * large]).to(dtype)
    )
