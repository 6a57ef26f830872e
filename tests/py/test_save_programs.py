# SPDX-License-Identifier: Apache-2.0
"""Programs of every shape in the formats without a compiler: what they take, return, assert and branch on."""

from __future__ import annotations

import copy
import itertools
import math
from collections import namedtuple
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from py_models import Function, assert_same
from torch import nn
from torch._inductor import decomposition
from torch.export import Dim
from torch.nn import functional as F
from torch.utils import _pytree as pytree

import torch_tensorrt

FORMATS = ("exported_program", "torchscript")
Pair = namedtuple("Pair", "first second")


class Behind(nn.Module):
    """A function behind a layer that an engine takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(torch.relu(self.linear(x)) + 1)


def plain(value: Any) -> Any:
    """TorchScript has no classes of Python's: a named tuple is a tuple there."""
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def batch(low: int = 1, high: int = 8, width: int = 4) -> torch_tensorrt.Input:
    return torch_tensorrt.Input(min_shape=(low, width), opt_shape=(3, width), max_shape=(high, width))


RESULTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "a tensor": lambda y: y,
    "a tuple of one": lambda y: (y,),
    "a tuple": lambda y: (y, y * 2),
    "a list": lambda y: [y, y * 2],
    "a dict": lambda y: {"a": y, "b": y * 2},
    "a dict in a dict": lambda y: {"a": {"b": y, "c": y * 2}, "d": {"b": y + 1, "c": y}},
    "different things": lambda y: {"a": y, "b": [y * 2, (y + 1, y - 1)], "c": {"d": y}},
    "sizes": lambda y: (y, y.shape[0], {"rows": y.shape[0] * 2 + 1}),
    "constants": lambda y: {"a": y, "none": None, "number": 3, "real": 0.5, "flag": True},
    "an empty list": lambda y: (y, []),
    "a list of lists": lambda y: [[y], [y * 2, y + 1]],
    "integers as keys": lambda y: {1: y, 2: y * 2},
}


@pytest.mark.parametrize("compiled", [True, False], ids=["engines", "uncompiled"])
@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("output_format", FORMATS)
def test_results(output_format: str, name: str, compiled: bool, tmp_path: Path) -> None:
    model = Behind(RESULTS[name]).eval()
    module = torch_tensorrt.compile(model, arg_inputs=[batch()], min_block_size=1 if compiled else 1000)
    run = in_form(module, output_format, tmp_path)
    for rows in (1, 2, 8):
        x = torch.rand(rows, 4)
        with torch.no_grad():
            actual, expected = run(x), model(x)
            assert_same(actual, plain(expected) if output_format == "torchscript" else expected)
    with pytest.raises(Exception, match="8"):
        run(torch.rand(9, 4))


def test_results_that_only_torchscript_or_nobody_can_say(tmp_path: Path) -> None:
    text = torch_tensorrt.compile(Behind(lambda y: (y, "it's")).eval(), arg_inputs=[batch()], min_block_size=1)
    named = torch_tensorrt.compile(Behind(lambda y: Pair(y, [y])).eval(), arg_inputs=[batch()], min_block_size=1)
    x = torch.rand(2, 4)
    for module in (text, named):
        assert_same(in_form(module, "torchscript", tmp_path)(x), plain(module(x)))
    with pytest.raises(ValueError, match=r"torch\.export cannot read a program back that returns text"):
        in_form(text, "exported_program", tmp_path)
    with pytest.raises(NotImplementedError, match=r"Pair.*register"):
        in_form(named, "exported_program", tmp_path)


class Inputs(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, a: Any, b: Any) -> Any:
        return self.function(a, b)


ARGUMENTS: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "tuple and dict": (
        lambda a, b: torch.relu(a[0] + b["x"]) * a[1] + b["y"],
        (torch.rand(3, 4), torch.rand(4)),
        {"x": torch.rand(3, 4), "y": torch.rand(4)},
    ),
    "list and tensor": (lambda a, b: torch.relu(a[0] + a[1]) * b, [torch.rand(3, 4), torch.rand(4)], torch.rand(3, 4)),
    "nested": (
        lambda a, b: torch.relu(a[0][0] + a[1]["z"]) * b + 1,
        ((torch.rand(3, 4),), {"z": torch.rand(4)}),
        torch.rand(3, 4),
    ),
    "a number that is compiled in": (lambda a, b: torch.relu(a) * b + 1, torch.rand(3, 4), 2.5),
    "nothing in a tuple": (
        lambda a, b: torch.relu(a[0] if a[1] is None else a[1]) + b,
        (torch.rand(3, 4), None),
        torch.rand(4),
    ),
}


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("output_format", FORMATS)
def test_arguments(output_format: str, name: str, tmp_path: Path) -> None:
    function, a, b = ARGUMENTS[name]
    model = Inputs(function).eval()
    module = torch_tensorrt.compile(model, arg_inputs=[a, b], min_block_size=1)
    run = in_form(module, output_format, tmp_path)
    assert_same(run(a, b), model(a, b))
    if isinstance(b, float) and output_format == "torchscript":  # callers that have tensors only leave it out
        assert_same(run(a), model(a, b))
        with pytest.raises(torch.jit.Error, match="compiled for another value of b"):
            run(a, 3.5)


