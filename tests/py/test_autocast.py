# SPDX-License-Identifier: Apache-2.0
"""Regions of torch.autocast inside a model, nested and switched off, as eager runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import torch_tensorrt


class Regions(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        other = torch.float16 if self.dtype is torch.bfloat16 else torch.bfloat16
        with torch.autocast("cpu", dtype=self.dtype):
            half = self.first(x)
            full = half.softmax(-1), F.layer_norm(half, (8,)), half + x
            with torch.autocast("cpu", enabled=False):
                exact = self.second(half.float())
            with torch.autocast("cpu", dtype=other):
                nested = self.second(half)
            products = torch.matmul(x, x.t()), torch.einsum("ij,kj->ik", exact, nested), torch.cat([half, x])
            heads = x[None, None]
            attention = F.scaled_dot_product_attention(heads, heads, heads)
        with torch.autocast("cpu", dtype=self.dtype, enabled=False):
            off = self.first(x) * 2
        return [half, *full, exact, nested, *products, attention, off, self.second(half.float()).relu()]


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript", "torch.compile", "caller's region"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_regions(dtype: torch.dtype, form: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch._dynamo.reset()
    model, x = Regions(dtype).eval().requires_grad_(False), torch.randn(3, 8)
    run: Any
    if form == "torch.compile":
        run = torch.compile(model, backend="torch_tensorrt", options={"min_block_size": 1})
    else:
        run = torch_tensorrt.compile(model, arg_inputs=[x], min_block_size=1)
    if form in ("exported_program", "torchscript"):
        torch_tensorrt.save(run, tmp_path / "m", output_format=form)
        run = torch_tensorrt.load(tmp_path / "m")
        run = run.module() if form == "exported_program" else run
    with torch.autocast("cpu", dtype=dtype, enabled=form == "caller's region"):
        actual = run(x)
    for result, right in zip(actual, model(x), strict=True):
        assert result.dtype == right.dtype
        # What was computed in half precision somewhere has its error, in whatever dtype it is given. Values between
        # operators may keep more bits than eager's.
        torch.testing.assert_close(result.float(), right.float(), rtol=2e-2, atol=2e-2)
