# SPDX-License-Identifier: Apache-2.0
"""A compiled module under every kind of caller, and models with unusual signatures."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from py_models import Mlp, Split, assert_same
from torch import nn

import torch_tensorrt
from torch_tensorrt.runtime import EngineModule


def compiled(model: nn.Module, *inputs: Any) -> Any:
    return torch_tensorrt.compile(model, arg_inputs=list(inputs), min_block_size=1)


@pytest.fixture(scope="module")
def mlp() -> tuple[nn.Module, Any]:
    model = Mlp().eval()
    return model, compiled(model, torch.rand(4, 16))


def test_inference_mode(mlp: tuple[nn.Module, Any]) -> None:
    model, module = mlp
    with torch.inference_mode():
        x = torch.rand(4, 16)
        assert module(x).is_inference()
        assert_same(module(x), model(x))
    with torch.no_grad():
        assert_same(module(x), model(x))


def test_inputs_that_require_gradients(mlp: tuple[nn.Module, Any]) -> None:
    model, module = mlp
    x = torch.rand(4, 16, requires_grad=True)
    assert_same(module(x).detach(), model(x).detach())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_duplicates(mlp: tuple[nn.Module, Any], duplicate: Callable[[Any], Any]) -> None:
    _, module = mlp
    x = torch.rand(4, 16)
    assert_same(duplicate(module)(x), module(x))


def test_threads(mlp: tuple[nn.Module, Any]) -> None:
    model, module = mlp
    inputs = [torch.rand(4, 16) for _ in range(12)]
    results: list[Any] = [None] * len(inputs)

    def work(first: int) -> None:
        for index in range(first, len(inputs), 4):
            for _ in range(20):
                results[index] = module(inputs[index])

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with torch.no_grad():
        for x, result in zip(inputs, results, strict=True):
            assert_same(result, model(x))


def test_blocks_hand_tensors_on_without_copies() -> None:
    model = Split().eval()
    module = compiled(model, torch.rand(4, 12))
    seen: list[tuple[list[int], list[int]]] = []

    def addresses(values: Any) -> list[int]:
        values = values if isinstance(values, (tuple, list)) else (values,)
        return [value.data_ptr() for value in values if isinstance(value, torch.Tensor)]

    for child in module.children():
        child.register_forward_hook(lambda _, args, result: seen.append((addresses(args), addresses(result))))
    x = torch.rand(4, 12)
    result = module(x)
    (first_in, first), (middle_in, middle), (last_in, last) = seen
    assert first_in == [x.data_ptr()]
    assert middle_in == first
    assert last_in == middle
    assert last == [result.data_ptr()]


def test_an_engine_allocates_its_results_and_nothing_else(mlp: tuple[nn.Module, Any]) -> None:
    _, module = mlp
    x = torch.rand(4, 16)
    module(x)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = module(x)
    allocated = [e.nbytes() for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    grown = [size for size in allocated if size > 0]
    assert grown == [result.numel() * result.element_size()]


class Written(nn.Module):
    """Returns the input and the buffer that it has written."""

    total: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(4, 6))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x.mul_(2)
        self.total.add_(x)
        return self.total * 2, x, self.total


def test_what_a_model_writes_can_be_its_result() -> None:
    model, reference = Written().eval(), Written().eval()
    module = compiled(model, torch.rand(4, 6))
    x = torch.rand(4, 6)
    y = x.clone()
    for _ in range(2):
        actual, expected = module(x), reference(y)
        assert_same(actual, expected)
        assert actual[1].data_ptr() == x.data_ptr()
        assert_same(x, y)
        assert_same(model.total, reference.total)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))  # type: ignore[no-any-return]


class Odd(nn.Module):
    """An input that is not used; results that are nested, missing, or numbers."""

    def forward(self, x: torch.Tensor, unused: torch.Tensor) -> dict[str, Any]:
        y = torch.relu(x) + 1
        return {"y": y, "none": None, "nested": ([torch.exp(x), y], 3, 2.5, True), "twice": y}


class Scalars(nn.Module):
    def forward(self, x: torch.Tensor, count: int, factor: float, flag: bool) -> Any:
        return torch.relu(x) * factor + count if flag else x, count, factor, flag


class Parts(nn.Module):
    """Results that are views of an input or of each other."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = torch.relu(x)
        return y[1:], y.t(), x[0], x.detach()


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Shared(), (torch.rand(4, 6),)),
        (Odd(), (torch.rand(4, 6), torch.rand(2))),
        (Scalars(), (torch.rand(4, 6), 2, 1.5, True)),
        (Parts(), (torch.rand(4, 6),)),
    ],
    ids=["shared parameters", "odd results", "scalars", "views"],
)
def test_signatures(model: nn.Module, inputs: tuple[Any, ...]) -> None:
    module = compiled(model.eval(), *inputs)
    inputs = tuple(torch.rand_like(x) if isinstance(x, torch.Tensor) else x for x in inputs)
    with torch.no_grad():
        assert_same(module(*inputs), model(*inputs))


