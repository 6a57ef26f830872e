# SPDX-License-Identifier: Apache-2.0
"""Capture: from a module and a description of its inputs to an ExportedProgram."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree
from torch.utils._sympy.value_ranges import ValueRanges

from .._capture_lock import CAPTURE_LOCK
from .._device import Device
from .._input import Input
from ._counts import selections_may_be_empty
from ._symbols import finite, size_expr, sizes

LARGEST_SIZE = 2**31 - 1
"""Upper bound of sizes that nobody bounded: engines count in 32 bits, and converters need to know that they can."""


def module_device(module: torch.nn.Module) -> torch.device | None:
    """Where the module's parameters or buffers are; None if it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return None


@dataclasses.dataclass
class InputSpecs:
    """The inputs as the user described them, as positional and keyword arguments of forward."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def leaves(self) -> list[Any]:
        return list(pytree.tree_leaves((self.args, self.kwargs), is_leaf=lambda item: isinstance(item, Input)))

    def device(self) -> torch.device | None:
        """Where the first tensor among them is; None where all are described."""
        return next((leaf.device for leaf in self.leaves() if isinstance(leaf, torch.Tensor)), None)

    def profile_count(self) -> int:
        """How many optimization profiles the inputs have together; ValueError where their numbers disagree."""
        counts = sorted({len(leaf.profiles) for leaf in self.leaves() if isinstance(leaf, Input)} - {1})
        if len(counts) > 1:
            raise ValueError(
                "all inputs of a model must have the same number of optimization profiles, or one, "
                f"got {' and '.join(map(str, counts))}"
            )
        return counts[0] if counts else 1


def _as_sequence(inputs: Any, what: str) -> tuple[Any, ...]:
    if isinstance(inputs, (torch.Tensor, Input)) or not isinstance(inputs, Sequence):
        inputs = (inputs,)
    for item in pytree.tree_leaves(tuple(inputs), is_leaf=lambda leaf: isinstance(leaf, Input)):
        _check_leaf(item, what)
    return tuple(inputs)


def _check_leaf(item: Any, what: str) -> None:
    if not (item is None or isinstance(item, (torch.Tensor, Input, bool, int, float, str))):
        raise TypeError(f"{what}: expected tensors, torch_tensorrt.Input or Python numbers, got {type(item).__name__}")


def collect_inputs(inputs: Any, arg_inputs: Any, kwarg_inputs: Any) -> InputSpecs:
    """AssertionError unless exactly one of `inputs` and `arg_inputs` is given."""
    if inputs is not None and arg_inputs is not None:
        raise AssertionError("'arg_inputs' and 'inputs' should not be used at the same time.")
    positional = inputs if inputs is not None else arg_inputs
    if positional is None and kwarg_inputs is None:
        raise AssertionError("'arg_inputs' and 'inputs' should not both be None.")
    kwargs = dict(kwarg_inputs or {})
    for item in pytree.tree_leaves(kwargs, is_leaf=lambda leaf: isinstance(leaf, Input)):
        _check_leaf(item, "kwarg_inputs")
    return InputSpecs(() if positional is None else _as_sequence(positional, "arg_inputs"), kwargs)


def _example(item: Any, device: torch.device) -> Any:
    if isinstance(item, Input):
        # Export specializes sizes 0 and 1, so a dynamic dimension never has one of them in the example.
        sizes = [
            opt if low == high or opt >= 2 else min(2, high)
            for low, opt, high in zip(item.min_shape, item.opt_shape, item.max_shape, strict=True)
        ]
        # Its own generator: compiling draws none of the caller's random numbers.
        return item._example(sizes, device, torch.Generator(device).manual_seed(0))
    # A tensor given twice would be taken for one input.
    return item.clone() if isinstance(item, torch.Tensor) else item


def concrete(specs: InputSpecs, device: torch.device) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments to call a module with: examples in place of descriptions."""
    is_input = lambda leaf: isinstance(leaf, Input)  # noqa: E731
    args = pytree.tree_map(lambda item: _example(item, device), specs.args, is_leaf=is_input)
    return args, pytree.tree_map(lambda item: _example(item, device), specs.kwargs, is_leaf=is_input)


def _dynamic_dims(item: Any) -> Any:
    if not isinstance(item, Input) or not item.is_dynamic:
        return None
    return {
        axis: Dim.DYNAMIC(min=low, max=high)
        for axis, (low, high) in enumerate(zip(item.min_shape, item.max_shape, strict=True))
        if low != high
    }


