# SPDX-License-Identifier: Apache-2.0
"""Pooling with fixed windows, and adaptive pooling."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

from .harness import FLOATS, check, check_refused

X = (2, 3, 12, 10)
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "max": (nn.MaxPool2d(3, 2, 1), X),
    "max_ceil": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (1, 2, 8, 9)),
    "max_ceil_last_window_outside": (nn.MaxPool2d(2, 3, 1, ceil_mode=True), (1, 2, 8, 9)),
    "max_dilated": (nn.MaxPool2d(3, 1, 1, dilation=2), X),
    "max_unbatched": (nn.MaxPool2d(2), X[1:]),
    "max_1d": (nn.MaxPool1d(3, 2), (2, 3, 11)),
    "max_3d": (nn.MaxPool3d(2), (1, 2, 4, 6, 8)),
    "avg": (nn.AvgPool2d(3, 2, 1), X),
    "avg_without_padding": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), X),
    "avg_ceil_without_padding": (nn.AvgPool2d(4, 3, 2, ceil_mode=True, count_include_pad=False), (1, 2, 9, 10)),
    "avg_1d": (nn.AvgPool1d(3, 2, 1), (2, 3, 11)),
    "avg_3d": (nn.AvgPool3d(2), (1, 2, 4, 6, 8)),
    "adaptive_avg_one": (nn.AdaptiveAvgPool2d(1), X),
    "adaptive_avg_even": (nn.AdaptiveAvgPool2d((4, 5)), X),
    "adaptive_avg_uneven": (nn.AdaptiveAvgPool2d((5, 7)), X),
    "adaptive_avg_partly": (nn.AdaptiveAvgPool2d((None, 3)), X),
    "adaptive_avg_larger": (nn.AdaptiveAvgPool2d((13, 11)), X),
    "adaptive_avg_1d": (nn.AdaptiveAvgPool1d(5), (2, 3, 12)),
    "adaptive_avg_3d": (nn.AdaptiveAvgPool3d(2), (1, 2, 5, 4, 6)),
    "adaptive_max_one": (nn.AdaptiveMaxPool2d(1), X),
    "adaptive_max_uneven": (nn.AdaptiveMaxPool2d(5), X),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    # eager has no kernel for avg_pool3d in the half precisions
    [(name, dtype) for name in LAYERS for dtype in FLOATS if name != "avg_3d" or dtype == torch.float32],
    ids=str,
)
def test_layer(name: str, dtype: torch.dtype) -> None:
    layer, shape = LAYERS[name]
    check(layer, torch.randn(shape).to(dtype))


def test_max_pads_with_less_than_any_number() -> None:
    check(nn.MaxPool2d(3, 2, 1), -torch.rand(X) - 1e30)


def test_average_keeps_nan_to_its_windows() -> None:
    x = torch.randn(X)
    x[0, 1, 5, 5] = torch.nan
    check(nn.AvgPool2d(2), x)


def test_dynamic_size() -> None:
    sizes = {0: Dim("n", min=1, max=4), 2: Dim("h", min=4, max=32)}
    more = [(torch.randn(1, 3, size, 10),) for size in range(4, 10)]
    check(nn.MaxPool2d(3, 2, 1), torch.randn(X), dynamic=(sizes,), more=more)
    check(nn.AdaptiveAvgPool2d(1), torch.randn(X), dynamic=(sizes,), more=more)


def test_what_stays_in_pytorch() -> None:
    check_refused(nn.MaxPool2d(2, return_indices=True), torch.randn(X), reason="ATTRIBUTE")
    check_refused(nn.AvgPool2d(2, divisor_override=3), torch.randn(X), reason="ATTRIBUTE")
    check_refused(nn.MaxPool2d(2), torch.randint(0, 9, X), reason="DATA_TYPE")
    check_refused(
        nn.AdaptiveAvgPool2d(3), torch.randn(X), dynamic=({2: Dim("h", min=4, max=32)},), reason="DYNAMIC_SHAPE"
    )
