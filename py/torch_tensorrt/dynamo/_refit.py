# SPDX-License-Identifier: Apache-2.0
"""New weights for a compiled module: its program is compared with the new one, which then is compiled like any other.

Lowering, partitioning and conversion are done again, so what depends on weights' values is right. At the end stands a
network for each engine; TensorRT's engines take its weights where they were built for it and nothing else differs, all
others are built from it. Nothing is replaced before all of it exists.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from .._capture_lock import CAPTURE_LOCK
from .._random import unchanged_random_state
from .._settings import CompilationSettings
from ..runtime._module import CompiledModule, EngineModule
from ._graph import Program
from ._nodes import attribute, value_of
from ._symbols import sizes
from ._trace import InputSpecs, collect_inputs, concrete, symbol_ranges, user_input_names

Range = tuple[int, int, int | None]
_SYMBOL = re.compile(r"(?:s|u|zf|zuf)\d+")
_TOKEN = re.compile(r"\w+|\S")


@dataclasses.dataclass(frozen=True)
class Structure:
    """What must be the same in a program whose weights replace another's. Plain data, pickled with the module."""

    inputs: tuple[tuple[str, str], ...]
    """Name, and the type, shape and device, or the value, of every flattened input."""
    nodes: tuple[tuple[str, str], ...]
    """Name and description of every node after lowering: operator, operands by position, constants by type and shape,
    results. Weights' values are not in it, numbers that are written in the model are."""
    convention: tuple[Any, Any]
    """How nested arguments and results are flattened."""
    profiles: tuple[Mapping[str, tuple[int, int, int]], ...]


def structure(program: Program, in_spec: Any, out_spec: Any) -> Structure:
    placeholders = [node for node in program.module.graph.nodes if node.op == "placeholder"]
    return Structure(
        tuple((node.name, _value_text(value_of(node))) for node in placeholders),
        tuple(_describe(program.module)),
        (in_spec, out_spec),
        program.profiles,
    )


def _value_text(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}[{', '.join(map(str, sizes(value)))}] on {value.device}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(_value_text, value))})"
    return str(value) if isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)) else repr(value)


def _describe(module: fx.GraphModule) -> Iterator[tuple[str, str]]:
    index: dict[fx.Node, int] = {}
    for node in module.graph.nodes:
        index[node] = len(index)
        if node.op == "get_attr":
            value = attribute(module, str(node.target))
            if isinstance(value, fx.GraphModule):
                yield node.name, "a subgraph"
                yield from _describe(value)
            else:
                text = _value_text(value) if isinstance(value, torch.Tensor) else type(value).__name__
                yield node.name, f"a constant {text}"
        elif node.op == "placeholder":
            yield node.name, f"an input {_value_text(value_of(node))}"
        else:
            operands = fx.node.map_arg((node.args, node.kwargs), lambda item: f"%{index[item]}")
            target = "" if node.op == "output" else str(node.target)
            yield node.name, f"{node.op} {target} {operands!r} -> {_value_text(value_of(node))}"


class _Symbols:
    """Compares descriptions whose symbols may have other names; a name stands for one name of the other side."""

    def __init__(self) -> None:
        self.compiled: dict[str, str] = {}
        self._new: dict[str, str] = {}

    def same(self, compiled: str, new: str) -> bool:
        ours, theirs = _TOKEN.findall(compiled), _TOKEN.findall(new)
        return len(ours) == len(theirs) and all(map(self._same_token, ours, theirs))

    def _same_token(self, compiled: str, new: str) -> bool:
        if not (_SYMBOL.fullmatch(compiled) and _SYMBOL.fullmatch(new)):
            return compiled == new
        return self.compiled.setdefault(new, compiled) == compiled and self._new.setdefault(compiled, new) == new


