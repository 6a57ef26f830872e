# SPDX-License-Identifier: Apache-2.0
"""Integers at 2^24 + 1, where float32 ends, and at their dtypes' ends: exact, or left to PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional as F

from .harness import compile_function, on_the_cpu_only

pytestmark = on_the_cpu_only

WIDE = [2**24 + 1, -(2**24) - 1, 2**24 + 3, 2**31 - 1, -(2**31), 5, 0, -1, 100, 16777219, 13]
VALUES = {
    torch.int64: WIDE,
    torch.int32: WIDE,
    torch.int16: [32767, -32768, 257, -5, 1, 0, 300, 7, -1, 255, 128],
    torch.int8: [127, -128, 5, -5, 1, 0, 3, 7, -1, 100, 64],
    torch.uint8: [255, 128, 5, 200, 1, 0, 3, 7, 254, 100, 64],
}

# Of two integer tensors and a mask.
OPERATORS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "where": lambda x, y, m: torch.where(m, x, y),
    "where_not": lambda x, y, m: torch.where(~m, x, y),
    "where_positive": lambda x, y, m: torch.where(x > 0, x, 0),
    "where_both": lambda x, y, m: torch.where(m & (x > y), x, y),
    "where_either": lambda x, y, m: torch.where(m | (x == 5), x, y),
    "where_nan": lambda x, y, m: torch.where(x.float().isnan(), 0, x),
    "where_scalar": lambda x, y, m: torch.where(x.sum() > 0, x, y),
    "masked_fill": lambda x, y, m: x.masked_fill(x == 5, 7),
    "masked_fill_given": lambda x, y, m: x.masked_fill(m, 7),
    "maximum": lambda x, y, m: torch.maximum(x, y),
    "minimum": lambda x, y, m: torch.minimum(x, y),
    "clamp": lambda x, y, m: x.clamp(3, 100),
    "clamp_min": lambda x, y, m: x.clamp(min=3),
    "clamp_max": lambda x, y, m: x.clamp(max=100),
    "clamp_wide": lambda x, y, m: x.clamp(-(2**24) - 1, 2**24 + 3),
    "clamp_above": lambda x, y, m: x.clamp(-100, 2**31 - 1),
    "clamp_below": lambda x, y, m: x.clamp(-(2**24) - 3, 7),
    "clamp_in_two": lambda x, y, m: x.clamp(max=2**24 + 3).clamp(min=-(2**24) - 1),
    "clamp_tensor": lambda x, y, m: x.clamp(y, y),
    "relu": lambda x, y, m: x.relu(),
    "add": lambda x, y, m: x + y,
    "sub": lambda x, y, m: x - y,
    "mul": lambda x, y, m: x * y,
    "add_scalar": lambda x, y, m: x + 1,
    "rsub": lambda x, y, m: 1 - x,
    "add_then_where": lambda x, y, m: torch.where(m, x + 1, y),
    "where_then_add": lambda x, y, m: torch.where(x > y, x, y) + 1,
    "neg": lambda x, y, m: -x,
    "abs": lambda x, y, m: x.abs(),
    "sign": lambda x, y, m: x.sign(),
    "square": lambda x, y, m: x**2,
    "cube": lambda x, y, m: x**3,
    "floor_divide": lambda x, y, m: x // 3,
    "remainder": lambda x, y, m: x % 7,
    "true_divide": lambda x, y, m: x / 3,
    "eq": lambda x, y, m: x == y,
    "ne": lambda x, y, m: x != y,
    "lt": lambda x, y, m: x < y,
    "le": lambda x, y, m: x <= y,
    "gt": lambda x, y, m: x > y - 1,
    "ge": lambda x, y, m: x >= 2,
    "logical_not": lambda x, y, m: ~x.bool(),
    "logical_and": lambda x, y, m: x.logical_and(y),
    "float": lambda x, y, m: x.float(),
    "int64": lambda x, y, m: x.long(),
    "int32": lambda x, y, m: x.int(),
    "int16": lambda x, y, m: x.short(),
    "int8": lambda x, y, m: x.to(torch.int8),
    "uint8": lambda x, y, m: x.to(torch.uint8),
    "half": lambda x, y, m: x.half(),
    "bfloat16": lambda x, y, m: x.bfloat16(),
    "sum": lambda x, y, m: x.sum(),
    "sum_dim": lambda x, y, m: x[None].sum(0),
    "prod": lambda x, y, m: x.prod(),
    "amax": lambda x, y, m: x.amax(),
    "amin": lambda x, y, m: x.amin(0, keepdim=True),
    "max_dim": lambda x, y, m: x.max(0)[0],
    "argmax": lambda x, y, m: x.argmax(),
    "any": lambda x, y, m: x.any(),
    "cumsum": lambda x, y, m: x.cumsum(0),
    "sort": lambda x, y, m: x.sort()[0],
    "topk": lambda x, y, m: x.topk(2)[0],
    "cat": lambda x, y, m: torch.cat([x, y]),
    "stack": lambda x, y, m: torch.stack([x, y], 1),
    "flip": lambda x, y, m: x.flip(0),
    "roll": lambda x, y, m: x.roll(2),
    "slice": lambda x, y, m: x[1::2],
    "index": lambda x, y, m: x[torch.tensor([2, 0])],
    "gather": lambda x, y, m: x.gather(0, torch.tensor([2, 0])),
    "scatter": lambda x, y, m: x.scatter(0, torch.tensor([2, 0]), y),
    "expand": lambda x, y, m: x[None].expand(2, -1),
    "pad": lambda x, y, m: F.pad(x, (1, 2), value=7),
    # PyTorch takes the number as a double, and refuses the largest int64, which a double does not hold.
    "pad_largest": lambda x, y, m: F.pad(x, (1, 2), value=min(torch.iinfo(x.dtype).max, 2**62)),
    "pad_odd": lambda x, y, m: F.pad(x, (1, 2), value=min(2**24 + 1, torch.iinfo(x.dtype).max)),
    "repeat": lambda x, y, m: x.repeat(2),
    "select_scatter": lambda x, y, m: x.select_scatter(y[0], 0, 1),
    "triu": lambda x, y, m: x[None].expand(3, -1).triu(),
}
WRONG_IN_FLOAT32 = (
    "where_positive",
    "where_both",
    "masked_fill",
    "maximum",
    "minimum",
    "clamp",
    "pad_odd",
    "where_nan",
)


def _inputs(dtype: torch.dtype, count: int) -> tuple[Tensor, Tensor, Tensor]:
    values = torch.tensor(VALUES[dtype], dtype=dtype)
    x = values.repeat(count // len(values) + 1)[:count]
    return x, x.roll(3), torch.arange(count) % 3 != 1


def _same(actual: Tensor, expected: Tensor) -> bool:
    if actual.dtype != expected.dtype or not expected.is_floating_point():
        return torch.equal(actual, expected)
    return torch.allclose(actual, expected, rtol=torch.finfo(expected.dtype).eps, atol=0)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", VALUES, ids=str)
def test_together(dtype: torch.dtype, dynamic: bool) -> None:
    """All operators as the results of one program."""
    shapes = [{0: Dim("n", min=4, max=64)}] * 3 if dynamic else None

    def function(x: Tensor, y: Tensor, m: Tensor) -> dict[str, Tensor]:
        return {name: operator(x, y, m) for name, operator in OPERATORS.items()}

    outcome = compile_function(function, *_inputs(dtype, 11), dynamic=shapes)
    assert outcome.engines > 0
    for count in (11, 17) if dynamic else (11,):
        given = _inputs(dtype, count)
        answer, expected = outcome.answer(*given), outcome.reference(*given)
        wrong = [name for name in OPERATORS if not _same(answer[name], expected[name])]
        assert not wrong


@pytest.mark.parametrize("count", [3, 11])
@pytest.mark.parametrize("name", WRONG_IN_FLOAT32)
def test_alone(name: str, count: int) -> None:
    outcome = compile_function(OPERATORS[name], *_inputs(torch.int32, count))
    outcome.check(*_inputs(torch.int32, count))
