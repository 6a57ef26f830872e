# SPDX-License-Identifier: Apache-2.0
"""Layer, RMS, group, instance and batch normalization."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from .harness import FLOATS, ON_GPU, check, check_refused, compile_function

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


# Of x, weight, bias, and for batch norm mean and variance; the number of weights.
SCALED: dict[str, tuple[Callable[..., torch.Tensor], int]] = {
    "group_norm": (lambda x, w, b, m, v: F.group_norm(x, 2, w, b), 4),
    "group_norm of one": (lambda x, w, b, m, v: F.group_norm(x, 4, w, b), 4),
    "group_norm, computed": (lambda x, w, b, m, v: F.group_norm(x, 2, w * 2, b + 0), 4),
    "layer_norm": (lambda x, w, b, m, v: F.layer_norm(x, (6,), w, b), 6),
    "rms_norm": (lambda x, w, b, m, v: F.rms_norm(x, (6,), w), 6),
    "instance_norm": (lambda x, w, b, m, v: F.instance_norm(x, weight=w, bias=b), 4),
    "batch_norm": (lambda x, w, b, m, v: F.batch_norm(x, m, v, w, b), 4),
}


@pytest.mark.skipif(ON_GPU, reason="TensorRT does not promise to pass on NaN and infinities (docs/gpu.md)")
@pytest.mark.parametrize("constant", [True, False], ids=["constants", "inputs"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", list(SCALED))
def test_weights_that_are_no_usual_numbers(name: str, dtype: torch.dtype, constant: bool) -> None:
    """PyTorch's kernels multiply the weight with 1 / deviation before they subtract, which overflows."""
    function, count = SCALED[name]
    x = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(5)).to(dtype)
    largest = torch.finfo(dtype).max

    def parameters(number: float) -> list[torch.Tensor]:
        tensors = [
            torch.tensor([1.0, number, 0.5, 2.0, 0.0, 1.0])[:count],
            torch.tensor([0.0, 1.0, 0.5, number, 1.0, 0.0])[:count],
            torch.tensor([0.0, 0.1, 0.0, 0.3]),
            torch.tensor([1e-6, 1e-7, 0.5, 1e-3]),
        ]
        return [tensor.to(dtype) for tensor in tensors]

    run = None if constant else compile_function(function, x, *parameters(1.0))
    for number in (1.5, largest, -largest, math.inf, math.nan):
        given = parameters(number)
        if run is None:
            fixed = compile_function(lambda x, given=given: function(x, *given), x)
            for tiny in (1, 1e-30):
                fixed.check(x * tiny)
        else:
            for tiny in (1, 1e-30):
                run.check(x * tiny, *given)