def _equal_dims(leaves: Sequence[Any]) -> list[list[tuple[int, int | None]]]:
    """Groups of (input, axis) that are one size: those of one name in ``shared_dims``, and the first dimensions of all
    inputs that have the same range there (the batch) unless ``shared_dims`` names them differently."""
    groups: dict[Any, list[tuple[int, int | None]]] = {}
    for index, item in enumerate(leaves):
        if not isinstance(item, Input):
            continue
        for axis, (low, high) in enumerate(zip(item.min_shape, item.max_shape, strict=True)):
            name = item.shared_dims.get(axis)
            if low != high and (name is not None or axis == 0):
                ranges = tuple(shape[axis] for profile in item.profiles for shape in profile)
                groups.setdefault((name, ranges), []).append((index, axis))
    return [group for group in groups.values() if len(group) > 1]


def unify(program: ExportedProgram, groups: Iterable[Sequence[tuple[int, int | None]]]) -> None:
    """Makes one symbol of sizes that the caller knows to be equal, where the model did not force it. A group lists
    (input, axis) by the inputs' flattened order; the axis is None for an input that is a number."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs: list[Any] = [values.get(name) for name in user_input_names(program)]
    equal: list[tuple[Any, Any]] = []
    for group in groups:
        known = [
            value if axis is None else sizes(value)[axis]
            for index, axis in group
            if isinstance(value := inputs[index], torch.Tensor) or axis is None
        ]
        equal += [(size, known[0]) for size in known[1:]]
    equate(program, equal)


def equate(program: ExportedProgram, equal: Iterable[tuple[Any, Any]]) -> None:
    """Makes one size of each pair of sizes of the program's inputs, which are equal in its example."""
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"]
    for size, other in equal:
        # Asking whether two sizes are equal, when they are in the example, makes export's shape environment
        # remember that they are: one symbol replaces the other in every shape of the program.
        if isinstance(size, torch.SymInt) and isinstance(other, torch.SymInt):
            bool(size == other)
    environment, ranges = _shape_environment(values), program.range_constraints
    for symbol in list(ranges) if environment is not None else ():
        if (other := environment.replace(symbol)) != symbol:
            bounds = ranges.pop(symbol)
            if other in ranges:
                ranges[other] &= bounds


def _shape_environment(values: Iterable[Any]) -> Any:
    for value in values:
        for size in sizes(value) if isinstance(value, torch.Tensor) else ():
            if isinstance(size, torch.SymInt):
                return size.node.shape_env
    return None


def check_ir(ir: str, context: str) -> None:
    """ValueError for a front end that is not this one."""
    if ir not in ("dynamo", "default"):
        raise ValueError(f'torch_tensorrt.{context}: ir must be "dynamo" or "default" here, got {ir!r}')


def trace(
    mod: torch.nn.Module | torch.fx.GraphModule,
    inputs: Any = None,
    *,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    strict: bool = False,
    device: Any = None,
    ir: str = "dynamo",
    **unused: Any,
) -> ExportedProgram:
    """Exports the module.

    Args:
        mod: a module; a GraphModule is exported like any other.
        inputs: or `arg_inputs`: positional inputs as tensors, ``Input`` or nested structures of them.
        kwarg_inputs: keyword inputs.
        dynamic_shapes: as in ``torch.export.export``; replaces what the ``Input`` ranges say. One symbol is made for
            every dynamic dimension; dimensions that the model forces to be equal share one.
        strict: as in ``torch.export.export``.
        device: of ``Input``s without a tensor beside them and of a module without parameters and buffers. None: a GPU,
            if PyTorch has one and a target for GPUs is installed or asked for; otherwise the CPU.
        ir: "dynamo" or "default", which are the same here; scripts pass on what ``torch_tensorrt.compile`` takes.
    Raises:
        AssertionError: both or neither of `inputs` and `arg_inputs`.
        torch._dynamo.exc.UserError: PyTorch cannot export the module with these dynamic dimensions.
    """
    from .._settings import default_device, make_settings

    check_ir(ir, "dynamo.trace")
    settings = make_settings(unused, context="dynamo.trace")
    specs = collect_inputs(inputs, arg_inputs, kwarg_inputs)
    specs.profile_count()
    where = module_device(mod) or specs.device()
    if where is None:
        where = default_device(settings.targets) if device is None else Device._from(device).to_torch()
    args, kwargs = concrete(specs, where)
    is_input = lambda leaf: isinstance(leaf, Input)  # noqa: E731
    ranges_given = dynamic_shapes is None
    if dynamic_shapes is None:
        leaves = specs.leaves()
        if any(isinstance(leaf, Input) and leaf.is_dynamic for leaf in leaves):
            arg_shapes = pytree.tree_map(_dynamic_dims, specs.args, is_leaf=is_input)
            kwarg_shapes = pytree.tree_map(_dynamic_dims, specs.kwargs, is_leaf=is_input)
            dynamic_shapes = by_parameter_name(mod, arg_shapes, kwarg_shapes)
    with CAPTURE_LOCK, torch.no_grad(), selections_may_be_empty(), _unchanged(mod):
        program = torch.export.export(mod, args, kwargs, dynamic_shapes=dynamic_shapes, strict=strict)
    if ranges_given:
        unify(program, _equal_dims(specs.leaves()))
        _restore_ranges(program, specs)
    return program


