# SPDX-License-Identifier: Apache-2.0
"""Convolutions and transposed convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from .harness import FLOATS, check, check_refused

X1, X2, X3 = (2, 8, 12), (2, 8, 12, 10), (1, 2, 6, 5, 7)
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "1d_same_even_kernel": (lambda: nn.Conv1d(8, 4, 4, padding="same"), X1),
    "1d_unbatched": (lambda: nn.Conv1d(8, 4, 4, padding=2), X1[1:]),
    "2d": (lambda: nn.Conv2d(8, 16, 3, padding=1), X2),
    "2d_valid": (lambda: nn.Conv2d(8, 16, 3, padding="valid", bias=False), X2),
    "2d_strided_dilated": (lambda: nn.Conv2d(8, 4, 3, stride=(2, 1), padding=(2, 1), dilation=(1, 2)), X2),
    "2d_grouped": (lambda: nn.Conv2d(8, 16, 3, groups=4), X2),
    "2d_depthwise": (lambda: nn.Conv2d(8, 8, 3, groups=8, padding=1), X2),
    "2d_circular": (lambda: nn.Conv2d(8, 4, 3, padding=1, padding_mode="reflect"), X2),
    "3d": (lambda: nn.Conv3d(2, 4, 3, padding=1, stride=2), X3),
    "transposed_1d": (lambda: nn.ConvTranspose1d(8, 6, 3, stride=3, padding=1, output_padding=2), X1),
    "transposed_2d": (lambda: nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1), X2),
    "transposed_2d_grouped": (lambda: nn.ConvTranspose2d(8, 8, 3, groups=4, stride=2, dilation=2), X2),
    "transposed_2d_unbatched": (lambda: nn.ConvTranspose2d(8, 4, 3, bias=False), X2[1:]),
    "transposed_3d": (lambda: nn.ConvTranspose3d(2, 3, 3, stride=2), X3),
}


@pytest.mark.parametrize("sizes", [(4, 1), (4, 2), (4, 3), (5, 1), (5, 2), (9, 2), (9, 3), (32, 1)], ids=str)
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_several_results_of_a_channel(dtype: torch.dtype, times: int, sizes: tuple[int, int]) -> None:
    """Each has its own bias: the vendor's bfloat16 kernels on one thread took the first channel's."""
    length, stride = sizes
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for channels, dims in itertools.product((2, 3, 8), (1, 2)):
            kind = (nn.Conv1d, nn.Conv2d)[dims - 1]
            model = kind(channels, channels * times, 2, stride=stride, padding=1, groups=channels).to(dtype)
            x = torch.randn(5, channels, *[length] * dims).to(dtype)
            check(model, x, dynamic=({0: Dim("batch", min=1, max=8)},), more=[(x[:3],)])
            # Beside other dtypes the engine computes in float32, and these kernels in bfloat16 all the same.
            check(lambda x, y, model=model: (model(x), y * 2), x, torch.randn(3))
    finally:
        torch.set_num_threads(former)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, dtype: torch.dtype) -> None:
    make, shape = LAYERS[name]
    check(make().to(dtype), torch.randn(shape).to(dtype))


def test_dynamic_batch_and_size() -> None:
    sizes = {0: Dim("n", min=1, max=4), 2: Dim("h", min=4, max=32), 3: Dim("w", min=4, max=32)}
    layer = nn.Conv2d(8, 4, 3, stride=2, padding=1)
    more = [(torch.randn(1, 8, 7, 9),), (torch.randn(4, 8, 32, 4),)]
    check(layer, torch.randn(X2), dynamic=(sizes,), more=more)


@pytest.mark.parametrize("groups", [1, 2])
def test_computed_weights(groups: int) -> None:
    check(lambda x, w: F.conv2d(x, w, groups=groups), torch.randn(X2), torch.randn(4, 8 // groups, 3, 3))


def test_nan_reaches_what_its_window_reaches() -> None:
    x = torch.randn(X2)
    x[0, 3, 5, 5] = torch.nan
    check(nn.Conv2d(8, 4, 3), x)


def test_batch_norm_after_convolution() -> None:
    norm = nn.BatchNorm2d(4)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    check(nn.Sequential(nn.Conv2d(8, 4, 3), norm, nn.ReLU()), torch.randn(X2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
def test_dtypes_that_stay_in_pytorch(dtype: torch.dtype) -> None:
    x, w = torch.randint(0, 9, (1, 2, 5, 5)).to(dtype), torch.randint(0, 9, (3, 2, 3, 3)).to(dtype)
    check_refused(F.conv2d, x, w, reason="DATA_TYPE")


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("computed", [False, True], ids=["constant", "computed"])
@pytest.mark.parametrize("transposed", [False, True], ids=["convolution", "transposed"])
@pytest.mark.parametrize("window", [(1,), (1, 1), (3, 1), (1, 3), (2, 1, 1)], ids=str)
def test_a_window_of_one_element_is_not_dilated(
    window: tuple[int, ...], transposed: bool, computed: bool, dtype: torch.dtype
) -> None:
    """OpenVINO's kernel for windows of one element reads outside where they have a dilation and padding."""
    spatial = len(window)
    function = getattr(F, f"conv{'_transpose' if transposed else ''}{spatial}d")
    options = {"stride": 2, "padding": 1, "dilation": 2}
    x, weight = torch.randn(2, 4, *[3] * spatial).to(dtype), torch.randn(4, 4, *window).to(dtype)
    if computed:
        check(lambda x, weight: function(x, weight, **options), x, weight)
    else:
        check(lambda x: function(x, weight, **options), x)
