# SPDX-License-Identifier: Apache-2.0
"""Operators whose results' shapes only the data knows: nonzero, masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from .harness import check, check_refused

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool]


def some(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """About half zeros."""
    x = torch.randint(-3, 4, shape)
    return (x * (torch.rand(shape) > 0.5)).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)], ids=str)
def test_nonzero(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    nothing, everything = torch.zeros(shape).to(dtype), torch.ones(shape).to(dtype)
    check(torch.nonzero, some(shape, dtype), more=[(nothing,), (everything,)])


def test_not_a_number_is_not_zero() -> None:
    check(torch.nonzero, torch.tensor([0.0, torch.nan, -0.0, torch.inf]))


MASKS: dict[str, tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "whole": (lambda x, mask: x[mask], (3, 4), (3, 4)),
    "rows": (lambda x, mask: x[mask], (5, 4), (5,)),
    "columns": (lambda x, mask: x[:, mask], (3, 6), (6,)),
    "middle": (lambda x, mask: x[:, mask], (2, 3, 4, 5), (3, 4)),
    "last": (lambda x, mask: x[..., mask], (2, 3, 4), (4,)),
    "masked_select": (torch.masked_select, (3, 4), (3, 4)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", MASKS)
def test_masks(name: str, dtype: torch.dtype) -> None:
    function, shape, mask_shape = MASKS[name]
    x, mask = some(shape, dtype), torch.rand(mask_shape) > 0.5
    none, all_of_them = torch.zeros_like(mask), torch.ones_like(mask)
    check(function, x, mask, more=[(x, none), (x, all_of_them)])


def test_dynamic_shapes() -> None:
    def positive_rows(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x[x.sum(1) > 0]) * 2

    rows = torch.export.Dim("rows", min=1, max=9)
    check(positive_rows, torch.randn(4, 3), dynamic=({0: rows},), more=[(torch.randn(9, 3),), (-torch.ones(2, 3),)])


def test_what_comes_after_has_as_many_elements() -> None:
    def standardized(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = x[x > 0]
        return torch.tanh(chosen) + chosen, torch.nonzero(x).sum(1)

    x = torch.randn(4, 6)
    check(standardized, x, more=[(-torch.ones(4, 6),)])


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: torch.nonzero(x.sum()), "ATTRIBUTE"),
        (lambda x: x[x.sum(1) > 0, torch.zeros(1, dtype=torch.int64)], "ATTRIBUTE"),
        (torch.unique, "NO_CONVERTER"),
    ],
)
def test_what_stays_in_pytorch(function: Callable[..., Any], reason: str) -> None:
    check_refused(function, torch.randn(4, 3), reason=reason)
