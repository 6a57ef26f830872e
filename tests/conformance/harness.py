# SPDX-License-Identifier: Apache-2.0
"""Compiles one function at a time and holds its engines to eager PyTorch's answers.

``TORCHTRT_CONFORMANCE_TARGET=aten`` takes the exact form alone, which refuses nothing.
``TORCHTRT_CONFORMANCE_TARGET=tensorrt`` (or ``tensorrt_rtx``) takes another target than OpenVINO. With a GPU the
functions run there and the answers are compared; what is refused is not: the expectations are OpenVINO's. Without a GPU
they are only built: a test then fails where the builder fails on what its check accepted, and is skipped once its first
function is built.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import torch_tensorrt
from torch_tensorrt._engine import engines_of

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32)
TARGET = os.environ.get("TORCHTRT_CONFORMANCE_TARGET", "openvino")
ON_CPU = TARGET in ("openvino", "aten")
ON_GPU = not ON_CPU and torch.cuda.is_available()
on_the_cpu_only = pytest.mark.skipif(
    ON_GPU,
    reason="of OpenVINO's engines, see docs/gpu.md; on a GPU PyTorch's own assertion may end the process's use of it",
)
"""Indices out of range, integers wider than engines compute with, and what is promised of the CPU's engines alone."""
BFLOAT16_IN_HARDWARE = ON_CPU and re.search(r"\bavx512_bf16\b", Path("/proc/cpuinfo").read_text()) is not None
"""Whether engines run on a processor that computes it: docs/semantics.md, "Not promised"."""


def skip_bfloat16_in_hardware(dtype: torch.dtype) -> None:
    """Skips what holds of bfloat16 where it is computed in float32 and rounded: not where the processor computes it."""
    if dtype is torch.bfloat16 and BFLOAT16_IN_HARDWARE:
        pytest.skip('the processor computes bfloat16: docs/semantics.md, "Not promised"')


torch.backends.cudnn.allow_tf32 = False  # what engines are held to is float32


