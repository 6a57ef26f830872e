# SPDX-License-Identifier: Apache-2.0
"""Engines have no derivative: whoever asks for one gets an error in every form, and everyone else notices nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from py_models import Mlp, Split, assert_same

import torch_tensorrt

MODELS = {"one engine": (Mlp, 16), "engines and PyTorch": (Split, 12)}
FORMS = ["module", "exported program", "torchscript"]


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for name, (kind, width) in MODELS.items():
        torch.manual_seed(0)
        model = kind().eval()
        folder = tmp_path_factory.mktemp("gradients")
        module = torch_tensorrt.compile(model, arg_inputs=[torch.rand(4, width)], min_block_size=1)
        torch_tensorrt.save(module, folder / "model.pt2")
        torch_tensorrt.save(module, folder / "model.ts", output_format="torchscript")
        found[name, "eager"] = model
        found[name, "module"] = module
        found[name, "exported program"] = torch_tensorrt.load(folder / "model.pt2").module()
        found[name, "torchscript"] = torch_tensorrt.load(folder / "model.ts")
    return found


def _backward(run: Callable[..., Any], x: torch.Tensor) -> Any:
    return run(x.requires_grad_()).sum().backward()


def _autograd_grad(run: Callable[..., Any], x: torch.Tensor) -> Any:
    return torch.autograd.grad(run(x.requires_grad_()).sum(), x)


def _func_grad(run: Callable[..., Any], x: torch.Tensor) -> Any:
    return torch.func.grad(lambda value: run(value).sum())(x)


def _vjp(run: Callable[..., Any], x: torch.Tensor) -> Any:
    result, pull = torch.func.vjp(run, x)
    return pull(torch.ones_like(result))


def _jvp(run: Callable[..., Any], x: torch.Tensor) -> Any:
    return torch.func.jvp(run, (x,), (torch.ones_like(x),))


def _jacrev(run: Callable[..., Any], x: torch.Tensor) -> Any:
    return torch.func.jacrev(run)(x)


def _dual(run: Callable[..., Any], x: torch.Tensor) -> Any:
    with torch.autograd.forward_ad.dual_level():
        return run(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))


ASKED = {run.__name__.strip("_"): run for run in (_backward, _autograd_grad, _func_grad, _vjp, _jvp, _jacrev, _dual)}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_a_derivative_is_an_error(forms: dict[Any, Any], name: str, form: str, asked: str) -> None:
    width = MODELS[name][1]
    with pytest.raises(
        (RuntimeError, NotImplementedError), match=r"computes no gradient|no derivative|not implemented"
    ):
        ASKED[asked](forms[name, form], torch.rand(4, width))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_inference_is_as_before(forms: dict[Any, Any], name: str, form: str) -> None:
    """Weights require gradients, inputs may: results are eager's, and require what eager's do by the inputs."""
    x = torch.rand(4, MODELS[name][1])
    run, model = forms[name, form], forms[name, "eager"]
    assert not run(x).requires_grad
    x.requires_grad_()
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert_same(run(x), model(x))
            assert not run(x).requires_grad
    assert_same(run(x).detach(), model(x).detach())
    assert run(x).requires_grad


class Kinds(torch.nn.Module):
    """Results of dtypes that have derivatives and of dtypes that have none, from one engine."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x * 2
        return y, y.half(), y.argmax(1), y > 1, y.to(torch.int32) + 1, y.to(torch.uint8)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_only_numbers_with_a_derivative_depend_on_inputs(form: str, grad: bool, tmp_path: Path) -> None:
    x = torch.rand(3, 4, requires_grad=grad)
    run: Any = torch_tensorrt.compile(Kinds().eval(), arg_inputs=[torch.rand(3, 4)], min_block_size=1)
    if form == "torchscript":
        torch_tensorrt.save(run, tmp_path / "model.ts", output_format="torchscript")
        run = torch_tensorrt.load(tmp_path / "model.ts")
    elif form == "exported program":
        run = torch.export.export(run, (x,)).module()  # exports what requires a gradient
    for result, right in zip(run(x), Kinds()(x), strict=True):
        assert result.requires_grad == right.requires_grad
        assert_same(result.detach(), right.detach())


@pytest.mark.parametrize("name", MODELS)
def test_vmap_runs_each_element(forms: dict[Any, Any], name: str) -> None:
    x = torch.rand(3, 4, MODELS[name][1])
    run, model = forms[name, "module"], forms[name, "eager"]
    with torch.no_grad():
        assert_same(torch.vmap(run)(x), torch.stack([model(part) for part in x]))
        assert_same(torch.vmap(run, in_dims=1)(x.transpose(0, 1)), torch.stack([model(part) for part in x]))
