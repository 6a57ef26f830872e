# SPDX-License-Identifier: Apache-2.0
"""State that a model writes: only calls move it on, never what is done with the module, and a file holds it as it was
when the file was written."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import callable_of
from py_models import assert_same
from torch import nn
from torch.nn import functional as F

import torch_tensorrt

FORMATS = {"exported_program": "m.ep.pt2", "torchscript": "m.ts", "aot_inductor": "m.pt2"}
ROWS, WIDTH = 3, 8


class Counter(nn.Module):
    """Counts its calls, in place and by assignment."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("n", torch.tensor(0))
        self.register_buffer("m", torch.zeros(1), persistent=False)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.n += 1
        self.m.add_(0.5)
        self.calls += 1
        return torch.relu(x) * self.n + self.m


class RunningStatistics(nn.Module):
    """A batch norm that still learns."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def train(self, mode: bool = True) -> RunningStatistics:
        super().train(mode)
        self.norm.train()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(x)) + 1


class RingBuffer(nn.Module):
    """The last four means of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ring", torch.zeros(4, WIDTH))
        self.register_buffer("at", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.ring.index_copy_(0, self.at, x.mean(0, keepdim=True))
        self.at.copy_((self.at + 1) % 4)
        return torch.relu(x) + self.ring.sum(0)


class Cache(nn.Module):
    """Keys and values of earlier steps, as a decoder keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.register_buffer("keys", torch.zeros(6, WIDTH))
        self.register_buffer("values", torch.zeros(6, WIDTH))
        self.register_buffer("position", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        self.keys.index_copy_(0, self.position, k[:1])
        self.values.index_copy_(0, self.position, v[:1])
        seen = torch.arange(6) <= self.position
        scores = (q @ self.keys.t()).masked_fill(~seen, float("-inf"))
        self.position += 1
        return torch.softmax(scores, -1) @ self.values


class Selected(nn.Module):
    """Writes where its input is positive, and reads before and after it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("h", torch.full((ROWS, WIDTH), 0.25))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        before = self.h * 2
        self.h.copy_(torch.where(x > 0, x, self.h))
        after = torch.tanh(self.h) + 1
        self.h[0] = 1
        return before, after


class Replaced(nn.Module):
    """Overwrites with what is the same in every call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("start", torch.arange(WIDTH).float())
        self.register_buffer("now", torch.full((WIDTH,), 3.0))
        self.register_buffer("seen", torch.zeros(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(x) + self.now * (self.seen[0] + 1)
        self.now.copy_(self.start)
        self.seen.fill_(1)
        return y


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([kind() for kind in KINDS.values()])

    def forward(self, x: torch.Tensor) -> list[Any]:
        return [part(x) for part in self.parts]


KINDS: dict[str, Callable[[], nn.Module]] = {
    "counter": Counter,
    "running statistics": RunningStatistics,
    "ring buffer": RingBuffer,
    "cache": Cache,
    "where": Selected,
    "replaced": Replaced,
}
# A package takes half a minute: all kinds in one.
CASES = [(kind, form) for kind in KINDS for form in ("exported_program", "torchscript")]
CASES += [("everything", "aot_inductor")]


def example(seed: int) -> torch.Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(seed))


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in (*module.named_parameters(), *module.named_buffers())}


def made(kind: str) -> nn.Module:
    return (Everything() if kind == "everything" else KINDS[kind]()).eval()


def loaded(path: Path) -> Callable[..., Any]:
    return callable_of(torch_tensorrt.load(path))  # type: ignore[no-any-return]


def follows(run: Callable[..., Any], model: nn.Module, seeds: range) -> None:
    with torch.no_grad():
        for seed in seeds:
            actual, expected = run(example(seed)), model(example(seed))
            assert_same(actual, expected)


@pytest.mark.parametrize("compiled", [True, False], ids=["engines", "uncompiled"])
@pytest.mark.parametrize(("kind", "output_format"), CASES)
def test_saving_moves_nothing_on(kind: str, output_format: str, compiled: bool, tmp_path: Path) -> None:
    model, x = made(kind), example(0)
    reference, before, random = copy.deepcopy(model), state_of(model), torch.get_rng_state()
    module = torch_tensorrt.compile(model, arg_inputs=[x], min_block_size=1 if compiled else 1000)
    assert bool(torch_tensorrt.runtime.engine_modules(module)) == compiled

    def nothing_moved() -> None:
        assert_same(state_of(model), before)
        assert_same(x, example(0))
        assert torch.equal(torch.get_rng_state(), random)
        assert getattr(model, "calls", 0) == 0

    nothing_moved()
    held = state_of(module)
    files = [tmp_path / name / FORMATS[output_format] for name in ("first", "second", "later")]
    for path in files:
        path.parent.mkdir()
    for path in files[:2]:
        torch_tensorrt.save(module, path, output_format=output_format, arg_inputs=[x])
        nothing_moved()
        assert_same(state_of(module), held)
    for path in files[:2]:
        follows(loaded(path), copy.deepcopy(reference), range(3))
    follows(module, reference, range(2))
    torch_tensorrt.save(module, files[2], output_format=output_format)
    follows(loaded(files[2]), copy.deepcopy(reference), range(2, 4))
    follows(module, reference, range(2, 4))


def profiled(module: Any) -> None:
    with torch_tensorrt.runtime.profile(module):
        pass


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "export": lambda module: torch.export.export(module, (example(0),)),
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "profile": profiled,
    "inspect": torch_tensorrt.runtime.inspect,
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_other_operations_move_nothing_on(kind: str, operation: str) -> None:
    model = made(kind)
    reference, before, random = copy.deepcopy(model), state_of(model), torch.get_rng_state()
    module = torch_tensorrt.compile(model, arg_inputs=[example(0)], min_block_size=1)
    held = state_of(module)
    result = OPERATIONS[operation](module)
    assert_same(state_of(model), before)
    assert_same(state_of(module), held)
    assert torch.equal(torch.get_rng_state(), random)
    if isinstance(result, torch.export.ExportedProgram):
        result = copy.deepcopy(result).module()
    if callable(result):
        follows(result, copy.deepcopy(reference), range(2))
    follows(module, reference, range(2))


def test_capture_draws_no_random_numbers() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
    random = torch.get_rng_state()
    batch = torch_tensorrt.Input(min_shape=(1, 4), opt_shape=(2, 4), max_shape=(3, 4))
    torch_tensorrt.compile(model, arg_inputs=[batch], min_block_size=1)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_trace_by_hand_is_a_call() -> None:
    """torch.jit.trace runs what it traces, as it does with any module."""
    model = Counter().eval()
    module = torch_tensorrt.compile(model, arg_inputs=[example(0)], min_block_size=1)
    torch.jit.trace(module, (example(0),), check_trace=False)
    assert model.n.item() == 1


class Held(nn.Module):
    """Tensors that torch.export takes for constants, of which one is a buffer's memory: all are written."""

    n: torch.Tensor

    def __init__(self, view: Callable[[torch.Tensor], torch.Tensor], registered: bool) -> None:
        super().__init__()
        self.register_buffer("n", torch.rand(ROWS, WIDTH, generator=torch.Generator().manual_seed(5)))
        if registered:
            self.register_buffer("second", view(self.n))
        self.held = [view(self.n)]
        self.counts = {"calls": torch.zeros(1)}

    def forward(self, x: torch.Tensor) -> Any:
        y = torch.relu(x) * 2
        self.held[0].add_(1)
        z = self.n + y
        self.n.mul_(2)
        self.counts["calls"] += 1
        return z, self.held[0] + 1, self.n * y, self.counts["calls"] * 2

    def state(self) -> list[torch.Tensor]:
        return [self.n, self.counts["calls"]]


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "itself": lambda n: n,
    "rows": lambda n: n[1:3],
    "a column": lambda n: n[:, 1],
    "transposed": lambda n: n.t(),
    "flat": lambda n: n.view(-1),
}


