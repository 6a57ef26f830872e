# SPDX-License-Identifier: Apache-2.0
"""Eight threads on one engine and on many, with changing shapes and modes; every answer is compared."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from py_models import Mlp, Split, assert_same

import torch_tensorrt
from torch_tensorrt import runtime

THREADS = 8
CALLS = 60


class Positive(torch.nn.Module):
    """An engine whose output's shape depends on data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(x * 2) + 0.25
        return x[x > 0.5] * 3


def _hammer(work: Callable[[random.Random], None]) -> None:
    failures: list[BaseException] = []

    def run(seed: int) -> None:
        dice = random.Random(seed)
        try:
            with torch.no_grad():
                for _ in range(CALLS):
                    if failures:
                        return
                    work(dice)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _some_mode(dice: random.Random, module: Any) -> contextlib.AbstractContextManager[Any]:
    managers: list[Callable[[], contextlib.AbstractContextManager[Any]]] = [
        contextlib.nullcontext,
        lambda: runtime.enable_pre_allocated_outputs(module),
        lambda: runtime.enable_output_allocator(module),
        torch.inference_mode,
    ]
    return dice.choice(managers)()


@pytest.fixture(scope="module")
def programs() -> list[tuple[torch.nn.Module, Any, int]]:
    """(eager, compiled, width): one engine, engines around PyTorch, a data-dependent engine, TorchScript."""
    torch.manual_seed(0)
    result: list[tuple[torch.nn.Module, Any, int]] = []
    for model, width in ((Mlp().eval(), 16), (Split().eval(), 12), (Positive(), 7)):
        batch = torch_tensorrt.Input(min_shape=(1, width), opt_shape=(4, width), max_shape=(16, width))
        module = torch_tensorrt.compile(model, inputs=[batch], min_block_size=1)
        result.append((model, module, width))
    model, module, width = result[0]
    result.append((model, torch.jit.trace(module, (torch.rand(2, width),)), width))
    return result


def test_one_engine(programs: list[tuple[torch.nn.Module, Any, int]]) -> None:
    model, module, width = programs[0]

    def work(dice: random.Random) -> None:
        x = torch.rand(dice.randint(1, 16), width)
        with _some_mode(dice, module):
            result = module(x)
        assert_same(result.clone(), model(x))

    _hammer(work)


def test_many_engines(programs: list[tuple[torch.nn.Module, Any, int]]) -> None:
    def work(dice: random.Random) -> None:
        model, module, width = dice.choice(programs)
        x = torch.rand(dice.randint(1, 16), width)
        with _some_mode(dice, module):
            result = module(x)
        assert_same(result.clone(), model(x))

    _hammer(work)


def test_errors_beside_answers(programs: list[tuple[torch.nn.Module, Any, int]]) -> None:
    model, module, width = programs[0]

    def work(dice: random.Random) -> None:
        if dice.random() < 0.3:
            with pytest.raises(ValueError, match="outside the range"):
                module(torch.rand(17, width))
        x = torch.rand(dice.randint(1, 16), width)
        assert_same(module(x), model(x))

    _hammer(work)


class Counts(torch.nn.Module):
    """An operator that raises IndexError for an index outside, in the middle of an engine of dynamic shapes."""

    def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        sums = torch.zeros(4, dtype=x.dtype).scatter_add(0, index, torch.tanh(x * 2))
        return torch.softmax(torch.cat([sums, x]), 0)


def test_failing_calls_among_good_ones() -> None:
    """A call that eager refuses too is refused, and no other call is wrong, in other threads and of other sizes."""
    model = Counts()
    size = torch.export.Dim("size", min=2, max=64)
    arguments = (torch.randn(8), torch.zeros(8, dtype=torch.long))
    program = torch.export.export(model, arguments, dynamic_shapes=({0: size}, {0: size}))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1, use_plugins=True)

    def work(dice: random.Random) -> None:
        count = dice.choice((8, 8, 17))
        x = torch.randn(count)
        index = torch.randint(0, 4, (count,))
        if dice.random() < 0.2:
            index[0] = 7
            with pytest.raises(RuntimeError):
                model(x, index)
            with pytest.raises((RuntimeError, IndexError)):
                module(x, index)
            return
        assert_same(module(x, index), model(x, index))

    _hammer(work)
