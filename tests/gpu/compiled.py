# SPDX-License-Identifier: Apache-2.0
"""Models compiled for one of TensorRT's targets, with eager PyTorch beside them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import torch_tensorrt
from torch_tensorrt import Input, runtime

WIDTH, ROWS = 16, 32
"""The inputs of Mlp and Mixed are float32 tensors of 1 to ROWS rows and WIDTH columns."""


class Mlp(nn.Module):
    """One engine."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 64), nn.Linear(64, 8)
        self.norm = nn.LayerNorm(64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.second(self.norm(torch.relu(self.first(x)))), dim=-1)


class Mixed(nn.Module):
    """Two engines around an operator that stays in PyTorch, with sizes on both sides of it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.linear(x)).view(x.shape[0] * 2, -1)
        x = torch.cummax(torch.tanh(x + 1), dim=1).values
        x = x.reshape(x.shape[0] // 2, -1, 2)
        return torch.sigmoid(x * 2).sum(dim=1) - 1


class Positive(nn.Module):
    """The shape of the result depends on the data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(torch.relu(x - 0.5))


class Positions(nn.Module):
    """Sizes as data: positions along a dimension that is known at the call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        weights = (positions + x.shape[0]).view(1, -1, 1).expand(x.shape[0], x.shape[1], 1)
        return torch.cat([self.linear(x) * weights, weights.expand(-1, -1, WIDTH)], dim=1)


@dataclass
class Compiled:
    module: Any
    eager: nn.Module

    def check(self, *inputs: torch.Tensor, module: Any = None) -> torch.Tensor:
        """The answer, after comparing it with eager PyTorch's. `module`: what to call instead, as modes give it."""
        with torch.no_grad():
            actual = (module or self.module)(*inputs)
            expected = self.eager(*inputs)
        assert_same(actual, expected)
        return actual  # type: ignore[no-any-return]

    @property
    def engines(self) -> int:
        return len(runtime.engine_modules(self.module))


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """float32 without TF32: the order of sums differs, nothing else."""
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def rows(dtype: torch.dtype = torch.float32) -> Input:
    return Input(min_shape=(1, WIDTH), opt_shape=(8, WIDTH), max_shape=(ROWS, WIDTH), dtype=dtype)


def compile_for(target: str, model: nn.Module, *inputs: Any, device: str = "cuda", **settings: Any) -> Compiled:
    """`inputs` as torch_tensorrt.compile takes them; by default rows()."""
    torch.manual_seed(0)
    eager = copy.deepcopy(model).eval().to(device)
    module = torch_tensorrt.compile(
        eager, ir="dynamo", arg_inputs=list(inputs) or [rows()], targets=[target], min_block_size=1, **settings
    )
    compiled = Compiled(module, eager)
    assert compiled.engines, "nothing was compiled, and these tests would test eager PyTorch"
    return compiled


def batch(count: int, device: str = "cuda") -> torch.Tensor:
    return torch.randn(count, WIDTH, device=device)
