# SPDX-License-Identifier: Apache-2.0
"""Values that a program computes from constants alone: PyTorch computes them while the model is compiled.

Then they are eager's to the last bit, whatever the engine: subnormal numbers, NaN, the order of equal elements. An
engine that computes them itself does so once, too, by kernels of its own. What is large, or much larger than what it is
made of, stays with the engine, but for

* numbers on another device: ``torch.sqrt(torch.tensor(64.0) * 3)`` stays on the CPU in a model on a GPU, and PyTorch
  lets operators there read it, as it has no dimensions. An engine reads no tensor on another device, so that each such
  number would end an engine;
* indices: T5 takes the rows of its relative positions from ``arange`` by way of a logarithm, of which no range is
  known. Whether they are in range would be for each call to find out, or for PyTorch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor

from ._graph import Program
from ._nodes import (
    attribute,
    erase_unread,
    is_compute,
    is_getitem,
    is_pure,
    is_tensor,
    leaf_nodes,
    named_arguments,
    producer,
    value_of,
)

_MOST_ELEMENTS = 1 << 20
"""Of a value that is computed while the model is compiled."""
_ANY_SOURCE = 1 << 16
"""Elements of a value that may be larger than the constants that it is computed from."""
_INDICES = ("index", "indices")
"""The parameters of ATen's operators that choose among elements."""
_INTEGERS = (torch.int64, torch.int32)
_UNDEFINED = ("aten::empty", "aten::new_empty")
_MAY_RETURN_AN_OPERAND = (  # which their schemas do not say
    torch.ops.aten.contiguous.default,
    torch.ops.aten.reshape.default,
    torch.ops.aten.to.dtype,
    torch.ops.aten.type_as.default,
)


def with_known_values(program: Program, device: torch.device | None) -> None:
    """Makes constants of what PyTorch computes now as it would in every call. `device`: the program's, whose operators
    may read numbers on another one.

    What returns or changes such a value gets a copy in every call."""
    fixed = _fixed(program)
    readers = _readers_of_indices(program)
    if device is not None:
        for node, those in _readers_elsewhere(program, device).items():
            readers.setdefault(node, set()).update(those)
    for node in _computed(fixed):
        readers[node] = {user for user in node.users if _gives_fresh_memory(user)}
    for node, value in _values(program, fixed, readers).items():
        name = f"{node.name}_known"
        while hasattr(program.module, name):
            name += "_"
        program.module.register_buffer(name, value, persistent=False)
        graph = program.module.graph
        with graph.inserting_before(node):
            constant = graph.get_attr(name)
            copied = graph.call_function(torch.ops.aten.clone.default, (constant,))
        constant.meta = dict(node.meta)
        copied.meta = dict(node.meta)
        node.replace_all_uses_with(constant, delete_user_cb=readers[node].__contains__)
        if _computes(node):
            node.replace_all_uses_with(copied)
    erase_unread(program.module.graph)
    program.module.graph.lint()


def _readers_elsewhere(program: Program, device: torch.device) -> dict[fx.Node, set[fx.Node]]:
    """The operators on `device` that read a number on another one, by what they read."""
    found: dict[fx.Node, set[fx.Node]] = {}
    for node in program.compute_nodes():
        value = value_of(node)
        if not isinstance(value, torch.Tensor) or value.dim() != 0 or value.device.type == device.type:
            continue
        those = {user for user in node.users if is_compute(user) and is_tensor(user)}
        those = {user for user in those if value_of(user).device.type == device.type}
        if those:
            found[node] = those
    return found


def _readers_of_indices(program: Program) -> dict[fx.Node, set[fx.Node]]:
    """The operators that choose elements by what other operators compute, by the latter."""
    found: dict[fx.Node, set[fx.Node]] = {}
    for node in program.compute_nodes():
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        given = named_arguments(node)
        chosen = set(leaf_nodes([given.get(name) for name in _INDICES]))
        # All of a reader's uses are replaced at once.
        others = set(leaf_nodes([value for name, value in given.items() if name not in _INDICES]))
        for item in chosen - others:
            value = value_of(item)
            if is_compute(item) and isinstance(value, torch.Tensor) and value.dtype in _INTEGERS:
                found.setdefault(item, set()).add(node)
    return found