class _Wrapped(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def there(values: Any) -> Any:
    """The values with their tensors where the engines run."""
    return pytree.tree_map_only(torch.Tensor, torch.Tensor.cuda, values) if ON_GPU else values


@dataclass
class Outcome:
    """What became of one function."""

    module: nn.Module
    eager: nn.Module
    refusals: dict[str, str]
    """Reason by operator, for what stayed in PyTorch."""
    engines: int

    def answer(self, *inputs: Any) -> Any:
        """The compiled module's, of inputs wherever they are."""
        return self.module(*there(inputs))

    def reference(self, *inputs: Any) -> Any:
        """Eager PyTorch's, likewise."""
        return self.eager(*there(inputs))

    def check(self, *inputs: Any, roundings: int = 1) -> None:
        """The compiled module's answer is eager's, for these inputs. `roundings`: see assert_same."""
        with torch.no_grad():
            expected = self.reference(*inputs)
            actual = self.answer(*inputs)
        # Eager's answer after a failure of the engine is no answer of the engine.
        assert not any(engine.exact_calls()[1] for engine in engines_of(self.module))
        assert_same(actual, expected, roundings, nan_is_free=ON_GPU and _has_nan(inputs))

    def check_or_raise(self, *inputs: Any) -> None:
        """The compiled module answers as eager, by whatever form, or raises an error of eager's type."""
        expected = _answer_or_error(self.reference, inputs)
        actual = _answer_or_error(self.answer, inputs)
        if isinstance(expected, type) or isinstance(actual, type):
            assert actual == expected
        else:
            assert_same(
                tuple(actual) if isinstance(actual, tuple) else actual,
                expected if isinstance(actual, torch.Tensor) else tuple(expected),
            )


def _answer_or_error(run: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    try:
        return run(*inputs)
    except (RuntimeError, IndexError, ValueError) as error:
        return type(error)


def _has_nan(values: Any) -> bool:
    tensors = [leaf for leaf in pytree.tree_leaves(values) if isinstance(leaf, torch.Tensor)]
    return any(bool(tensor.isnan().any()) for tensor in tensors if tensor.is_floating_point())


def assert_same(actual: Any, expected: Any, roundings: int = 1, nan_is_free: bool = False) -> None:
    """Equal structure, dtypes and shapes; values within torch.testing's tolerance of the dtype, or, where a result near
    zero is the rest of larger terms, within one rounding of the largest: one for each operator of a chain that rounds
    its result (`roundings`). `nan_is_free`: where NaN is expected there may be anything: TensorRT does not promise to
    pass it on (docs/gpu.md)."""
    left, left_spec = pytree.tree_flatten(actual)
    right, right_spec = pytree.tree_flatten(expected)
    assert left_spec == right_spec
    for given, other in zip(left, right, strict=True):
        free = nan_is_free and other.is_floating_point()
        one = torch.where(other.isnan(), other, given) if free else given
        atol = rtol = None
        if other.dtype in (torch.float16, torch.bfloat16) and other.numel():
            largest = other.float().nan_to_num(0, 0, 0).abs().max().item()
            default_rtol, default_atol = torch.testing._comparison.default_tolerances(other)
            rtol, atol = default_rtol, max(default_atol, roundings * largest * torch.finfo(other.dtype).eps)
        torch.testing.assert_close(one, other, rtol=rtol, atol=atol, equal_nan=True)


def compile_function(function: Callable[..., Any], *inputs: Any, dynamic: Any = None, **settings: Any) -> Outcome:
    """`dynamic`: torch.export's dynamic_shapes, one entry an input."""
    eager = function.eval() if isinstance(function, nn.Module) else _Wrapped(function).eval()
    if dynamic is not None and not isinstance(function, nn.Module):
        dynamic = (tuple(dynamic),)  # of *inputs
    if ON_GPU:
        eager, inputs = eager.cuda(), there(inputs)
        try:
            with torch.no_grad():
                eager(*inputs)
        except (
            RuntimeError,
            TypeError,
        ) as error:  # it makes tensors on the CPU, say
            pytest.skip(f"eager PyTorch does not run it on a GPU: {error}")
    try:
        program = torch.export.export(eager, inputs, dynamic_shapes=dynamic, strict=False)
    except Exception as error:
        if not ON_GPU:
            raise
        pytest.skip(f"torch.export does not capture it on a GPU: {error}")
    if not ON_CPU and not ON_GPU:
        build_only(program, **settings)
    module = torch_tensorrt.dynamo.compile(program, min_block_size=1, targets={TARGET}, **settings)
    meta = module.meta.get("torch_tensorrt")
    if meta is None:  # nothing was compiled: ask why
        return Outcome(module, eager, {"": "NOTHING_COMPILED"}, 0)
    report = meta["report"]
    return Outcome(
        module,
        eager,
        {
            item.target.removeprefix("aten."): f"{item.reason}: {item.message}"
            for item in report.refusals
            if item.target != "aten._assert_scalar.default"  # torch.export's own checks of sizes: they compute nothing
        },
        sum(block.engine for block in report.blocks),
    )


def build_only(program: torch.export.ExportedProgram, **settings: Any) -> None:
    """Builds what TARGET's check accepts; a node that is refused, even late, is no failure of the builder."""
    engines = 0
    try:
        module = torch_tensorrt.dynamo.compile(
            program, min_block_size=1, targets={TARGET}, pass_through_build_failures=True, **settings
        )
        engines = sum(block.engine for block in module.meta["torch_tensorrt"]["report"].blocks)
    except RuntimeError as error:
        if getattr(error, "refusal", None) is None:
            raise
    except KeyError:  # nothing was compiled
        pass
    pytest.skip(f"{engines} engines built for {TARGET}, which cannot run here")


def check(
    function: Callable[..., Any],
    *inputs: Any,
    dynamic: Any = None,
    more: Sequence[tuple[Any, ...]] = (),
    **settings: Any,
) -> Outcome:
    """Everything goes to engines and agrees with eager, on `inputs` and on each of `more`."""
    outcome = compile_function(function, *inputs, dynamic=dynamic, **settings)
    assert ON_GPU or not outcome.refusals, outcome.refusals
    for given in (inputs, *more):
        outcome.check(*given)
    return outcome


def check_refused(
    function: Callable[..., Any], *inputs: Any, dynamic: Any = None, reason: str, **settings: Any
) -> Outcome:
    """Something is left to PyTorch for `reason`, and the answer is eager's all the same."""
    outcome = compile_function(function, *inputs, dynamic=dynamic, **settings)
    if outcome.engines and TARGET == "openvino":
        assert reason in {text.partition(":")[0] for text in outcome.refusals.values()}, outcome.refusals
    outcome.check(*inputs)
    return outcome