def _first_difference(
    kind: str, compiled: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]], symbols: _Symbols
) -> None:
    for (name, ours), (other, theirs) in zip(compiled, new, strict=False):
        if not symbols.same(ours, theirs):
            raise ValueError(
                f"refit_module_weights: the new program is another one: {kind} {name!r} is {ours} in the compiled "
                f"module, and {other!r} is {theirs} in the new program. Only weights may differ; compile again"
            )
    if len(compiled) != len(new):
        more, count = ("compiled module", len(new)) if len(compiled) > len(new) else ("new program", len(compiled))
        extra = (compiled if len(compiled) > len(new) else new)[count]
        raise ValueError(
            f"refit_module_weights: the new program is another one: only the {more} has {kind} {extra[0]!r}, "
            f"{extra[1]}. Only weights may differ; compile again"
        )


def _ranges(
    program: ExportedProgram, symbols: _Symbols, compiled: Mapping[str, Range], profiles: Iterable[Mapping[str, Any]]
) -> tuple[dict[str, Range], tuple[dict[str, tuple[int, int, int]], ...]]:
    """The compiled module's ranges and profiles, under the new program's names."""
    ranges = symbol_ranges(program, {})
    for name, old in symbols.compiled.items():
        if name not in ranges or old not in compiled:
            continue
        (low, _, high), (least, opt, most) = ranges[name], compiled[old]
        # Export says at least 2 of every dynamic dimension, whatever was asked.
        if (low > 2 and low > least) or (high is not None and (most is None or most > high)):
            raise ValueError(
                f"refit_module_weights: the new program is exported for sizes {low} to {high} of {name}, but the "
                f"compiled module takes {least} to {most}; export it with the ranges that the module was compiled with"
            )
        ranges[name] = (least, opt, most)
    names = {old: name for name, old in symbols.compiled.items()}
    return ranges, tuple({names.get(old, old): value for old, value in profile.items()} for profile in profiles)


def refit_module_weights(
    compiled_module: fx.GraphModule,
    new_weight_module: ExportedProgram,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    verify_output: bool = False,
    in_place: bool = False,
) -> fx.GraphModule:
    """A compiled module with the weights and buffers of another program.

    TensorRT's engines are refitted, which is quick; engines of other targets, and those that cannot be refitted, are
    built again, which costs as much as compiling.

    Args:
        compiled_module: from ``compile(..., immutable_weights=False)`` or ``compile(..., strip_engine_weights=True)``.
        new_weight_module: the same model with other weights, exported with the same inputs and ranges; with the same
            weights where only ``strip_engine_weights`` was given.
        arg_inputs: positional inputs, and `kwarg_inputs`: keyword inputs, for `verify_output`.
        verify_output: run the new program and the result on these inputs, and compare.
        in_place: put the new engines and weights into `compiled_module`, which must not run meanwhile; otherwise it
            keeps the old ones. Engines' modes have to be set again, and wrappers of the module be made again.
    Returns:
        `compiled_module`, or a new module where not in place. After an error `compiled_module` is as it was.
    Raises:
        TypeError: not a program that ``torch_tensorrt.compile`` returned, or not an ExportedProgram.
        ValueError: compiled with neither setting, or another program than the compiled one (the message names the first
            difference), or `verify_output` without inputs.
        RuntimeError: verified, and the results differ.
    """
    from ._compiler import compile_lowered
    from ._lowering import lower_in_ranges

    if not isinstance(new_weight_module, ExportedProgram):
        raise TypeError(
            "refit_module_weights: new_weight_module must be a torch.export.ExportedProgram, "
            f"got {type(new_weight_module).__name__}"
        )
    known = _known(compiled_module)
    old: Structure = known["structure"]
    settings: CompilationSettings = known["settings"]
    specs = _verification_inputs(arg_inputs, kwarg_inputs) if verify_output else None

    values = {node.name: node.meta.get("val") for node in new_weight_module.graph.nodes if node.op == "placeholder"}
    names = user_input_names(new_weight_module)
    inputs = [(name, _value_text(values.get(name))) for name in names]
    symbols = _Symbols()
    _first_difference("input", old.inputs, inputs, symbols)
    ranges, profiles = _ranges(new_weight_module, symbols, known["ranges"], old.profiles)
    with CAPTURE_LOCK:
        program, convention = lower_in_ranges(new_weight_module, settings, ranges, profiles)
    if (convention.in_spec, convention.out_spec) != old.convention:
        raise ValueError(
            "refit_module_weights: the new program takes or returns its values in other structures: "
            f"{(convention.in_spec, convention.out_spec)}, compiled were {old.convention}"
        )
    _first_difference("node", old.nodes, list(_describe(program.module)), symbols)
    # What the result has are weights: an engine that cannot be refitted is built with them.
    former = {
        child.name: (child.engine.metadata(), child.engine.payload())
        for child in compiled_module.modules()
        if isinstance(child, EngineModule)
    }
    result = compile_lowered(program, convention, dataclasses.replace(settings, strip_engine_weights=False), former)
    if result is None:
        raise ValueError("refit_module_weights: the new program gives no engine, where the compiled module has some")
    _first_difference("block", _blocks(known), _blocks(result.meta["torch_tensorrt"]), symbols)
    result.training = compiled_module.training
    if specs is not None:
        _verify(result, new_weight_module, specs, settings)
    if not in_place:
        return result
    assert isinstance(compiled_module, CompiledModule)
    _replace(compiled_module, result)
    return compiled_module


