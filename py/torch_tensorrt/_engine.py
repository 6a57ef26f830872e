# SPDX-License-Identifier: Apache-2.0
"""The operators ``tensorrt::*`` as tracers see them: output shapes from the engine's metadata."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from ._compiled_graphs import programs_of
from ._library import load_binding

_MAX_UNBACKED = 2**62


@functools.lru_cache(maxsize=256)
def parse_metadata(text: str) -> dict[str, Any]:
    """The engine's metadata (src/format/README.md)."""
    document = json.loads(text)
    assert isinstance(document, dict)
    return document


@functools.lru_cache(maxsize=4096)
def _compile_expr(text: str) -> Callable[[dict[str, Any]], Any]:
    """A dimension expression as a function of its symbols, for ints and SymInts. Only arithmetic is understood."""
    import ast

    binary: dict[type, Callable[[Any, Any], Any]] = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: operator.mod,
    }
    calls = {"max": torch.sym_max, "min": torch.sym_min}

    def walk(node: ast.AST) -> Callable[[dict[str, Any]], Any]:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            number = node.value
            return lambda symbols: number
        if isinstance(node, ast.Name):
            name = node.id
            return lambda symbols: symbols[name]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = walk(node.operand)
            return lambda symbols: -inner(symbols)
        if isinstance(node, ast.BinOp) and type(node.op) in binary:
            apply, left, right = binary[type(node.op)], walk(node.left), walk(node.right)
            return lambda symbols: apply(left(symbols), right(symbols))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in calls:
            call, first, second = calls[node.func.id], walk(node.args[0]), walk(node.args[1])
            return lambda symbols: call(first(symbols), second(symbols))
        raise ValueError(f"not a dimension expression: {text!r}")

    return walk(ast.parse(text, mode="eval").body)


def _symbols_of(text: str) -> set[str]:
    import ast

    return {node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)} - {"max", "min"}


def fake_execute_engine(inputs: list[torch.Tensor], engine: Any) -> list[torch.Tensor]:
    """Empty tensors of the outputs' dtypes and shapes; sizes that only data decides become unbacked symbols."""
    _refuse_meta(inputs)
    real = getattr(engine, "real_obj", engine)
    metadata = parse_metadata(real.metadata())
    specs = metadata["inputs"]
    if not specs:
        inputs = []  # packages hand a tensor to an engine of constants
    if len(inputs) != len(specs):
        raise ValueError(f"engine {metadata.get('name', '')!r} takes {len(specs)} inputs, got {len(inputs)}")
    symbols: dict[str, Any] = {}
    for tensor, spec in zip(inputs, specs, strict=True):
        if tensor.dim() != len(spec["shape"]):
            raise ValueError(
                f"engine input {spec['name']!r} has {len(spec['shape'])} dimensions, "
                f"got {tensor.dim()}: {tuple(tensor.shape)}"
            )
        for size, dim in zip(tensor.shape, spec["shape"], strict=True):
            if isinstance(dim, str) and dim.isidentifier():
                symbols.setdefault(dim, size)
    # Inputs that decide shapes are on the CPU, wherever the engine runs.
    bound = (tensor.device for tensor, spec in zip(inputs, specs, strict=True) if not spec.get("shape_symbol"))
    device = next(bound, None) or torch.device(metadata.get("device", "cpu"))
    results = []
    for spec in metadata["outputs"]:
        shape: list[Any] = []
        for dim in spec["shape"]:
            if isinstance(dim, int):
                shape.append(dim)
                continue
            for name in sorted(_symbols_of(dim) - symbols.keys()):
                bounds = metadata.get("symbols", {}).get(name, {})
                high = bounds.get("max")
                context = torch.library.get_ctx()
                symbols[name] = context.new_dynamic_size(
                    min=max(0, bounds.get("min", 0)), max=high if high is not None and high < _MAX_UNBACKED else None
                )
            shape.append(_compile_expr(dim)(symbols))
        results.append(torch.empty(shape, dtype=getattr(torch, spec["dtype"]), device=device))
    return results


def fake_check_inputs(inputs: list[torch.Tensor], expected: str, contiguous: bool = False) -> None:
    """Nothing: only a run has something to check."""
    _refuse_meta(inputs)


def _refuse_meta(inputs: list[torch.Tensor]) -> None:
    """This is also what torch calls for meta tensors: a program that went on with them would read what is not there."""
    for index, tensor in enumerate(inputs):
        if tensor.is_meta and not isinstance(tensor, FakeTensor):
            raise ValueError(f"input {index} is a tensor without data, on device meta; give it data before the call")


def _batched(info: Any, in_dims: Any, inputs: list[torch.Tensor], engine: Any) -> tuple[list[torch.Tensor], list[int]]:
    """vmap: one run for each element of the batch."""
    runs = [
        torch.ops.tensorrt.execute_engine(
            [
                tensor if dim is None else tensor.select(dim, index)
                for tensor, dim in zip(inputs, in_dims[0], strict=True)
            ],
            engine,
        )
        for index in range(info.batch_size)
    ]
    results = [torch.stack(parts) for parts in zip(*runs, strict=True)]
    return results, [0] * len(results)


def _check_batched(
    info: Any, in_dims: Any, inputs: list[torch.Tensor], expected: str, contiguous: bool = False
) -> tuple[None, None]:
    for index in range(info.batch_size):
        own = [t if dim is None else t.select(dim, index) for t, dim in zip(inputs, in_dims[0], strict=True)]
        torch.ops.tensorrt.check_inputs(own, expected, contiguous)
    return None, None


def register() -> None:
    """Registers what tracing and vmap need; called once, when the package is imported."""
    torch.library.register_vmap("tensorrt::execute_engine", _batched)
    torch.library.register_vmap("tensorrt::check_inputs", _check_batched)
    torch.library.register_fake("tensorrt::execute_engine", fake_execute_engine)
    torch.library.register_fake("tensorrt::check_inputs", fake_check_inputs)
    # Without a result it would be dropped as dead code.
    torch.fx.node.has_side_effect(torch.ops.tensorrt.check_inputs.default)


def engines_of(module: Any) -> list[Any]:
    """The engines that a program holds, however it came to be: compiled, loaded, re-exported or scripted. Those of a
    module that torch.compile returned come with its calls."""
    if isinstance(module, torch.jit.ScriptModule):
        return list(load_binding().script_engines(module._c))
    if isinstance(module, torch.export.ExportedProgram):
        return [value for value in module.constants.values() if _is_engine(value)]
    if isinstance(module, torch.nn.Module):
        found = {id(value): value for value in vars(module).values() if _is_engine(value)}
        for child in (*module.children(), *programs_of(module)):
            found.update((id(engine), engine) for engine in engines_of(child))
        return list(found.values())
    # A package of AOTInductor holds its engines in C++: torch_tensorrt.load leaves them here.
    return list(getattr(module, PACKAGE_ENGINES, []))


PACKAGE_ENGINES = "_torch_tensorrt_engines"


def _is_engine(value: Any) -> bool:
    return isinstance(value, torch.ScriptObject) and "tensorrt.Engine" in str(value._type())
