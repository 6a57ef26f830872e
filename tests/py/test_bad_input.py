# SPDX-License-Identifier: Apache-2.0
"""Inputs that a program was not compiled for: the same clear errors from every kind of module, and it lives on.

Two programs: one that is an engine and nothing else, and one whose inputs meet PyTorch first. The second matters most
in AOTInductor packages, whose kernels read memory as the exported types, sizes and strides say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from py_forms import in_form
from py_models import Mlp, assert_same
from torch import nn

import torch_tensorrt

KINDS = ["module", "exported_program", "torchscript", "aot_inductor"]


class PyTorchFirst(nn.Module):
    """Both inputs are taken by operators that no engine has (a cumulative maximum) or may have (sin, see below)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = torch.relu(self.linear(torch.sin(x) * 2)) + 1
        return torch.softmax(z, -1), torch.cummax(torch.sin(y) + y.sum(0), 0).values


def batch(low: int, high: int, width: int, name: str) -> torch_tensorrt.Input:
    return torch_tensorrt.Input(
        min_shape=(low, width), opt_shape=(4, width), max_shape=(high, width), dtype=torch.float32, name=name
    )


@pytest.fixture(scope="module", params=KINDS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, nn.Module]:
    """One engine, batch 1 to 8."""
    torch.manual_seed(0)
    model = Mlp(12).eval()
    module = torch_tensorrt.compile(model, arg_inputs=[batch(1, 8, 12, "x")])
    return in_form(module, request.param, tmp_path_factory.mktemp("whole")), model


@pytest.fixture(scope="module", params=KINDS)
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, nn.Module, str]:
    """PyTorch before the engine; x has 1 to 8 rows, y 2 to 6."""
    torch.manual_seed(0)
    model = PyTorchFirst().eval()
    module = torch_tensorrt.compile(
        model,
        arg_inputs=[batch(1, 8, 12, "x"), batch(2, 6, 3, "y")],
        min_block_size=1,
        torch_executed_ops={torch.ops.aten.sin.default},
    )
    assert torch_tensorrt.runtime.engine_modules(module)
    return in_form(module, request.param, tmp_path_factory.mktemp("first")), model, request.param


X = torch.rand(4, 12)
Y = torch.rand(3, 3)
# The input, and what the message must say of the value that came and of what was expected.
BAD_X: dict[str, tuple[torch.Tensor, str]] = {
    "double": (X.double(), r'input "x".*expected dtype float32.*got float64'),
    "half": (X.half(), r'input "x".*expected dtype float32.*got float16'),
    "integer": (X.long(), r'input "x".*expected dtype float32.*got int64'),
    "complex": (X.to(torch.complex64), r'input "x".*expected dtype float32.*got another dtype'),
    "wide": (torch.rand(4, 13), r'(input "x", dimension 1.*12.*13|args\[0\].shape\[1\].*12.*13)'),
    "high rank": (torch.rand(4, 12, 1), r'(input "x".*2 dim.*3|dimensions in input at \*args\[0\].*\[4, 12, 1\])'),
    "low rank": (torch.rand(12), r'(input "x".*2 dim.*1|dimensions in input at \*args\[0\].*\[12\])'),
    "too many rows": (torch.rand(9, 12), r'(input "x", dimension 0: 9.*\[1, 8\]|args\[0\].shape\[0\] to be <= 8.*9)'),
    "no rows": (torch.rand(0, 12), r'(input "x", dimension 0: 0.*\[1, 8\]|args\[0\].shape\[0\] to be >= 1.*0)'),
    "no data": (X.to("meta"), r"input 0 .*meta"),
    "sparse": (X.to_sparse(), r"input 0 .*Sparse tensor"),
}


@pytest.mark.parametrize("name", BAD_X)
def test_engines_refuse(whole: tuple[Any, nn.Module], name: str) -> None:
    run, model = whole
    bad, message = BAD_X[name]
    with pytest.raises(Exception, match=f"(?s){message}"):
        run(bad)
    with torch.no_grad():
        assert_same(run(X), model(X))


