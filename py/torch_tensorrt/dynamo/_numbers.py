# SPDX-License-Identifier: Apache-2.0
"""Numbers that a model computes on the CPU from numbers that are written in it, while it runs on another device.

``torch.sqrt(torch.tensor(64.0) * 3)`` stays on the CPU in a model on a GPU, and PyTorch lets operators there read it,
as it has no dimensions. An engine reads no tensor on another device, so that each such number would end an engine.
"""

from __future__ import annotations

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensor

from ._graph import Program
from ._nodes import attribute, is_compute, is_tensor, value_of


def with_known_numbers(program: Program, device: torch.device) -> None:
    """Makes constants of numbers on other devices than the program's `device` that depend on constants alone, for the
    operators that read them there. What PyTorch computes now is what it would compute in every call.

    They stay as they are for readers on their own device, which may return or change them."""
    known: dict[fx.Node, torch.Tensor] = {}
    for node in program.module.graph.nodes:
        value = _number(program, node, device, known)
        if value is not None:
            known[node] = value
    for node in list(known):
        readers = {user for user in node.users if is_compute(user) and _results_on(user, device)}
        if node.op == "get_attr" or not readers:
            continue
        name = f"{node.name}_known"
        while hasattr(program.module, name):
            name += "_"
        program.module.register_buffer(name, known[node], persistent=False)
        with program.module.graph.inserting_before(node):
            constant = program.module.graph.get_attr(name)
        constant.meta = dict(node.meta)
        node.replace_all_uses_with(constant, delete_user_cb=readers.__contains__)
    for node in reversed(list(known)):
        if not node.users:
            program.module.graph.erase_node(node)
    program.module.graph.lint()


def _number(
    program: Program, node: fx.Node, device: torch.device, known: dict[fx.Node, torch.Tensor]
) -> torch.Tensor | None:
    """The node's value, if it is a number on another device than `device` that is known before the program runs."""
    meta = value_of(node)
    if not isinstance(meta, torch.Tensor) or meta.dim() != 0 or meta.device.type == device.type:
        return None
    if node.op == "get_attr":
        value = attribute(program.module, str(node.target))
        return value if program.is_constant(node) and not isinstance(value, FakeTensor) else None
    if not _is_function(node) or not all(item in known for item in node.all_input_nodes):
        return None
    arguments, options = fx.node.map_arg((node.args, node.kwargs), lambda item: known[item])
    try:
        with torch.no_grad():
            result = node.target(*arguments, **options)  # type: ignore[operator]
    except RuntimeError:  # it is the program's to raise
        return None
    assert isinstance(result, torch.Tensor)
    return result.clone()


def _is_function(node: fx.Node) -> bool:
    """Whether the same operands give the same result, and nothing is written."""
    target = node.target
    return (
        is_compute(node)
        and isinstance(target, torch._ops.OpOverload)
        and not target._schema.is_mutable
        and len(target._schema.returns) == 1
        and torch.Tag.nondeterministic_seeded not in target.tags
        and not node.is_impure()
    )


def _results_on(node: fx.Node, device: torch.device) -> bool:
    return is_tensor(node) and value_of(node).device.type == device.type


__all__ = ["with_known_numbers"]
