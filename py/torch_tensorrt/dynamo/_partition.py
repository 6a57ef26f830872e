# SPDX-License-Identifier: Apache-2.0
"""Which nodes go to which engine, and which stay in PyTorch.

Every compute node gets a kind (engine or PyTorch) and a level: one more than that of any producer of the other kind, at
least that of producers of its own kind. Nodes of one level form one block, so an edge never leads to an earlier block,
blocks have no cycles, and there are as few of them as the alternation of kinds along the longest path demands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch.fx import Node

from .._settings import CompilationSettings
from ._graph import Program, Refusal, lone_symbols, node_symbols, refusal
from ._nodes import (
    graph_outputs,
    is_compute,
    is_getitem,
    is_size_node,
    is_tensor,
    leaf_nodes,
    producer,
    results,
    value_of,
    view_chain,
)
from ._symbols import shape_symbols, size_expr, sizes


@dataclass
class Block:
    """Nodes that run together, in execution order."""

    engine: bool
    nodes: list[Node]
    carriers: list[Node] = field(default_factory=list)
    """Engine blocks: tensors that are passed only because their sizes are needed."""

    @property
    def size(self) -> int:
        return len(self.nodes)


@dataclass
class Partition:
    """The blocks in execution order, and why the nodes of the PyTorch blocks are there."""

    blocks: list[Block]
    refusals: dict[str, Refusal]

    @property
    def engine_blocks(self) -> list[Block]:
        return [block for block in self.blocks if block.engine]


class SizeSources:
    """For every symbol, a tensor and the dimension of it that is this symbol."""

    def __init__(self, program: Program) -> None:
        self._tensors: dict[str, tuple[Node, int]] = {}
        self._items: dict[str, Node] = {}
        for node in program.module.graph.nodes:
            value = value_of(node)
            if isinstance(value, torch.Tensor):
                if producer(node).name in program.unreliable:
                    continue
                if node.op == "placeholder" or (node.op == "call_function" and is_compute(producer(node))):
                    for axis, size in enumerate(sizes(value)):
                        if isinstance(size, torch.SymInt) and isinstance(size.node.expr, sympy.Symbol):
                            self._tensors.setdefault(size.node.expr.name, (node, axis))
            elif (
                isinstance(value, torch.SymInt)
                and isinstance(value.node.expr, sympy.Symbol)
                and (node.op == "placeholder" or not is_size_node(node))
            ):
                self._items.setdefault(value.node.expr.name, node)

    def tensor(self, symbol: sympy.Symbol) -> tuple[Node, int] | None:
        """The tensor and its dimension; None where no tensor has it."""
        return self._tensors.get(symbol.name)

    def item(self, symbol: sympy.Symbol) -> Node | None:
        """The node that reads the symbol's value from a tensor, or the integer input that it is."""
        return self._items.get(symbol.name)


def _user_ops(program: Program, settings: CompilationSettings) -> dict[str, Refusal]:
    found = {}
    for node in program.compute_nodes():
        target = str(node.target)
        packet = target.rpartition(".")[0]
        if target in settings.torch_executed_ops or packet in settings.torch_executed_ops:
            found[node.name] = refusal(node, "USER", "it is one of torch_executed_ops")
    return found


def _aliasing(program: Program) -> dict[str, Refusal]:
    """Views that reach the caller and share memory with an input, a buffer or another output."""
    outputs = dict.fromkeys(node for node in leaf_nodes(graph_outputs(program.module)) if is_tensor(node))
    chains = {node: view_chain(node) for node in outputs}
    sharing: dict[Node, int] = {}
    for chain in chains.values():
        sharing[chain[-1]] = sharing.get(chain[-1], 0) + 1
    found = {}
    for chain in chains.values():
        base = chain[-1]
        outside = base.op in ("placeholder", "get_attr")
        if outside or sharing[base] > 1:
            what = f"input {base.name}" if outside else "another output"
            for view in chain[:-1]:
                owner = producer(view)
                found[owner.name] = refusal(
                    owner, "ALIASING", f"its result shares memory with {what}, as the caller can see"
                )
    return found


def _strided(program: Program) -> dict[str, Refusal]:
    """as_strided reads its operand's memory layout, which an engine's result does not have."""
    found = {}
    for node in program.compute_nodes():
        if node.target is torch.ops.aten.as_strided.default:
            for base in view_chain(node)[1:]:
                owner = producer(base)
                if is_compute(owner):
                    found[owner.name] = refusal(owner, "ALIASING", f"{node.name} depends on its memory layout")
    return found


