# SPDX-License-Identifier: Apache-2.0
"""Symbolic sizes: from sympy, as PyTorch keeps them, to the text that the C++ side parses, and to fx nodes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import sympy
import torch
from torch.utils._sympy.functions import (
    CleanDiv,
    FloorDiv,
    FloorToInt,
    Max,
    Min,
    Mod,
    PythonMod,
    ToFloat,
    TruncToInt,
)
from torch.utils._sympy.numbers import int_oo

Ranges = Mapping[str, tuple[int, int, int | None]]
"""(min, opt, max) of symbols, by name; max None where there is none."""


class NotRepresentableError(Exception):
    """The expression has something that dimension expressions do not know."""


def finite(bound: sympy.Expr) -> int | None:
    """A bound of a value range; None for infinity and for what stands for it."""
    if bound in (int_oo, -int_oo, sympy.oo, -sympy.oo):
        return None
    value = int(bound)
    return value if abs(value) < 2**62 else None


_BINARY: dict[Any, str] = {FloorDiv: "//", CleanDiv: "//", Mod: "%", PythonMod: "%"}


def expr_text(expr: sympy.Expr) -> str:
    """The expression in Python's syntax, fully parenthesized; NotRepresentableError for what cannot be written."""
    if isinstance(expr, sympy.Integer):
        return str(int(expr))
    if isinstance(expr, sympy.Symbol):
        return str(expr.name)
    args = expr.args
    if isinstance(expr, sympy.Add):
        return "(" + " + ".join(expr_text(arg) for arg in args) + ")"
    if isinstance(expr, sympy.Mul):
        return "(" + " * ".join(expr_text(arg) for arg in args) + ")"
    if isinstance(expr, sympy.Pow) and isinstance(args[1], sympy.Integer) and 1 <= int(args[1]) <= 8:
        return "(" + " * ".join([expr_text(args[0])] * int(args[1])) + ")"
    for kind, sign in _BINARY.items():
        if isinstance(expr, kind):
            return f"({expr_text(args[0])} {sign} {expr_text(args[1])})"
    for kinds, name in (((Max, sympy.Max), "max"), ((Min, sympy.Min), "min")):
        if isinstance(expr, kinds):
            text = expr_text(args[0])
            for arg in args[1:]:
                text = f"{name}({text}, {expr_text(arg)})"
            return text
    raise NotRepresentableError(f"{expr} ({type(expr).__name__})")


def _scaled(rounded: sympy.Expr) -> sympy.Expr:
    """`int(2.0 * float(n))`, as scale factors make it, is `2 * n`: exact for every size below 2**53."""
    factor, rest = rounded.args[0].as_coeff_Mul()
    if isinstance(rest, ToFloat) and float(factor).is_integer():
        return int(factor) * rest.args[0]
    return rounded


def size_expr(size: int | torch.SymInt) -> sympy.Expr:
    """The expression behind a size, in integers where it is one of integers."""
    if isinstance(size, torch.SymInt):
        expr = size.node.expr
        return expr.replace(lambda part: isinstance(part, (TruncToInt, FloorToInt)), _scaled)
    return sympy.Integer(int(size))


def sizes(value: torch.Tensor) -> tuple[Any, ...]:
    """The shape; typed as what it is, ints and SymInts."""
    return tuple(value.shape)


def size_text(size: int | torch.SymInt) -> int | str:
    """A size as the C++ graph takes it: an int, or the expression's text."""
    expr = size_expr(size)
    return int(expr) if isinstance(expr, sympy.Integer) else expr_text(expr)


def shape_symbols(value: torch.Tensor) -> set[sympy.Symbol]:
    """All symbols in the tensor's shape."""
    found: set[sympy.Symbol] = set()
    for size in sizes(value):
        found |= size_expr(size).free_symbols
    return found


def emit_expr(
    graph: torch.fx.Graph, expr: sympy.Expr, symbol: Callable[[sympy.Symbol], torch.fx.Node]
) -> int | torch.fx.Node:
    """Adds nodes that compute the expression; `symbol` gives the node of a symbol.

    Raises NotRepresentableError before it adds anything that is not needed.
    """
    expr_text(expr)  # the check

    def fold(target: Any, args: tuple[sympy.Expr, ...]) -> Any:
        result = walk(args[0])
        for arg in args[1:]:
            result = graph.call_function(target, (result, walk(arg)))
        return result

    def walk(part: sympy.Expr) -> Any:
        if isinstance(part, sympy.Integer):
            return int(part)
        if isinstance(part, sympy.Symbol):
            return symbol(part)
        if isinstance(part, sympy.Add):
            return fold(operator.add, part.args)
        if isinstance(part, sympy.Mul):
            return fold(operator.mul, part.args)
        if isinstance(part, sympy.Pow):
            return fold(operator.mul, (part.args[0],) * int(part.args[1]))
        if isinstance(part, (FloorDiv, CleanDiv)):
            return fold(operator.floordiv, part.args)
        if isinstance(part, (Mod, PythonMod)):
            return fold(operator.mod, part.args)
        if isinstance(part, (Max, sympy.Max)):
            return fold(torch.sym_max, part.args)
        return fold(torch.sym_min, part.args)

    result: int | torch.fx.Node = walk(expr)
    return result
