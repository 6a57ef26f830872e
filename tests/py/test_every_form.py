# SPDX-License-Identifier: Apache-2.0
"""Programs that once were wrong in one form or another, in each way to run: module, exported program, TorchScript,
AOTInductor package. The other tests of their kinds go through more inputs, mostly as modules."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F
from torch.utils import _pytree as pytree

import torch_tensorrt


class Applied(nn.Module):
    """A function of a module's own tensors and layers, and of inputs."""

    def __init__(self, function: Callable[..., Any], **own: Tensor | nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, value in own.items():
            if isinstance(value, nn.Module):
                self.add_module(name, value)
            else:
                self.register_buffer(name, value)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self, *inputs)


@dataclass
class Case:
    model: nn.Module
    calls: Sequence[tuple[Tensor, ...]]
    """Inputs of several calls; the first are the example."""
    dims: Sequence[Any] | None = None
    """Dynamic dimensions of each input."""
    half: torch.dtype | None = None
    """The dtype in which eager computes, and engines in more bits: they must be as near to the exact numbers."""
    bits: bool = False
    """Whether each bit must be eager's."""


def layer(function: Callable[..., Any], **own: Tensor | nn.Module) -> Applied:
    return Applied(function, **own).eval()


def rows(low: int) -> dict[int, Any]:
    return {0: Dim("rows", min=low, max=8)}


_R = torch.Generator().manual_seed(11)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=_R)


def square(n: int) -> Tensor:
    return randn(n, n) / n**0.5


ENDS = torch.tensor([2**31 - 1, -(2**31), 13, 2**24 + 3, -(2**24) - 1, -100])
NORMS = {"group": nn.GroupNorm(2, 8), "instance": nn.InstanceNorm2d(8)}
HUGE = torch.tensor([1e20, 1.0, -3e38, 2.0])


def _split(model: Any, x: Tensor, mask: Tensor) -> Any:
    first = mask.sum().item()
    torch._check(first <= 8)
    p, q = torch.split(x * 2, [first, 8 - first])
    return p.sum(0), q * 3


