# SPDX-License-Identifier: Apache-2.0
"""Values that a program computes from constants alone, and that its engines need to know before it runs.

Numbers on another device: ``torch.sqrt(torch.tensor(64.0) * 3)`` stays on the CPU in a model on a GPU, and PyTorch lets
operators there read it, as it has no dimensions. An engine reads no tensor on another device, so that each such number
would end an engine.

Indices: T5 takes the rows of its relative positions from ``arange`` by way of a logarithm, of which no range is known.
Whether they are in range would be for each call to find out, or for PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor

from ._graph import Program
from ._nodes import attribute, erase_unread, is_compute, is_pure, is_tensor, leaf_nodes, named_arguments, value_of

_MOST_ELEMENTS = 1 << 20
"""Of a value that is computed while the model is compiled."""
_INDICES = ("index", "indices")
"""The parameters of ATen's operators that choose among elements."""
_INTEGERS = (torch.int64, torch.int32)


def with_known_values(program: Program, device: torch.device | None) -> None:
    """Makes constants of what PyTorch computes now as it would in every call: numbers on other devices than the
    program's `device`, for the operators that read them there, and indices.

    They stay as they are for other readers, which may return or change them."""
    readers = _readers_of_indices(program)
    if device is not None:
        for node, those in _readers_elsewhere(program, device).items():
            readers.setdefault(node, set()).update(those)
    for node, value in _values(program, readers).items():
        name = f"{node.name}_known"
        while hasattr(program.module, name):
            name += "_"
        program.module.register_buffer(name, value, persistent=False)
        with program.module.graph.inserting_before(node):
            constant = program.module.graph.get_attr(name)
        constant.meta = dict(node.meta)
        node.replace_all_uses_with(constant, delete_user_cb=readers[node].__contains__)
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


def _values(program: Program, wanted: Iterable[fx.Node]) -> dict[fx.Node, torch.Tensor]:
    """The values of those of the nodes that depend on constants alone."""
    fixed: dict[fx.Node, None] = {}
    for node in program.module.graph.nodes:
        if _is_small(node) and (
            _is_known_constant(program, node)
            or (_is_function(node) and all(item in fixed for item in node.all_input_nodes))
        ):
            fixed[node] = None
    wanted = {node for node in wanted if node in fixed}
    needed = set(wanted)
    for node in reversed(fixed):
        if node in needed:
            needed.update(node.all_input_nodes)
    values: dict[fx.Node, torch.Tensor] = {}
    for node in fixed:
        if node not in needed:
            continue
        if node.op == "get_attr":
            values[node] = attribute(program.module, str(node.target))
        elif all(item in values for item in node.all_input_nodes):
            arguments, options = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
            try:
                with torch.no_grad():
                    result = node.target(*arguments, **options)  # type: ignore[operator]
            except (RuntimeError, IndexError):  # it is the program's to raise
                continue
            if isinstance(result, torch.Tensor) and not result.is_meta:
                values[node] = result
    return {node: values[node].clone() for node in fixed if node in wanted and node in values}


def _is_small(node: fx.Node) -> bool:
    value = value_of(node)
    return (
        isinstance(value, torch.Tensor)
        and not any(isinstance(size, torch.SymInt) for size in value.shape)
        and value.numel() <= _MOST_ELEMENTS
    )


def _is_known_constant(program: Program, node: fx.Node) -> bool:
    return program.is_constant(node) and not isinstance(attribute(program.module, str(node.target)), FakeTensor)


def _is_function(node: fx.Node) -> bool:
    """Whether the same operands give the same one result, and nothing else happens."""
    target = node.target
    return (
        is_pure(node)
        and isinstance(target, torch._ops.OpOverload)
        and target.namespace == "aten"
        and len(target._schema.returns) == 1
        and torch.Tag.nondeterministic_seeded not in target.tags
    )


__all__ = ["with_known_values"]
