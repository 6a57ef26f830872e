# SPDX-License-Identifier: Apache-2.0
"""Python code that branches on sizes: the captured program has one branch, and never answers for the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from py_forms import in_form
from py_models import assert_same
from torch import nn
from torch.export import Dim

import torch_tensorrt

EXAMPLE, LARGEST = 5, 12
Condition = Callable[[int, int], bool]

CONDITIONS: dict[str, Condition] = {
    "odd": lambda n, m: n % 2 == 1,
    "a multiple of 3": lambda n, m: n % 3 == 0,
    "equal": lambda n, m: n == m,
    "a number": lambda n, m: n == 6,
    "a sum": lambda n, m: n + m > 9,
    "a product": lambda n, m: n * m >= 36,
    "halves": lambda n, m: n // 2 == m // 2,
    "both": lambda n, m: n % 2 == 1 and m > 4,
    "either": lambda n, m: n % 2 == 0 or m > 7,
}


class Branches(nn.Module):
    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.condition = condition

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if self.condition(x.shape[1], y.shape[0]):
            x = torch.relu(x) - 1
        return x * 2 + y.sum()


def example(n: int, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(3, n), torch.randn(m)


def exported(model: nn.Module, strict: bool = False) -> torch.export.ExportedProgram:
    sizes = Dim.AUTO(min=2, max=LARGEST)  # type: ignore[attr-defined]
    return torch.export.export(
        model.eval(), example(EXAMPLE, EXAMPLE + 1), dynamic_shapes=({1: sizes}, {0: sizes}), strict=strict
    )


def holds(module: Callable[..., torch.Tensor], condition: Condition) -> None:
    """The branch of the example is answered, and the other is an error."""
    answered = 0
    for n in range(2, LARGEST + 1):
        for m in (2, 4, EXAMPLE, EXAMPLE + 1, 9, LARGEST):
            inputs = example(n, m)
            try:
                assert_same(module(*inputs), Branches(condition)(*inputs))
                answered += 1
            except (ValueError, RuntimeError) as error:
                assert re.search("captured for sizes|outside the range|Expected input at", str(error))  # noqa: PT017
    assert answered > 0


@pytest.mark.parametrize("strict", [False, True], ids=["non-strict", "strict"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_a_branch_is_not_answered_for_the_other(name: str, strict: bool) -> None:
    condition = CONDITIONS[name]
    module = torch_tensorrt.dynamo.compile(exported(Branches(condition), strict), min_block_size=1)
    assert_same(module(*(inputs := example(EXAMPLE, EXAMPLE + 1))), Branches(condition)(*inputs))
    holds(module, condition)


@pytest.mark.parametrize("name", CONDITIONS)
def test_nor_by_a_program_that_was_saved_before(name: str, tmp_path: Path) -> None:
    torch.export.save(exported(Branches(CONDITIONS[name])), tmp_path / "program.pt2")
    program = torch.export.load(tmp_path / "program.pt2")
    holds(torch_tensorrt.dynamo.compile(program, min_block_size=1), CONDITIONS[name])


@pytest.mark.parametrize("form", ["exported_program", "torchscript"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_nor_in_another_form(name: str, form: str, tmp_path: Path) -> None:
    module = torch_tensorrt.dynamo.compile(exported(Branches(CONDITIONS[name])), min_block_size=1)
    holds(in_form(module, form, tmp_path), CONDITIONS[name])


def test_nor_by_a_package(tmp_path: Path) -> None:
    module = torch_tensorrt.dynamo.compile(exported(Branches(CONDITIONS["odd"])), min_block_size=1)
    package = in_form(module, "aot_inductor", tmp_path)
    assert_same(package(*(inputs := example(7, 9))), Branches(CONDITIONS["odd"])(*inputs))
    with pytest.raises(RuntimeError):
        package(*example(8, 9))


def test_the_error_says_where_the_sizes_are(caplog: pytest.LogCaptureFixture) -> None:
    model = Branches(CONDITIONS["odd"])
    sizes = {"min_shape": (3, 2), "opt_shape": (3, 5), "max_shape": (3, 9)}
    module = torch_tensorrt.compile(model.eval(), inputs=[torch_tensorrt.Input(**sizes), torch.randn(4)])
    assert "compiled for those with (x.size(1) % 2)" in caplog.text
    with pytest.raises(ValueError, match=r'captured for sizes with .*x\.size\(1\) % 2.*input "x", dimension 1: 4'):
        module(*example(4, 4))


def test_a_branch_on_a_number_is_said_not_to_be_checked(caplog: pytest.LogCaptureFixture) -> None:
    class Numbers(nn.Module):
        def forward(self, x: torch.Tensor, n: int) -> torch.Tensor:
            return x + 1 if n % 2 == 0 else x - 1

    program = torch.export.export(Numbers().eval(), (torch.rand(3), 7), dynamic_shapes=(None, Dim.DYNAMIC))
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1)
    assert "is about inputs that are numbers and is not checked" in caplog.text
    assert_same(module(x := torch.rand(3), 9), Numbers()(x, 9))


class Padded(nn.Module):
    """As a U-Net takes images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[-1] % 2:
            x = F.pad(x, (0, 1))
        return self.conv(x)