def _known(module: Any) -> dict[str, Any]:
    if not isinstance(module, CompiledModule):
        raise TypeError(
            "refit_module_weights: compiled_module must be a module of engines that torch_tensorrt.compile returned, "
            f"got {type(module).__name__}; refit it before it is saved or wrapped"
        )
    known: dict[str, Any] = module.meta.get("torch_tensorrt", {})
    if "structure" not in known:
        raise ValueError(
            "refit_module_weights: the weights of this module are immutable; compile it with immutable_weights=False "
            "or strip_engine_weights=True"
        )
    return known


def _blocks(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (block.name, f"{' '.join(block.operators)}, {len(block.inputs)} inputs, {len(block.outputs)} outputs")
        for block in known["report"].blocks
    ]


def _verification_inputs(arg_inputs: Any, kwarg_inputs: Any) -> InputSpecs:
    if arg_inputs is None and kwarg_inputs is None:
        raise ValueError("refit_module_weights: verify_output=True takes arg_inputs or kwarg_inputs to run on")
    return collect_inputs(None, arg_inputs, kwarg_inputs)


def _verify(result: CompiledModule, program: ExportedProgram, specs: InputSpecs, settings: CompilationSettings) -> None:
    """RuntimeError unless both give the same on these inputs, as far as the dtype tells."""
    assert settings.device is not None
    given = concrete(specs, settings.device.to_torch())
    # Of both what they write, buffers and inputs, is a copy.
    expected_from, actual_from = copy.deepcopy(program).module(), copy.deepcopy(result)
    with torch.no_grad(), unchanged_random_state():
        args, kwargs = _cloned(given)
        expected = pytree.tree_leaves(expected_from(*args, **kwargs))
        args, kwargs = _cloned(given)
        actual = pytree.tree_leaves(actual_from(*args, **kwargs))
    low = torch.bfloat16 if settings.inference_precision == "bfloat16" else None
    for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        try:
            _assert_close(ours, theirs, low)
        except AssertionError as error:
            raise RuntimeError(
                f"refit_module_weights: output {index} differs from the new program's, and nothing was replaced: "
                f"{error}"
            ) from error


def _cloned(given: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, given)
    return args, kwargs


def _assert_close(actual: Any, expected: Any, computed: torch.dtype | None) -> None:
    """Half of the dtype's digits, of the largest value: errors add up over a model."""
    if not isinstance(expected, torch.Tensor) or not expected.is_floating_point():
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)
        return
    precision = torch.finfo(computed or expected.dtype).eps ** 0.5
    finite = expected[expected.isfinite()].abs()
    largest = float(finite.max()) if finite.numel() else 0.0
    torch.testing.assert_close(actual, expected, rtol=precision, atol=precision * largest, equal_nan=True)


def _replace(module: CompiledModule, new: CompiledModule) -> None:
    """Engines, blocks, weights and graph of another module, which has the same ones; hooks on the root stay."""
    for kind in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
        setattr(module, kind, copy.copy(getattr(new, kind)))
    module.meta.update(new.meta)
    module.calling_convention = new.calling_convention
    module.graph = new.graph