CASES: dict[str, Case] = {
    # One constant in two layouts.
    "linear and its transpose": Case(
        layer(lambda s, x: F.linear(F.linear(x, s.w), s.w.t()), w=square(4)), [(randn(2, 4),)]
    ),
    "product, sin, transpose": Case(layer(lambda s, x: (x @ s.w).sin() @ s.w.t(), w=square(16)), [(randn(2, 16),)]),
    "products of both orders": Case(
        layer(lambda s, x: x @ s.w @ s.w.t() + x @ s.w.t() @ s.w, w=square(4)), [(randn(2, 4),)]
    ),
    "batched product and transpose": Case(
        layer(lambda s, x: torch.bmm(torch.bmm(x, s.w), s.w.transpose(1, 2)), w=randn(3, 4, 4) / 2), [(randn(3, 4, 4),)]
    ),
    "convolution and deconvolution": Case(
        layer(lambda s, x: F.conv_transpose2d(F.conv2d(x, s.w, padding=1), s.w, padding=1), w=randn(8, 8, 3, 3) / 8),
        [(randn(1, 8, 6, 6),)],
    ),
    # Two sizes without a maximum.
    "linear of any size": Case(
        nn.Linear(8, 4).eval(), [(randn(2, 16, 8),), (randn(3, 5, 8),)], [{0: Dim("a"), 1: Dim("b")}]
    ),
    "convolution of any size": Case(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(),
        [(randn(1, 3, 16, 16),), (randn(1, 3, 24, 20),)],
        [{2: Dim("h", min=4), 3: Dim("w", min=4)}],
    ),
    # Half precision beside float32.
    **{
        f"bfloat16 {name} norm, float32 result": Case(
            layer(lambda s, x: s.norm(x).float(), norm=norm).bfloat16(),
            [(randn(2, 8, 6, 6).bfloat16(),)],
            half=torch.bfloat16,
        )
        for name, norm in NORMS.items()
    },
    "a resized parameter": Case(
        layer(lambda s, x: x + F.interpolate(s.p, size=6, mode="linear"), p=randn(1, 3, 4)), [(randn(1, 3, 6),)]
    ),
    "casts that round": Case(
        layer(lambda s, x, y: (x.half().float(), y.bfloat16().half().float())),
        [(torch.tensor([3e38, 1e-30, 1.0]).bfloat16(), torch.tensor([3e38, 1e-30, 1.0]))],
        bits=True,
    ),
    "bfloat16 quotients": Case(
        layer(lambda s, x: (x / 3, x / 10)), [((randn(4, 64).abs() + 0.5).bfloat16(),)], bits=True
    ),
    "bfloat16 variance far from 0": Case(
        layer(lambda s, x, y: (x.var(1), x.std(1), y.var(1))),
        [((randn(4, 64) + 100).bfloat16(), (randn(4, 64) + 1000).bfloat16())],
    ),
    # Integers that float32 does not hold.
    **{
        f"{name} of {dtype}": Case(layer(function), [(ENDS.to(dtype),), (ENDS.flip(0).to(dtype),)], bits=True)
        for dtype in (torch.int32, torch.int64)
        for name, function in {
            "where": lambda s, x: torch.where(x > 0, x, 0),
            "where of two": lambda s, x: torch.where(x > x.flip(0), x, x.flip(0)),
            "masked_fill": lambda s, x: x.masked_fill(x == -100, 2**24 + 1),
            "pad": lambda s, x: F.pad(x, (1, 1), value=2**24 + 3),
            "maximum": lambda s, x: torch.maximum(x, x.flip(0)),
            "clamp": lambda s, x: x.clamp(-(2**31), 2**31 - 1),
        }.items()
    },
    "where of another's NaN": Case(
        layer(lambda s, x, y: torch.where(y.isnan(), 0, x)),
        [(ENDS, torch.ones(6)), (ENDS, torch.full((6,), float("nan")))],
        bits=True,
    ),
    "comparisons of dynamic integers": Case(
        layer(lambda s, x: (torch.where(x != 5, x, 7), x.masked_fill(x >= 100, 1))),
        [(ENDS,), (torch.cat([ENDS[1:], ENDS[:3]]),)],
        [{0: Dim("count", max=16)}],
        bits=True,
    ),
    # Numbers that data decides.
    "parts of sizes from data": Case(
        layer(_split),
        [(randn(8, 3), torch.tensor([1, 0, 1, 1, 0, 0, 1, 0]) > 0), (randn(8, 3), torch.arange(8) < 2)],
    ),
    # Infinities and NaN that are born inside.
    "differences of infinities": Case(
        layer(lambda s, x, y: (x * x - y * y).relu()), [(torch.ones(4), torch.ones(4)), (HUGE, HUGE.abs())]
    ),
    "a normalization that overflows": Case(
        layer(lambda s, x: F.layer_norm(x, (4,)).relu()),
        [(randn(1, 4),), (torch.tensor([[1e30, 1e30, -1e30, 2e30]]),)],
    ),
    "NaN behind a product": Case(
        layer(
            lambda s, x: [f((x @ s.w) @ s.w - (x @ s.w) @ s.w) for f in (torch.relu, F.gelu, lambda y: y.softmax(-1))],
            w=square(4),
        ),
        [(randn(2, 4),), (randn(2, 4) * 1e38,)],
    ),
    # Nothing to order or to pool.
    **{
        f"{name} over nothing": Case(layer(function), [(randn(n, 3),) for n in (4, 0, 1, 8)], [rows(0)])
        for name, function in {
            "argmax": lambda s, x: x.argmax(0),
            "max": lambda s, x: tuple((x * 2).max(0)),
            "topk": lambda s, x: tuple((x * 2).topk(1, 0)),
            "amax": lambda s, x: (x * 2).amax(0),
            "amax alone": lambda s, x: x.amax(0),
        }.items()
    },
    "pooling of no images": Case(
        layer(lambda s, x: F.max_pool2d(x, 2)),
        [(randn(n, 3, 8, 8),) for n in (4, 0, 1, 8)],
        [rows(0)],
    ),
    # One call spoils no other.
    "a slice of fewer rows than it asks for": Case(
        layer(lambda s, x: (x[-2:].flatten() * 2).relu() + x.sum()),
        [(randn(n, 4),) for n in (5, 1, 5, 5, 7, 3)],
        [rows(1)],
    ),
}
FORMS = ("module", "exported_program", "torchscript")


