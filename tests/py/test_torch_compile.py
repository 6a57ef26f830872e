# SPDX-License-Identifier: Apache-2.0
"""torch.compile(model, backend="torch_tensorrt")."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from py_models import Counter, Mlp, Split, assert_same
from torch import nn
from torch.nn import functional as F

import torch_tensorrt
from torch_tensorrt import runtime
from torch_tensorrt._engine import engines_of

OPTIONS = {"min_block_size": 1}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["torch_tensorrt", "tensorrt"])
def test_static_and_then_dynamic(backend: str) -> None:
    model = Split().eval()
    fast = torch.compile(model, backend=backend, options=OPTIONS)
    with torch.no_grad():
        for batch in (4, 4, 5, 6, 3):
            x = torch.rand(batch, 12)
            assert_same(fast(x), model(x))


def test_through_compile() -> None:
    model = Mlp().eval()
    fast = torch_tensorrt.compile(model, ir="torch_compile", min_block_size=1)
    x = torch.rand(4, 16)
    assert_same(fast(x), model(x).detach())


def test_changed_weights_are_noticed() -> None:
    model = Mlp().eval()
    fast = torch.compile(model, backend="torch_tensorrt", options=OPTIONS)
    x = torch.rand(4, 16)
    with torch.no_grad():
        assert_same(fast(x), model(x))
        model.second.weight.mul_(3)
        assert_same(fast(x), model(x))
        model.first = torch.nn.Linear(16, 32)
        assert_same(fast(x), model(x))


def counted(_: Any, model: torch.nn.Module) -> None:
    """PyTorch counts no writes through ``.data`` and numpy; this makes it count one."""
    torch.autograd.graph.increment_version(model.parameters())


def in_numpy(tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    return tensor.detach().numpy()


CHANGES: dict[str, Callable[[torch.nn.Module], Any]] = {
    "written": lambda model: model.second.weight.mul_(3),
    "copied": lambda model: model.second.weight.copy_(torch.rand_like(model.second.weight)),
    "other memory": lambda model: setattr(model.second.weight, "data", torch.rand_like(model.second.weight)),
    "other memory of a bias": lambda model: setattr(model.first.bias, "data", model.first.bias + 1),
    "one element through .data, counted": lambda model: counted(model.second.weight.data[1, 2].add_(1), model),
    "one element by numpy, counted": lambda model: counted(np.add.at(in_numpy(model.first.bias), 3, 1), model),
    "transposed in place": lambda model: setattr(model.square.weight, "data", model.square.weight.data.t()),
    # PyTorch counts none of these.
    "added through .data": lambda model: model.second.weight.data.add_(1),
    "copied through .data": lambda model: model.second.weight.data.copy_(torch.rand_like(model.second.weight)),
    "copied to a bias through .data": lambda model: model.first.bias.data.copy_(torch.rand(32)),
    "a part through .data": lambda model: model.second.weight.data[:2].add_(1),
    "added by numpy": lambda model: np.add(w := in_numpy(model.first.bias), 1, out=w),
    "a statistic by numpy": lambda model: np.add(w := in_numpy(model.statistics.running_mean), 1, out=w),
    "half precision through .data": lambda model: model.of_half.data.mul_(2),
    "doubles through .data": lambda model: model.of_double.data.mul_(2),
    "a flag through .data": lambda model: model.flag.data.logical_not_(),
    "a strided weight through .data": lambda model: model.strided.data.mul_(2),
    "one number through .data": lambda model: model.number.data.mul_(2),
    "another layer": lambda model: setattr(model, "first", torch.nn.Linear(16, 32)),
    "another parameter": lambda model: setattr(model.first, "bias", torch.nn.Parameter(torch.rand(32))),
    "loaded": lambda model: model.load_state_dict(Weights().state_dict()),
    "assigned": lambda model: model.load_state_dict(Weights().state_dict(), assign=True),
}


class Weights(Mlp):
    """Weights of several dtypes and layouts beside those of the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.square = torch.nn.Linear(16, 16)
        self.statistics = torch.nn.BatchNorm1d(16)
        self.of_half = torch.nn.Parameter(torch.rand(16).half())
        self.of_double = torch.nn.Parameter(torch.rand(16).double())
        self.register_buffer("flag", torch.tensor([True] * 8 + [False] * 8))
        self.register_buffer("strided", torch.rand(16, 4).t())
        self.register_buffer("number", torch.tensor(1.5))
        self.register_buffer("empty", torch.rand(0, 16))

    def forward(self, x: torch.Tensor) -> Any:
        y = torch.where(self.flag, self.statistics(self.square(x)), x) * self.of_half.float() + self.of_double.float()
        return super().forward(y + self.strided * self.number), torch.cat([y, self.empty])


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_weights_is_noticed(change: str) -> None:
    model, x = Weights().eval(), torch.rand(4, 16)
    fast = torch.compile(model, backend="torch_tensorrt", options=OPTIONS)
    with torch.no_grad():
        for _ in range(3):
            assert_same(fast(x), model(x))
            CHANGES[change](model)
        assert_same(fast(x), model(x))