def _fixed(program: Program) -> dict[fx.Node, None]:
    """The values that depend on constants alone, and are small, in the program's order."""
    fixed: dict[fx.Node, None] = {}
    for node in program.module.graph.nodes:
        known = _is_known_constant(program, node) or _is_function(node) or is_getitem(node)
        if known and _is_small(node) and all(item in fixed for item in node.all_input_nodes):
            fixed[node] = None
    return fixed


def _computed(fixed: Collection[fx.Node]) -> list[fx.Node]:
    """Those of them that are computed, and no larger than what they are computed from, where others read them."""
    folded = {node for node in fixed if _computes(node) and not _grows(node)}
    return [node for node in fixed if node in folded and not folded.issuperset(node.users)]


def _computes(node: fx.Node) -> bool:
    """Whether the node's result, one tensor, is neither its operand's memory nor made of nothing."""
    operator = producer(node)
    return (
        is_tensor(node)
        and len(operator.all_input_nodes) > 0
        and _gives_fresh_memory(operator)
        and operator.target is not torch.ops.aten.clone.default
    )


def _gives_fresh_memory(node: fx.Node) -> bool:
    """Whether the node is an operator none of whose results may be its operands' memory."""
    target = node.target
    return (
        is_pure(node)
        and isinstance(target, torch._ops.OpOverload)
        and all(result.alias_info is None for result in target._schema.returns)
        and target not in _MAY_RETURN_AN_OPERAND
        and torch.Tag.maybe_aliasing_or_mutating not in target.tags
    )


def _grows(node: fx.Node) -> bool:
    value = value_of(node)
    if value.numel() <= _ANY_SOURCE:
        return False
    sources: set[fx.Node] = set()
    left = [node]
    while left:
        item = left.pop()
        if item not in sources:
            sources.add(item)
            left.extend(item.all_input_nodes)
    return bool(value.nbytes > sum(value_of(item).nbytes for item in sources if item.op == "get_attr"))


def _values(program: Program, fixed: Collection[fx.Node], wanted: Iterable[fx.Node]) -> dict[fx.Node, torch.Tensor]:
    """The values of those of the nodes that depend on constants alone."""
    wanted = {node for node in wanted if node in fixed}
    needed = set(wanted)
    for node in reversed(list(fixed)):
        if node in needed:
            needed.update(node.all_input_nodes)
    values: dict[fx.Node, Any] = {}
    for node in fixed:
        if node not in needed:
            continue
        if node.op == "get_attr":
            values[node] = attribute(program.module, str(node.target))
        elif all(item in values for item in node.all_input_nodes):
            arguments, options = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            try:
                with torch.no_grad():
                    values[node] = node.target(*arguments, **options)  # type: ignore[operator]
            except (RuntimeError, IndexError):  # it is the program's to raise
                continue
    return {
        node: values[node].clone()
        for node in fixed
        if node in wanted and isinstance(values.get(node), torch.Tensor) and not values[node].is_meta
    }


def _is_small(node: fx.Node) -> bool:
    value = value_of(node)
    return all(
        isinstance(item, torch.Tensor)
        and not any(isinstance(size, torch.SymInt) for size in item.shape)
        and item.numel() <= _MOST_ELEMENTS
        for item in (value if isinstance(value, (tuple, list)) else (value,))
    )


def _is_known_constant(program: Program, node: fx.Node) -> bool:
    return program.is_constant(node) and not isinstance(attribute(program.module, str(node.target)), FakeTensor)


def _is_function(node: fx.Node) -> bool:
    """Whether the same operands give the same results, and nothing else happens."""
    target = node.target
    return (
        is_pure(node)
        and isinstance(target, torch._ops.OpOverload)
        and target.namespace == "aten"
        and torch.Tag.nondeterministic_seeded not in target.tags
        and not target._schema.name.startswith(_UNDEFINED)
    )


__all__ = ["with_known_values"]
