# SPDX-License-Identifier: Apache-2.0
"""Sizes 0 and 1, which torch.export takes for 2 or more while it captures: eager's answer or eager's error."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from py_models import assert_same
from torch import nn
from torch.export import Dim

import torch_tensorrt

Function = Callable[[torch.Tensor], Any]


class Model(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.function = function

    def forward(self, x: torch.Tensor) -> Any:
        y = torch.relu(x * 2)  # something that an engine takes
        return self.function(y), self.linear(x)


def set_rows(x: torch.Tensor) -> torch.Tensor:
    y = x + 1
    y[-2:] = 7
    y[:2] += x[:2] * 3
    return y


PARTS: dict[str, Function] = {
    "squeeze": lambda x: x.sum(1, keepdim=True).squeeze(),
    "squeeze(0)": lambda x: x.squeeze(0) + 1,
    "x[-2:]": lambda x: x[-2:] * 2,
    "x[:2]": lambda x: x[:2] + 1,
    "x[-2:][-1]": lambda x: x[-2:][-1] + 1,
    "x[1]": lambda x: x[1] * 2,
    "mean of x[-2:]": lambda x: x[-2:].mean(0),
    "amax of x[:2]": lambda x: x[:2].amax(0),
    "flatten": lambda x: x[:2].flatten() * 2,
    "both ends": lambda x: torch.cat([x[:2], x[-2:]]) * 3,
    "softmax, matmul": lambda x: x[:2].softmax(0) @ x[:2].t(),
    "selected rows": lambda x: x[x[:, 0] > 0].squeeze(0).sin(),
    "mean": lambda x: x.mean(0),
    "reshape": lambda x: x.reshape(-1) + 1,
    "unflatten": lambda x: (x + 1).unsqueeze(0).squeeze(1),
    "stack": lambda x: torch.stack([x, x * 2]).squeeze(),
    "logsumexp": lambda x: x.logsumexp(0).relu(),
    "amin and amax": lambda x: torch.aminmax(x + 1, dim=0),
    "squeeze of a transposed": lambda x: x.t().squeeze(1) * 2,
}


def outcome(run: Callable[[torch.Tensor], Any], x: torch.Tensor) -> Any:
    try:
        return run(x.clone())
    except (IndexError, RuntimeError) as error:
        return type(error)


def check(forms: list[Any], model: nn.Module, size: int) -> None:
    x = torch.randn(size, 3)
    expected = outcome(model, x)
    for form in forms:
        actual = outcome(form, x)
        if isinstance(expected, type):
            assert isinstance(actual, type), f"eager raises {expected} for {size} rows, ours gives {actual}"
        else:
            assert not isinstance(actual, type), f"ours raises {actual} for {size} rows"
            torch.testing.assert_close(list(actual), list(expected), equal_nan=True)


@pytest.mark.parametrize("lowest", [0, 1])
@pytest.mark.parametrize("name", PARTS)
def test_as_eager(name: str, lowest: int) -> None:
    model = Model(PARTS[name]).eval()
    rows = Dim("rows", min=lowest, max=8)
    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=({0: rows},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    with torch.no_grad():
        for size in (4, *range(lowest, 9)):
            check([module], model, size)


@pytest.mark.parametrize("name", ["squeeze", "x[-2:]", "logsumexp", "mean of x[-2:]", "flatten"])
def test_saved_programs_as_eager(name: str, tmp_path: Path) -> None:
    model = Model(PARTS[name]).eval()
    rows = torch_tensorrt.Input(min_shape=(0, 3), opt_shape=(4, 3), max_shape=(8, 3))
    module = torch_tensorrt.compile(model, arg_inputs=[rows], min_block_size=1)
    torch_tensorrt.save(module, tmp_path / "model.pt2")
    forms = [torch_tensorrt.load(tmp_path / "model.pt2").module()]
    if "torch_tensorrt" in module.meta:  # not returned as it is
        torch_tensorrt.save(module, tmp_path / "model.ts", output_format="torchscript")
        forms.append(torch_tensorrt.load(tmp_path / "model.ts"))
    with torch.no_grad():
        for size in (4, 0, 1, 2, 8):
            check(forms, model, size)


def _mask(y: torch.Tensor, x: torch.Tensor) -> None:
    y[x > 0] = 4
    y[:2] = 1


def _several(y: torch.Tensor, x: torch.Tensor) -> None:
    y[-2:].zero_()
    y[:2].sigmoid_()
    y.diagonal()[-2:].fill_(8)


def _swap(y: torch.Tensor, x: torch.Tensor) -> None:
    y[:1], y[-1:] = y[-1:].clone(), y[:1].clone()


INTO: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "a row of rows": lambda y, x: y[-2:][:1].fill_(7),
    "a product": lambda y, x: y[:2].mul_(x[-2:].mean(0)),
    "columns of a row": lambda y, x: y[:, 1:][-1:].add_(3),
    "transposed rows": lambda y, x: y[-2:].t().copy_(x[:2].t() + 1),
    "masked rows": lambda y, x: y[-2:].masked_fill_(y[-2:] > 1, 0),
    "a column of rows": lambda y, x: y[-2:][:, 0].copy_(x[-2:].sum(1)),
    "the end of a flat view": lambda y, x: y.view(-1)[-4:].mul_(2),
    "an index of rows": lambda y, x: y[-2:].index_fill_(1, torch.tensor([0, 2]), 5.0),
    "a mask, then rows": _mask,
    "several": _several,
    "rows are swapped": _swap,
}


def _written(into: Callable[[torch.Tensor, torch.Tensor], Any]) -> Function:
    def function(x: torch.Tensor) -> torch.Tensor:
        y = x * 2 + 1
        into(y, x)
        return y

    return function


WRITES: dict[str, Function] = {
    "rows": lambda x: (lambda y: (y[-2:].fill_(7), y + 1)[1])(x.clone()),
    "rows of two": set_rows,
    **{name: _written(into) for name, into in INTO.items()},
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_as_eager(name: str, tmp_path: Path) -> None:
    """What is written through views of sizes that the capture does not hold for, in three forms."""
    model = Model(WRITES[name]).eval()
    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=({0: Dim("rows", min=0, max=8)},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    assert "torch_tensorrt" in module.meta  # engines take the rest of the model
    forms = [in_form(module, form, tmp_path) for form in ("module", "exported_program", "torchscript")]
    with torch.no_grad():
        for size in (4, 0, 1, 2, 3, 8):
            check(forms, model, size)


def _unbound(y: torch.Tensor, x: torch.Tensor) -> None:
    columns = y.unbind(1)
    columns[0].add_(x[:, 2])
    columns[2].mul_(columns[0])


THROUGH: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "one of unbind": lambda y, x: y.unbind(1)[1].fill_(7),
    "several of unbind": _unbound,
    "unbind behind a view": lambda y, x: y.view(-1, 3, 1).unbind(2)[0].unbind(-1)[2].sub_(1),
    "unbind of what was written": lambda y, x: y.mul_(2).unbind(1)[0].add_(x[:, 1]),
    "windows": lambda y, x: y.unfold(1, 2, 2).add_(1),
    "one of the windows": lambda y, x: y.unfold(1, 1, 2)[:, 1].mul_(3),
}


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript", "aot_inductor"])
@pytest.mark.parametrize("name", THROUGH)
def test_writes_through_views_that_are_several(name: str, form: str, tmp_path: Path) -> None:
    """PyTorch writes such a view back at the sizes of the example only, and loses what lies in no window."""
    model = Model(_written(THROUGH[name])).eval()
    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=({0: Dim("rows", min=0, max=8)},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    if form == "aot_inductor" and "windows" in name:
        with pytest.raises(ValueError, match="writes through windows"):
            in_form(module, form, tmp_path)
        return
    forms = [in_form(module, form, tmp_path)]
    with torch.no_grad():
        for size in (4, 0, 1, 3, 8):
            check(forms, model, size)


RAISE = ("x[-2:][-1]", "x[1]", "amax of x[:2]", "logsumexp", "amin and amax", "unflatten")
"""Those of which eager raises for some size."""


def saved_package(model: nn.Module, min_block_size: int, tmp_path: Path) -> Any:
    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=({0: Dim("b", min=0, max=8)},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=min_block_size)
    torch_tensorrt.save(module, tmp_path / "m.pt2", output_format="aot_inductor")
    return torch_tensorrt.load(tmp_path / "m.pt2")


class Flat(Model):
    """All results in one list."""

    def forward(self, x: torch.Tensor) -> Any:
        parts, linear = super().forward(x)
        return [*torch.utils._pytree.tree_leaves(parts), linear]


TOGETHER: dict[str, list[Function]] = {
    "parts": [PARTS[name] for name in PARTS if name not in RAISE],
    "a part that raises": [PARTS["squeeze"], PARTS["x[1]"]],
    "writes": list(WRITES.values()),
}


@pytest.mark.parametrize("min_block_size", [1, 100])
@pytest.mark.parametrize("name", TOGETHER)
def test_packages_as_eager(name: str, min_block_size: int, tmp_path: Path) -> None:
    """AOTInductor's code believes the capture: what it does not hold for is an engine of PyTorch's own operators."""
    model = Flat(lambda x: [part(x) for part in TOGETHER[name]]).eval()
    run = saved_package(model, min_block_size, tmp_path)
    with torch.no_grad():
        for size in (4, 0, 1, 2, 8, 1):
            check([run], model, size)


def test_packages_whose_engines_lie_between(tmp_path: Path) -> None:
    """OpenVINO's engines lie in the middle of what needs PyTorch's own operators."""

    def between(x: torch.Tensor) -> Any:
        rows = x[-2:]
        behind = rows - torch.softmax(rows.mean(0).relu() * 2, 0)
        x = x * 2
        x[:2] += (behind.sum(0) * 3).sigmoid()
        return [behind, x, behind.squeeze(0).relu()]

    model = Flat(between).eval()
    run = saved_package(model, 1, tmp_path)
    with torch.no_grad():
        for size in (4, 0, 1, 2, 8, 1):
            check([run], model, size)


@pytest.mark.parametrize("min_block_size", [1, 100])
def test_memory_that_a_package_reads(min_block_size: int, tmp_path: Path) -> None:
    """AOTInductor's kernels read memory as that of contiguous tensors."""
    model = Model(PARTS["squeeze"]).eval()
    run, x = saved_package(model, min_block_size, tmp_path), torch.randn(3, 4).t()
    with torch.no_grad():
        torch.testing.assert_close(list(run(x)), list(model(x)))
    if min_block_size == 100:  # callers in C++ hand tensors on as they are
        with pytest.raises(RuntimeError, match="contiguous"):
            run.loader.boxed_run([x])


