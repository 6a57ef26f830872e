# SPDX-License-Identifier: Apache-2.0
"""Sizes that data decides: how many elements an operator selects, and how many at most."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import sympy
import torch
from torch import fx

from ._nodes import value_of
from ._symbols import size_expr, sizes

_aten = torch.ops.aten


def _elements(value: torch.Tensor) -> sympy.Expr:
    return sympy.Mul(*(size_expr(size) for size in sizes(value)))


def _argument(node: fx.Node, index: int, name: str) -> Any:
    return node.args[index] if index < len(node.args) else node.kwargs.get(name)


def _of_all(node: fx.Node) -> sympy.Expr:
    return _elements(value_of(node.all_input_nodes[0]))


def _of_mask(node: fx.Node) -> sympy.Expr | None:
    masks = [item for item in node.all_input_nodes[1:] if value_of(item).dtype in (torch.bool, torch.uint8)]
    return _elements(value_of(masks[0])) if len(masks) == 1 else None


def _of_dimension(node: fx.Node, dim: int | None) -> sympy.Expr:
    value = value_of(node.all_input_nodes[0])
    return _elements(value) if dim is None else size_expr(sizes(value)[dim])


# How many elements the operator selects at most.
_LIMITS: dict[str, Callable[[fx.Node], sympy.Expr | None]] = {
    "aten.nonzero.default": _of_all,
    "aten.index.Tensor": _of_mask,
    "aten._unique2.default": _of_all,
    "aten.unique_consecutive.default": lambda node: _of_dimension(node, _argument(node, 3, "dim")),
    "aten.unique_dim.default": lambda node: _of_dimension(node, _argument(node, 1, "dim")),
    "torchvision.nms.default": lambda node: _of_dimension(node, 0),
}


def largest_counts(graph: fx.Graph) -> dict[str, sympy.Expr]:
    """The most that each symbol can be which is a number of selected elements; it is 0 at least."""
    found: dict[str, sympy.Expr] = {}
    for node in graph.nodes:
        limit = _LIMITS.get(str(node.target))
        if limit is None:
            continue
        value = value_of(node)
        result = value[0] if isinstance(value, (list, tuple)) else value
        given = {size_expr(size) for item in node.all_input_nodes for size in sizes(value_of(item))}
        counts = {size_expr(size) for size in sizes(result)} - given
        symbols = [count for count in counts if isinstance(count, sympy.Symbol) and count.name.startswith("u")]
        largest = limit(node)
        if largest is not None and len(symbols) == 1:
            found[symbols[0].name] = largest
    return found


@contextlib.contextmanager
def selections_may_be_empty() -> Iterator[None]:
    """While a model is captured. torchvision tells torch.export that its nms keeps two boxes or more, which the
    captured program would assert; it may keep one or none."""
    if "torchvision" not in sys.modules or not hasattr(torch.ops.torchvision, "nms"):
        yield
        return
    with torch.library._scoped_library("torchvision", "FRAGMENT") as library:
        torch.library.register_fake("torchvision::nms", _fake_nms, lib=library, allow_override=True)
        yield


def _fake_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    torch._check(
        boxes.dim() == 2 and boxes.size(1) == 4 and scores.dim() == 1,
        lambda: f"expected boxes [n, 4] and scores [n], got {tuple(boxes.shape)} and {tuple(scores.shape)}",
    )
    torch._check(
        boxes.size(0) == scores.size(0),
        lambda: f"expected as many boxes as scores, got {boxes.size(0)} and {scores.size(0)}",
    )
    count = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty(count, dtype=torch.int64)