def test_two_instances_do_not_share_weights() -> None:
    first, second = Mlp().eval(), Mlp().eval()
    x = torch.rand(4, 16)
    with torch.no_grad():
        for model in (first, second, first):
            assert_same(torch.compile(model, backend="torch_tensorrt", options=OPTIONS)(x), model(x))


def test_buffers_that_the_model_writes() -> None:
    model, reference = Counter().eval(), Counter().eval()
    reference.load_state_dict(model.state_dict())
    fast = torch.compile(model, backend="torch_tensorrt", options=OPTIONS)
    with torch.no_grad():
        for _ in range(3):
            x = torch.rand(2, 8)
            assert_same(fast(x), reference(x))
    assert_same(model.calls, reference.calls)


def test_gradients_stay_in_pytorch(caplog: pytest.LogCaptureFixture) -> None:
    model = Mlp().eval()
    fast = torch.compile(model, backend="torch_tensorrt", options=OPTIONS)
    x = torch.rand(4, 16, requires_grad=True)
    with caplog.at_level(logging.WARNING, logger="torch_tensorrt"):
        fast(x).sum().backward()
    assert "requires a gradient" in caplog.text
    assert x.grad is not None


def test_unknown_options() -> None:
    fast = torch.compile(Mlp().eval(), backend="torch_tensorrt", options={"min_blok_size": 1})
    with pytest.raises(Exception, match="did you mean 'min_block_size'"):
        fast(torch.rand(4, 16))


@pytest.mark.parametrize("dynamic", [None, True])
def test_numbers_as_arguments(dynamic: bool | None) -> None:
    """Also 0, 1, negative ones, and ones beyond a tensor's size."""

    def function(x: torch.Tensor, n: int, factor: float) -> tuple[torch.Tensor, torch.Tensor]:
        return x * n + factor, x[:n]

    fast = torch.compile(function, backend="torch_tensorrt", options=OPTIONS, dynamic=dynamic)
    for n in (2, 3, 0, 1, 5, 6, -1, 4):
        x = torch.randn(5, 2)
        assert_same(fast(x, n, 0.5), function(x, n, 0.5))


