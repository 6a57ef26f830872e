# SPDX-License-Identifier: Apache-2.0
"""Sizes that the capture reasoned away: 0 and 1, and others that its operators took for granted not to come.

torch.export takes every dynamic size for 2 or more while it captures, also where the range begins at 0 or 1: `squeeze`
of a dynamic dimension keeps it, `x[-2:]` has two rows. The captured program still computes what eager does, because its
operators look at the sizes that come; its metadata says otherwise, and what is derived from metadata is wrong there.

Computed sizes are the same matter: `x[1:].squeeze(0)` keeps the dimension, which eager drops of two rows, and
`x.tensor_split(2)` has the parts that the example's parity gives. There the operators leave a guard (_guards.py).

So the shapes are computed again, by PyTorch's own operators on tensors without data, at the sizes in question. A node
whose shapes differ from its metadata, or that raises, stays in PyTorch, as an operator that is not taken apart: to take
it apart is to derive from its metadata.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch import fx
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from ._coincidences import no_coincidences
from ._guards import SizeGuard, size_guards
from ._nodes import aliased_argument, copied, is_mutation, named_arguments, updates_statistics, value_of
from ._symbols import Ranges, sizes

_FROM_METADATA = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    NotImplementedError,
)
# FakeTensorMode logs, as errors, what operators raise.
_LOGGER_OF_FAKES = logging.getLogger("torch._subclasses.fake_tensor")


@dataclass
class _Outcome:
    """What one set of sizes makes of a graph."""

    differing: dict[fx.Node, str] = field(default_factory=dict)
    """Nodes whose own or whose operands' shapes are not those of the metadata, or that raise: what happens there."""
    is_error: bool = False
    """Some node raises."""
    outputs: list[Any] = field(default_factory=list)
    """Shapes of the graph's results; None where an operator that they need raises."""


class Findings:
    """The nodes of a graph whose metadata does not hold for all sizes, and what the graph does at small sizes."""

    def __init__(self) -> None:
        self.nodes: dict[fx.Node, str] = {}
        self.holds_from = 0
        """The metadata is right where no symbol is smaller."""
        self.guards: dict[str, SizeGuard] = {}
        """And these hold, by their texts."""
        self._outcomes: dict[tuple[tuple[str, int], ...], tuple[bool, list[Any]]] = {}

    def add(
        self, case: Mapping[str, int], outcome: _Outcome, ignored: Collection[fx.Node], guard: SizeGuard | None
    ) -> None:
        """`guard`: the one that does not hold in this case; None: the case has a size of 0 or 1."""
        where = ", ".join(f"{name}={size}" for name, size in case.items())
        captured = f"where {guard.text}" if guard is not None else "for sizes of at least 2"
        for node, what in outcome.differing.items():
            if node not in ignored:
                self.nodes.setdefault(node, f"with {where} {what}; it was captured {captured}")
                if guard is not None:
                    self.guards[guard.text] = guard
                else:
                    self.holds_from = max(self.holds_from, min(case.values()) + 1)
        if not ignored:
            self._outcomes[tuple(case.items())] = (outcome.is_error, outcome.outputs)

    def disagreement(self, other: Findings) -> str | None:
        """What two forms of one program do differently."""
        for case in self._outcomes.keys() & other._outcomes.keys():
            (ours, shapes), (theirs, others) = self._outcomes[case], other._outcomes[case]
            if ours != theirs or (not ours and shapes != others):
                where = ", ".join(f"{name}={size}" for name, size in case)
                now = "an error" if ours else f"results of shapes {shapes}"
                before = "an error" if theirs else f"results of shapes {others}"
                return f"with {where} {now}, before {before}"
        return None