class Keywords(nn.Module):
    def forward(
        self,
        x: torch.Tensor,
        scale: Any = None,
        *,
        flag: bool = True,
        mode: str = "relu",
        count: int = 2,
        y: Any = None,
    ) -> Any:
        z = torch.sin(x) * (2.0 if scale is None else scale) + count
        z = z.clamp(-1, 1) if flag else z
        return getattr(torch, mode)(z), None if y is None else y + 1


KEYWORDS: list[dict[str, Any]] = [
    {"scale": 0.5, "y": torch.rand(2)},
    {"flag": False, "y": torch.rand(2), "mode": "sin"},
    {"mode": 'cos', "flag": True, "scale": None, "count": -3},
    {"scale": float("inf"), "count": 2**40},
    {"scale": torch.rand(2, 4), "y": torch.rand(2), "flag": False},
    {"y": None, "scale": 3},
]  # fmt: skip


@pytest.mark.parametrize("compiled", [True, False], ids=["engines", "uncompiled"])
@pytest.mark.parametrize("output_format", ["module", *FORMATS])
@pytest.mark.parametrize("keywords", KEYWORDS, ids=",".join)
def test_keywords(keywords: dict[str, Any], output_format: str, compiled: bool, tmp_path: Path) -> None:
    """Values that are compiled in are given as in eager, in any order; other values are errors."""
    model, x = Keywords().eval(), torch.rand(2, 4)
    program = torch.export.export(model, (x,), keywords)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1 if compiled else 100)
    run = in_form(module, output_format, tmp_path)
    assert_same(run(x, **keywords), model(x, **keywords))
    if compiled or output_format == "torchscript":
        assert_same(run(x, **dict(reversed(keywords.items()))), model(x, **keywords))
    for name, other in (("flag", not keywords.get("flag", True)), ("mode", "tan"), ("count", 5)):
        if name in keywords:
            with pytest.raises(Exception, match=name):
                run(x, **{**keywords, name: other})


def branch(y: torch.Tensor) -> Any:
    def inner(a: torch.Tensor) -> Any:
        return torch.cond(a.sum() > -100, lambda b: (b.cos(), b - 1), lambda b: (b * 2, b + 1), (a,))

    u, v = torch.cond(y.sum() > 20, lambda a: (a.sin(), a + 1), inner, (y,))
    return torch.relu(u) + v, u.shape[0]


def loop(y: torch.Tensor) -> Any:
    from torch._higher_order_ops.while_loop import while_loop

    count, last = while_loop(lambda i, a: a.sum() < 100, lambda i, a: (i + 1, a * 1.5), (torch.tensor(0), y + 0.1))
    return torch.relu(last) + 1, count


@pytest.mark.parametrize("function", [branch, loop])
@pytest.mark.parametrize("output_format", FORMATS)
def test_branches_and_loops(function: Callable[..., Any], output_format: str, tmp_path: Path) -> None:
    model = Behind(function).eval()
    module = torch_tensorrt.compile(model, arg_inputs=[batch()], min_block_size=1)
    run = in_form(module, output_format, tmp_path)
    for x in (torch.rand(1, 4), torch.rand(8, 4) * 9, -torch.rand(4, 4)):
        with torch.no_grad():
            assert_same(run(x), model(x))


def deferred(model: nn.Module, *shape: int, **dims: Any) -> Any:
    axes = {int(name[1:]): dim for name, dim in dims.items()}
    program = torch.export.export(
        model, (torch.randn(*shape),), dynamic_shapes=((axes),), prefer_deferred_runtime_asserts_over_guards=True
    )
    return torch_tensorrt.dynamo.compile(program, min_block_size=1)