@contextlib.contextmanager
def _unchanged(module: torch.nn.Module) -> Iterator[None]:
    """A block in which the module's tensors may change, but no longer: torch.export runs what writes into tensors that
    it does not know as buffers."""
    before = [(tensor, tensor._version, tensor.clone()) for tensor in _own_tensors(module) if not tensor.is_inference()]
    try:
        yield
    finally:
        for tensor, version, value in before:
            if tensor._version != version:
                tensor.copy_(value)


def _own_tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    """Buffers, and tensors in other attributes of modules and in containers and objects there; no parameters."""
    known = {id(tensor) for tensor in module.parameters()}
    found: dict[int, torch.Tensor] = {}
    seen: set[int] = set()
    open_: list[Any] = [
        value
        for child in module.modules()
        for name, value in vars(child).items()
        if name not in ("_parameters", "_modules")
    ]
    while open_:
        item = open_.pop()
        if id(item) in seen or isinstance(item, (torch.nn.Module, types.ModuleType)) or callable(item):
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            if id(item) not in known and not isinstance(item, FakeTensor):
                found[id(item)] = item
        elif isinstance(item, Mapping):
            open_ += item.values()
        elif isinstance(item, (list, tuple, set)):
            open_ += item
        elif hasattr(item, "__dict__") and not type(item).__module__.startswith("torch."):  # such as a graph
            open_ += vars(item).values()
    return list(found.values())