@pytest.mark.parametrize("name", BAD_X)
def test_programs_refuse_before_pytorch_computes(first: tuple[Any, nn.Module, str], name: str) -> None:
    run, model, _ = first
    bad, message = BAD_X[name]
    with pytest.raises(Exception, match=f"(?s){message}"):
        run(bad, Y)
    with torch.no_grad():
        assert_same(tuple(run(X, Y)), model(X, Y))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.rand(7, 3), r'(input "y", dimension 0: 7.*\[2, 6\]|args\[1\].shape\[0\] to be <= 6.*7)'),
        (torch.rand(1, 3), r'(input "y", dimension 0: 1.*\[2, 6\]|args\[1\].shape\[0\] to be >= 2.*1)'),
        (torch.rand(3, 4), r'(input "y", dimension 1.*3.*4|args\[1\].shape\[1\].*3.*4)'),
        (Y.double(), r'input "y".*expected dtype float32.*got float64'),
    ],
)
def test_inputs_that_no_engine_takes(first: tuple[Any, nn.Module, str], bad: torch.Tensor, message: str) -> None:
    with pytest.raises(Exception, match=f"(?s){message}"):
        first[0](X, bad)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_count(first: tuple[Any, nn.Module, str], count: int) -> None:
    with pytest.raises(Exception, match=r"argument|inputs") as raised:
        first[0](*[X, Y, Y][:count])
    if first[2] == "aot_inductor":
        assert f"expected 2 inputs ('x', 'y'), got {count}" in str(raised.value)


@pytest.mark.parametrize("bad", [X.numpy(), [1.0, 2.0], [Y], None, 3], ids=["array", "list", "tensors", "None", "3"])
@pytest.mark.parametrize("at", [0, 1])
def test_no_tensor_where_pytorch_is_first(first: tuple[Any, nn.Module, str], at: int, bad: Any) -> None:
    given = [X, Y]
    given[at] = bad
    named = rf"'{'xy'[at]}'.*(ndarray|list|NoneType|int)"
    message = {"module": f"input {named}", "aot_inductor": f"input {named}"}.get(first[2], r"(?i)tensor|expected|tree")
    with pytest.raises(Exception, match=message):
        first[0](*given)


@pytest.mark.parametrize("bad", ["text", None, 3], ids=str)
def test_no_tensor(whole: tuple[Any, nn.Module], bad: Any) -> None:
    with pytest.raises(Exception, match=r"(?i)tensor|inputs|attribute|expected|tree"):
        whole[0](bad)
    with torch.no_grad():
        assert_same(whole[0](X), whole[1](X))


STRIDED = {
    "transposed": torch.rand(12, 4).t(),
    "every second": torch.rand(4, 24)[:, ::2],
    "expanded": torch.rand(1, 12).expand(4, 12),
    "negated": torch._neg_view(torch.rand(4, 12)),
}


@pytest.mark.parametrize("name", STRIDED)
def test_strided_inputs_of_engines(whole: tuple[Any, nn.Module], name: str) -> None:
    x = STRIDED[name]
    with torch.no_grad():
        assert_same(whole[0](x), whole[1](x))


@pytest.mark.parametrize("name", STRIDED)
def test_strided_inputs_of_pytorch(first: tuple[Any, nn.Module, str], name: str) -> None:
    run, model, kind = first
    x = STRIDED[name]
    with torch.no_grad():
        assert_same(tuple(run(x, Y)), model(x, Y))
        if kind == "aot_inductor":  # callers in C++ hand tensors on as they are
            with pytest.raises(RuntimeError, match=r'input "x": expected a contiguous tensor'):
                run.loader.boxed_run([x, Y])


def test_not_a_number(whole: tuple[Any, nn.Module]) -> None:
    x = X.clone()
    x[1, 3] = torch.nan
    x[2, 5] = torch.inf
    with torch.no_grad():
        torch.testing.assert_close(whole[0](x), whole[1](x), equal_nan=True)


def test_one_size_in_two_inputs(tmp_path: Path) -> None:
    class Add(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.relu(torch.sin(x) + torch.sin(y)) * 2

    rows = torch.export.Dim("rows", min=1, max=8)
    model, shapes = Add().eval(), ({0: rows}, {0: rows})
    program = torch.export.export(model, (X, X + 1), dynamic_shapes=shapes)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1, torch_executed_ops={torch.ops.aten.sin.default})
    for kind in KINDS:
        run = in_form(module, kind, tmp_path)
        assert_same(run(X, X + 1), model(X, X + 1))
        with pytest.raises(Exception, match=r"(?s)(expected 4, as in input \"x\"|to be equal to).*3"):
            run(X, X[:3])
