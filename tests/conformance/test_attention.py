# SPDX-License-Identifier: Apache-2.0
"""Scaled dot-product attention and the modules around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from .harness import FLOATS, assert_same, check, compile_function, there

attention = F.scaled_dot_product_attention


def operands(*, queries: int = 10, keys: int = 7, rank: int = 4, key_heads: int = 4) -> tuple[torch.Tensor, ...]:
    q, k, v = torch.randn(2, 4, queries, 16), torch.randn(2, key_heads, keys, 16), torch.randn(2, key_heads, keys, 8)
    first = (0,) * (4 - rank)
    return q[first], k[first], v[first]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("arguments", [{}, {"is_causal": True}, {"scale": 0.3}], ids=str)
@pytest.mark.parametrize("rank", [2, 3, 4])
def test_without_a_mask(rank: int, arguments: dict[str, Any], dtype: torch.dtype) -> None:
    inputs = [x.to(dtype) for x in operands(rank=rank)]
    check(lambda q, k, v: attention(q, k, v, **arguments), *inputs)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(10, 7), (2, 1, 10, 7), (2, 1, 1, 7), (2, 4, 10, 7), (1, 4, 10, 7)], ids=str)
def test_bool_mask(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    mask = torch.rand(shape) > 0.4
    mask[..., 0] = True
    check(attention, *(x.to(dtype) for x in operands()), mask)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_float_mask(dtype: torch.dtype) -> None:
    check(attention, *(x.to(dtype) for x in operands()), torch.randn(2, 4, 10, 7).to(dtype))


def test_a_row_that_sees_nothing() -> None:
    mask = torch.rand(2, 1, 10, 7) > 0.4
    mask[0, 0, 3] = False
    check(attention, *operands(), mask)
    check(attention, *operands(), torch.zeros(mask.shape).masked_fill(~mask, -torch.inf))


def test_masked_values_do_not_matter() -> None:
    q, k, v = operands()
    v[:, :, 6] = 1e30
    check(attention, q, k, v, (torch.arange(7) < 6).expand(2, 1, 10, 7).contiguous())


def test_large_logits() -> None:
    """Of integers, so that they are exact: the exponential function makes errors of their size relative ones."""
    q, k, v = operands()
    check(lambda q, k, v: attention(q * 100, k, v), q.round(), k.round(), v)


@pytest.mark.parametrize("heads", [1, 2])
def test_grouped_queries(heads: int) -> None:
    check(lambda q, k, v: attention(q, k, v, enable_gqa=True), *operands(key_heads=heads))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(5, 9), (9, 5), (1, 8)])
def test_lengths(queries: int, keys: int, is_causal: bool) -> None:
    check(lambda q, k, v: attention(q, k, v, is_causal=is_causal), *operands(queries=queries, keys=keys))


def test_dynamic_lengths() -> None:
    batch, queries, keys = Dim("b", min=1, max=4), Dim("l", min=1, max=32), Dim("s", min=1, max=32)
    dynamic = ({0: batch, 2: queries}, {0: batch, 2: keys}, {0: batch, 2: keys})
    more = [tuple(x[:1] for x in operands(queries=3, keys=32))]
    for is_causal in (False, True):
        check(lambda q, k, v, c=is_causal: attention(q, k, v, is_causal=c), *operands(), dynamic=dynamic, more=more)


class Latents(nn.Module):
    """Attends by what depends on no input: learned queries, as pooling by attention has them."""

    def __init__(self, way: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        batch, heads, length, width = shape
        self.way, self.shape = way, shape
        self.register_buffer("latents", torch.randn(batch, length, heads * width).to(dtype))
        self.register_buffer("weight", (torch.randn(heads * width, heads * width) / (heads * width) ** 0.5).to(dtype))

    def forward(self, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        batch, heads, length, width = self.shape
        latents = F.linear(self.latents, self.weight) if self.way == "linear" else self.latents
        latents = latents + 1 if self.way == "sum" else latents
        q = latents.reshape(batch, length, heads, width).transpose(1, 2)
        return attention(q, k, v)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(2, 4, 4, 2), (8, 2, 2, 2), (1, 8, 16, 32), (2, 3, 5, 8)], ids=str)
@pytest.mark.parametrize("way", ["linear", "sum", "alone"])
def test_learned_queries(way: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """They are the same in every call: the vendor computes them once, and scaled them where they lie."""
    batch, heads, length, width = shape
    for keys in (length, 7):
        k, v, *others = (torch.randn(batch, heads, keys, width).to(dtype) for _ in range(4))
        check(Latents(way, shape, dtype), k, v, more=[tuple(others), (k, v), (v, k)])


def test_modules() -> None:
    x = torch.randn(2, 5, 16)
    check(nn.MultiheadAttention(16, 4, batch_first=True), x, x.clone(), x.clone())
    check(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), x)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize(("masked", "is_causal"), [(False, False), (False, True), (True, False)])
def test_kernel_for_the_cpu(masked: bool, is_causal: bool, dynamic: bool) -> None:
    """What PyTorch chooses there; its logarithms are read by nobody."""
    q, k, v = (torch.randn(2, 4, 8, 16) for _ in range(3))
    mask = [torch.randn(2, 1, 8, 8)] if masked else []

    def function(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *mask: torch.Tensor) -> torch.Tensor:
        chosen = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return chosen(q, k, v, 0.0, is_causal, attn_mask=mask[0] if mask else None, scale=0.3)[0]

    batch = {0: Dim("b", min=1, max=4)}
    outcome = compile_function(function, q, k, v, *mask, dynamic=([batch] * (3 + masked)) if dynamic else None)
    assert not outcome.refusals
    for size in (2, 1) if dynamic else (2,):
        outcome.check(*(x[:size] for x in (q, k, v, *mask)))


# What PyTorch chooses for a GPU; results for training, such as a uint64 seed, are read by nobody.
CHOSEN: dict[str, Callable[..., torch.Tensor]] = {
    "flash": lambda q, k, v, causal, scale: torch.ops.aten._scaled_dot_product_flash_attention(
        q, k, v, 0.0, causal, scale=scale
    )[0],
    "efficient": lambda q, k, v, causal, scale: torch.ops.aten._scaled_dot_product_efficient_attention(
        q, k, v, None, False, 0.0, causal, scale=scale
    )[0],
    "cudnn": lambda q, k, v, causal, scale: torch.ops.aten._scaled_dot_product_cudnn_attention(
        q, k, v, None, False, 0.0, causal, scale=scale
    )[0],
}


@pytest.mark.parametrize("name", CHOSEN)
def test_kernels_for_gpus(name: str) -> None:
    q, k, v = (torch.randn(2, 4, 8, 16) for _ in range(3))
    q, k, v = there([q, k, v])
    for causal, scale in ((False, None), (True, None), (False, 0.5)):
        outcome = compile_function(lambda q, k, v, c=causal, s=scale: CHOSEN[name](q, k, v, c, s), q, k, v)
        assert not outcome.refusals
        # The operator itself does not run here.
        assert_same(outcome.answer(q, k, v), F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale))
