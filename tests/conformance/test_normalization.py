# SPDX-License-Identifier: Apache-2.0
"""Layer, RMS, group, instance and batch normalization."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from .harness import FLOATS, check, check_refused

X = (2, 8, 6, 12)


def with_statistics(norm: nn.Module) -> nn.Module:
    for name, tensor in norm.named_buffers():
        if name == "running_mean":
            nn.init.normal_(tensor)
        elif name == "running_var":
            nn.init.uniform_(tensor, 0.5, 2)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    return norm.eval()


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "layer": (lambda: nn.LayerNorm(12), X),
    "layer_two_dims": (lambda: nn.LayerNorm((6, 12), eps=1e-3), X),
    "layer_without_bias": (lambda: nn.LayerNorm(12, bias=False), X),
    "layer_plain": (lambda: nn.LayerNorm(12, elementwise_affine=False), X),
    "rms": (lambda: nn.RMSNorm(12), X),
    "rms_epsilon": (lambda: nn.RMSNorm((6, 12), eps=1e-2), X),
    "group": (lambda: nn.GroupNorm(4, 8), X),
    "group_plain": (lambda: nn.GroupNorm(2, 8, affine=False), X),
    "group_rank_2": (lambda: nn.GroupNorm(2, 8), X[:2]),
    "group_rank_3": (lambda: nn.GroupNorm(2, 8), X[:3]),
    "instance": (lambda: nn.InstanceNorm2d(8, affine=True), X),
    "instance_with_statistics": (lambda: nn.InstanceNorm2d(8, track_running_stats=True), X),
    "batch_1d": (lambda: nn.BatchNorm1d(8), X[:2]),
    "batch_2d": (lambda: nn.BatchNorm2d(8), X),
    "batch_2d_plain": (lambda: nn.BatchNorm2d(8, affine=False), X),
    "batch_3d": (lambda: nn.BatchNorm3d(8), (*X, 3)),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, dtype: torch.dtype) -> None:
    make, shape = LAYERS[name]
    check(with_statistics(make()).to(dtype), torch.randn(shape).to(dtype))


def test_float32_parameters_of_half_precision_inputs() -> None:
    x, weight, bias = torch.randn(4, 12), torch.randn(12), torch.randn(12)
    check(lambda x, w, b: F.layer_norm(x, (12,), w, b), x.bfloat16(), weight, bias)
    check(lambda x, b: F.layer_norm(x, (12,), None, b), x, bias)


@pytest.mark.parametrize(
    "rows", [torch.full((3, 12), 3.3), torch.randn(3, 12) * 1e-6 + 1000, torch.randn(3, 12) * 1e15]
)
def test_layer_norm_of_extreme_rows(rows: torch.Tensor) -> None:
    check(nn.LayerNorm(12), rows)


def test_batch_norm_of_computed_statistics() -> None:
    check(F.batch_norm, torch.randn(X), torch.randn(8), torch.rand(8) + 0.5)


def test_batch_norm_keeps_small_differences_from_a_large_mean() -> None:
    norm = nn.BatchNorm2d(8).eval()
    norm.running_mean.fill_(100)
    norm.running_var.fill_(0.01)
    check(norm.bfloat16(), (100 + torch.randn(X)).bfloat16())


def test_dynamic_sizes() -> None:
    sizes = {0: Dim("n", min=1, max=4), 2: Dim("h", min=1, max=9)}
    more = [(torch.randn(1, 8, 9, 12),), (torch.randn(4, 8, 1, 12),)]
    for layer in (nn.LayerNorm(12), nn.RMSNorm(12), nn.GroupNorm(4, 8), nn.InstanceNorm2d(8), nn.BatchNorm2d(8)):
        check(layer, torch.randn(X), dynamic=(sizes,), more=more)


def test_what_stays_in_pytorch() -> None:
    check_refused(lambda x: F.batch_norm(x, None, None, training=True), torch.randn(X), reason="NO_CONVERTER")
    check_refused(lambda x, w: F.rms_norm(x, (12,), w), torch.randn(X).half(), torch.randn(12), reason="DATA_TYPE")
