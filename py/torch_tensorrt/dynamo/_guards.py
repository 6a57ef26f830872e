# SPDX-License-Identifier: Apache-2.0
"""What a captured program takes for granted of its sizes, beyond their ranges.

Where Python code branches on a size (``if x.shape[1] % 2: x = F.pad(x, ...)``), torch.export records the branch that
the example takes, and the condition as a guard. Guards that PyTorch's own operators leave (a computed size that is not
1) are not the model's: what depends on them is found by looking at the program itself (_small_sizes.py).
"""

from __future__ import annotations

import ast
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, ClassVar

import sympy
import torch
from torch import fx
from torch.export import ExportedProgram
from torch.utils._sympy.functions import FloorDiv, Mod
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from ._nodes import value_of
from ._symbols import NotRepresentableError, Ranges, expr_text, size_expr, sizes

_LOGGER = logging.getLogger("torch_tensorrt")
_TORCH = os.path.dirname(torch.__file__) + os.sep
_NOT_CHECKED = "the model branches: it is right only where %s, which %s and is not checked"

_SIGN_HOLDS: dict[str, Callable[[int], bool]] = {
    "zero": lambda value: value == 0,
    "nonzero": lambda value: value != 0,
    "not negative": lambda value: value >= 0,
}


@dataclass(frozen=True)
class SizeGuard:
    """One of these comparisons with 0 must hold."""

    text: str
    """For messages, over sizes of inputs: "x.size(1) % 2 != 0"."""
    any: tuple[tuple[str, str], ...]
    """Values, as dimension expressions, and what they must be: "zero", "nonzero" or "not negative"."""
    _code: tuple[tuple[CodeType, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_code", tuple((compile(value, "guard", "eval"), sign) for value, sign in self.any))

    @property
    def symbols(self) -> set[str]:
        return {name for code, _ in self._code for name in code.co_names} - {"max", "min"}

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it does with these sizes, of all symbols that it names; False where it divides by 0."""
        try:
            return any(
                _SIGN_HOLDS[sign](eval(code, {"max": max, "min": min}, dict(sizes))) for code, sign in self._code
            )
        except ZeroDivisionError:
            return False

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "any": [{"value": value, "is": sign} for value, sign in self.any]}


@dataclass(frozen=True)
class Guards:
    """What a program takes for granted of its inputs' sizes that the ranges do not imply."""

    model: tuple[SizeGuard, ...] = ()
    """Where the model's Python code branched."""
    operators: tuple[SizeGuard, ...] = ()
    """Where PyTorch's own operators did, most of which is of no consequence."""


def recorded_codes(program: ExportedProgram) -> Sequence[str]:
    """The guards as an exported program keeps them, also in a file; none where its PyTorch keeps none."""
    return getattr(program, "_guards_code", ())


def size_guards(graph: fx.Graph, ranges: Ranges, codes: Sequence[str] = ()) -> Guards:
    """The guards of a captured graph. `codes`: those of an exported program, for one that was read from a file."""
    places: dict[str, str] = {}
    environment: Any = None
    for node in graph.nodes:
        value = value_of(node) if node.op == "placeholder" else None
        if isinstance(value, torch.SymInt):
            environment = value.node.shape_env
        for axis, size in enumerate(sizes(value) if isinstance(value, torch.Tensor) else ()):
            if isinstance(size, torch.SymInt):
                environment = size.node.shape_env
                if isinstance(expr := size_expr(size), sympy.Symbol):
                    places.setdefault(expr.name, f"{node.name}.size({axis})")
    if environment is None:
        return Guards()
    bounds = {
        name: ValueRanges(low, sympy.oo if high is None else high)
        for name, (low, _, high) in ranges.items()
        if name in places
    }
    recorded = [(guard.expr, _is_of_the_model(guard)) for guard in environment.guards]
    found: tuple[dict[str, SizeGuard], dict[str, SizeGuard]] = ({}, {})
    for condition, is_of_the_model in recorded or _read_back(graph, codes):
        for expr in _parts(environment.replace(condition)):
            if not _is_implied(expr, bounds) and (guard := _written(expr, places, is_of_the_model)) is not None:
                found[is_of_the_model][guard.text] = guard
    operators, model = found
    return Guards(tuple(model.values()), tuple(operators.values()))


def _is_of_the_model(guard: Any) -> bool:
    """Whether Python code outside of PyTorch, or of its modules, asked: where the condition became True or False."""
    frame = guard.sloc.framework_loc
    file = getattr(frame, "filename", "")
    if guard.sloc.maybe_user_loc is not None:  # captured by Dynamo, which asks for the model's code
        return file.endswith(os.path.join("_dynamo", "variables", "tensor.py"))
    if not file.startswith(_TORCH):
        return bool(file)
    # What calls a module is in nn, too: of a graph that is run again, its operators asked.
    return file.startswith(os.path.join(_TORCH, "nn", "")) and not file.endswith(os.path.join("modules", "module.py"))


def _read_back(graph: fx.Graph, codes: Sequence[str]) -> Iterator[tuple[sympy.Basic, bool]]:
    """The guards of a program that was read from a file. Where they are from is not said: those that compare a size
    with 0 or 1 are taken for PyTorch's own."""
    dims = {
        (node.name, axis): size_expr(size)
        for node in graph.nodes
        if node.op == "placeholder" and isinstance(value := value_of(node), torch.Tensor)
        for axis, size in enumerate(sizes(value))
    }
    for code in codes:
        text = re.sub(r"L\['(\w+)'\]\.size\(\)\[(\d+)\]", r"size('\1', \2)", code)
        try:
            condition = _Reader(dims).condition(ast.parse(text, mode="eval").body)
        except (SyntaxError, NotRepresentableError, KeyError):
            continue
        sides = condition.args
        is_of_the_model = not {sympy.S.Zero, sympy.S.One}.intersection(sides)
        yield condition, is_of_the_model or any(isinstance(side, Mod) for side in sides)


class _Reader:
    """Conditions as PyTorch writes them, in Python's syntax."""

    _COMPARISONS: ClassVar[dict[type, Any]] = {
        ast.Eq: sympy.Eq,
        ast.NotEq: sympy.Ne,
        ast.LtE: sympy.Le,
        ast.Lt: sympy.Lt,
        ast.GtE: sympy.Ge,
        ast.Gt: sympy.Gt,
    }

    def __init__(self, dims: dict[tuple[str, int], sympy.Expr]) -> None:
        self._dims = dims

    def condition(self, node: ast.expr) -> sympy.Basic:
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in self._COMPARISONS:
            left, right = self.value(node.left), self.value(node.comparators[0])
            return self._COMPARISONS[type(node.ops[0])](left, right)
        raise NotRepresentableError(ast.dump(node))

    def value(self, node: ast.expr) -> sympy.Expr:
        operations: dict[type, Any] = {
            ast.Add: lambda a, b: a + b,
            ast.Sub: lambda a, b: a - b,
            ast.Mult: lambda a, b: a * b,
            ast.FloorDiv: FloorDiv,
            ast.Mod: Mod,
        }
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return sympy.Integer(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.value(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in operations:
            return operations[type(node.op)](self.value(node.left), self.value(node.right))
        if isinstance(node, ast.Call) and len(node.args) == 2:
            name, axis = (ast.literal_eval(arg) for arg in node.args)
            return self._dims[name, axis]
        raise NotRepresentableError(ast.dump(node))


def _parts(condition: sympy.Basic) -> tuple[sympy.Basic, ...]:
    return condition.args if isinstance(condition, sympy.And) else (condition,)


def _is_implied(condition: sympy.Basic, bounds: dict[str, Any]) -> bool:
    if condition in (sympy.true, sympy.false):
        return True
    known = {symbol: bounds[symbol.name] for symbol in condition.free_symbols if symbol.name in bounds}
    found: Any = bound_sympy(condition, known)
    return bool(found.lower == sympy.true)


def _written(condition: sympy.Basic, places: dict[str, str], must_be: bool) -> SizeGuard | None:
    """The condition over sizes of inputs; None where it cannot be checked."""
    if any(symbol.name not in places for symbol in condition.free_symbols):
        if must_be:
            _LOGGER.warning(_NOT_CHECKED, condition, "is about inputs that are numbers")
        return None
    named = {symbol: sympy.Symbol(places[symbol.name]) for symbol in condition.free_symbols}
    alternatives = condition.args if isinstance(condition, sympy.Or) else (condition,)
    try:
        comparisons = tuple(_comparison(part) for part in alternatives)
        text = " or ".join(_text(part.xreplace(named)) for part in alternatives)
    except NotRepresentableError:
        if must_be:
            _LOGGER.warning(_NOT_CHECKED, condition, "has no form for C++")
        return None
    return SizeGuard(text, comparisons)


def _comparison(condition: sympy.Basic) -> tuple[str, str]:
    if not isinstance(condition, sympy.core.relational.Relational):
        raise NotRepresentableError(str(condition))
    left, right = condition.lhs, condition.rhs
    if isinstance(condition, (sympy.Eq, sympy.Ne)):
        return expr_text(left - right), "zero" if isinstance(condition, sympy.Eq) else "nonzero"
    if isinstance(condition, (sympy.Le, sympy.Lt)):
        left, right = right, left
    strict = isinstance(condition, (sympy.Lt, sympy.Gt))
    return expr_text(left - right - (1 if strict else 0)), "not negative"


def _text(condition: Any) -> str:
    return f"{expr_text(condition.lhs)} {condition.rel_op} {expr_text(condition.rhs)}"