def test_views_share_memory() -> None:
    module = compiled(Parts().eval(), torch.rand(4, 6))
    x = torch.rand(4, 6)
    rows, transposed, first, same = module(x)
    assert rows.data_ptr() == transposed.data_ptr() + 6 * rows.element_size()
    assert first.data_ptr() == same.data_ptr() == x.data_ptr()


def test_training_mode_is_kept_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """Batch statistics of a module in training mode: computed and stored as in eager."""
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU()).train()
    reference = copy.deepcopy(model)
    with caplog.at_level("WARNING", logger="torch_tensorrt"):
        module = compiled(model, torch.rand(4, 6))
    assert "call module.eval()" in caplog.text
    x = torch.rand(4, 6)
    assert_same(module(x), reference(x).detach())
    assert_same(dict(model.named_buffers()), dict(reference.named_buffers()))


def test_min_block_size_is_five_unless_given() -> None:
    def chain(length: int) -> nn.Module:
        return nn.Sequential(*[nn.ReLU() if index % 2 else nn.Tanh() for index in range(length)]).eval()

    for length, engines in ((4, 0), (5, 1)):
        module = torch_tensorrt.compile(chain(length), inputs=[torch.rand(3)])
        assert sum(isinstance(child, EngineModule) for child in module.modules()) == engines


def test_calls_without_the_modules_around_the_engine_do_what_theirs_would(mlp: tuple[nn.Module, Any]) -> None:
    model, compiled = mlp[0], copy.deepcopy(mlp[1])
    x = torch.rand(4, 16)
    with torch.no_grad():
        expected = model(x)
        assert_same(compiled(x=x), expected)
        seen: list[str] = []
        engine = compiled._run_on_acc_0
        handles = [
            compiled.register_forward_hook(lambda *_: seen.append("program")),
            engine.register_forward_pre_hook(lambda *_: seen.append("engine")),
            nn.modules.module.register_module_forward_hook(lambda *_: seen.append("any")),
        ]
        assert_same(compiled(x), expected)
        assert seen == ["engine", "any", "any", "program"]
        for handle in handles:
            handle.remove()
        seen.clear()
        assert_same(compiled(x), expected)
        assert seen == []
        with pytest.raises(TypeError, match="argument"):
            compiled(x, x)
        original, compiled.forward = compiled.forward, lambda x: "mine"
        assert compiled(x) == "mine"
        compiled.forward = original
        compiled._run_on_acc_0 = nn.Identity()
        assert compiled(x) is x


def test_results_in_another_order_than_the_engines() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            first = torch.relu(x) + 1
            second = torch.relu(y) * 2
            return second, first, second + first

    model, inputs = Two().eval(), (torch.randn(3, 4), torch.randn(3, 4))
    compiled: Any = torch_tensorrt.compile(model, arg_inputs=list(inputs), min_block_size=1)
    assert_same(compiled(*inputs), model(*inputs))
    assert_same(compiled(y=inputs[1], x=inputs[0]), model(*inputs))