def test_padding_to_even_sizes() -> None:
    model = Padded().eval()
    sizes = {"min_shape": (1, 1, 4, 4), "opt_shape": (1, 1, 8, 8), "max_shape": (1, 1, 8, 16)}
    module = torch_tensorrt.compile(model, inputs=[torch_tensorrt.Input(**sizes)], min_block_size=1)
    x = torch.randn(1, 1, 6, 12)
    assert_same(module(x), model(x))
    with pytest.raises(ValueError, match="captured for sizes"):
        module(torch.randn(1, 1, 6, 11))


OPERATORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "view": lambda x: x.view(3, x.shape[0]) + 1,
    "reshape": lambda x: x.reshape(3, -1) * 2,
    "squeeze of a part": lambda x: x[1:].squeeze(0) * 2,
    "squeeze of a half": lambda x: x[: x.shape[0] // 2].squeeze(0) + 1,
    "squeeze behind pooling": lambda x: F.avg_pool1d(x.t()[None], 2).squeeze(2) + 1,
    "squeeze behind a convolution": lambda x: F.conv1d(x.t()[None], torch.ones(2, 3, 2)).squeeze(2),
    "squeeze behind resizing": lambda x: F.interpolate(x.t()[None], scale_factor=0.5).squeeze(2),
    "squeeze of a product": lambda x: (x[1:] @ x[1:].t()).squeeze(),
    "squeeze of joined parts": lambda x: torch.cat([x[1:], x[2:]]).squeeze(0),
    "squeeze of topk": lambda x: x.topk(x.shape[0] // 2, 0)[0].squeeze(0) * 2,
    "tensor_split": lambda x: torch.tensor_split(x, 2)[0] + 1,
    "second of tensor_split": lambda x: torch.tensor_split(x, 2)[1].relu() + x[0],
    "chunk": lambda x: x.chunk(2)[0].squeeze(0) + 1,
    "mean of a part": lambda x: x[1:].mean(0, keepdim=True) + x,
    "softmax of a part": lambda x: x[1:].softmax(0).squeeze(0),
    "slice": lambda x: x[:, 1:].sum(1) * 2,
    "average": lambda x: F.avg_pool1d(x.t()[None], 2) + 1,
    "joined": lambda x: torch.cat([x, x.mean(0, keepdim=True)]),
}


class Applied(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(torch.relu(x + 1))


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript"])
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_answer_where_their_guards_do_not_hold(name: str, form: str, tmp_path: Path) -> None:
    """Sizes that are computed, and of which the example's are neither 0 nor 1, nor of the other parity."""
    model = Applied(OPERATORS[name]).eval()
    sizes = {0: Dim.AUTO(min=2, max=LARGEST)}  # type: ignore[attr-defined]
    program = torch.export.export(model, (torch.randn(EXAMPLE, 3),), dynamic_shapes=(sizes,))
    (bounds,) = program.range_constraints.values()
    module = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    for n in range(int(bounds.lower), LARGEST + 1):  # type: ignore[arg-type]
        x = torch.randn(n, 3)
        assert_same(module(x), model(x))


def test_a_package_answers_there_or_refuses(tmp_path: Path) -> None:
    """Inductor's code believes the example's guards."""
    names = ["squeeze of a part", "tensor_split", "chunk", "joined"]

    class Several(nn.Module):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [OPERATORS[name](torch.special.i0(x)) for name in names]

    sizes = {0: Dim.AUTO(min=2, max=LARGEST)}  # type: ignore[attr-defined]
    program = torch.export.export(Several().eval(), (torch.rand(EXAMPLE, 3),), dynamic_shapes=(sizes,))
    package = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), "aot_inductor", tmp_path)
    for n in range(2, LARGEST + 1):
        x = torch.rand(n, 3)
        try:
            assert_same(package(x), Several()(x))
        except RuntimeError:
            assert n != EXAMPLE


@pytest.mark.parametrize("form", ["module", "exported_program", "torchscript"])
def test_an_example_that_is_a_view(form: str, tmp_path: Path) -> None:
    """torch.export may guard on the tensor that the example is a view of, and fails at its own guard afterwards."""

    class Filled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            filled = x.masked_fill(x > 1, 0.5)
            return filled.reshape(filled.shape)

    def viewed(size: int) -> torch.Tensor:
        tensor = torch.empty(8, size, 1, 0)
        return torch.stack([tensor, tensor], -1).flatten(-2)[..., ::2]

    shapes = ({1: Dim.AUTO(min=1, max=16)},)  # type: ignore[attr-defined]
    program = torch.export.export(Filled(), (viewed(5),), dynamic_shapes=shapes, strict=False)
    assert any("_base" in code for code in getattr(program, "_guards_code", ["_base"]))
    run = in_form(torch_tensorrt.dynamo.compile(program, min_block_size=1), form, tmp_path)
    for x in (viewed(5), viewed(7), torch.empty(8, 3, 1, 0)):
        assert run(x).shape == x.shape
