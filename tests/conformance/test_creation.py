# SPDX-License-Identifier: Apache-2.0
"""Tensors made of sizes and numbers. Sizes stay those of the call, not of the example."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim

from tests.conformance.harness import FLOATS, INTEGERS, check, compile_function

ROWS = ({0: Dim("rows", min=1, max=64)},)

MADE: dict[str, Callable[[Tensor], Tensor]] = {
    "zeros": lambda x: torch.zeros(x.shape[0], 3),
    "ones": lambda x: torch.ones(x.shape[0] * 2),
    "full": lambda x: torch.full((2, x.shape[0]), 2.5),
    "full_int": lambda x: torch.full((x.shape[0],), 7),
    "full_bool": lambda x: torch.full((x.shape[0],), True),
    "zeros_like": torch.zeros_like,
    "ones_like": lambda x: torch.ones_like(x, dtype=torch.int32),
    "full_like": lambda x: torch.full_like(x, -1),
    "new_zeros": lambda x: x.new_zeros(x.shape[0]),
    "new_ones": lambda x: x.new_ones(1, x.shape[0]),
    "new_full": lambda x: x.new_full((x.shape[0],), 3, dtype=torch.int64),
    "arange": lambda x: torch.arange(x.shape[0]),
    "arange_start": lambda x: torch.arange(3, x.shape[0] + 3),
    "arange_step": lambda x: torch.arange(0, 2 * x.shape[0], 2),
    "arange_down": lambda x: torch.arange(x.shape[0], 0, -1),
    "arange_float": lambda x: torch.arange(x.shape[0], dtype=torch.float32),
    "arange_int32": lambda x: torch.arange(x.shape[0], dtype=torch.int32),
    "eye": lambda x: torch.eye(x.shape[0]),
    "linspace": lambda x: torch.linspace(0, 1, 5) + x.sum(),
    "tril": lambda x: torch.tril(torch.ones(x.shape[0], x.shape[0])),
    "triu_mask": lambda x: torch.ones(x.shape[0], x.shape[0], dtype=torch.bool).triu(1),
    "scalar": lambda x: torch.tensor(2.5) + x,
    "size": lambda x: x / x.shape[0],
    "size_tensor": lambda x: torch.tensor(x.shape[0] * 2 + 1) + torch.zeros(1, dtype=torch.int64),
}


@pytest.mark.parametrize("name", MADE)
def test_made_of_sizes(name: str) -> None:
    outcome = compile_function(lambda x: (MADE[name](x), x * 2), torch.randn(4, 3), dynamic=ROWS)
    for rows in (4, 1, 64, 7):
        outcome.check(torch.randn(rows, 3))


@pytest.mark.parametrize(
    "name", ["zeros", "full_int", "zeros_like", "new_zeros", "arange", "tril", "triu_mask", "size"]
)
def test_goes_to_the_engine(name: str) -> None:
    check(lambda x: (MADE[name](x), x * 2), torch.randn(4, 3), dynamic=ROWS, more=[(torch.randn(9, 3),)])


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.bool, torch.uint8], ids=str)
@pytest.mark.parametrize("value", [0, 1, 2.7, True, -1])
def test_numbers_become_the_dtype(value: Any, dtype: torch.dtype) -> None:
    if value == -1 and dtype == torch.uint8:
        pytest.skip("PyTorch refuses it")
    x = torch.randn(3)
    compile_function(lambda x: (torch.full((2, 3), value, dtype=dtype), x + 1), x).check(x)
    compile_function(lambda x: (torch.full_like(x, value, dtype=dtype), x + 1), x).check(x)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3.4e38, 1e-45])
def test_special_numbers(value: float) -> None:
    x = torch.randn(3)
    compile_function(lambda x: (torch.full((2,), value), x + 1), x).check(x)
    compile_function(lambda x: torch.where(x > 0, x, value), x).check(x)


@pytest.mark.parametrize("diagonal", [-5, -1, 0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize("function", [torch.tril, torch.triu])
def test_triangles(function: Callable[..., Tensor], dtype: torch.dtype, diagonal: int) -> None:
    x = torch.randn(2, 3, 4).to(dtype)
    compile_function(lambda x: function(x, diagonal), x).check(x)


def test_triangles_drop_nan() -> None:
    x = torch.full((3, 3), float("nan"))
    compile_function(torch.tril, x).check(x)


def test_positions_and_masks_of_a_decoder() -> None:
    """What decoders make of the sequence length: positions, a causal mask."""

    def masked(x: Tensor) -> Tensor:
        n = x.shape[1]
        positions = torch.arange(n, device=x.device)
        mask = positions[:, None] >= positions[None, :]
        scores = x @ x.transpose(1, 2)
        return torch.where(mask, scores, torch.finfo(x.dtype).min).softmax(-1) + positions

    check(masked, torch.randn(2, 5, 8), dynamic=({1: Dim("n", min=1, max=40)},), more=[(torch.randn(2, 40, 8),)])


@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16, torch.int64, torch.bool], ids=str)
def test_type_as(source: torch.dtype) -> None:
    x, like = torch.tensor([0, 1, 2]).to(source), torch.zeros(1)
    compile_function(lambda x, y: x.type_as(y), x, like).check(x, like)


UNINITIALIZED: dict[str, Callable[[Tensor], Tensor]] = {
    "empty": lambda x: torch.empty(4, 6),
    "empty_like": torch.empty_like,
    "new_empty": lambda x: x.new_empty(4, 6),
    "empty_strided": lambda x: torch.empty_strided((4, 6), (1, 4)),
    "empty_permuted": lambda x: torch.empty_permuted((4, 6), (1, 0)),
}


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32], ids=str)
@pytest.mark.parametrize("name", UNINITIALIZED)
def test_what_memory_holds_is_read_by_none(name: str, dtype: torch.dtype) -> None:
    """Memory that is written before it is read is made inside the engine: what it happens to hold is no input."""

    def function(x: Tensor) -> Tensor:
        y = UNINITIALIZED[name](x).to(x.dtype)
        y[:2], y[2:3], y[3, :4], y[3, 4:] = x[:2] * 2, x[3], 1, x[0, 0]
        return y + x

    check(function, torch.arange(24).view(4, 6).to(dtype))


@pytest.mark.parametrize("source", [*FLOATS, torch.int32, torch.uint8], ids=str)
@pytest.mark.parametrize("target", [*FLOATS, torch.int32, torch.uint8], ids=str)
def test_copies(source: torch.dtype, target: torch.dtype) -> None:
    """Of another dtype and of fewer dimensions."""

    def function(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.zeros_like(x)
        z[1:, :2] = y[:2]
        return x * 2 + z, x.clone().copy_(y[0, 0])

    compile_function(function, torch.ones(3, 4).to(target), torch.arange(6).view(3, 2).to(source)).check(
        torch.ones(3, 4).to(target), torch.arange(6).view(3, 2).to(source)
    )
