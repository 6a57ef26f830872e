# SPDX-License-Identifier: Apache-2.0
"""Operators that no layer expresses: plugins in the engine, which call PyTorch's own operator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from torch_tensorrt._engine import engines_of

from .harness import FLOATS, assert_same, check, check_refused, on_the_cpu_only


def resize(size: Any = None, scale: Any = None, mode: str = "bicubic", antialias: bool = False) -> Any:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.relu(functional.interpolate(x * 2, size=size, scale_factor=scale, mode=mode, antialias=antialias))

    return function


RESIZES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "bicubic_aa": (resize(size=(7, 9), antialias=True), (2, 3, 20, 16)),
    "bilinear_aa": (resize(scale=0.5, mode="bilinear", antialias=True), (2, 3, 20, 16)),
    "trilinear": (resize(scale=1.7, mode="trilinear"), (1, 2, 4, 5, 6)),
    "bilinear": (resize(scale=(1.3, 0.6), mode="bilinear"), (1, 2, 7, 9)),
    "linear": (resize(scale=0.7, mode="linear"), (2, 3, 11)),
}


# Antialiased, PyTorch's own operator takes float32 only.
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, dtype) for name in RESIZES for dtype in FLOATS if dtype is torch.float32 or not name.endswith("_aa")],
    ids=str,
)
def test_resize(name: str, dtype: torch.dtype) -> None:
    function, shape = RESIZES[name]
    x = torch.randn(shape).to(dtype)
    with_nan = x.clone()
    with_nan.view(-1)[3] = torch.nan
    check(function, x, use_plugins=True, more=[(with_nan,), (torch.zeros_like(x),)])


def test_resize_of_dynamic_shapes() -> None:
    class Upscale(torch.nn.Module):
        def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
            return torch.relu(functional.interpolate(x, size=like.shape[-2:], mode="bicubic", antialias=True)) + like

    height, width = torch.export.Dim("height", min=2, max=40), torch.export.Dim("width", min=2, max=40)
    check(
        Upscale(),
        torch.randn(1, 2, 8, 8),
        torch.randn(1, 2, 5, 6),
        dynamic=(None, {2: height, 3: width}),
        use_plugins=True,
        more=[(torch.randn(1, 2, 8, 8), torch.randn(1, 2, 40, 2)), (torch.randn(1, 2, 8, 8), torch.randn(1, 2, 3, 33))],
    )


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32], ids=str)
@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce(reduce: str, include_self: bool, dtype: torch.dtype) -> None:
    def function(x: torch.Tensor, index: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return torch.scatter_reduce(x + 1, 1, index, source, reduce, include_self=include_self) * 2

    def given() -> tuple[torch.Tensor, ...]:
        return (
            torch.randint(-4, 5, (3, 8)).to(dtype),
            torch.randint(0, 8, (3, 5)),
            torch.randint(-4, 5, (3, 5)).to(dtype),
        )

    x, index, source = given()
    check(function, x, index, source, use_plugins=True, more=[given(), (x, torch.zeros_like(index), source)])


def test_scatter_of_nothing() -> None:
    """Results that are there although an operand is empty."""

    def function(x: torch.Tensor, index: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return torch.scatter_reduce(torch.relu(x), 1, index, source, "sum") + 1

    count = torch.export.Dim("count", min=0, max=9)
    x = torch.randn(3, 8)
    check(
        function,
        x,
        torch.randint(0, 8, (3, 5)),
        torch.randn(3, 5),
        dynamic=(None, {1: count}, {1: count}),
        use_plugins=True,
        more=[(x, torch.zeros(3, 0, dtype=torch.int64), torch.zeros(3, 0))],
    )


@on_the_cpu_only
def test_index_out_of_range_is_an_error() -> None:
    def function(x: torch.Tensor, index: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return torch.scatter_reduce(x + 1, 1, index, source, "sum")

    x, source = torch.randn(3, 8), torch.randn(3, 5)
    good = torch.randint(0, 8, (3, 5))
    outcome = check(function, x, good, source, use_plugins=True)
    with pytest.raises(RuntimeError, match="out of bounds"):
        outcome.answer(x, good + 8, source)
    failures = [engine.exact_calls() for engine in engines_of(outcome.module)]
    assert_same(outcome.answer(x, good, source), outcome.reference(x, good, source))
    assert [engine.exact_calls() for engine in engines_of(outcome.module)] == failures


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample(mode: str, padding: str) -> None:
    def function(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return functional.grid_sample(x + 1, grid * 1.0, mode, padding, align_corners=False) * 2

    check(function, torch.randn(2, 3, 6, 7), torch.rand(2, 4, 5, 2) * 3 - 1.5, use_plugins=True)


def test_grid_sample_3d() -> None:
    def function(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return functional.grid_sample(x + 1, grid, align_corners=True).sum(1)

    batch = torch.export.Dim("batch", min=1, max=4)
    check(
        function,
        torch.randn(2, 3, 4, 5, 6),
        torch.rand(2, 2, 3, 4, 3) * 2 - 1,
        dynamic=({0: batch}, {0: batch}),
        use_plugins=True,
        more=[(torch.randn(4, 3, 4, 5, 6), torch.rand(4, 2, 3, 4, 3))],
    )


def test_without_plugins_it_stays_in_pytorch() -> None:
    function, shape = RESIZES["bicubic_aa"]
    outcome = check_refused(function, torch.randn(shape), reason="NO_CONVERTER")
    assert "use_plugins=True" in str(outcome.refusals)


def test_results_of_64_bit_integers_stay_in_pytorch() -> None:
    def function(x: torch.Tensor, index: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return torch.scatter_reduce(x, 0, index, source, "sum") + 1

    x, source = torch.randint(0, 9, (8,)), torch.randint(0, 9, (5,))
    check_refused(function, x, torch.randint(0, 8, (5,)), source, reason="DATA_TYPE", use_plugins=True)
