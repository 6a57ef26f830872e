# SPDX-License-Identifier: Apache-2.0
"""From fx nodes to the C++ graph: the whole program for the support query, one block for conversion."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch.fx import GraphModule, Node

from .._library import load_binding
from ._guards import SizeGuard
from ._nodes import (
    attribute,
    graph_outputs,
    is_compute,
    is_mutation,
    is_tensor,
    leaf_nodes,
    results,
    source_line,
    value_of,
)
from ._symbols import NotRepresentableError, Ranges, expr_text, shape_symbols, size_expr, size_text, sizes

_NO_LIMIT = 2**63 - 1
_NETWORK_DTYPES = frozenset(
    {
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
        torch.float8_e4m3fn,
    }
)


class RefusedError(Exception):
    """A node that cannot even be written down for the converters."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnreliableCaptureError(RuntimeError):
    """A program that nothing can be compiled of, because of what its capture assumed."""


@dataclass
class Program:
    """A captured graph, ready to be partitioned."""

    module: GraphModule
    """Functional ATen graph with parameters as get_attr nodes; buffer and input updates are copy_ nodes at its end."""
    ranges: Ranges
    """(min, opt, max) of the symbols in its shapes."""
    profiles: tuple[Mapping[str, tuple[int, int, int]], ...] = ()
    """The same for each optimization profile, of the inputs' symbols; nothing where there is one profile."""
    unreliable: Mapping[str, str] = field(default_factory=dict)
    """Nodes whose shapes do not hold for all sizes in the ranges, by name, and why: they stay in PyTorch."""
    captured_from: int = 0
    """The sizes from which all shapes hold."""
    captured_where: tuple[SizeGuard, ...] = ()
    """What else must hold of the sizes for all shapes to hold."""
    has_unread_inputs: bool = False
    """Whether the model reads an input that nothing of the program does: what read it was dropped, since it computed
    nothing that is returned, and with it the errors for inputs that it cannot take."""
    guards: tuple[SizeGuard, ...] = ()
    """What its inputs' sizes must be like, beyond their ranges."""
    mutated: frozenset[str] = field(init=False)
    """get_attr targets that the program writes: they are inputs of engines, not constants."""

    def __post_init__(self) -> None:
        self.mutated = frozenset(
            str(arg.target)
            for node in self.module.graph.nodes
            if is_mutation(node)
            for arg in node.all_input_nodes[:1]
            if arg.op == "get_attr"
        )

    def is_constant(self, node: Node) -> bool:
        return node.op == "get_attr" and node.target not in self.mutated

    def constant(self, node: Node) -> torch.Tensor:
        value = attribute(self.module, str(node.target))
        assert isinstance(value, torch.Tensor)
        return value

    def compute_nodes(self) -> list[Node]:
        return [node for node in self.module.graph.nodes if is_compute(node)]


def check_tensor(value: torch.Tensor) -> None:
    """RefusedError for tensors that engines do not have: sparse, quantized, complex, sizes that nothing expresses."""
    if value.dtype not in _NETWORK_DTYPES:
        raise RefusedError("DATA_TYPE", f"engines have no values of type {value.dtype}")
    if value.layout is not torch.strided:
        raise RefusedError("DATA_TYPE", f"engines have no values of layout {value.layout}")
    try:
        for size in sizes(value):
            size_text(size)
    except NotRepresentableError as error:
        raise RefusedError("DYNAMIC_SHAPE", f"a size is {error}, which no dimension expression says") from None


