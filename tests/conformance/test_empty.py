# SPDX-License-Identifier: Apache-2.0
"""Dimensions that may be 0: eager's answer or eager's error, and other sizes go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional as F

from torch_tensorrt._engine import engines_of

from .harness import ON_CPU, assert_same, compile_function

# Over the dimension that may be 0: PyTorch raises for some.
ALONG: dict[str, Callable[[Tensor], Any]] = {
    "sum": lambda x: x.sum(0),
    "prod": lambda x: x.prod(0),
    "mean": lambda x: x.mean(0),
    "var": lambda x: x.var(0),
    "amax": lambda x: x.amax(0),
    "max": lambda x: x.max(0),
    "max_of_all": lambda x: x.max(),
    "argmax": lambda x: x.argmax(0),
    "argmin_of_all": lambda x: x.argmin(),
    "any": lambda x: x.bool().any(0),
    "all": lambda x: x.bool().all(0),
    "cumsum": lambda x: x.cumsum(0),
    "sort": lambda x: x.sort(0),
    "topk": lambda x: x.topk(1, 0),
    "softmax": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(0),
    "logsumexp": lambda x: x.logsumexp(0),
    "norm": lambda x: x.norm(dim=0),
}
# Beside it, as of a batch.
BESIDE: dict[str, Callable[[Tensor], Any]] = {
    "amax": lambda x: x.amax(1),
    "argmax": lambda x: x.argmax(1),
    "topk": lambda x: x.topk(2, 1),
    "sort": lambda x: x.sort(1),
    "softmax": lambda x: x.softmax(1),
    "layer_norm": lambda x: F.layer_norm(x, (6,)),
    "rms_norm": lambda x: F.rms_norm(x, (6,)),
    "normalize": lambda x: F.normalize(x, dim=1),
    "group_norm": lambda x: F.group_norm(x[:, :, None] * 2, 3),
    "linear": lambda x: F.linear(x, torch.ones(3, 6)),
    "conv": lambda x: F.conv1d(x[:, None], torch.ones(2, 1, 3)),
    "pad": lambda x: F.pad(x, (1, 1), value=2.0),
    "gather": lambda x: x[:, torch.tensor([1, 3])],
    "cat": lambda x: torch.cat([x, x * 2], 1),
    "attention": lambda x: F.scaled_dot_product_attention(
        x[:, None, :, None], x[:, None, :, None], x[:, None, :, None]
    ),
    "avg_pool": lambda x: F.avg_pool1d(x[:, None], 2),
    "resize": lambda x: F.interpolate(x[:, None], scale_factor=2.0, mode="nearest"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32], ids=str)
@pytest.mark.parametrize("name", ALONG)
def test_along(name: str, dtype: torch.dtype) -> None:
    x = torch.arange(18).reshape(3, 6).to(dtype)
    try:
        outcome = compile_function(ALONG[name], x, dynamic=({0: Dim("n", min=0, max=8)},))
    except Exception:
        if dtype.is_floating_point:
            raise
        return  # eager has no such function of integers
    for rows in (3, 0, 5, 1):
        outcome.check_or_raise(torch.arange(rows * 6).reshape(rows, 6).to(dtype))


@pytest.mark.parametrize("name", BESIDE)
def test_beside(name: str) -> None:
    outcome = compile_function(BESIDE[name], torch.randn(3, 6), dynamic=({0: Dim("n", min=0, max=8)},))
    for rows in (3, 0, 5):
        outcome.check_or_raise(torch.randn(rows, 6))


def test_static() -> None:
    def function(x: Tensor) -> dict[str, Any]:
        return {name: BESIDE[name](x) for name in BESIDE}

    x = torch.randn(0, 6)
    outcome = compile_function(function, x)
    for name, expected in outcome.reference(x).items():
        assert_same(outcome.answer(x)[name], expected)


# Chains of several layers, which the CPU plugin rewrites: a sum of products becomes a matrix product.
CHAINS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "sum_of_products": lambda x, y: (x * y).sum(-1),
    "einsum_ki": lambda x, y: torch.einsum("bij,bkj->ki", x, y),
    "einsum_bik": lambda x, y: torch.einsum("bij,bkj->bik", x, y),
    "einsum_of_all": lambda x, y: torch.einsum("bij,bij->", x, y),
    "einsum_outer": lambda x, y: torch.einsum("bij,bkl->bikjl", x, y),
    "tensordot": lambda x, y: torch.tensordot(x, y, dims=([1, 2], [1, 2])),
    "broadcast_product": lambda x, y: (x[:, :, None] * y[:, None]).sum((-1, 0)),
    "scaled_sum": lambda x, y: ((x + y) * 0.5).mean((0, 2)),
    "norm": lambda x, y: (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 1e-5).sqrt() * y,
    "softmax": lambda x, y: (x.exp() / x.exp().sum(-1, keepdim=True)) @ y.transpose(1, 2),
    "gelu": lambda x, y: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.04 * x**3))) + y,
    "moved": lambda x, y: (x.permute(2, 0, 1).reshape(x.numel(), 1) * y.permute(2, 0, 1).reshape(1, y.numel())).relu(),
    "where": lambda x, y: torch.where(x > y, x, y).cumsum(0).flip(1),
}


@pytest.mark.parametrize("shape", [(0, 3, 4), (4, 0, 4), (2, 3, 0), (0, 0, 4), (1, 0, 1)], ids=str)
def test_chains(shape: tuple[int, ...]) -> None:
    x, y = torch.randn(shape), torch.randn(shape)
    for name, function in CHAINS.items():
        try:
            outcome = compile_function(function, x, y)
            outcome.check(x, y)
        except Exception as error:
            error.add_note(name)
            raise


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int32], ids=str)
@pytest.mark.parametrize("name", ["minimum", "add", "cat"])
def test_constants_without_elements_alone(name: str, dtype: torch.dtype) -> None:
    """Then there are no bytes of constants at all."""
    w, x = torch.ones(0, 5, dtype=dtype), torch.ones(0, 5, dtype=dtype)
    functions = {"minimum": torch.minimum, "add": torch.add, "cat": lambda x, w: torch.cat((x, w, w))}
    compile_function(lambda x: functions[name](x, w), x).check(x)


# Of a size alone, and of a number beside it: the CPU plugin moves what repeats a number behind what computes with it.
REPEATED: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda x: torch.full((x.shape[0],), 2.0) * 3,
    "rows": lambda x: torch.full((x.shape[0], 4), 2.0) * 3,
    "sum_of_product": lambda x: (torch.full((x.shape[0],), 2.0) * 3).sum(),
    "zeros": lambda x: torch.zeros(x.shape[0]) + 1,
    "zeros_like": lambda x: torch.zeros_like(x) + 1,
    "expanded": lambda x: torch.tensor([2.0]).expand(x.shape[0]) * 3,
    "expanded_twice": lambda x: (torch.arange(3.0)[:, None].expand(3, x.shape[0]) * torch.arange(3.0)[:, None]).sum(1),
    "behind_sum": lambda x: (torch.full((x.shape[0],), 2.0) + x) * 3,
    "of_two": lambda x: ((torch.full((x.shape[0],), 2.0) - torch.full((x.shape[0],), 3.0)) * 3).sum(),
    "quotient": lambda x: 1 / torch.full((x.shape[0],), 2.0),
    "clamp": lambda x: torch.full((x.shape[0],), 2.0).clamp(max=1),
    "integers": lambda x: torch.full((x.shape[0],), 7) // 2,
    "comparison": lambda x: torch.full((x.shape[0],), 2) == 2,
    "where": lambda x: torch.where(x > 0, torch.full((x.shape[0],), 2.0) * 3, 1.0),
    "joined": lambda x: torch.cat([torch.full((x.shape[0],), 2.0) * 3, x]),
    "matrix": lambda x: (torch.full((x.shape[0], 3), 2.0) * torch.arange(3.0)).sum(),
}


@pytest.mark.parametrize("name", REPEATED)
def test_repeated_numbers(name: str) -> None:
    """By the engine itself: a result of another shape, which the runtime notices, would run the exact form."""
    function = REPEATED[name]
    outcome = compile_function(lambda x: (function(x), x + 1), torch.randn(3), dynamic=({0: Dim("n", min=0, max=8)},))
    for size in (3, 0, 1, 0, 8):
        outcome.check(torch.randn(size))
    if ON_CPU:
        assert [engine.exact_calls()[0] for engine in engines_of(outcome.module)] == [0]


def weights(x: Tensor, *sizes: int) -> Tensor:
    return torch.ones(sizes, dtype=x.dtype)


# Of x [2, 3, height, width].
WINDOWS: dict[str, Callable[[Tensor], Tensor]] = {
    "convolution": lambda x: F.conv2d(x, weights(x, 4, 3, 3, 3), padding=1),
    "convolution 1d": lambda x: F.conv1d(x[:, :, 0], weights(x, 4, 3, 3), padding=1),
    "convolution by a dot": lambda x: F.conv2d(x, weights(x, 4, 3, 1, 1)),
    "transposed convolution": lambda x: F.conv_transpose2d(x, weights(x, 3, 4, 3, 3), stride=2, padding=1),
    "transposed convolution of little": lambda x: F.conv_transpose2d(x, weights(x, 3, 4, 4, 4), stride=2, padding=2),
    "transposed convolution of two": lambda x: F.conv_transpose2d(x, weights(x, 3, 4, 2, 2), stride=2, padding=1),
    "transposed convolution behind one": lambda x: F.conv_transpose2d(
        F.conv2d(x, weights(x, 3, 3, 1, 1), stride=2), weights(x, 3, 4, 2, 2), stride=2, padding=1
    ),
    "transposed convolution 1d": lambda x: F.conv_transpose1d(x[:, :, 0], weights(x, 3, 4, 3), stride=2, padding=1),
    "average": lambda x: F.avg_pool2d(x, 3, stride=1, padding=1),
    "largest": lambda x: F.max_pool2d(x, 3, stride=1, padding=1),
    "all of it": lambda x: F.adaptive_avg_pool2d(x, 1),
    "the largest of it": lambda x: F.adaptive_max_pool2d(x, 1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("name", list(WINDOWS))
def test_windows_of_nothing(name: str, dtype: torch.dtype) -> None:
    """Where nothing is read or written eager raises or answers, by dtype, and other sizes go on."""
    low, sizes = 0, ({2: Dim("h", min=0, max=16), 3: Dim("w", min=0, max=16)},)
    if "1d" in name or name == "largest":
        low, sizes = 1, ({2: Dim("h", min=1, max=16), 3: Dim("w", min=0, max=16)},)
    if "behind" in name:  # torch.export refuses the least size by name
        low, sizes = 2, ({2: Dim.AUTO(min=2, max=16), 3: Dim.AUTO(min=2, max=16)},)
    outcome = compile_function(lambda x: WINDOWS[name](x * 2), torch.randn(2, 3, 6, 7).to(dtype), dynamic=sizes)
    for height, width in ((5, 4), (1, 0), (3, 3), (0, 2), (1, 1), (0, 0), (2, 1), (1, 5), (3, 2), (2, 2), (4, 5)):
        if height < low or (low == 2 and width < low):
            continue
        outcome.check_or_raise(torch.randn(2, 3, height, width).to(dtype))