class Half(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x.shape[0] // 2 :] * 2


class Divisible(nn.Module):
    """Its author promises sizes that nothing checks in eager."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._check(x.shape[0] % 3 == 0)
        torch._check(x.shape[0] != 12)
        return torch.relu(x.view(x.shape[0] // 3, -1)) * 2


class UNet(nn.Module):
    """Its sizes must be even: down and up again, and a sum with what was."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, 2, 1), nn.ConvTranspose2d(4, 3, 4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(torch.relu(self.down(x))) + x


ASSERTING: dict[
    str, tuple[nn.Module, tuple[int, ...], dict[str, Any], list[tuple[int, ...]], list[tuple[int, ...]]]
] = {
    "a slice from the middle": (Half(), (24, 3), {"_0": Dim("n", min=4, max=64)}, [(9, 3), (64, 3)], [(65, 3)]),
    "promises": (Divisible(), (9, 4), {"_0": Dim("n", min=3, max=60)}, [(6, 4), (30, 4)], [(10, 4), (12, 4)]),
    "a U-Net": (
        UNet(),
        (1, 3, 64, 64),
        {"_2": Dim("h", min=16, max=128), "_3": Dim("w", min=16, max=128)},
        [(1, 3, 64, 64), (1, 3, 32, 48), (1, 3, 128, 16)],
        [(1, 3, 33, 48), (1, 3, 32, 130)],
    ),
}


@pytest.mark.parametrize("name", ASSERTING)
@pytest.mark.parametrize("output_format", FORMATS)
def test_assertions_on_sizes(output_format: str, name: str, tmp_path: Path) -> None:
    model, shape, dims, good, bad = ASSERTING[name]
    module = deferred(model.eval(), *shape, **dims)
    run = in_form(module, output_format, tmp_path)
    for sizes in good:
        x = torch.randn(*sizes)
        with torch.no_grad():
            assert_same(run(x), model(x))
    for sizes in bad:
        for form in (module, run):
            with pytest.raises((RuntimeError, ValueError, AssertionError, torch.jit.Error)):
                form(torch.randn(*sizes))


SHRINKING: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "every second": lambda x: torch.relu(x[:, 1::2]) * 2 + 1,
    "half": lambda x: torch.relu(x[:, : x.shape[1] // 2]) * 2 + 1,
    "half, from PyTorch": lambda x: torch.cummax(x[:, : x.shape[1] // 2], 0).values * 2,
    "pooled": lambda x: nn.functional.avg_pool1d(torch.relu(x), 2) + 1,
}


@pytest.mark.parametrize("name", SHRINKING)
@pytest.mark.parametrize("output_format", FORMATS)
def test_saving_decides_nothing_anew(output_format: str, name: str, tmp_path: Path) -> None:
    """Sizes that become 1 within the model, which torch.export takes for 2 or more where it lays out memory."""
    model = Inputs(lambda a, b: SHRINKING[name](a) + b).eval()
    dims = ({1: Dim.DYNAMIC(min=2, max=16)}, None)
    program = torch.export.export(model, (torch.randn(3, 6), torch.ones(1)), dynamic_shapes=dims)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    run = in_form(module, output_format, tmp_path)
    for size in (2, 3, 4, 16):
        x = torch.randn(3, size)
        assert_same(run(x, torch.ones(1)), model(x, torch.ones(1)))


SMALL_RESULTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "maximum pooling": lambda x: F.max_pool2d(x, 3),
    "average pooling": lambda x: F.avg_pool2d(x, 3),
    "a convolution with strides": lambda x: F.conv2d(x, torch.ones(2, 2, 3, 3), stride=3),
    "every third": lambda x: x[..., : x.shape[3] // 3] + 1,
    "interpolation": lambda x: F.interpolate(x, scale_factor=1 / 3, mode="nearest"),
}


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("name", SMALL_RESULTS)
def test_an_example_whose_results_are_of_size_one(output_format: str, name: str, tmp_path: Path) -> None:
    """torch.export takes 1 for a constant, also where it follows from a size."""
    model = Function(SMALL_RESULTS[name]).eval()
    size = Dim.AUTO(min=2, max=8)  # type: ignore[attr-defined]
    program = torch.export.export(model, (torch.rand(1, 2, 3, 3),), dynamic_shapes=({3: size},), strict=False)
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), output_format, tmp_path)
    for width in (3, 4, 5):
        x = torch.rand(1, 2, 3, width)
        assert_same(run(x), model(x))


def test_windows_of_dynamic_sizes_in_a_package(tmp_path: Path) -> None:
    """Inductor's own code of them has the windows of the captured sizes. A package takes half a minute: all in one."""

    def pooled(x: torch.Tensor) -> list[torch.Tensor]:
        resized = F.interpolate(x, scale_factor=0.7)
        return [
            F.interpolate(x, scale_factor=0.5, mode="area"),
            F.interpolate(x, scale_factor=0.7, mode="area"),
            F.interpolate(x, scale_factor=1.5, mode="area"),
            F.adaptive_avg_pool2d(x, (x.shape[3] // 3, 4)),
            F.adaptive_avg_pool2d(resized, (2, 3)),
            F.adaptive_max_pool2d(resized, (2, 3)),
            F.adaptive_avg_pool3d(resized, (1, 2, 3)),
            F.adaptive_max_pool3d(resized, (1, 2, 3)),
        ]

    decomposition.select_decomp_table()  # as after any package before: Inductor keeps a copy of its table
    width = {3: Dim("width", min=6, max=20)}
    program = torch.export.export(Function(pooled), (torch.rand(1, 2, 6, 9),), dynamic_shapes=(width,))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), "aot_inductor", tmp_path)
    for size in (6, 9, 15, 20):
        x = torch.rand(1, 2, 6, size)
        assert_same(run(x), pooled(x))


def test_a_package_returns_the_inputs_themselves(tmp_path: Path) -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> list[Any]:
        return [x, torch.relu(y) + 1, y, {"again": x}, x.shape[0], 3]

    class Model(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return function(x, y)

    inputs = (torch.rand(3, 4), torch.rand(3, 4))
    rows = {0: Dim("rows", min=2, max=8)}
    program = torch.export.export(Model(), inputs, dynamic_shapes=(rows, rows))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), "aot_inductor", tmp_path)
    for x in (torch.rand(3, 4), torch.rand(1, 4).expand(3, 4), torch.rand(4, 5).t(), torch.rand(4, 8)[:, ::2]):
        given = x, torch.rand(x.shape)
        results = run(*given)
        assert_same(results, function(*given))
        assert results[0] is x
        assert results[2] is given[1]
        assert results[3]["again"] is x


def test_a_package_returns_floats_of_sizes(tmp_path: Path) -> None:
    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            rows = x.shape[0]
            return [torch.relu(x) + rows, rows * 0.1, {"third": rows / 3}, torch.sym_float(rows), rows, 2.5]

    rows = {0: Dim("rows", min=2, max=8)}
    program = torch.export.export(Model(), (torch.rand(5, 4),), dynamic_shapes=(rows,))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    run = in_form(module, "aot_inductor", tmp_path)
    again = in_form(module, "exported_program", tmp_path)  # the other package left the program as it was
    for size in (5, 2, 7):
        x = torch.rand(size, 4)
        assert_same(run(x), Model()(x))
        assert_same(again(x), Model()(x))


DROPPED: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "a comparison": torch.ge,
    "a sum": torch.add,
    "a product of matrices": lambda x, y: x @ y.mT,
    "a convolution": lambda x, y: F.conv1d(x, y[:, :4]),
    "a chain": lambda x, y: (x * y).sum().relu(),
}


