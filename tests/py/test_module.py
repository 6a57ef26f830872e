# SPDX-License-Identifier: Apache-2.0
"""What a compiled module says to calls that would change it, or that it was not made for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from py_models import Mlp, Split, assert_same
from torch import nn

import torch_tensorrt

X = torch.rand(4, 16)


@pytest.fixture(scope="module")
def split() -> Any:
    """A module of engines and PyTorch blocks."""
    batch = torch_tensorrt.Input(min_shape=(1, 12), opt_shape=(4, 12), max_shape=(8, 12))
    return torch_tensorrt.compile(Split().eval(), arg_inputs=[batch], min_block_size=1)


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "half": nn.Module.half,
    "bfloat16": nn.Module.bfloat16,
    "double": nn.Module.double,
    "to a dtype": lambda module: module.to(torch.float16),
    "to a device": lambda module: module.to("meta"),
    "to both": lambda module: module.to("meta", torch.float16),
    "to_empty": lambda module: module.to_empty(device="meta"),
}
NO_CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "float": nn.Module.float,
    "cpu": nn.Module.cpu,
    "to the same": lambda module: module.to("cpu", torch.float32),
    "to a memory format": lambda module: module.to(memory_format=torch.channels_last),
    "eval": nn.Module.eval,
    "requires_grad_": lambda module: module.requires_grad_(False),
}


@pytest.mark.parametrize("inside", [False, True], ids=["itself", "within another"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_compiled_module_is_not_converted(module: Any, split: Any, change: str, inside: bool) -> None:
    for compiled in (module, split):
        with pytest.raises(RuntimeError, match=r"keeps its dtypes and its device.*convert or move the model"):
            CHANGES[change](nn.Sequential(compiled) if inside else compiled)


@pytest.mark.parametrize("change", NO_CHANGES)
def test_conversions_to_what_it_is(module: Any, model: Mlp, change: str) -> None:
    assert NO_CHANGES[change](module) is module
    with torch.no_grad():
        assert_same(module(X), model(X))


@pytest.mark.parametrize("strict", [True, False])
def test_weights_are_not_loaded_into_engines(module: Any, model: Mlp, strict: bool) -> None:
    with pytest.raises(RuntimeError, match=r"'first.weight' cannot be loaded.*refit_module_weights"):
        module.load_state_dict(model.state_dict(), strict=strict)
    outer, weights = nn.Sequential(module, nn.Linear(4, 4)), nn.Sequential(model, nn.Linear(4, 4)).state_dict()
    with pytest.raises(RuntimeError, match=r"part of its engines, '0.first.weight' cannot be loaded"):
        outer.load_state_dict(weights, strict=strict)
    outer.load_state_dict(outer.state_dict())


def test_written_state_is_loaded() -> None:
    class Counter(nn.Module):
        n: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.n += 1
            return torch.relu(x) * self.n

    module = torch_tensorrt.compile(Counter().eval(), arg_inputs=[X], min_block_size=1)
    module.load_state_dict({"n": torch.full((1,), 4.0)})
    assert_same(module(X), X * 5)


def test_a_model_elsewhere_than_the_device_asked_for(model: Mlp) -> None:
    with pytest.raises(ValueError, match=r'device=cuda:0, but the model.* on cpu: move them with \.to\("cuda:0"\)'):
        torch_tensorrt.compile(model, arg_inputs=[X], device="cuda")


def test_scripting_says_what_to_do_instead(module: Any) -> None:
    for wrapped in (module, nn.Sequential(module)):
        with pytest.raises(TypeError, match=r'torch_tensorrt.save\(module, path, output_format="torchscript"\)'):
            torch.jit.script(wrapped)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor", "torch_tensorrt"])
def test_engines_are_left_out_of_graphs_of_torch_compile(module: Any, model: Mlp, backend: str) -> None:
    torch._dynamo.reset()
    options = {"min_block_size": 1} if backend == "torch_tensorrt" else None
    ours, eager = (
        nn.Sequential(nn.Hardtanh(), module, nn.Hardtanh()),
        nn.Sequential(nn.Hardtanh(), model, nn.Hardtanh()),
    )
    around = torch.compile(ours, backend=backend, options=options)
    with torch.no_grad():
        for rows in (2, 4):
            x = torch.rand(rows, 16)
            assert_same(around(x), eager(x))
    with pytest.raises(torch._dynamo.exc.Unsupported, match="engines of torch_tensorrt run as they are"):
        torch.compile(ours, backend=backend, options=options, fullgraph=True)(X)


def test_a_compiled_module_within_torch_compile_with_pytorch_blocks(split: Any) -> None:
    torch._dynamo.reset()
    x = torch.rand(4, 12)
    assert_same(torch.compile(split, backend="aot_eager")(x), split(x))


@pytest.mark.parametrize("strict", [True, False])
def test_export_sees_the_engines(module: Any, model: Mlp, strict: bool) -> None:
    program = torch.export.export(module, (X,), strict=strict)
    assert any(node.target is torch.ops.tensorrt.execute_engine.default for node in program.graph.nodes)
    with torch.no_grad():
        assert_same(program.module()(X), model(X))