def _data_dependent(program: Program) -> dict[str, Refusal]:
    found = {}
    for node in program.compute_nodes():
        known = set()
        for item in node.all_input_nodes:
            if is_tensor(item):
                known |= {s.name for size in sizes(value_of(item)) for s in _symbols(size)}
        for _, value in results(node):
            new = {s.name for size in sizes(value) for s in _symbols(size)} - known if value is not None else set()
            if any(name.startswith("u") for name in new):
                found[node.name] = refusal(node, "DATA_DEPENDENT", "its result's shape depends on data")
    return found


def _elsewhere(program: Program, device: torch.device) -> dict[str, Refusal]:
    """What takes or gives tensors on other devices than the engines': a size as a tensor on the CPU, say. Constants
    become part of an engine wherever they are."""
    found = {}
    for node in program.compute_nodes():
        tensors = [value_of(item) for item in node.all_input_nodes if is_tensor(item) and not program.is_constant(item)]
        tensors += [value for _, value in results(node) if value is not None]
        other = next((value.device for value in tensors if value.device.type != device.type), None)
        if other is not None:
            message = f"it has a tensor on {other}, and engines of this program run on {device.type}"
            found[node.name] = refusal(node, "BACKEND", message)
    return found


def _numbers(node: Node) -> list[torch.SymInt]:
    """The sizes, and arithmetic on sizes, that a node takes as numbers."""
    return [value for item in leaf_nodes((node.args, node.kwargs)) if isinstance(value := value_of(item), torch.SymInt)]


def _unreliable(program: Program) -> dict[str, Refusal]:
    """What has another shape at small sizes than its metadata says."""
    return {
        node.name: refusal(node, "DYNAMIC_SHAPE", what)
        for node in program.compute_nodes()
        if (what := program.unreliable.get(node.name)) is not None
    }


def _symbols(size: int | torch.SymInt) -> set[sympy.Symbol]:
    return set(size.node.expr.free_symbols) if isinstance(size, torch.SymInt) else set()


# PyTorch's shape functions compute in float32 what its kernels give in the dtype of the statistics they are handed.
_STATISTICS: dict[Any, tuple[int, ...]] = {
    torch.ops.aten._native_batch_norm_legit_functional.default: (3, 4),
    torch.ops.aten._batch_norm_with_update_functional.default: (4, 5),
}


def _of_another_dtype(program: Program) -> dict[str, Refusal]:
    """What takes a tensor whose dtype is another one when the program runs than its metadata says. PyTorch's operators
    take either; an engine takes what it was compiled for."""
    found = {}
    for node in program.compute_nodes():
        for item in node.all_input_nodes:
            if is_getitem(item) and item.args[1] in _STATISTICS.get(producer(item).target, ()):
                found[node.name] = refusal(node, "BACKEND", f"the dtype of {item.name} depends on PyTorch's kernel")
    return found


def preliminary_refusals(program: Program, settings: CompilationSettings) -> dict[str, Refusal]:
    """Refusals that need no converter: the user's, aliasing, memory layouts, dtypes, devices, data-dependent shapes."""
    found = {
        **_strided(program),
        **_aliasing(program),
        **_of_another_dtype(program),
        **_unreliable(program),
        **_user_ops(program, settings),
    }
    if settings.device is not None:
        found = {**_elsewhere(program, settings.device.to_torch()), **found}
    if settings.fallback_data_dependent_ops:
        found = {**_data_dependent(program), **found}
    return found


