# SPDX-License-Identifier: Apache-2.0
"""Small models that the tests compile, and the comparison with eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree


def assert_same(actual: Any, expected: Any) -> None:
    """Same structure, same types, values within the dtype's tolerance."""
    assert pytree.tree_structure(actual) == pytree.tree_structure(expected)
    for ours, theirs in zip(pytree.tree_leaves(actual), pytree.tree_leaves(expected), strict=True):
        if isinstance(theirs, torch.Tensor):
            torch.testing.assert_close(ours, theirs, equal_nan=True)
        else:
            assert ours == theirs


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x)


class Mlp(nn.Module):
    """Eight supported operators and nothing else."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.second = nn.Linear(2 * width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = torch.nn.functional.gelu(self.norm(x)) + 1
        return torch.softmax(self.second(x), dim=-1)


class Split(nn.Module):
    """Supported operators around one that no engine has (a cumulative maximum), with sizes on both sides of it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.linear(x)).view(x.shape[0] * 2, -1)
        x = torch.tanh((x + 1) * 0.5)
        x = torch.cummax(x, dim=1).values
        x = x.reshape(x.shape[0] // 2, -1, 2)
        return torch.sigmoid(x * 2).sum(dim=1) - 1


class Counter(nn.Module):
    """Writes a buffer at every call."""

    calls: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return torch.relu(self.linear(x)) * self.calls


class Views(nn.Module):
    """Results that share memory with the input and with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        y = torch.relu(self.linear(x))
        return x, x.view(-1), y, y.t()


class Keywords(nn.Module):
    """Keyword-only inputs, a default, nested inputs and results."""

    def forward(
        self, pair: tuple[torch.Tensor, torch.Tensor], *, mask: torch.Tensor, scale: float = 2.0
    ) -> dict[str, object]:
        a, b = pair
        total = (a + b) * mask * scale
        return {"total": total, "parts": [torch.exp(a), torch.exp(b)], "rows": a.shape[0]}