def compiled(model: nn.Module, example: tuple[Tensor, ...], dims: Sequence[Any] | None) -> Any:
    shapes = None if dims is None else (tuple(dims),) if isinstance(model, (Applied, Together)) else tuple(dims)
    program = torch.export.export(model, tuple(x.clone() for x in example), dynamic_shapes=shapes)
    return torch_tensorrt.dynamo.compile(program, min_block_size=1)


def outcome(run: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Any:
    try:
        with torch.no_grad():
            return run(*(x.clone() for x in inputs))
    except Exception as error:
        return error


def assert_as_eager(case: Case, actual: Any, inputs: tuple[Tensor, ...]) -> None:
    expected = outcome(case.model, inputs)
    if isinstance(expected, Exception):
        assert isinstance(actual, Exception), f"eager raises {expected!r}, ours gives {actual}"
        return
    assert not isinstance(actual, Exception), actual
    ours, theirs = pytree.tree_leaves(actual), pytree.tree_leaves(expected)
    if case.half is None:
        exactly = {"rtol": 0.0, "atol": 0.0} if case.bits else {}
        torch.testing.assert_close(ours, theirs, equal_nan=True, **exactly)  # type: ignore[arg-type]
        return
    exact = pytree.tree_leaves(outcome(copy.deepcopy(case.model).double(), tuple(x.double() for x in inputs)))
    for one, other, right in zip(ours, theirs, exact, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        error, allowed = ((value.double() - right).abs().max() for value in (one, other))
        assert error <= max(allowed, torch.finfo(case.half).eps * right.abs().max())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_as_eager(name: str, form: str, tmp_path: Path) -> None:
    case = CASES[name]
    run = in_form(compiled(case.model, case.calls[0], case.dims), form, tmp_path)
    for inputs in case.calls:
        assert_as_eager(case, outcome(run, inputs), inputs)


class Together(nn.Module):
    """Several models as one, since a package takes half a minute to build."""

    def __init__(self, cases: Sequence[Case]) -> None:
        super().__init__()
        self.models = nn.ModuleList(case.model for case in cases)
        self.counts = [len(case.calls[0]) for case in cases]

    def forward(self, *inputs: Tensor) -> list[Any]:
        rest = iter(inputs)
        return [model(*itertools.islice(rest, count)) for model, count in zip(self.models, self.counts, strict=True)]


UNUSUAL = (" of torch.int", "another's NaN", "dynamic integers", "infinities", "overflows", "behind")
NOTHING = ("over nothing", "no images")
PACKAGES = {
    "usual values": [name for name in CASES if not any(part in name for part in (*UNUSUAL, *NOTHING))],
    "unusual values": [name for name in CASES if any(part in name for part in UNUSUAL)],
    "nothing": [name for name in CASES if any(part in name for part in NOTHING)],
}
"""Cases of one package: what runs an engine's exact form would hide what its other cases do."""


@pytest.mark.parametrize("package", PACKAGES)
def test_packages(package: str, tmp_path: Path) -> None:
    cases = [CASES[name] for name in PACKAGES[package]]
    dims = [dim for case in cases for dim in case.dims or [None] * len(case.calls[0])]
    calls = [[case.calls[n % len(case.calls)] for case in cases] for n in range(max(len(case.calls) for case in cases))]
    model = Together(cases).eval()
    run = in_form(
        compiled(model, tuple(itertools.chain(*calls[0])), dims if any(dims) else None), "aot_inductor", tmp_path
    )
    for call in calls:
        inputs = tuple(itertools.chain(*call))
        actual = outcome(run, inputs)
        if package == "nothing" and call[0][0].shape[0] == 0:
            # Eager raises in most of them.
            assert isinstance(actual, RuntimeError)
            continue
        assert not isinstance(actual, Exception), actual
        for case, own, result in zip(cases, call, actual, strict=True):
            assert_as_eager(case, result, own)