class Partitioner:
    """Carves a program into blocks; call `partition` again with more refusals when a block turned out impossible."""

    def __init__(self, program: Program, min_block_size: int) -> None:
        self._program = program
        self._min_block_size = min_block_size
        self.sources = SizeSources(program)
        self._nodes = program.compute_nodes()
        self._order = {node: index for index, node in enumerate(self._nodes)}
        self._dependencies = {node: self._find_dependencies(node) for node in self._nodes}

    def _find_dependencies(self, node: Node) -> set[Node]:
        """Compute nodes that must have run: producers of the tensors, and of the sizes, that the node uses."""
        found: set[Node] = set()
        for operand in node.all_input_nodes:
            if is_size_node(operand):
                found |= self._size_dependencies(operand)
            elif is_compute(producer(operand)):
                found.add(producer(operand))
        for symbol in node_symbols(node):
            source = self.sources.tensor(symbol)
            for owner in (producer(source[0]) if source is not None else None, self.sources.item(symbol)):
                if owner is not None and is_compute(owner) and self._order[owner] < self._order[node]:
                    found.add(owner)
                    break
        return found

    def _size_dependencies(self, node: Node) -> set[Node]:
        found: set[Node] = set()
        for item in node.all_input_nodes:
            if is_size_node(item):
                found |= self._size_dependencies(item)
            elif is_compute(producer(item)):
                found.add(producer(item))
        return found

    def partition(self, refusals: Mapping[str, Refusal]) -> Partition:
        """Blocks for these refusals, plus refusals of what is too small or lacks a size."""
        refused = dict(refusals)
        while True:
            blocks = self._carve(refused)
            added = self._missing_sizes(blocks) or self._too_small(blocks)
            if not added:
                return Partition(blocks, refused)
            refused.update(added)

    def _carve(self, refused: Mapping[str, Refusal]) -> list[Block]:
        levels: dict[Node, int] = {}
        members: dict[int, list[Node]] = {}
        for node in self._nodes:
            engine = node.name not in refused
            level = 0 if engine else -1
            for dependency in self._dependencies[node]:
                other = levels[dependency]
                level = max(level, other if (other % 2 == 0) == engine else other + 1)
            levels[node] = level
            members.setdefault(level, []).append(node)
        return [Block(level % 2 == 0, members[level]) for level in sorted(members)]

    def _too_small(self, blocks: Sequence[Block]) -> dict[str, Refusal]:
        return {
            node.name: refusal(
                node,
                "BLOCK_SIZE",
                f"its block has {block.size} operators, fewer than min_block_size={self._min_block_size}",
            )
            for block in blocks
            if block.engine and block.size < self._min_block_size
            for node in block.nodes
        }

    def _missing_sizes(self, blocks: Sequence[Block]) -> dict[str, Refusal]:
        """Fills in the engine blocks' carriers; refuses nodes whose sizes no tensor can give."""
        found: dict[str, Refusal] = {}
        done: set[Node] = set()
        for block in blocks:
            if block.engine:
                block.carriers = []
                outside = block_inputs(self._program, block)
                # What the engine's inputs give: all that their own shapes use must be among it.
                bound: set[sympy.Symbol] = set().union(*(lone_symbols(value_of(item)) for item in outside))
                known = set(bound)
                for node in block.nodes:
                    # Sizes that only this node knows; not those that it is given as numbers.
                    given = set().union(*(size_expr(size).free_symbols for size in _numbers(node)))
                    own = {
                        symbol
                        for _, value in results(node)
                        if value is not None
                        for symbol in lone_symbols(value)
                        if (source := self.sources.tensor(symbol)) and producer(source[0]) is node
                    }
                    known |= own - given
                    taken = set().union(*(shape_symbols(value_of(n)) for n in node.all_input_nodes if n in outside))
                    missing = (node_symbols(node) - known) | (taken - bound)
                    for symbol in sorted(missing, key=lambda item: item.name):
                        source = self.sources.tensor(symbol)
                        if source is not None and producer(source[0]).name in found:
                            continue  # it leaves this block, and gives the size then
                        if source is None or not (source[0].op == "placeholder" or producer(source[0]) in done):
                            found[node.name] = refusal(
                                node, "DYNAMIC_SHAPE", f"size {symbol} is not a dimension of any tensor at hand"
                            )
                            continue
                        block.carriers.append(source[0])
                        bound |= lone_symbols(value_of(source[0]))
                        known |= bound
            done.update(block.nodes)
        return found


def block_inputs(program: Program, block: Block) -> list[Node]:
    """Tensors that an engine block takes from outside, in the order of first use, then its carriers."""
    inside = set(block.nodes)
    found: dict[Node, None] = {}
    for node in block.nodes:
        for item in leaf_nodes((node.args, node.kwargs)):
            if is_tensor(item) and producer(item) not in inside and not program.is_constant(item):
                found[item] = None
    for carrier in block.carriers:
        found[carrier] = None
    return list(found)


__all__ = ["Block", "Partition", "Partitioner", "SizeSources", "block_inputs", "preliminary_refusals"]