@pytest.mark.parametrize("output_format", ["module", *FORMATS])
@pytest.mark.parametrize("name", DROPPED)
def test_inputs_are_checked_whose_readers_are_dropped(name: str, output_format: str, tmp_path: Path) -> None:
    """Nothing returns what reads the input, but eager raises for one that does not fit."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("y", torch.rand(2, 4, 8))

        def forward(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            DROPPED[name](x, self.y)
            return torch.relu(other) + 1

    other = torch.rand(3)
    program = torch.export.export(Model(), (torch.rand(2, 4, 8), other))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), output_format, tmp_path)
    assert_same(run(torch.rand(2, 4, 8), other), Model()(torch.rand(2, 4, 8), other))
    for shape in ((2, 4, 8, 3), (2, 3, 7)):
        for function in (Model(), run):
            with pytest.raises(Exception, match=r"[Ee]xpected|size"):
                function(torch.rand(shape), other)


@pytest.mark.parametrize("output_format", ["module", "torchscript"])
def test_an_input_that_the_model_does_not_read_may_be_anything(output_format: str, tmp_path: Path) -> None:
    model = nn.Module()
    model.forward = lambda x, unread: torch.relu(x) + 1  # type: ignore[method-assign]
    program = torch.export.export(model, (torch.rand(3), torch.rand(4)))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), output_format, tmp_path)
    x = torch.rand(3)
    assert_same(run(x, torch.zeros(1, 2, dtype=torch.int64)), x + 1)


EQUAL_SIZES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "max pooling": lambda x: F.max_pool2d(x, 2),
    "average pooling": lambda x: F.avg_pool2d(x, 2),
    "a convolution with strides": lambda x: F.conv2d(x, torch.ones(2, 2, 2, 2), stride=2),
    "every second": lambda x: x[..., 1::2] + 1,
    "a cut": lambda x: x[..., : x.shape[3] // 2] + 1,
}


@pytest.mark.parametrize("function", [torch.fmax, torch.maximum, torch.add])  # in PyTorch, in an engine
@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("name", EQUAL_SIZES)
def test_a_size_that_follows_and_equals_a_constant(
    name: str, output_format: str, function: Callable[..., torch.Tensor], tmp_path: Path
) -> None:
    """Which sizes do, only the example says."""

    class Model(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return function(EQUAL_SIZES[name](x), y)

    size = Dim.AUTO(min=1, max=8)  # type: ignore[attr-defined]
    inputs = (torch.rand(5, 2, 6, 5), torch.rand(5, 2, 1, 2))
    shapes = ({0: size, 3: size}, {0: size})
    program = torch.export.export(Model(), inputs, dynamic_shapes=shapes, strict=False)
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), output_format, tmp_path)
    for batch_size, width in ((5, 5), (2, 4), (8, 5)):
        given = torch.rand(batch_size, 2, 6, width), torch.rand(batch_size, 2, 1, 2)
        assert_same(run(*given), Model()(*given))


@pytest.mark.parametrize(
    ("output_format", "where"),
    [*itertools.product(FORMATS, ("compiled and saved", "saved")), ("aot_inductor", "compiled and saved")],
)
def test_inference_mode(output_format: str, where: str, tmp_path: Path) -> None:
    model = Behind(lambda y: torch.cummax(y, 0).values).eval()
    with torch.inference_mode(where == "compiled and saved"):
        module = torch_tensorrt.compile(model, arg_inputs=[batch()], min_block_size=1)
    with torch.inference_mode():
        run = in_form(module, output_format, tmp_path)
        x = torch.rand(5, 4)
        assert_same(run(x), model(x))


def one_hot(x: torch.Tensor) -> torch.Tensor:
    return F.one_hot(x, 5) * 2


def all_small(x: torch.Tensor) -> torch.Tensor:
    torch._assert_async((x < 5).all() & (x >= 0).all(), "outside")
    return x * 2 + 1


@pytest.mark.parametrize("function", [one_hot, all_small])
@pytest.mark.parametrize("compiled", [True, False], ids=["engines", "uncompiled"])
@pytest.mark.parametrize("output_format", FORMATS)
def test_assertions_on_values(output_format: str, compiled: bool, function: Callable[..., Any], tmp_path: Path) -> None:
    x = torch.tensor([0, 4, 2])
    model = Function(function)
    module = torch_tensorrt.compile(model, arg_inputs=[x], min_block_size=1 if compiled else 100)
    run = in_form(module, output_format, tmp_path)
    assert_same(run(x), model(x))
    for wrong in (5, -1):
        bad = torch.tensor([0, wrong, 2])
        for call in (model, module, run):
            with pytest.raises((RuntimeError, torch.jit.Error)):
                call(bad)
    assert_same(run(x), model(x))


def _in_sizes(x: torch.Tensor, n: torch.Tensor) -> Any:
    count = n[0].item()
    torch._check(count >= 0)
    torch._check(count <= x.shape[0])
    return x[:count] * 2, (x * 2)[:count].relu(), x[count:] + 1, (x + 1)[:, : x.shape[1] // 2].narrow(0, 0, count)


def _from_two_on(x: torch.Tensor, n: torch.Tensor) -> Any:
    count = n[0].item()
    torch._check(count >= 2)
    torch._check(count < 8)
    return x * count, torch.arange(count) + 1


def _negative(x: torch.Tensor, n: torch.Tensor) -> Any:
    number = n[0].item()
    torch._check(number >= -3)
    return x * number + 1


def _compared(x: torch.Tensor, n: torch.Tensor) -> Any:
    first, second = n.tolist()
    torch._check(first >= 1)
    torch._check(second > first)
    return x * first - second


def _not_three(x: torch.Tensor, n: torch.Tensor) -> Any:
    total = n.sum().item()
    torch._check(total != 3)
    return x * total


def _repeated(x: torch.Tensor, n: torch.Tensor) -> Any:
    rows = x[:2].repeat_interleave(n.abs(), 0)
    torch._check(rows.shape[0] >= 3)
    return rows * 2


ON_NUMBERS = (_in_sizes, _from_two_on, _negative, _compared, _not_three, _repeated)
"""Functions that assert something of numbers which they read out of tensors, or of sizes which those decide."""


class Asserting(nn.Module):
    """Those functions, each of the same tensor and of numbers of its own."""

    def __init__(self, *functions: Callable[..., Any]) -> None:
        super().__init__()
        self.functions = functions

    def forward(self, x: torch.Tensor, *numbers: torch.Tensor) -> list[Any]:
        return [function(x, n) for function, n in zip(self.functions, numbers, strict=True)]


NUMBERS = [(3, 4), (0, 9), (1, 2), (8, 9), (-1, 5), (2, 2), (5, 1), (9, 10), (-4, 0), (2, 1)]


def _assert_as_eager(run: Callable[..., Any], model: nn.Module, *inputs: torch.Tensor) -> None:
    try:
        expected = model(*inputs)
    except RuntimeError:
        with pytest.raises((RuntimeError, torch.jit.Error)):
            run(*inputs)
        return
    assert_same(run(*inputs), expected)


@pytest.mark.parametrize("function", ON_NUMBERS)
@pytest.mark.parametrize("output_format", ["module", *FORMATS])
def test_assertions_on_numbers_of_data(output_format: str, function: Callable[..., Any], tmp_path: Path) -> None:
    model, x = Asserting(function).eval(), torch.randn(8, 4)
    module = torch_tensorrt.compile(model, arg_inputs=[x, torch.tensor(NUMBERS[0])], min_block_size=1)
    run = in_form(module, output_format, tmp_path)
    for numbers in NUMBERS:
        _assert_as_eager(run, model, x, torch.tensor(numbers))


def test_assertions_on_numbers_in_a_package(tmp_path: Path) -> None:
    """Slices from the start to where data says are written, too."""
    model = Asserting(*ON_NUMBERS).eval()
    good = [torch.tensor(NUMBERS[0])] * len(ON_NUMBERS)
    x = torch.randn(8, 4)
    module = torch_tensorrt.compile(model, arg_inputs=[x, *good], min_block_size=1)
    run = in_form(module, "aot_inductor", tmp_path)
    for index in range(len(ON_NUMBERS)):
        for numbers in NUMBERS:
            _assert_as_eager(run, model, x, *good[:index], torch.tensor(numbers), *good[index + 1 :])


class RunningStatistics(nn.Module):
    """PyTorch's shape function says float32 of statistics that its kernel keeps in their dtype."""

    mean: torch.Tensor
    variance: torch.Tensor
    weight: torch.Tensor

    def __init__(self, statistics: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("mean", torch.rand(4).to(statistics))
        self.register_buffer("variance", torch.rand(4).to(statistics))
        self.register_buffer("weight", torch.rand(4).to(statistics))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, None, True) * 2 + 1