@pytest.mark.parametrize("compiled", [True, False], ids=["engines", "uncompiled"])
@pytest.mark.parametrize("registered", [True, False], ids=["buffers", "a list"])
@pytest.mark.parametrize("view", VIEWS)
def test_written_tensors_that_are_no_buffers(view: str, registered: bool, compiled: bool, tmp_path: Path) -> None:
    model, eager = (Held(VIEWS[view], registered).eval() for _ in range(2))
    module = torch_tensorrt.compile(model, inputs=[example(0)], min_block_size=1 if compiled else 100)
    forms = {}
    for output_format in ("exported_program", "torchscript"):
        path = tmp_path / FORMATS[output_format]
        torch_tensorrt.save(module, path, output_format=output_format)
        forms[output_format] = loaded(path)
    assert_same(model.state(), eager.state())
    for run in (*forms.values(), module):
        eager = Held(VIEWS[view], registered)
        follows(run, eager, range(3))
    if compiled:
        assert_same(model.state(), eager.state())


class Norm(nn.Module):
    """Reads running statistics before and after a norm writes them."""

    def __init__(self, norm: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.norm = norm
        self.register_buffer("mean", torch.tensor([-0.5, 2.0]))
        self.register_buffer("variance", torch.tensor([0.5, 1.5]))

    def forward(self, x: torch.Tensor) -> Any:
        before = self.mean * 3
        y = self.norm(F.instance_norm(x) * 2, self.mean, self.variance)
        return before, y + 1, 10.0 - self.mean, self.variance * self.mean


NORMS: dict[str, Callable[..., torch.Tensor]] = {
    "batch_norm": lambda x, mean, variance: F.batch_norm(x, mean, variance, training=True),
    "instance_norm": lambda x, mean, variance: F.instance_norm(x, mean, variance, use_input_stats=True),
}


@pytest.mark.parametrize("least", [None, 0, 1, 2])
@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("name", NORMS)
def test_statistics_that_a_norm_writes(name: str, axis: int, least: int | None) -> None:
    """Their schemas do not say that they write, and they raise at some of the sizes."""
    model, eager = Norm(NORMS[name]).eval(), Norm(NORMS[name]).eval()
    size = None if least is None else torch.export.Dim("size", min=least, max=8)
    x = torch.rand(4, 2, 5, generator=torch.Generator().manual_seed(1))
    program = torch.export.export(model, (x,), dynamic_shapes=({axis: size},), strict=False)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for length in (4, 3, 4) if size else (x.shape[axis],) * 3:
        part = x[:length] if axis == 0 else x[..., :length]
        assert_same(module(part), eager(part))


class CopiedStatistics(nn.Module):
    """Statistics that a norm writes, which another buffer, or the caller, gets too."""

    def __init__(self, norm: Callable[..., torch.Tensor], use: Callable[[Any], Any]) -> None:
        super().__init__()
        self.norm, self.use = norm, use
        for name in ("mean", "variance", "kept"):
            self.register_buffer(name, torch.tensor([-0.5, 2.0]))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        y = self.norm(x, self.mean, self.variance)
        return y * 2, self.use(self)


USES: dict[str, Callable[[Any], Any]] = {
    "copied": lambda model: model.kept.copy_(model.mean).dim(),
    "copied and written": lambda model: model.kept.copy_(model.mean).add_(1) * 1,
    "copied twice": lambda model: model.kept.copy_(model.mean) * model.variance.copy_(model.kept),
    "returned": lambda model: model.mean,
    "a view of it": lambda model: model.mean.view(2, 1),
    "copied and returned": lambda model: (model.kept.copy_(model.variance), model.variance),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", NORMS)
def test_what_becomes_of_statistics_that_a_norm_writes(name: str, use: str) -> None:
    model, eager = CopiedStatistics(NORMS[name], USES[use]).eval(), CopiedStatistics(NORMS[name], USES[use]).eval()
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(4, 2, 5, generator=generator)
    program = torch.export.export(model, (x,), strict=False)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for _ in range(3):
        x = torch.rand(4, 2, 5, generator=generator)
        assert_same(module(x), eager(x))
    state = dict(module.named_buffers())
    for buffer, expected in eager.named_buffers():
        torch.testing.assert_close(state.get(buffer, expected), expected)