class _Sizes:
    """Numbers for all symbols, and what expressions over them are."""

    def __init__(self, values: Mapping[str, int]) -> None:
        self._values = {name: sympy.Integer(value) for name, value in values.items()}
        self._known: dict[sympy.Basic, Any] = {}
        self._tensors: dict[Any, torch.Tensor] = {}

    def _number(self, expr: sympy.Basic) -> Any:
        if expr not in self._known:
            free = {symbol: self._values.get(symbol.name, sympy.Integer(2)) for symbol in expr.free_symbols}
            self._known[expr] = expr.xreplace(free) if free else expr
        return self._known[expr]

    def of(self, value: Any) -> Any:
        """A number as it is with these sizes."""
        if isinstance(value, torch.SymInt):
            return int(self._number(value.node.expr))
        if isinstance(value, torch.SymFloat):
            return float(self._number(value.node.expr))
        if isinstance(value, torch.SymBool):
            return bool(self._number(value.node.expr))
        return value

    def holds(self, relation: sympy.Basic) -> bool:
        """False if a condition on the sizes is broken."""
        return self._number(relation) is not sympy.false

    def tensor(self, value: Any) -> Any:
        """A captured value with these sizes; under a FakeTensorMode."""
        if isinstance(value, torch.Tensor):
            if value.layout is not torch.strided:
                raise NotImplementedError(value.layout)
            # Making them is half of the time, and many weights of a model have the same shape.
            shape, stride = tuple(map(self.of, value.shape)), tuple(map(self.of, value.stride()))
            key = (shape, stride, value.dtype, value.device)
            if key not in self._tensors:
                self._tensors[key] = torch.empty_strided(shape, stride, dtype=value.dtype, device=value.device)
            return self._tensors[key]
        if isinstance(value, (list, tuple)):
            return type(value)(self.tensor(item) for item in value)
        return self.of(value)

    def shape(self, value: Any) -> Any:
        """The shapes that metadata gives with these sizes."""
        if isinstance(value, torch.Tensor):
            return tuple(self.of(size) for size in value.shape)
        if isinstance(value, (list, tuple)):
            return tuple(self.shape(item) for item in value)
        return None


def _shape(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return tuple(_shape(item) for item in value)
    return None


def _symbolic(value: Any) -> Iterator[torch.SymInt | torch.SymFloat | torch.SymBool]:
    """The symbolic sizes, numbers and conditions in a node's metadata."""
    for leaf in pytree.tree_leaves(value):
        for size in sizes(leaf) if isinstance(leaf, torch.Tensor) else (leaf,):
            if isinstance(size, (torch.SymInt, torch.SymFloat, torch.SymBool)):
                yield size


def examine(
    graph: fx.Graph, ranges: Ranges, outputs: Collection[str] | None = None, codes: Sequence[str] = ()
) -> Findings:
    """Compares the shapes in a graph's metadata with those that its operators give at the sizes 0 and 1 that the ranges
    allow, and where an operator's guard does not hold. `outputs`: names of the results that callers see; None: all.
    `codes`: guards of an exported program."""
    findings = Findings()
    usual, small, environment = _symbols(graph, ranges)
    broken = _cases_of_guards(graph, ranges, usual, codes) if usual else []
    if not small and not broken:
        return findings
    ignored: Collection[fx.Node] | None = None
    sized = {node for node in graph.nodes if any(True for _ in _symbolic(value_of(node)))}
    cases: list[tuple[dict[str, int], SizeGuard | None]] = [(case, None) for case in _cases(small)] if small else []
    for case, guard in [*cases, *broken]:
        sizes = _Sizes({**usual, **case})
        guards = environment.guards if environment is not None and guard is None else ()
        if not all(sizes.holds(environment.replace(item.expr)) for item in guards):
            continue  # sizes that the model cannot have together
        outcome = _run(graph, sized, sizes, outputs)
        if guard is not None and outcome.is_error:
            continue  # the guard says what the operator takes; elsewhere engines, too, have no answer
        if (outcome.differing or outcome.is_error) and ignored is None:
            # Usual sizes of different symbols need not go together: what differs with them says nothing.
            ignored = _run(graph, sized, _Sizes(usual), outputs).differing.keys()
        findings.add(case, outcome, ignored or (), guard)
    return findings


def _symbols(graph: fx.Graph, ranges: Ranges) -> tuple[dict[str, int], dict[str, list[int]], Any]:
    """A usual size for every symbol, the small ones that it may have, and the shape environment."""
    usual: dict[str, int] = {}
    small: dict[str, list[int]] = {}
    environment: Any = None
    seen: set[sympy.Basic] = set()
    symbolic = (size for node in graph.nodes for size in _symbolic(value_of(node)) if isinstance(size, torch.SymInt))
    for size in symbolic:
        expr = size.node.expr
        if expr in seen:
            continue
        seen.add(expr)
        environment = size.node.shape_env
        for symbol in expr.free_symbols:
            if symbol.name in usual:
                continue
            low, opt, high = ranges.get(symbol.name, (0, 2, None))
            hint = environment.backed_var_to_val.get(symbol, opt)
            size_ = max(int(hint), low, 2)
            usual[symbol.name] = size_ if high is None else min(size_, high)
            values = [value for value in (0, 1) if low <= value and (high is None or value <= high)]
            if values and (high is None or high > 1):
                small[symbol.name] = values
    return usual, small, environment


def _cases(small: Mapping[str, list[int]]) -> list[dict[str, int]]:
    """Every small size by itself and together with others: all combinations for up to three symbols."""
    if len(small) > 3:
        single = [{name: value} for name, values in small.items() for value in values]
        return single + [{name: value for name, values in small.items() if value in values} for value in (0, 1)]
    choices = [[None, *values] for values in small.values()]
    found = [
        {name: value for name, value in zip(small, choice, strict=True) if value is not None}
        for choice in itertools.product(*choices)
    ]
    return [case for case in found if case]


_MOST_BROKEN = 16
_LOOKS_AT = 64


def _cases_of_guards(
    graph: fx.Graph, ranges: Ranges, usual: Mapping[str, int], codes: Sequence[str]
) -> list[tuple[dict[str, int], SizeGuard | None]]:
    """Sizes from 2 on with which an operator's guard does not hold, the first and the last of those looked at. Sizes
    with which a guard of the model's does not hold never come."""
    guards = size_guards(graph, ranges, codes)
    found: dict[tuple[str, int], SizeGuard] = {}
    for guard in guards.operators:
        for name in sorted(guard.symbols & usual.keys()):
            low, _, high = ranges.get(name, (0, 2, None))
            first = max(low, 2)
            last = first + _LOOKS_AT if high is None else min(high, first + _LOOKS_AT)
            broken = [
                size
                for size in range(first, last + 1)
                if not guard.holds(sizes := {**usual, name: size}) and all(item.holds(sizes) for item in guards.model)
            ]
            for size in {*broken[:1], *broken[-1:]}:
                found.setdefault((name, size), guard)
    return [({name: size}, guard) for (name, size), guard in list(found.items())[:_MOST_BROKEN]]


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _run(graph: fx.Graph, sized: Collection[fx.Node], sizes: _Sizes, outputs: Collection[str] | None) -> _Outcome:
    """Runs the shapes of a graph. `sized`: the nodes with symbols in their metadata. What reads none of them, and
    nothing that differs, is as it was captured, and is not run."""
    result = _Outcome()
    env: dict[fx.Node, Any] = {}
    tainted: set[fx.Node] = set()
    unknown: set[fx.Node] = set()

    def operand(node: fx.Node) -> Any:
        if node not in env:
            env[node] = sizes.tensor(value_of(node))
        return env[node]

    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), _quiet(_LOGGER_OF_FAKES):
        for node in graph.nodes:
            if node.op == "output":
                leaves = pytree.tree_leaves(node.args[0])
                result.outputs = [
                    None if leaf in unknown else _shape(env[leaf]) if leaf in env else sizes.shape(value_of(leaf))
                    for leaf in leaves
                    if isinstance(leaf, fx.Node) and (outputs is None or leaf.name in outputs)
                ]
                break
            operands = node.all_input_nodes
            if any(item in unknown for item in operands):
                unknown.add(node)
                continue
            if node not in sized and not any(item in sized or item in tainted for item in operands):
                continue
            captured = value_of(node)
            try:
                if _is_operator(node):
                    args, kwargs = fx.node.map_arg((node.args, node.kwargs), operand)
                    if node.target is torch.ops.aten._assert_scalar.default and not args[0]:
                        result.is_error = True
                        return result  # no call gets further
                    env[node] = _result(node, args, kwargs, sizes)
                else:
                    env[node] = sizes.tensor(captured)
            except _OperatorError as error:
                result.is_error = True
                result.differing[node] = str(error)
                unknown.add(node)
                continue
            except NotImplementedError:
                unknown.add(node)
                continue
            expected, actual = sizes.shape(captured), _shape(env[node])
            if captured is not None and expected != actual:
                tainted.add(node)
                result.differing[node] = (
                    f"its result has the shape {_text(actual)}, where {_text(expected)} was captured"
                )
            elif any(item in tainted for item in operands):
                base = next(item for item in operands if item in tainted)
                result.differing[node] = f"{base.name} has another shape than was captured"
    return result


