# SPDX-License-Identifier: Apache-2.0
"""What eager PyTorch does, the compiled program does, too: in Python, exported and as TorchScript."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Function, assert_same
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils import _pytree as pytree

import torch_tensorrt

CASES: dict[str, tuple[Callable[[torch.Tensor], Any], tuple[int, ...]]] = {
    "sizes from data": (lambda x: torch.relu(x)[torch.relu(x) > 0.5] * 2, (6,)),
    "coordinates": (lambda x: (torch.nonzero(x > 0.5) + 1, x.sum()), (6,)),
    "an input is written": (lambda x: x.add_(1).mul(2) + torch.relu(x), (6,)),
    "a written input is a result": (lambda x: (torch.relu(x.mul_(3)) + 1, x), (6,)),
    "a number from data": (lambda x: torch.relu(x) * x.sum().item() + 1, (6,)),
    "a list of parts": (lambda x: [part * 2 for part in torch.split(torch.relu(x), 2, dim=1)], (6,)),
    "unbind and cat": (lambda x: torch.cat([part + 1 for part in x.unbind(1)], 0), (6,)),
    "float64 in the middle": (lambda x: (x.double() * 2).float() + 1, (6,)),
    "64-bit integers": (lambda x: (x * 100).long() * 3 + 1, (6,)),
    "large 64-bit integers": (lambda x: (x * 100).long() * 2**40 + 1, (6,)),
    "complex in the middle": (lambda x: torch.fft.fft(torch.relu(x)).real + 1, (6,)),
    "a size as a shape": (lambda x: torch.zeros(x.shape[0] * 2 + 1, 3) + x.sum(), (6,)),
    "a size as padding": (lambda x: F.pad(x, (0, 0, 0, 8 - x.shape[0])) * 2, (6,)),
    "two results of one operator": (lambda x: tuple(torch.max(torch.relu(x), dim=1)), (6,)),
    "strides that an engine forgets": (
        lambda x: torch.cummax(torch.relu(x.permute(0, 2, 3, 1)).contiguous().view(x.shape[0], -1), 1).values + 1,
        (3, 4, 4),
    ),
    "a result twice": (lambda x: (lambda y: (y, y, y + 1))(torch.relu(x)), (6,)),
    "random numbers": (lambda x: torch.relu(x) + torch.rand_like(x) * 0, (6,)),
    "interpolation": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear") + 1, (3, 4, 4)),
    "einsum": (lambda x: torch.einsum("bij,bkj->bik", x, x) + 1, (3, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_as_eager(name: str, tmp_path: Path) -> None:
    function, shape = CASES[name]
    model = Function(function).eval()
    batch = torch_tensorrt.Input(min_shape=(1, *shape), opt_shape=(4, *shape), max_shape=(7, *shape))
    module = torch_tensorrt.compile(model, arg_inputs=[batch], min_block_size=1)
    torch_tensorrt.save(module, tmp_path / "model.ts", output_format="torchscript")
    torch_tensorrt.save(module, tmp_path / "model.pt2")
    forms = [module, torch_tensorrt.load(tmp_path / "model.ts"), torch_tensorrt.load(tmp_path / "model.pt2").module()]
    for size in (1, 4, 7):
        x = torch.rand(size, *shape)
        written = x.clone()
        expected = model(written)
        for form in forms:
            own = x.clone()
            actual = form(own)
            assert_same(pytree.tree_leaves(actual), pytree.tree_leaves(expected))
            assert_same(own, written)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.LayerNorm(6)).to(dtype).eval()
    batch = torch_tensorrt.Input(min_shape=(1, 6), opt_shape=(4, 6), max_shape=(8, 6), dtype=dtype)
    module = torch_tensorrt.compile(model, arg_inputs=[batch], min_block_size=1)
    x = torch.rand(5, 6).to(dtype)
    with torch.no_grad():
        actual, eager, exact = module(x), model(x), copy.deepcopy(model).double()(x.double())
    assert actual.dtype == dtype
    # Engines keep more bits between operators than eager does, which rounds after each: they are at least as near.
    error, allowed = ((result.double() - exact).abs().max() for result in (actual, eager))
    assert error <= max(allowed, torch.finfo(dtype).eps * exact.abs().max())


@pytest.mark.parametrize(
    "model",
    [
        nn.LSTM(6, 5, batch_first=True),
        nn.TransformerEncoderLayer(6, 2, 16, batch_first=True),
        nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.ReLU()),
    ],
    ids=["lstm", "encoder layer", "dropout"],
)
def test_modules(model: nn.Module) -> None:
    batch = torch_tensorrt.Input(min_shape=(1, 3, 6), opt_shape=(4, 3, 6), max_shape=(8, 3, 6))
    module = torch_tensorrt.compile(model.eval(), arg_inputs=[batch], min_block_size=1)
    with torch.no_grad():
        for size in (1, 5):
            x = torch.rand(size, 3, 6)
            assert_same(module(x), model(x))


class Flexible(nn.Module):
    """Attention of four heads with a score of its own, between projections."""

    def __init__(self, score: Callable[..., torch.Tensor] | None, masked: bool) -> None:
        super().__init__()
        self.inward, self.outward = nn.Linear(16, 48), nn.Linear(16, 16)
        self.score, self.masked = score, masked

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        q, k, v = self.inward(x).reshape(rows, length, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        mask = create_block_mask(_not_later, None, None, length, length, device="cpu") if self.masked else None
        y = flex_attention(q, k, v, score_mod=self.score, block_mask=mask)
        return self.outward(y.transpose(1, 2).reshape(rows, length, 16)).relu()


def _not_later(_batch: Any, _head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return query >= key


def _distance(score: torch.Tensor, _batch: Any, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> Any:
    return score - (query - key).abs() / (head + 1)


@pytest.mark.parametrize("settings", [{}, {"min_block_size": 1}], ids=["defaults", "small blocks"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("score", [None, _distance])
def test_flex_attention(score: Any, masked: bool, settings: dict[str, Any]) -> None:
    model, x = Flexible(score, masked).eval(), torch.randn(2, 128, 16)
    with torch.no_grad():
        program = torch.export.export(model, (x,), strict=False)
        for _ in range(2):
            assert_same(torch_tensorrt.dynamo.compile(program, **settings)(x), model(x))
            x = torch.randn(2, 128, 16)
