# SPDX-License-Identifier: Apache-2.0
"""Other weights for TensorRT's engines, and engines without weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from torch_tensorrt import dynamo, logging, runtime

from .compiled import WIDTH, Compiled, Mlp, assert_same, batch, compile_for, rows


class Wide(nn.Module):
    """Sixteen megabytes of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 2048), nn.Linear(2048, 2048)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.second(torch.relu(self.first(x))))


class Convolutions(nn.Module):
    """Weights of every kind: convolutions with a batch norm folded into them, one-dimensional ones, a tied matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.along = nn.Conv1d(8, 8, 3, padding=1)
        self.group = nn.GroupNorm(2, 8)
        self.matrix = nn.Parameter(torch.randn(8, 8))
        self.scale = nn.Parameter(torch.randn(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.convolution(x))).flatten(2)
        x = self.group(self.along(x)).transpose(1, 2)
        return torch.tanh(x @ self.matrix * self.scale) @ self.matrix.t()


def other_weights(model: nn.Module) -> nn.Module:
    new = copy.deepcopy(model)
    with torch.no_grad():
        for value in (*new.parameters(), *new.buffers()):
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.5)
    return new


@pytest.fixture
def only_tensorrt(target: str) -> str:
    if target != "tensorrt":
        pytest.skip("TensorRT-RTX builds again: its plans are refittable only without weights")
    return target


def refit(compiled: Compiled, model: nn.Module, *inputs: torch.Tensor, **options: Any) -> Any:
    dynamic = {0: torch.export.Dim("batch", min=1, max=32)} if "batch" not in options else options.pop("batch")
    program = torch.export.export(model, inputs, dynamic_shapes=(dynamic,))
    return dynamo.refit_module_weights(compiled.module, program, arg_inputs=list(inputs), verify_output=True, **options)


class Log:
    """What the compiler says while it refits: C++ writes it to stderr."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def text(self) -> str:
        """Since the last time."""
        return self._capfd.readouterr().err

    def refitted(self) -> bool:
        text = self.text()
        return "was refitted" in text and "building engine" not in text


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Iterator[Log]:
    with logging.info():
        yield Log(capfd)


def plan_bytes(module: Any) -> int:
    return sum(engine.engine.payload().numel() for engine in runtime.engine_modules(module).values())


def test_engines_take_other_weights(only_tensorrt: str, log: Log) -> None:
    compiled = compile_for(only_tensorrt, Mlp(), rows(), immutable_weights=False)
    compiled.check(batch(4))
    new = other_weights(compiled.eager)
    log.text()
    refitted = refit(compiled, new, batch(8))
    assert log.refitted()
    for count in (1, 8, 32):
        x = batch(count)
        compiled.check(x)  # the first module has its own weights
        with torch.no_grad():
            assert_same(refitted(x), new(x))
    newer = other_weights(compiled.eager)
    again = refit(Compiled(refitted, new), newer, batch(8))
    assert log.refitted()
    with torch.no_grad():
        x = batch(3)
        assert_same(again(x), newer(x))


def test_weights_that_are_folded(only_tensorrt: str, log: Log) -> None:
    x = torch.randn(2, 3, 6, 6, device="cuda")
    compiled = compile_for(only_tensorrt, Convolutions(), x, immutable_weights=False)
    compiled.check(x)
    new = other_weights(compiled.eager)
    log.text()
    refitted = refit(compiled, new, x, batch=None)
    assert log.refitted()
    with torch.no_grad():
        assert_same(refitted(x), new(x))


def test_identical_weights_only(only_tensorrt: str, log: Log) -> None:
    """Others mean a build, and right answers."""
    settings = {"immutable_weights": False, "refit_identical_engine_weights": True}
    compiled = compile_for(only_tensorrt, Mlp(), rows(), **settings)
    compiled.check(batch(4))
    new = other_weights(compiled.eager)
    log.text()
    refitted = refit(compiled, new, batch(8))
    assert "building engine" in log.text()
    with torch.no_grad():
        x = batch(5)
        assert_same(refitted(x), new(x))


@pytest.mark.parametrize("immutable", [True, False], ids=["identical", "any"])
def test_engines_without_weights(target: str, immutable: bool, log: Log) -> None:
    whole = compile_for(target, Wide(), rows())
    stripped = compile_for(target, Wide(), rows(), strip_engine_weights=True, immutable_weights=immutable)
    weights = sum(value.numel() * 4 for value in whole.eager.parameters())
    assert plan_bytes(stripped.module) < plan_bytes(whole.module) - weights * 9 // 10
    with pytest.raises((RuntimeError, ValueError), match="without its weights"):
        stripped.module(batch(4))
    model = stripped.eager if immutable else other_weights(stripped.eager)
    log.text()
    refitted = refit(stripped, model, batch(8))
    assert log.refitted()
    with torch.no_grad():
        for count in (1, 8, 32):
            x = batch(count)
            assert_same(refitted(x), model(x))