def test_a_package_that_cannot_be_checked_says_why_not(tmp_path: Path) -> None:
    model = Model(_written(lambda y, x: y.squeeze(0).fill_(3))).eval()
    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=({0: Dim("b", min=0, max=9)},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    with pytest.raises(ValueError, match=r"Dim\(\.\.\., min=2\)"):
        torch_tensorrt.save(module, tmp_path / "m.pt2", output_format="aot_inductor")


DERIVED: dict[str, Callable[[Any], Any]] = {
    "2 * rows": lambda rows: 2 * rows,
    "2 * rows + 1": lambda rows: 2 * rows + 1,
    "rows + 3": lambda rows: rows + 3,
    "rows": lambda rows: rows,
}


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript"])
@pytest.mark.parametrize("lowest", [0, 1])
@pytest.mark.parametrize("name", DERIVED)
def test_sizes_that_follow_from_others(name: str, lowest: int, form: str, tmp_path: Path) -> None:
    """torch.export says of `rows` that it is at least 2."""

    class Derived(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return torch.relu(x + 1) * 2, torch.sigmoid(y) * 2, torch.cat([x, y])[1:] * 3

    rows = Dim("rows", min=lowest, max=6)
    size = DERIVED[name]
    args = (torch.randn(3, 2), torch.randn(size(3), 2))
    program = torch.export.export(Derived(), args, dynamic_shapes=({0: rows}, {0: size(rows)}))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    for count in (3, lowest, 2, 6):
        inputs = (torch.randn(count, 2), torch.randn(size(count), 2))
        torch.testing.assert_close(run(*inputs), Derived()(*inputs))


class Branch(nn.Module):
    """Python reads the size, and the exported program holds one of its ways."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] > 1 else x * 3


AT_LEAST_TWO: dict[str, Any] = {"AUTO": Dim.AUTO, "DYNAMIC": Dim.DYNAMIC, "named": Dim("rows", min=2, max=8)}


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript"])
@pytest.mark.parametrize("dim", AT_LEAST_TWO)
def test_a_size_below_the_programs_range_is_an_error(dim: str, form: str, tmp_path: Path) -> None:
    """torch.export writes that it is at least 2 and not why: for want of a minimum, or since Python read the size. Its
    own module takes 1, and gives the other way's answer."""
    program = torch.export.export(Branch(), (torch.randn(4, 3),), dynamic_shapes=({0: AT_LEAST_TWO[dim]},))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    x = torch.randn(2, 3)
    assert_same(run(x), Branch()(x))
    with pytest.raises((ValueError, RuntimeError), match=r"1 is outside the range \[2, "):
        run(x[:1])


def test_a_described_minimum_is_kept() -> None:
    rows = torch_tensorrt.Input(min_shape=(2, 3), opt_shape=(4, 3), max_shape=(8, 3))
    module = torch_tensorrt.compile(nn.ReLU(), arg_inputs=[rows], min_block_size=1)
    with pytest.raises(ValueError, match=r"1 is outside the range \[2, 8\]"):
        module(torch.randn(1, 3))


@pytest.mark.parametrize("factor", [2, 3])
def test_a_size_that_is_never_alone(factor: int) -> None:
    class Pairs(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(torch.relu(x * 2).view(-1, factor).sum(1) + 1) * 2

    shapes = ({0: factor * Dim("rows", min=1, max=8)},)
    program = torch.export.export(Pairs(), (torch.randn(4 * factor),), dynamic_shapes=shapes)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for count in (4, 1, 2, 8):
        x = torch.randn(factor * count)
        torch.testing.assert_close(module(x), Pairs()(x))


def test_two_sizes() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return (x * 2).squeeze() + 1, (y + 1)[-2:], torch.cat([x.flatten(), y.flatten()]).relu()

    model = Two()
    shapes = ({0: Dim("a", min=1, max=8)}, {0: Dim("b", min=0, max=8)})
    program = torch.export.export(model, (torch.randn(4, 3), torch.randn(5, 3)), dynamic_shapes=shapes)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for rows in (1, 2, 8):
        for others in (0, 1, 3):
            args = (torch.randn(rows, 3), torch.randn(others, 3))
            assert_same(module(*args), model(*args))


@pytest.mark.parametrize("name", ["input", "sum", "x"])
def test_names_that_fx_does_not_take(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def forward(self, {name}): return ({name} * 2).squeeze() + 1, {name}[-2:].relu()", scope)
    model = type("Named", (nn.Module,), {"forward": scope["forward"]})().eval()
    program = torch.export.export(model, (torch.randn(4, 3),), dynamic_shapes=({0: Dim("rows", min=1, max=8)},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for size in (4, 1, 2, 8):
        x = torch.randn(size, 3)
        assert_same(module(x), model(x))


@pytest.mark.parametrize("lowest", [0, 1])
def test_what_holds_for_all_sizes_is_compiled(lowest: int, caplog: pytest.LogCaptureFixture) -> None:
    """Usual models are one engine as before."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()
    images = torch_tensorrt.Input(min_shape=(lowest, 3, 8, 8), opt_shape=(4, 3, 8, 8), max_shape=(8, 3, 8, 8))
    with caplog.at_level(logging.WARNING):
        module = torch_tensorrt.compile(model, arg_inputs=[images], min_block_size=1, require_full_compilation=True)
    assert not caplog.records
    with torch.no_grad():
        for size in range(lowest, 4):
            x = torch.randn(size, 3, 8, 8)
            assert_same(module(x), model(x))


def test_the_report_says_what_size() -> None:
    rows = torch_tensorrt.Input(min_shape=(1, 3), opt_shape=(4, 3), max_shape=(8, 3))
    module = torch_tensorrt.compile(Model(PARTS["squeeze"]).eval(), arg_inputs=[rows], min_block_size=1)
    (refused,) = module.meta["torch_tensorrt"]["report"].refusals
    assert (refused.target, refused.reason) == ("aten.squeeze.default", "DYNAMIC_SHAPE")
    assert "=1 its result has the shape []" in refused.message


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_no_images_beside_what_is_taken_apart(mode: str, dims: int) -> None:
    """PyTorch's shape function of the interpolation raises where its kernel does not: that is no error of the model."""

    class Resized(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.logsumexp(x, 0), torch.nn.functional.interpolate(x, scale_factor=1.5, mode=mode)

    x = torch.randn(8, 2, *[4] * dims)
    program = torch.export.export(Resized(), (x[:4],), dynamic_shapes=({0: Dim("b", min=0, max=8)},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for size in (4, 0, 1, 2, 8):
        assert_same(module(x[:size]), Resized()(x[:size]))


def test_writes_into_what_was_written() -> None:
    """The result of a write is what the next one writes into."""

    class Chained(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x * 2
            y[-2:].add_(1).mul_(3)[:1].fill_(5)
            return y.relu()

    program = torch.export.export(Chained(), (torch.randn(4, 3),), dynamic_shapes=({0: Dim("rows", min=0, max=8)},))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    for size in (4, 0, 1, 2, 8):
        x = torch.randn(size, 3)
        assert_same(module(x), Chained()(x))


VIEWS: dict[str, Function] = {
    "mT": lambda x: x.mT,
    "t": lambda x: x.t(),
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "t of a part": lambda x: x[:3].t(),
    "a row of a batch": lambda x: x.unsqueeze(0).expand(3, -1, -1)[0],
    "and itself": lambda x: (x, x.t()),
}


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript", "aot_inductor"])
def test_sizes_that_are_equal_in_the_example(form: str, tmp_path: Path) -> None:
    """PyTorch compares a result that is a view with what it is a view of, and believes what it finds."""

    class Views(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return [view(torch.relu(x + number)) for number, view in enumerate(VIEWS.values())], torch.special.i0(x).mT

    example = torch.rand(3, 3)
    program = torch.export.export(Views(), (example,), dynamic_shapes=({1: Dim("n", min=3, max=8)},))
    before = str(program.graph)
    module = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    assert str(program.graph) == before
    assert len(program.range_constraints) == 1
    for size in (3, 4, 8):
        x = torch.randn(3, size)
        assert_same(module(x), Views()(x))
