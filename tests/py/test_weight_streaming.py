# SPDX-License-Identifier: Apache-2.0
"""The user's weight streaming budget, over a backend whose engines add their budget to their input, and which refuses a
budget while an execution context exists."""

from __future__ import annotations

import itertools
import logging
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_backend import fake_engine, use_fake_backend
from test_modes import FakeRecorder

import torch_tensorrt
from torch_tensorrt import runtime
from torch_tensorrt.runtime._whole_graph import CudaGraphsTorchTensorRTModule

_NAMES = (f"streamed{number}" for number in itertools.count())
X = torch.zeros(2, 3)


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_backend(monkeypatch)


def make(*streamable: int, **properties: str) -> torch.nn.Sequential:
    """Engines in a row, with fresh names so that tests share none. A fourth of their weights is on the GPU at first."""
    return torch.nn.Sequential(
        *(fake_engine(next(_NAMES), streamable=str(size), **properties) for size in streamable)
    ).eval()


def added(module: Any) -> int:
    """The sum of the budgets that the engines of a call ran with."""
    (value,) = set(module(X).flatten().tolist())
    return int(value)


def test_budget_of_a_module() -> None:
    module = make(1000, 3000)
    with runtime.weight_streaming(module) as streaming:
        assert streaming.total_device_budget == 4000
        assert streaming.get_automatic_weight_streaming_budget() == 1000
        assert streaming.device_budget == 1000
        assert added(module) == 1000
        for budget in (0, 400, 401, 4000):
            streaming.device_budget = budget
            assert streaming.device_budget == budget
            assert added(module) == budget
        streaming.device_budget = 400
        assert [added(engine) for engine in module] == [100, 300], "in proportion"
    assert [added(engine) for engine in module] == [250, 750]


def test_former_budgets_come_back() -> None:
    module = make(1000)
    with runtime.weight_streaming(module) as outer:
        outer.device_budget = 900
        with suppress(KeyError), runtime.weight_streaming(module) as inner:
            inner.device_budget = 100
            assert added(module) == 100
            with inner:  # the same object again
                inner.device_budget = 200
            assert added(module) == 100
            raise KeyError
        assert added(module) == 900
    assert added(module) == 250


def test_wrong_budgets(capfd: pytest.CaptureFixture[str]) -> None:
    module = make(1000)
    with runtime.weight_streaming(module) as streaming:
        for value in (0.5, "1", None, True, torch.tensor(3)):
            with pytest.raises(TypeError, match="device_budget: expected a number of bytes, got"):
                streaming.device_budget = value  # type: ignore[assignment]
        with pytest.raises(RuntimeError, match="device_budget: expected a number of bytes from 0 on, got -1"):
            streaming.device_budget = -1
        assert streaming.device_budget == 250
        for value in (1001, 2**70):
            streaming.device_budget = value
            assert streaming.device_budget == 1000
            assert "is more than the 1000 bytes that can be streamed" in capfd.readouterr().err


def test_modules_without_streamable_weights(module: Any) -> None:
    with torch_tensorrt.logging.errors():
        for other in (module, fake_engine(next(_NAMES)), torch.nn.Linear(2, 2), torch.nn.Sequential()):
            with pytest.raises(RuntimeError, match=f"{type(other).__name__} has no weights that can be streamed"):
                runtime.weight_streaming(other)


def test_every_kind_of_module(tmp_path: Path) -> None:
    module = make(1000, 3000)
    traced = torch.jit.trace(module, (X,))
    torch.jit.save(traced, str(tmp_path / "m.ts"))
    program = torch.export.export(module, (X,))
    torch.export.save(program, str(tmp_path / "m.pt2"))
    kinds = {
        "traced": traced,
        "TorchScript": torch_tensorrt.load(str(tmp_path / "m.ts")),
        "exported": program.module(),
        "loaded program": torch.export.load(str(tmp_path / "m.pt2")).module(),
        "inside another module": torch.nn.Sequential(torch.nn.Identity(), module),
    }
    for kind, held in kinds.items():
        with runtime.weight_streaming(held) as streaming:
            streaming.device_budget = 800
            assert added(held) == 800, kind
        assert added(held) == 1000, kind
    with runtime.weight_streaming(program) as streaming:
        streaming.device_budget = 4
        assert added(module) == 4, "copies of an engine are one engine"


def test_a_refused_budget_changes_nothing() -> None:
    module = make(1000, 3000, refused="2400")
    with runtime.weight_streaming(module) as streaming:
        with pytest.raises(RuntimeError, match="the fake engine refuses 2400 bytes"):
            streaming.device_budget = 3200
        assert streaming.device_budget == 1000
        assert [added(engine) for engine in module] == [250, 750]


def test_a_former_budget_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    module = make(1000, refused="250")
    with pytest.raises(RuntimeError, match="refuses 250 bytes"), runtime.weight_streaming(module) as streaming:
        streaming.device_budget = 100
    assert added(module) == 100
    module = make(1000, refused="250")
    streaming = runtime.weight_streaming(module)

    def fail_within_a_block() -> None:
        with streaming:
            streaming.device_budget = 100
            raise KeyError

    with caplog.at_level(logging.ERROR), pytest.raises(KeyError):
        fail_within_a_block()
    assert "the former weight streaming budget is not back" in caplog.text


def test_whole_graphs_are_recorded_anew() -> None:
    module, other = make(1000), make(1000)
    recorders = FakeRecorder(), FakeRecorder()
    whole, unrelated = (CudaGraphsTorchTensorRTModule(m, r) for m, r in zip((module, other), recorders, strict=True))
    for _ in range(2):
        assert added(whole) == added(unrelated) == 250
    with runtime.weight_streaming(module) as streaming:  # which does not hold the recordings
        streaming.device_budget = 600
        for _ in range(2):
            assert added(whole) == 600
            assert added(unrelated) == 250
    assert added(whole) == 250
    assert recorders[0].recorded == 3
    assert recorders[1].recorded == 1


def test_threads_call_while_the_budget_changes() -> None:
    module = make(1000, 1000)
    whole = CudaGraphsTorchTensorRTModule(module, FakeRecorder())
    seen: set[int] = set()
    failures: list[BaseException] = []
    stop = threading.Event()

    def call(of: Any) -> None:
        try:
            while not stop.is_set():
                seen.add(added(of))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call, args=(of,)) for of in (module, module, whole)]
    for thread in threads:
        thread.start()
    with runtime.weight_streaming(module) as streaming:
        for _ in range(40):
            for budget in (0, 2000):
                streaming.device_budget = budget
                seen.add(added(module))
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures
    assert {0, 2000} <= seen
    # Two engines of a call may run with different budgets, but each runs with one that was set.
    assert seen <= {a + b for a in (0, 250, 1000) for b in (0, 250, 1000)}