def by_parameter_name(mod: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to each argument of forward, under the parameter's name as torch.export wants dynamic shapes."""
    signature = inspect.signature(mod.forward)
    named: dict[str, Any] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[name] = value
    return named


def user_input_names(program: ExportedProgram) -> list[str]:
    """The user inputs' placeholder names, in the order of the flattened arguments."""
    return [str(name) for name in program.graph_signature.user_inputs]


def _restore_ranges(program: ExportedProgram, specs: InputSpecs) -> None:
    """Puts the user's bounds back: export reports at least 2 for every dynamic dimension, whatever was asked."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    for name, spec in zip(user_input_names(program), specs.leaves(), strict=True):
        value = values.get(name)
        if not isinstance(spec, Input) or not isinstance(value, torch.Tensor):
            continue
        for axis, size in enumerate(sizes(value)):
            if not isinstance(size, torch.SymInt):
                continue
            expr = size.node.expr
            if isinstance(expr, sympy.Symbol) and expr in program.range_constraints:
                known = program.range_constraints[expr]
                lower, upper = finite(known.lower) or 0, finite(known.upper)
                lower = spec.min_shape[axis] if lower <= 2 else max(lower, spec.min_shape[axis])
                upper = spec.max_shape[axis] if upper is None else min(upper, spec.max_shape[axis])
                program.range_constraints[expr] = ValueRanges(lower, upper)


def optimal_sizes(program: ExportedProgram, specs: InputSpecs | None) -> dict[str, int]:
    """The size each symbol is tuned for: the Input's ``opt_shape``, else the example's size."""
    found: dict[str, int] = {}
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names = user_input_names(program)
    leaves: list[Any] = specs.leaves() if specs is not None else []
    if len(leaves) != len(names):
        leaves = [None] * len(names)
    for name, spec in zip(names, leaves, strict=True):
        value = values.get(name)
        for axis, size in enumerate(sizes(value) if isinstance(value, torch.Tensor) else ()):
            if isinstance(size, torch.SymInt) and isinstance(size.node.expr, sympy.Symbol):
                if isinstance(spec, Input) and axis < len(spec.opt_shape):
                    found[size.node.expr.name] = spec.opt_shape[axis]
                elif size.node.has_hint():
                    hint: Any = size.node.hint
                    found.setdefault(size.node.expr.name, int(hint))
    return found


def symbol_ranges(program: ExportedProgram, optimal: Mapping[str, int]) -> dict[str, tuple[int, int, int | None]]:
    """(min, opt, max) of every symbol; max None where there is no limit."""
    ranges: dict[str, tuple[int, int, int | None]] = {}
    for symbol, bounds in program.range_constraints.items():
        if not isinstance(symbol, sympy.Symbol):
            continue  # a size that follows from others: so does its range
        low, high = max(0, finite(bounds.lower) or 0), finite(bounds.upper)
        if high is None and not symbol.name.startswith("u"):
            high = LARGEST_SIZE
        opt = max(low, optimal.get(symbol.name, max(low, 1)))
        ranges[symbol.name] = (low, opt if high is None else min(opt, high), high)
    for size, bounds in program.range_constraints.items():
        # Of `s` in `2*s` torch.export says that it is at least 2, whatever it says of the size itself.
        if not isinstance(size, sympy.Symbol) and len(size.free_symbols) == 1:
            (symbol,) = size.free_symbols
            least, (low, opt, high) = finite(bounds.lower), ranges.get(symbol.name, (0, 1, None))
            if least is not None and low == 2 and symbol.name in ranges:
                allowed = [small for small in (0, 1) if int(size.xreplace({symbol: sympy.Integer(small)})) >= least]
                ranges[symbol.name] = (min([low, *allowed]), opt, high)
    return ranges


def profile_ranges(
    program: ExportedProgram, specs: InputSpecs | None, ranges: Mapping[str, tuple[int, int, int | None]]
) -> tuple[dict[str, tuple[int, int, int]], ...]:
    """(min, opt, max) of the inputs' symbols in each optimization profile; nothing where there is one profile.

    Raises:
        ValueError: a profile that no shapes are in, or that gives a dimension which follows from others another range.
    """
    if specs is None or specs.profile_count() == 1:
        return ()
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names, leaves = user_input_names(program), specs.leaves()
    if len(names) != len(leaves):
        raise ValueError(f"the program has {len(names)} inputs, but {len(leaves)} were described, with profiles")
    described = [
        (name, spec, [size_expr(size) for size in sizes(value)])
        for name, spec in zip(names, leaves, strict=True)
        if isinstance(spec, Input) and isinstance(value := values.get(name), torch.Tensor)
    ]
    return tuple(_profile(index, described, ranges) for index in range(specs.profile_count()))


def _profile(
    index: int, described: Sequence[tuple[str, Input, list[sympy.Expr]]], ranges: Mapping[str, Any]
) -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    derived: list[tuple[str, int, sympy.Expr, int, int]] = []
    for name, spec, dims in described:
        profile = spec.profiles[index if len(spec.profiles) > 1 else 0]
        for axis, (dim, low, opt, high) in enumerate(zip(dims, *profile, strict=True)):
            if not isinstance(dim, sympy.Symbol):
                derived.append((name, axis, dim, low, high))
                continue
            least, usual, most = found.get(dim.name) or ranges[dim.name]
            lower, upper = max(low, least), high if most is None else min(high, most)
            if lower > upper:
                raise ValueError(
                    f"optimization profile {index}: input {name!r} takes sizes {low} to {high} in dimension {axis}, "
                    f"but {least} to {most} is all that the model and the inputs of that size before it leave"
                )
            kept = usual if dim.name in found and (lower, upper) == (least, most) else opt
            found[dim.name] = (lower, min(max(kept, lower), upper), upper)
    for name, axis, dim, low, high in derived:
        if not {symbol.name for symbol in dim.free_symbols} <= found.keys():
            continue
        bounds = [int(dim.subs({symbol: found[symbol.name][at] for symbol in dim.free_symbols})) for at in (0, 2)]
        if bounds != [low, high]:
            raise ValueError(
                f"optimization profile {index}: dimension {axis} of input {name!r} is {dim} by the model, which is "
                f"{bounds[0]} to {bounds[1]} in this profile, not {low} to {high}"
            )
    return found
