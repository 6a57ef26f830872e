# SPDX-License-Identifier: Apache-2.0
"""Interpolation."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.export import Dim

from .harness import FLOATS, check, check_refused, compile_function

MODES = [
    ("nearest", None),
    ("nearest-exact", None),
    ("bilinear", False),
    ("bilinear", True),
    ("bicubic", False),
    ("bicubic", True),
]
SIZES = [(10, 14), (5, 7), (3, 4), (13, 9), (1, 1), (15, 21), (11, 7), (2, 28)]


def resize(x: torch.Tensor, mode: str, align_corners: bool | None, **target: Any) -> torch.Tensor:
    return F.interpolate(x, mode=mode, align_corners=align_corners, **target)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("mode", "align_corners"), MODES)
def test_size(mode: str, align_corners: bool | None, size: tuple[int, int]) -> None:
    check(lambda x: resize(x, mode, align_corners, size=size), torch.randn(2, 3, 5, 7))


@pytest.mark.parametrize("factor", [2, 3, 1.5, 0.5, (2, 3), 2.5], ids=str)
@pytest.mark.parametrize(("mode", "align_corners"), MODES)
def test_scale_factor(mode: str, align_corners: bool | None, factor: Any) -> None:
    x = torch.randn(2, 3, 6, 8)
    if mode == "nearest-exact" and factor in (1.5, 2.5):
        # (i + 0.5) / 1.5 is a whole number in the middle of three: PyTorch's rounding decides, and its kernels differ.
        check_refused(lambda x: resize(x, mode, align_corners, scale_factor=factor), x, reason="ATTRIBUTE")
    else:
        check(lambda x: resize(x, mode, align_corners, scale_factor=factor), x)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("mode", "align_corners"), MODES)
def test_dtype(mode: str, align_corners: bool | None, dtype: torch.dtype) -> None:
    check(lambda x: resize(x, mode, align_corners, scale_factor=2), torch.randn(1, 2, 5, 6).to(dtype))


def test_other_ranks() -> None:
    line, volume = torch.randn(2, 3, 6), torch.randn(2, 3, 4, 5, 6)
    check(lambda x: F.interpolate(x, scale_factor=2), line)
    check(lambda x: F.interpolate(x, size=11, mode="linear"), line)
    check(lambda x: F.interpolate(x, scale_factor=2), volume)
    check(lambda x: F.interpolate(x, size=(3, 7, 11)), volume)
    check(lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"), volume)
    check(lambda x: F.interpolate(x, size=(7, 3, 9), mode="trilinear", align_corners=True), volume)


@pytest.mark.parametrize(("mode", "align_corners"), MODES)
def test_dynamic_size(mode: str, align_corners: bool | None) -> None:
    sizes = ({0: Dim("n", min=1, max=9), 2: Dim("h", min=3, max=12)},)
    x, other = torch.randn(2, 3, 5, 7), torch.randn(1, 3, 12, 7)
    check(lambda x: resize(x, mode, align_corners, scale_factor=2), x, dynamic=sizes, more=[(other,)])


def test_size_of_another_input() -> None:
    sizes = ({2: Dim("h", min=3, max=12)}, {2: Dim("g", min=3, max=12)})
    inputs = (torch.randn(2, 3, 5, 7), torch.randn(2, 3, 11, 13))
    more = [(torch.randn(2, 3, 12, 7), torch.randn(2, 3, 3, 13))]
    check(lambda x, y: F.interpolate(x, size=y.shape[-2:], mode="bilinear"), *inputs, dynamic=sizes, more=more)


def test_shuffles() -> None:
    check(lambda x: F.pixel_shuffle(x, 2), torch.randn(2, 8, 3, 4))
    check(lambda x: F.pixel_unshuffle(x, 2), torch.randn(2, 2, 6, 4))


def test_what_stays_in_pytorch() -> None:
    x = torch.randn(2, 3, 5, 7)
    check_refused(F.grid_sample, x, torch.rand(2, 4, 4, 2), reason="DATA_DEPENDENT")
    check_refused(lambda x: F.interpolate(x, scale_factor=1 / 3, mode="bilinear"), x, reason="ATTRIBUTE")
    sizes = ({2: Dim("h", min=3, max=12)},)
    check_refused(lambda x: F.interpolate(x, scale_factor=3), x, dynamic=sizes, reason="DYNAMIC_SHAPE")


@pytest.mark.parametrize("mode", ["nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact"])
@pytest.mark.parametrize("wanted", [{"scale_factor": 2.0}, {"size": 4}], ids=["scaled", "sized"])
def test_nothing_to_resize(mode: str, wanted: dict[str, Any]) -> None:
    """A size that is 0 at run time is eager's error, and other sizes go on."""
    rank = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}.get(mode, 2)
    x = torch.randn(2, 3, *([5] * rank))
    dynamic = ({2 + rank - 1: Dim("s", min=0, max=16)},)
    outcome = compile_function(lambda x: F.interpolate(x * 2, mode=mode, **wanted), x, dynamic=dynamic)
    for size in (5, 0, 3, 1):
        outcome.check_or_raise(torch.randn(2, 3, *([5] * (rank - 1)), size))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("factor", [1.1, 1.3, 2.05, 2.3])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_factors_of_which_the_size_is_rounded(dims: int, factor: float, mode: str) -> None:
    """From 3 to 3 by 1.1, PyTorch's kernels read element 0 twice, but for those that go by the sizes alone."""
    for channels, dtype in itertools.product((1, 4), (torch.float32, torch.bfloat16)):
        x = torch.arange(channels * 3**dims, dtype=dtype).reshape(1, channels, *[3] * dims)
        outcome = compile_function(lambda x: F.interpolate(x * 1.5, scale_factor=factor, mode=mode), x)
        outcome.check(x)
        if dims > 1:
            layout = torch.channels_last if dims == 2 else torch.channels_last_3d
            compile_function(lambda x: F.interpolate(x, scale_factor=factor, mode=mode), x).check(
                x.contiguous(memory_format=layout)
            )
