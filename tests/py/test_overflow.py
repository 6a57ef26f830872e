# SPDX-License-Identifier: Apache-2.0
"""NaN and infinities that are born inside an engine, of finite inputs: what comes behind them, against eager.

A source makes them of large numbers; an operation must not lose them. The same engine computes usual numbers too,
before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

import torch_tensorrt

Tensor = torch.Tensor

# x [batch, 4, 8, 8], of magnitudes about 1e30 where something is to overflow.
SOURCES: dict[str, Callable[[Tensor], Tensor]] = {
    "infinity": lambda x: x * x.abs(),
    "sum": lambda x: (x * 1e8) + (x * 2e8) + (x * 3e8),
    "cube": lambda x: x**3,
    "large numbers": lambda x: x * 3,
}

OPERATIONS: dict[str, Callable[[Tensor], Any]] = {
    "relu": torch.relu,
    "relu6": functional.relu6,
    "softmax": lambda y: y.softmax(-1),
    "softmax of channels": lambda y: y.softmax(1),
    "log_softmax": lambda y: y.log_softmax(-1),
    "clamp": lambda y: y.clamp(-1, 1),
    "clamp_min": lambda y: y.clamp(min=0.25),
    "maximum": lambda y: torch.maximum(y, y.flip(-1)),
    "minimum": lambda y: torch.minimum(y, y.flip(-1)),
    "amax": lambda y: y.amax(-1),
    "amin": lambda y: y.amin(1),
    "gelu": functional.gelu,
    "gelu tanh": lambda y: functional.gelu(y, approximate="tanh"),
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": functional.hardswish,
    "hardtanh": functional.hardtanh,
    "leaky_relu": functional.leaky_relu,
    "prelu": lambda y: functional.prelu(y, torch.tensor([0.1, 0.2, 0.3, 0.4])),
    "elu": functional.elu,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "max_pool": lambda y: functional.max_pool2d(y, 2),
    "max_pool of windows that overlap": lambda y: functional.max_pool2d(y, 3, 1, 1),
    "avg_pool": lambda y: functional.avg_pool2d(y, 2),
    "greater": lambda y: y > 0.5,
    "where": lambda y: torch.where(y > 0, y, -y),
    "isnan": torch.isnan,
    "layer_norm": lambda y: functional.layer_norm(y, (8,)),
    "relu twice": lambda y: functional.relu(functional.relu(y) + y),
    "abs": torch.abs,
    "std": lambda y: y.std(-1),
    "var": lambda y: y.var((1, 2), correction=0),
    "half": lambda y: y.half().softmax(-1),
    "round": torch.round,
}


class Program(torch.nn.Module):
    """Every operation on an input of its own, so that none is fused with another's source."""

    def __init__(self, source: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.source = source

    def forward(self, inputs: list[Tensor]) -> list[Any]:
        return [operation(self.source(x)) for operation, x in zip(OPERATIONS.values(), inputs, strict=True)]


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_born_inside(source: str, dynamic: bool) -> None:
    torch.manual_seed(0)
    model = Program(SOURCES[source]).eval()
    usual = [torch.randn(2, 4, 8, 8) for _ in OPERATIONS]
    batch = torch.export.Dim("batch", min=1, max=8)
    shapes = ([{0: batch}] * len(usual),) if dynamic else None
    program = torch.export.export(model, (usual,), dynamic_shapes=shapes)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)

    large = [x.clone() for x in usual]
    for x in large:
        x[0] *= 1e30
    wrong = []
    for inputs in (usual, large, usual):
        for name, actual, expected in zip(OPERATIONS, module(inputs), model(inputs), strict=True):
            try:
                # Differences of large numbers: log_softmax.
                torch.testing.assert_close(actual, expected, equal_nan=True, rtol=1e-5, atol=1e-5)
            except AssertionError as error:
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)


class Deep(torch.nn.Module):
    """So many layers that the largest input which is let pass may overflow."""

    def __init__(self, layers: int, norm: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(64, 64) for _ in range(layers))
        self.norm = torch.nn.LayerNorm(64) if norm else torch.nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(self.norm(x)) * 3)
        return x


def _measured(module: torch.nn.Module) -> int:
    """How many values its engine, which has one output, measures."""
    (engine,) = torch_tensorrt.runtime.inspect(module).values()
    measured: int = sum(layer["type"] == "Output" for layer in engine["layers"]) - 1
    return measured


@pytest.mark.parametrize(("layers", "norm", "most"), [(2, False, 0), (40, False, 4), (4, True, 0)])
def test_how_much_is_measured(layers: int, norm: bool, most: int) -> None:
    model = Deep(layers, norm).eval()
    x = torch.randn(3, 64)
    module = torch_tensorrt.compile(model, inputs=[x], min_block_size=1)
    with torch.no_grad():
        for scale in (1.0, 1e8, 1e37, 1.0):
            torch.testing.assert_close(module(x * scale), model(x * scale), equal_nan=True, rtol=1e-4, atol=1e-4)
    assert _measured(module) <= most