def _is_operator(node: fx.Node) -> bool:
    """Whether shapes may be asked of the node itself. Engines give what they were built to give."""
    return (
        node.op == "call_function"
        and not isinstance(node.target, torch._ops.HigherOrderOperator)
        and getattr(node.target, "namespace", "") != "tensorrt"
    )


class _OperatorError(Exception):
    pass


def _result(node: fx.Node, args: Any, kwargs: Any, sizes: _Sizes) -> Any:
    try:
        return node.target(*args, **kwargs)  # type: ignore[operator]
    except _FROM_METADATA:
        return sizes.tensor(value_of(node))
    except Exception as error:
        if "cond must be a bool" in str(error):
            # PyTorch's own shape function is at fault: of nearest interpolation without elements, it checks a number.
            return sizes.tensor(value_of(node))
        raise _OperatorError(f"it raises {type(error).__name__}: {_first_line(error)}") from error


def _text(shape: Any) -> str:
    return str(list(shape)) if isinstance(shape, tuple) else str(shape)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


# --- operators that are not taken apart ---

_NAMESPACE = "torch_tensorrt_whole"
_WHOLE: dict[tuple[Any, tuple[str, ...]], torch._ops.OpOverload] = {}
_ORIGINAL: dict[Any, torch._ops.OpOverload] = {}


