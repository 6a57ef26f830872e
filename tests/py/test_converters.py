# SPDX-License-Identifier: Apache-2.0
"""Converters of users: registered from Python, built from layers with TensorRT's names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from py_models import assert_same
from torch.fx.node import Argument, Target

import torch_tensorrt
from torch_tensorrt._engine import engines_of
from torch_tensorrt.dynamo.conversion import (
    ConversionContext,
    ConverterPriority,
    Tensor,
    dynamo_tensorrt_converter,
)

TRTTensor = Tensor


@pytest.fixture
def registered() -> Iterator[list[Any]]:
    """Functions put here are taken out of the registry at the end."""
    functions: list[Any] = []
    yield functions
    for function in functions:
        function.registration.remove()


class Nonzero(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(torch.relu(x))


class Cumulative(torch.nn.Module):
    """An operator that torchtrt has no converter for, between two that it has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.cummax(torch.relu(x), dim=1).values)


def report_of(module: Any) -> Any:
    return module.meta["torch_tensorrt"]["report"]


def test_the_documented_example(registered: list[Any]) -> None:
    calls = []

    @dynamo_tensorrt_converter(
        torch.ops.aten.nonzero.default,
        supports_dynamic_shapes=True,
        requires_output_allocator=True,
    )
    def aten_ops_nonzero(
        ctx: ConversionContext,
        target: Target,
        args: tuple[Argument, ...],
        kwargs: dict[str, Argument],
        name: str,
    ) -> TRTTensor | Sequence[TRTTensor]:
        calls.append((target, name, ctx.current_node))
        non_zero = ctx.net.add_non_zero(args[0])
        layer = ctx.net.add_shuffle(non_zero.get_output(0))
        layer.first_transpose = (1, 0)
        return layer.get_output(0)

    registered.append(aten_ops_nonzero)
    batch = torch_tensorrt.Input(min_shape=(1, 5), opt_shape=(4, 5), max_shape=(8, 5))
    module = torch_tensorrt.compile(Nonzero(), inputs=[batch], min_block_size=1)
    assert calls
    assert calls[0][0] is torch.ops.aten.nonzero.default
    assert calls[0][2].name == calls[0][1]
    (engine,) = engines_of(module)
    assert engine.requires_output_allocator()
    for x in (torch.randn(4, 5), torch.randn(7, 5), -torch.ones(3, 5)):
        assert_same(module(x), Nonzero()(x))


def test_a_new_operator_validated_and_left_to_pytorch(registered: list[Any]) -> None:
    seen = []

    def validate(node: torch.fx.Node, settings: Any) -> bool:
        seen.append((node.target, settings.min_block_size))
        return bool(node.args[1] == 0)

    @dynamo_tensorrt_converter(torch.ops.aten.cummax.default, capability_validator=validate)
    def never(ctx: ConversionContext, target: Any, args: Any, kwargs: Any, name: str) -> Any:
        raise AssertionError("not for dimension 1")

    registered.append(never)
    x = torch.randn(3, 4)
    module = torch_tensorrt.compile(Cumulative(), inputs=[x], min_block_size=1)
    assert seen
    assert seen[0] == (torch.ops.aten.cummax.default, 1)
    (refusal,) = report_of(module).refusals
    assert "says that it is not for this node" in refusal.message
    assert_same(module(x), Cumulative()(x))


def test_not_implemented_leaves_the_node_to_pytorch(registered: list[Any]) -> None:
    @dynamo_tensorrt_converter(torch.ops.aten.cummax.default)
    def refuses(ctx: ConversionContext, target: Any, args: Any, kwargs: Any, name: str) -> Any:
        raise NotImplementedError("only on Sundays")

    registered.append(refuses)
    x = torch.randn(3, 4)
    module = torch_tensorrt.compile(Cumulative(), inputs=[x], min_block_size=1)
    (refusal,) = report_of(module).refusals
    assert (refusal.reason, refusal.message) == ("ATTRIBUTE", "only on Sundays")
    assert_same(module(x), Cumulative()(x))


def test_dynamic_shapes_have_to_be_declared(registered: list[Any]) -> None:
    @dynamo_tensorrt_converter(torch.ops.aten.cummax.default)
    def static_only(ctx: ConversionContext, target: Any, args: Any, kwargs: Any, name: str) -> Any:
        raise AssertionError("not for dynamic shapes")

    registered.append(static_only)
    batch = torch_tensorrt.Input(min_shape=(1, 4), opt_shape=(4, 4), max_shape=(8, 4))
    module = torch_tensorrt.compile(Cumulative(), inputs=[batch], min_block_size=1)
    (refusal,) = report_of(module).refusals
    assert refusal.reason == "DYNAMIC_SHAPE"


def test_a_converter_that_raises_names_the_node_and_its_source_line(registered: list[Any]) -> None:
    @dynamo_tensorrt_converter(torch.ops.aten.cummax.default)
    def breaks(ctx: ConversionContext, target: Any, args: Any, kwargs: Any, name: str) -> Any:
        return ctx.net.add_softmax(args[0]).get_output(7)

    registered.append(breaks)
    with pytest.raises(
        RuntimeError, match=r"breaks \(test_converters\.py:\d+\) failed on node 'cummax'.*IndexError"
    ) as caught:
        torch_tensorrt.compile(Cumulative(), inputs=[torch.randn(3, 4)], min_block_size=1)
    assert "test_converters.py" in str(caught.value).split("; from ")[1]
    assert isinstance(caught.value.__cause__, IndexError)


def test_priority(registered: list[Any]) -> None:
    """Ours comes after all registered converters, whatever their priority, and takes what they refuse."""

    def scale(by: float, ctx: ConversionContext, target: Any, args: Any, kwargs: Any, name: str) -> Any:
        factor = ctx.net.add_constant((1, 1), torch.tensor([by]))
        return ctx.net.add_elementwise(args[0], factor.get_output(0), "PROD").get_output(0)

    x = torch.ones(2, 3)
    model = torch.nn.ReLU().eval()

    def answer() -> torch.Tensor:
        return torch_tensorrt.compile(model, inputs=[x], min_block_size=1)(x)

    relu = torch.ops.aten.relu.default
    registered.append(dynamo_tensorrt_converter(relu, capability_validator=lambda node: False)(partial(scale, 7.0)))
    assert_same(answer(), x)
    registered.append(dynamo_tensorrt_converter(relu)(partial(scale, 0.5)))
    assert_same(answer(), x / 2)
    registered.append(dynamo_tensorrt_converter(relu, priority=ConverterPriority.HIGH)(partial(scale, 0.25)))
    registered.append(dynamo_tensorrt_converter(relu)(partial(scale, 7.0)))
    assert_same(answer(), x / 4)


def test_wrong_keys_and_attributes(registered: list[Any]) -> None:
    with pytest.raises(TypeError, match="expected an operator's overload"):
        dynamo_tensorrt_converter("aten.relu")

    @dynamo_tensorrt_converter(torch.ops.aten.cummax.default)
    def misspells(ctx: ConversionContext, target: Any, args: Any, kwargs: Any, name: str) -> Any:
        layer = ctx.net.add_shuffle(args[0])
        layer.first_transposition = (1, 0)

    registered.append(misspells)
    with pytest.raises(RuntimeError, match="has no attribute 'first_transposition'; it has first_transpose"):
        torch_tensorrt.compile(Cumulative(), inputs=[torch.randn(3, 4)], min_block_size=1)