class UNet(nn.Module):
    """Three levels, for sizes that no level halves evenly."""

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        widths = ((3, 4), (4, 8), (8, 8)), ((16, 4), (8, 4))
        self.down, self.up = (
            nn.ModuleList(nn.Sequential(nn.Conv2d(i, o, 3, padding=1), norm(o), nn.SiLU()) for i, o in part)
            for part in widths
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        passed: list[torch.Tensor] = []
        for level in self.down:
            x = level(F.avg_pool2d(x, 2) if passed else x)
            passed.append(x)
        passed.pop()
        for level in self.up:
            beside = passed.pop()
            x = level(torch.cat([F.interpolate(x, size=beside.shape[-2:]), beside], 1))
        return x


@pytest.mark.parametrize("dynamic", [True, None])
@pytest.mark.parametrize(
    "norm", [lambda n: nn.GroupNorm(2, n), nn.BatchNorm2d, nn.InstanceNorm2d], ids=["group", "batch", "instance"]
)
def test_images_of_any_size(norm: Callable[[int], nn.Module], dynamic: bool | None) -> None:
    model = UNet(norm).eval()
    fast = torch.compile(model, backend="torch_tensorrt", options=OPTIONS, dynamic=dynamic)
    with torch.no_grad():
        for size in ((1, 3, 33, 45), (1, 3, 37, 51), (2, 3, 64, 40), (1, 3, 9, 8)):
            x = torch.randn(*size)
            assert_same(fast(x), model(x))
            assert engines_of(fast)


class Scaled(nn.Module):
    """A number of the module, one of the caller, and one of the caller that an operator takes as a constant only."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.factor = 2.0

    def forward(self, x: torch.Tensor, shift: float, eps: float) -> torch.Tensor:
        return F.layer_norm(self.norm(x) * self.factor + shift, (4,), eps=eps)


@pytest.mark.parametrize("dynamic", [True, None])
def test_numbers_of_modules_and_of_callers(dynamic: bool | None) -> None:
    model = Scaled().eval()
    fast = torch.compile(model, backend="torch_tensorrt", options=OPTIONS, dynamic=dynamic)
    with torch.no_grad():
        for shift, eps in ((0.5, 1e-5), (1.5, 1e-5), (1.5, 0.1), (-2.0, 0.0)):
            x = torch.randn(3, 4)
            assert_same(fast(x, shift, eps), model(x, shift, eps))
            assert engines_of(fast)
            model.factor += 1
            model.norm.eps *= 100
            assert_same(fast(x, shift, eps), model(x, shift, eps))


@pytest.mark.parametrize("dynamic", [None])
def test_what_the_export_assumes_is_checked_before_each_call(dynamic: bool | None) -> None:
    """Sizes of 0 and 1, and sizes that agree in the first call only."""

    def function(x: torch.Tensor, y: torch.Tensor, rows: int) -> tuple[torch.Tensor, ...]:
        return torch.relu(x).sum(0), (x * 2)[-2:].squeeze(), y.view(rows, -1) + 1

    fast = torch.compile(function, backend="torch_tensorrt", options=OPTIONS, dynamic=dynamic)
    for size, rows in ((4, 4), (3, 3), (0, 5), (1, 1), (5, 2), (6, 6)):
        x, y = torch.randn(size, 2), torch.randn(rows, 4)
        assert_same(fast(x, y, rows), function(x, y, rows))


class Broken(nn.Module):
    """Two graphs, with Python between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(x))
        torch._dynamo.graph_break()
        return torch.relu(self.second(y)) + 1


def _returned(model: nn.Module, **options: Any) -> Any:
    return torch.compile(model, **options)


def _in_place(model: nn.Module, **options: Any) -> Any:
    model.compile(**options)
    return model


def _within(model: nn.Module, **options: Any) -> Any:
    return nn.Sequential(nn.Tanh(), torch.compile(model, **options)).eval()


WAYS = {"returned": _returned, "in place": _in_place, "within": _within}
MODES = {
    "cudagraphs": (runtime.enable_cudagraphs, 0),
    "allocator": (runtime.enable_output_allocator, 1),
    "pre-allocated": (runtime.enable_pre_allocated_outputs, 2),
}


@pytest.mark.parametrize("way", WAYS)
def test_managers_know_engines_that_come_into_being_in_the_block(way: str) -> None:
    model, other = Broken().eval(), Broken().eval()
    reference = copy.deepcopy(model)
    options: dict[str, Any] = {"backend": "torch_tensorrt", "options": {"min_block_size": 1}, "dynamic": False}
    module, bystander = WAYS[way](model, **options), torch.compile(other, **options)
    right = nn.Sequential(nn.Tanh(), reference) if way == "within" else reference

    def check(rows: int) -> None:
        x = torch.rand(rows, 4)
        assert_same(module(x), right(x))

    with torch.no_grad():
        for count, (manager, mode) in enumerate(MODES.values(), start=1):
            with manager(module) as inner:
                assert inner is module
                check(count)  # compiles for this size
                bystander(torch.rand(count, 4))
                engines = engines_of(module)
                assert len(engines) == 2 * count
                assert all(engine.mode_is_on(mode) for engine in engines)
                assert not any(engine.mode_is_on(mode) for engine in engines_of(bystander))
            assert not any(engine.mode_is_on(mode) for engine in engines)
        with runtime.profile(module) as profile, runtime.runtime_config(module, cuda_graph_strategy="disabled"):
            check(1)
            check(9)
        assert sum(bool(layers) for layers in profile.engines.values()) == 4  # two before the block, two in it
        assert len(runtime.inspect(module)) == 8
        check(10)
    with pytest.raises(ValueError, match="no engine found"):
        runtime.enable_cudagraphs(torch.compile(nn.Linear(2, 2)).eval()._orig_mod)