def argument(value: Any) -> Any:
    """A node's argument as the binding takes it; RefusedError where it has no counterpart."""
    c = load_binding()
    if isinstance(value, Node):
        fake = value_of(value)
        if isinstance(fake, torch.Tensor):
            return c.Ref(value.name)
        if isinstance(fake, (list, tuple)):
            return [c.Ref(name) for name, _ in results(value)]
        return argument(fake)
    if isinstance(value, torch.SymInt):
        try:
            text = size_text(value)
        except NotRepresentableError as error:
            raise RefusedError(
                "DYNAMIC_SHAPE", f"an argument is {error}, which dimension expressions do not have"
            ) from None
        return text if isinstance(text, int) else c.Size(text)
    if isinstance(value, (torch.SymFloat, torch.SymBool)):
        raise RefusedError("DYNAMIC_SHAPE", f"an argument is {value}, a number that depends on the sizes")
    if value is None or isinstance(value, (bool, int, float, str, torch.dtype)):
        return value
    if isinstance(value, (torch.memory_format, torch.layout, torch.device)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [argument(item) for item in value]
    raise RefusedError("ATTRIBUTE", f"an argument is a {type(value).__name__}, which engines do not have")


def _is_read(node: Node, result: str) -> bool:
    return result == node.name or any(user.name == result for user in node.users)


def _is_tensor_of_engines(value: torch.Tensor) -> bool:
    try:
        check_tensor(value)
    except RefusedError:
        return False
    return True


def _written_down(node: Node) -> tuple[list[Any], dict[str, Any], list[Any]]:
    """A node's arguments and results as the binding takes them; RefusedError where they have no counterpart."""
    if not isinstance(node.target, torch._ops.OpOverload):
        raise RefusedError("NO_CONVERTER", f"{node.target} is not an ATen operator")
    outputs: list[tuple[str, torch.dtype | None, list[int | str] | None]] = []
    for name, value in results(node):
        if value is None or not (_is_tensor_of_engines(value) or _is_read(node, name)):
            outputs.append((name, None, None))
        else:
            check_tensor(value)
            outputs.append((name, value.dtype, [size_text(size) for size in sizes(value)]))
    if not outputs:
        raise RefusedError("NO_CONVERTER", "it returns no tensor")
    for item in leaf_nodes((node.args, node.kwargs)):
        fake = value_of(item)
        for tensor in fake if isinstance(fake, (list, tuple)) else [fake]:
            if isinstance(tensor, torch.Tensor):
                check_tensor(tensor)
    args = [argument(item) for item in node.args]
    return args, {key: argument(item) for key, item in node.kwargs.items()}, outputs


def can_be_written_down(node: Node) -> bool:
    """Whether the C++ graph can hold the node, whatever converters make of it."""
    try:
        _written_down(node)
    except RefusedError:
        return False
    return True


def _add_node(graph: Any, node: Node) -> None:
    args, kwargs, outputs = _written_down(node)
    graph.add_node(node.name, str(node.target), args, kwargs, outputs, source_line(node))


def _add_input(graph: Any, name: str, value: torch.Tensor) -> None:
    graph.add_input(name, value.dtype, [size_text(size) for size in sizes(value)])


def _declare_symbols(graph: Any, symbols: Iterable[sympy.Symbol], ranges: Ranges) -> None:
    for symbol in sorted(symbols, key=lambda item: item.name):
        low, opt, high = ranges.get(symbol.name, (0, 1, None))
        graph.add_symbol(symbol.name, low, opt, high)


def is_checkable(node: Node) -> bool:
    """Whether ``tensorrt::check_inputs`` can say what an input must be: a dense tensor of a type that engines know."""
    value = value_of(node)
    return isinstance(value, torch.Tensor) and value.dtype in _NETWORK_DTYPES and value.layout is torch.strided


CAPTURED_FROM = "captured_from"
"""Beside the expected inputs of a program that does at small sizes what its capture does not say: the sizes from which
the capture holds. For compilers that believe it; the check itself does not read it."""
CAPTURED_WHERE = "captured_where"
"""Likewise, the guards under which it holds."""


def describe_expected(program: Program, placeholders: Sequence[Node], names: Sequence[str]) -> str:
    """Types and shapes of a program's inputs as ``tensorrt::check_inputs`` takes them (src/format/package.h)."""
    values = [value_of(node) for node in placeholders]
    bound = {expr for value in values for size in sizes(value) if isinstance(expr := size_expr(size), sympy.Symbol)}
    symbols: dict[str, dict[str, int]] = {}

    def declare(name: str, low: int, opt: int, high: int | None) -> str:
        symbols[name] = {"min": max(low, 0), "opt": opt, "max": _NO_LIMIT if high is None else high}
        return name

    def text(size: int | torch.SymInt) -> int | str:
        expr = size_expr(size)
        if isinstance(expr, sympy.Symbol):
            return declare(expr.name, *program.ranges.get(expr.name, (0, 1, None)))
        try:
            if expr.free_symbols <= bound:
                return size_text(size)
        except NotRepresentableError:
            pass
        return declare(f"any{len(symbols)}", 0, 1, None)

    inputs = [
        {"name": name, "dtype": str(value.dtype).removeprefix("torch."), "shape": [text(size) for size in sizes(value)]}
        for name, value in zip(names, values, strict=True)
    ]
    expected = {"name": "", "device": values[0].device.type, "inputs": inputs, "symbols": symbols}
    if program.guards:
        expected["guards"] = [guard.to_json() for guard in program.guards]
    if program.unreliable:
        expected[CAPTURED_FROM] = program.captured_from
        expected[CAPTURED_WHERE] = [guard.to_json() for guard in program.captured_where]
    return json.dumps(expected, separators=(",", ":"))


def node_symbols(node: Node) -> set[sympy.Symbol]:
    """Symbols in the node's results and arguments."""
    found: set[sympy.Symbol] = set()
    for _, value in results(node):
        if value is not None:
            found |= shape_symbols(value)
    for item in leaf_nodes((node.args, node.kwargs)):
        fake = value_of(item)
        if isinstance(fake, torch.SymInt):
            found |= size_expr(fake).free_symbols
        elif isinstance(fake, torch.Tensor):
            found |= shape_symbols(fake)
    return found


@dataclass(frozen=True)
class Refusal:
    """A node that stays in PyTorch, and why. `reason` is a stable code such as "NO_CONVERTER"."""

    node: str
    target: str
    reason: str
    message: str
    source: str


def refusal(node: Node, reason: str, message: str) -> Refusal:
    return Refusal(node.name, str(node.target), reason, message, source_line(node))


def query(program: Program, targets: Sequence[str], use_plugins: bool) -> dict[str, Refusal]:
    """Dry run of the converters over the whole program: refusals by node name."""
    graph = load_binding().Graph("query")
    refusals: dict[str, Refusal] = {}
    symbols: set[sympy.Symbol] = set()
    known: dict[str, None] = {}  # values that are in the C++ graph

    def declare(name: str, value: torch.Tensor) -> None:
        try:
            check_tensor(value)
        except RefusedError:
            return  # its users are refused, one by one
        _add_input(graph, name, value)
        symbols.update(shape_symbols(value))
        known[name] = None

    for node in program.module.graph.nodes:
        if node.op in ("placeholder", "get_attr") and is_tensor(node):
            if program.is_constant(node) and value_of(node).dtype in _NETWORK_DTYPES:
                graph.add_constant(node.name, program.constant(node).detach().cpu())
            else:
                declare(node.name, value_of(node))
        elif is_compute(node):
            try:
                _add_node(graph, node)
                symbols |= node_symbols(node)
                known.update((name, None) for name, value in results(node) if value is not None)
            except RefusedError as error:
                refusals[node.name] = refusal(node, error.reason, str(error))
                for name, value in results(node):
                    if value is not None:
                        declare(name, value)
    _declare_symbols(graph, symbols, program.ranges)
    if not known:
        return refusals
    # Converters may leave out results that nobody reads: name those that something outside the C++ graph reads.
    outside = [node for node in program.module.graph.nodes if is_mutation(node) or node.name in refusals]
    read = [*leaf_nodes(graph_outputs(program.module)), *(item for node in outside for item in node.all_input_nodes)]
    graph.set_outputs(list(dict.fromkeys(node.name for node in read if node.name in known)) or [next(iter(known))])
    for found in load_binding().query(graph, targets=list(targets), use_plugins=use_plugins):
        refusals[found.node] = Refusal(found.node, found.target, found.reason, found.message, found.source)
    return refusals


def block_graph(
    program: Program,
    name: str,
    nodes: Sequence[Node],
    inputs: Sequence[Node],
    outputs: Sequence[Node],
    of_any_size: Collection[Node] = (),
) -> Any:
    """The C++ graph of one engine. `inputs` are values from outside (constants are found by themselves); those
    `of_any_size` have the captured rank, and sizes that nothing is known of but where they are a symbol."""
    graph = load_binding().Graph(name)
    symbols: set[sympy.Symbol] = set()
    for value in inputs:
        if value in of_any_size:
            lone = lone_symbols(value_of(value))  # which the nodes may need
            symbols |= lone
            free = [
                size_text(size) if size_expr(size) in lone else f"any_{value.name}_{axis}"
                for axis, size in enumerate(sizes(value_of(value)))
            ]
            graph.add_input(value.name, value_of(value).dtype, free)
            for symbol in free:
                if str(symbol).startswith("any_"):
                    graph.add_symbol(symbol, 0, 1, None)
            continue
        _add_input(graph, value.name, value_of(value))
        symbols |= shape_symbols(value_of(value))
    added: set[str] = set()
    for node in nodes:
        for item in node.all_input_nodes:
            if program.is_constant(item) and item.name not in added:
                added.add(item.name)
                graph.add_constant(item.name, program.constant(item).detach().cpu())
        _add_node(graph, node)
        symbols |= node_symbols(node)
    _declare_symbols(graph, symbols, program.ranges)
    graph.set_outputs([node.name for node in outputs])
    return graph


def lone_symbols(value: torch.Tensor) -> set[sympy.Symbol]:
    """Symbols that a dimension of the tensor is, by itself: whoever has the tensor knows them."""
    return {expr for size in sizes(value) if isinstance(expr := size_expr(size), sympy.Symbol)}


__all__ = [
    "Program",
    "Refusal",
    "RefusedError",
    "block_graph",
    "expr_text",
    "lone_symbols",
    "node_symbols",
    "query",
    "refusal",
]