@functools.cache
def _library() -> torch.library.Library:
    return torch.library.Library(_NAMESPACE, "DEF")  # type: ignore[no-untyped-call]


def _whole(node: fx.Node) -> torch._ops.OpOverload:
    """An operator that no decomposition knows, which stands for the node's while a program is taken apart; it never
    runs."""
    op: Any = node.target
    given = named_arguments(node)
    # PyTorch's own operators take numbers for tensors, others do not.
    numbers = tuple(name for name, value in given.items() if isinstance(value, (int, float)) and name in _tensors(op))
    key = (op, numbers)
    if key not in _WHOLE:
        name = re.sub(r"\W", "_", "_".join([str(op), *numbers]))
        schema = re.sub(r"\(\w+!?( -> \*)?\)", "", str(op._schema).partition("(")[2])
        for number in numbers:
            schema = re.sub(rf"Tensor(\??) {number}\b", rf"Scalar\1 {number}", schema)
        _library().define(f"{name}({schema}")  # type: ignore[no-untyped-call]
        overload: torch._ops.OpOverload = getattr(getattr(torch.ops, _NAMESPACE), name).default
        torch.library.register_fake(overload, functools.partial(_fresh, op), lib=_library())
        _WHOLE[key], _ORIGINAL[overload] = overload, op
    return _WHOLE[key]


def _tensors(op: torch._ops.OpOverload) -> set[str]:
    return {argument.name for argument in op._schema.arguments if "Tensor" in str(argument.type)}


def _fresh(op: torch._ops.OpOverload, *args: Any, **kwargs: Any) -> Any:
    """The operator's result in memory of its own, as its stand-in promises."""
    return pytree.tree_map_only(
        torch.Tensor,
        lambda value: torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device),
        op(*args, **kwargs),
    )


def _may_stand_in(node: fx.Node) -> bool:
    return (
        isinstance(node.target, torch._ops.OpOverload)
        and bool(node.target._schema.returns)
        and not is_mutation(node)
        and not updates_statistics(node)  # only taken apart, they say what they write
    )


def written_views(program: ExportedProgram, nodes: Collection[fx.Node]) -> set[fx.Node]:
    """Those of the nodes that are views through which the program writes. As stand-ins, which are no views, they would
    lose what is written."""
    found: set[fx.Node] = set()
    for node in program.graph.nodes:
        if is_mutation(node):
            base: fx.Node | None = node.all_input_nodes[0]
            while base is not None:
                if base in nodes and not is_mutation(base):
                    found.add(base)
                base = base.all_input_nodes[0] if is_mutation(base) else aliased_argument(base)
    return found


_WRITTEN_BACK = frozenset(
    {
        torch.ops.aten.alias.default,
        torch.ops.aten.detach.default,
        torch.ops.aten.diagonal.default,
        torch.ops.aten.permute.default,
        torch.ops.aten.select.int,
        torch.ops.aten.slice.Tensor,
        torch.ops.aten.t.default,
        torch.ops.aten.transpose.int,
        torch.ops.aten.unsqueeze.default,
    }
)
"""Views whose arguments alone say how a value goes back to where it is from, whatever the sizes."""


def with_values_for_writes(program: ExportedProgram, views: Collection[fx.Node]) -> ExportedProgram | None:
    """The program with new values in place of writes, of which `views` are views; None where sizes as they were
    captured would decide what is written where."""
    if any(view.target not in _WRITTEN_BACK for view in views):
        return None
    with torch.no_grad(), no_coincidences():
        return program.run_decompositions({})  # type: ignore[no-any-return]


def keep_whole(program: ExportedProgram, nodes: Collection[fx.Node]) -> ExportedProgram:
    """The program with stand-ins for these nodes of it, none of which is a view that is written."""
    graph, copies = copied(program.graph)
    for node in nodes:
        if _may_stand_in(node):
            copies[node].target = _whole(node)
    module = fx.GraphModule(program.graph_module, graph)
    module.meta.update(program.graph_module.meta)
    return ExportedProgram(
        root=module,
        graph=graph,
        graph_signature=program.graph_signature,
        state_dict=program.state_dict,
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=program.example_inputs,
        constants=program.constants,
        verifiers=program.verifiers,
    )


def restore(module: fx.GraphModule) -> dict[fx.Node, torch._ops.OpOverload]:
    """Puts the operators back into a program that was taken apart; the nodes that they are."""
    found = {node: _ORIGINAL[node.target] for node in module.graph.nodes if node.target in _ORIGINAL}
    for node, op in found.items():
        node.target = op
    return found