@pytest.mark.parametrize("statistics", ["same", "float32"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_running_statistics_of_half_precision(dtype: torch.dtype, statistics: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = RunningStatistics(dtype if statistics == "same" else torch.float32)
    x = torch.rand(2, 4, 8).to(dtype)
    module = torch_tensorrt.compile(copy.deepcopy(model), arg_inputs=[x], min_block_size=1)
    runs = [in_form(module, output_format, tmp_path) for output_format in FORMATS]
    for run in (*runs, module):
        eager = copy.deepcopy(model)
        for _ in range(2):
            assert_same(run(x), eager(x))
        state = dict(run.named_buffers())
        for name in ("mean", "variance"):
            assert_same(state[name], getattr(eager, name))


def test_threads_compile_save_and_load(tmp_path: Path) -> None:
    x = torch.rand(3, 4)

    def work(number: int) -> None:
        model = Behind(lambda y: y * number).eval()
        module = torch_tensorrt.compile(model, arg_inputs=[batch()], min_block_size=1)
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for output_format in FORMATS:
            with torch.no_grad():
                assert_same(in_form(module, output_format, folder)(x), model(x))

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result()  # raises what the thread raised


def test_a_program_that_is_no_torchscript_says_why(tmp_path: Path) -> None:
    class Custom:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor

    pytree.register_pytree_node(Custom, lambda item: ([item.tensor], None), lambda items, _: Custom(next(iter(items))))
    module = torch_tensorrt.compile(Behind(lambda y: Custom(y * 2)).eval(), arg_inputs=[batch()], min_block_size=1)
    with pytest.raises(ValueError, match="a result of type Custom; return tensors, tuples, lists or dicts"):
        in_form(module, "torchscript", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_graph_module_is_not_run_on_the_callers_state(tmp_path: Path) -> None:
    class Counting(nn.Module):
        n: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.n.add_(1)
            x.mul_(2)
            return x + self.n

    x = torch.ones(2)
    module = torch.export.export(Counting(), (x,)).module()
    torch_tensorrt.save(module, tmp_path / "m.ts", output_format="torchscript", arg_inputs=[x])
    assert module.n.item() == 0
    assert torch.equal(x, torch.ones(2))
    assert torch.equal(torch_tensorrt.load(tmp_path / "m.ts")(x), torch.full((2,), 3.0))
    with pytest.raises(ValueError, match="does not know its inputs; pass arg_inputs"):
        torch_tensorrt.save(module, tmp_path / "m.ts", output_format="torchscript")


class Conventional(nn.Module):
    """Arguments and results of all kinds."""

    def forward(self, x: torch.Tensor, parts: Any, *, scale: float = 2.0, flag: bool = True, y: Any = None) -> Any:
        z = torch.relu(x) * scale
        return {
            "z": z,
            "parts": [parts["a"] * 2, (parts["b"][0] - 1, parts["b"][1].t() + 1)],
            "constants": (3, 0.5, True, None, "text"),
            "rows": (x.shape[0], x.shape[0] * 2 + 1),
            "y": z if y is None or not flag else y + 1,
            "cumulative": torch.cummax(x, 1).values,
        }


def test_arguments_and_results_of_a_package(tmp_path: Path) -> None:
    model, width = Conventional().eval(), 4
    dims = {
        "x": {0: Dim("rows", min=0, max=8)},
        "parts": {"a": None, "b": [None, None]},
        "scale": None,
        "flag": None,
        "y": None,
    }
    parts = {"a": torch.rand(2), "b": [torch.rand(2), torch.rand(2, 3)]}
    keywords = {"flag": False, "scale": 0.5, "y": torch.rand(2)}
    program = torch.export.export(model, (torch.rand(3, width), parts), keywords, dynamic_shapes=dims)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    run = in_form(module, "aot_inductor", tmp_path)
    strided = {"b": [torch.rand(4)[::2], torch.rand(3, 2).t()], "a": torch.rand(1).expand(2)}
    with torch.no_grad():
        for given in (parts, dict(reversed(parts.items())), strided):
            for x in (torch.rand(3, width), torch.rand(0, width), torch.rand(width, 1).t(), torch.rand(width, 8).t()):
                for named in (keywords, dict(reversed(keywords.items()))):
                    actual, expected = run(x, given, **named), model(x, given, **named)
                    assert_same(actual.pop("constants")[:3], expected.pop("constants")[:3])
                    assert actual.pop("rows") == expected.pop("rows")
                    assert_same(actual, expected)
    assert run(x, parts, **keywords)["constants"] == (3, 0.5, True, None, "text")
    for named, message in (
        ({"flag": True}, "compiled for the value False"),
        ({"scale": 2.0}, "compiled for the value 0.5"),
        ({"y": None}, "input 'y'.*expected a tensor"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            run(x, parts, **{**keywords, **named})
    for wrong, message in (
        ({"a": parts["a"]}, r"the keys \['a', 'b'\]"),
        ({"a": parts["a"], "c": parts["b"]}, r"the keys \['a', 'b'\]"),
        ({"a": parts["a"], "b": parts["b"][:1]}, "a list of 2 elements"),
        ({"a": parts["a"], "b": tuple(parts["b"])}, "a list of 2 elements, got a tuple"),
        ([parts["a"], parts["b"]], "a dict with the keys"),
    ):
        with pytest.raises(TypeError, match=message):
            run(x, wrong, **keywords)
    with pytest.raises(ValueError, match=r"expected .*'y'"):
        run(x, parts, flag=False, scale=0.5)
    with pytest.raises(TypeError, match="expected 5 inputs"):
        run(x, **keywords)


BOOLS_FOR_NUMBERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "where(x, x, True)": lambda x: torch.where(~x, x, True),
    "where(x, True, x)": lambda x: torch.where(x, True, ~x),
    "where(x, False, True)": lambda x: torch.where(x, False, True),
    "where(x, True, 2)": lambda x: torch.where(x, True, 2),
    "add": lambda x: x + True,
    "mul": lambda x: x * True,
    "and": lambda x: x & True,
    "or": lambda x: x | False,
    "xor": lambda x: x ^ True,
    "eq": lambda x: x == True,  # noqa: E712
    "full": lambda x: torch.full((2,), True),
    "full_like": lambda x: torch.full_like(x, True),
    "masked_fill": lambda x: x.masked_fill(x, True),
    "integers": lambda x: x.to(torch.int8) + True,
}


@pytest.mark.parametrize("name", list(BOOLS_FOR_NUMBERS))
@pytest.mark.parametrize("output_format", FORMATS)
def test_bools_for_numbers_give_bools(output_format: str, name: str, tmp_path: Path) -> None:
    """Also in PyTorch's blocks: TorchScript makes integers of such bools."""
    x = torch.tensor([True, False, True])
    model = Function(BOOLS_FOR_NUMBERS[name])
    in_pytorch = {"bitwise_not", "where", "add", "mul", "bitwise_and", "bitwise_or", "bitwise_xor", "full"}
    for executed in (set(), in_pytorch):
        program = torch.export.export(model, (x,))
        module = torch_tensorrt.dynamo.compile(
            program, min_block_size=1, torch_executed_ops={f"torch.ops.aten.{op}" for op in executed}
        )
        assert_same(in_form(module, output_format, tmp_path)(x), model(x))


def rounded(x: torch.Tensor) -> torch.Tensor:
    x = F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2, padding=1, count_include_pad=False)
    return F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)


def ceiled(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(F.max_pool2d(F.avg_pool2d(x, 3, stride=1), 2, padding=1), 3, ceil_mode=True)


NOT_SAID_BY_DIMS: dict[str, tuple[Callable[[torch.Tensor], Any], tuple[int, ...], int]] = {
    "a slice": (lambda x: torch.maximum(x, x)[:, 3:], (), 3),
    "a slice and a repetition": (lambda x: (torch.maximum(x, x)[:, 3:], x.repeat(2, 2)), (), 3),
    "pooling": (rounded, (3, 8), 2),
    "pooling, rounded up": (ceiled, (3, 4), 3),
}


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("lowest", [0, 1])
@pytest.mark.parametrize("name", list(NOT_SAID_BY_DIMS))
def test_sizes_of_which_named_dims_do_not_say_all(name: str, lowest: int, output_format: str, tmp_path: Path) -> None:
    """torch.export fails in wording what it finds out of them: the ranges of the file are those of the module."""
    function, inner, narrowest = NOT_SAID_BY_DIMS[name]

    class Model(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return function(x), y * 2 + 1

    shapes = [((lowest, *inner, 1), (5, *inner, 5), (8, *inner, 8)), ((lowest,), (5,), (8,))]
    inputs = [torch_tensorrt.Input(min_shape=low, opt_shape=opt, max_shape=high) for low, opt, high in shapes]
    module = torch_tensorrt.compile(Model().eval(), arg_inputs=inputs, min_block_size=1)
    run = in_form(module, output_format, tmp_path)
    for rows, width in itertools.product((lowest, 1, 2, 8), (narrowest, 5, 8)):
        args = (torch.rand(rows, *inner, width), torch.rand(rows))
        assert_same(run(*args), Model()(*args))
    for rows, width, others in ((9, 5, 9), (5, 9, 5), (lowest - 1, 5, lowest - 1), (5, narrowest - 1, 5), (3, 5, 4)):
        if rows >= 0:
            with pytest.raises((ValueError, RuntimeError)):
                run(torch.rand(rows, *inner, width), torch.rand(others))


@pytest.mark.parametrize("number", [0, 1, 0.0, 1.0, False, True])
@pytest.mark.parametrize("function", ["add", "mul", "div", "sub", "rsub", "pow"])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.float16])
def test_numbers_that_change_the_dtype_only(dtype: torch.dtype, function: str, number: float, tmp_path: Path) -> None:
    """TorchScript takes `x + 0` and `x * 1` for x, whatever dtype the result has."""

    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return getattr(torch, function)(x.to(dtype), number)

    if function == "pow" and isinstance(number, bool):
        number = int(number)  # PyTorch's own metadata of `bool ** bool` names another dtype than its kernel gives
    x = torch.tensor([1.0, 2.0])
    try:
        expected = Model()(x)
        program = torch.export.export(Model(), (x,))
    except RuntimeError as error:
        pytest.skip(f"PyTorch has none: {error}")
    module = torch_tensorrt.dynamo.compile(program, min_block_size=99)
    assert_same(in_form(module, "torchscript", tmp_path)(x), expected)


NUMBERS_FIRST: dict[str, Callable[[torch.Tensor], Any]] = {
    "floor_divide": lambda x: 7 // x,
    "div_trunc": lambda x: torch.div(7.5, x, rounding_mode="trunc"),
    "remainder": lambda x: 7 % x,
    "rsub": lambda x: 3 - x,
    "reciprocal": lambda x: 2 / x,
    "pow": lambda x: 2**x,
    "where": lambda x: torch.where(x > 2, 7, x),
}


@pytest.mark.parametrize("shape", [(), (3, 4)])
@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16])
@pytest.mark.parametrize("name", NUMBERS_FIRST)
def test_numbers_where_operators_take_tensors(name: str, dtype: torch.dtype, shape: Any, tmp_path: Path) -> None:
    """TorchScript has fewer overloads for numbers than Python has."""

    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return NUMBERS_FIRST[name](x)

    x = torch.arange(1, 13)[: math.prod(shape)].reshape(shape).to(dtype)
    module = torch_tensorrt.dynamo.compile(torch.export.export(Model(), (x,)), min_block_size=99)
    assert_same(in_form(module, "torchscript", tmp_path)(x), Model()(x))


@pytest.mark.parametrize("into", [torch.int32, torch.int16, torch.uint8, torch.float16])
@pytest.mark.parametrize("count", [2, 3, 12])
def test_views_of_another_dtype(into: torch.dtype, count: int, tmp_path: Path) -> None:
    """A dtype is a number in TorchScript: 3, int32's, is a size of three elements as well."""

    class Model(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x.view(into), (x + 1).view(into)

    x = torch.randn(count)
    module = torch_tensorrt.dynamo.compile(torch.export.export(Model(), (x,)), min_block_size=1)
    run = in_form(module, "torchscript", tmp_path)
    assert_same(run(x), Model()(x))
    run(x)[0].zero_()
    assert x.eq(0).all(), "the first result is a view of the input, as in eager"


RESAMPLED: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "linear": lambda x, y, z, at: F.interpolate(x, scale_factor=1.1, mode="linear"),
    "linear, corners": lambda x, y, z, at: F.interpolate(x, scale_factor=1.1, mode="linear", align_corners=True),
    "nearest": lambda x, y, z, at: F.interpolate(y, scale_factor=1.1),
    "nearest-exact": lambda x, y, z, at: F.interpolate(y, scale_factor=1.3, mode="nearest-exact"),
    "bilinear": lambda x, y, z, at: F.interpolate(y, scale_factor=1.3, mode="bilinear"),
    "bilinear, corners": lambda x, y, z, at: F.interpolate(y, size=(7, 8), mode="bilinear", align_corners=True),
    "bilinear, antialias": lambda x, y, z, at: F.interpolate(y, size=(3, 3), mode="bilinear", antialias=True),
    "bicubic": lambda x, y, z, at: F.interpolate(y, scale_factor=1.1, mode="bicubic"),
    "trilinear": lambda x, y, z, at: F.interpolate(z, scale_factor=1.5, mode="trilinear"),
    "area": lambda x, y, z, at: F.interpolate(y, scale_factor=0.7, mode="area"),
    "grid": lambda x, y, z, at: F.grid_sample(y, at, align_corners=False),
    "grid, border": lambda x, y, z, at: F.grid_sample(y, at, padding_mode="border", align_corners=True),
    "grid, nearest": lambda x, y, z, at: F.grid_sample(y, at, mode="nearest", align_corners=False),
    "grid, bicubic": lambda x, y, z, at: F.grid_sample(y, at, "bicubic", "reflection", align_corners=False),
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_resampling_in_a_package(dynamic: bool, tmp_path: Path) -> None:
    """Inductor's own code takes other places for a factor than eager, and multiplies what counts for nothing with 0."""

    def data(batch: int) -> tuple[torch.Tensor, ...]:
        x, y, z = (torch.randn(batch, 2, *shape) for shape in ((5,), (5, 6), (3, 4, 4)))
        at = torch.rand(batch, 4, 4, 2) * 2.4 - 1.2
        for values in (x, y, z):
            values.view(-1)[3], values.view(-1)[17], values.view(-1)[-1] = math.inf, math.nan, -math.inf
        at[0, 0, 0, 0], at[-1, 1, 1, 1] = math.nan, math.inf
        return x, y, z, at

    class Resampling(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, at: torch.Tensor) -> list[torch.Tensor]:
            return [resample(x, y, z, at) for resample in RESAMPLED.values()] + [x.sin() + 1]

    shapes = ([{0: Dim("n", min=2, max=5)}] * 4) if dynamic else None
    program = torch.export.export(Resampling(), data(2), dynamic_shapes=shapes, strict=False)
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), "aot_inductor", tmp_path)
    for batch in (2, 4) if dynamic else (2,):
        inputs = data(batch)
        assert_same(run(*inputs), Resampling()(*inputs))
