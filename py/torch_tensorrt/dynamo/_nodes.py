# SPDX-License-Identifier: Apache-2.0
"""Questions about nodes of a captured graph that several passes ask."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

SIZE_OPS = frozenset(
    {
        torch.ops.aten.sym_size.int,
        torch.ops.aten.sym_numel.default,
        torch.ops.aten.sym_stride.int,
        torch.ops.aten.sym_storage_offset.default,
    }
)
ITEM_OP = torch.ops.aten._local_scalar_dense.default
_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)


def value_of(node: Node) -> Any:
    """The node's fake value as captured."""
    return node.meta.get("val")


def is_tensor(node: Node) -> bool:
    return isinstance(value_of(node), torch.Tensor)


def is_getitem(node: Node) -> bool:
    return node.op == "call_function" and node.target is operator.getitem and isinstance(node.args[0], Node)


def is_size_node(node: Node) -> bool:
    """A size, or arithmetic on sizes: it becomes an expression, never a node of an engine."""
    if node.op != "call_function" or node.target is ITEM_OP:
        return False
    if node.target in SIZE_OPS:
        return True
    value = value_of(node)
    return isinstance(value, (*_SYMBOLIC, int, float, bool)) and not any(is_tensor(arg) for arg in node.all_input_nodes)


def is_mutation(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def is_pure(node: Node) -> bool:
    """An operator that gives results and does nothing else."""
    return (
        node.op == "call_function"
        and isinstance(node.target, torch._ops.OpOverload)
        and not node.target._schema.is_mutable
        and len(node.target._schema.returns) > 0
        and not node.is_impure()
    )


def erase_unread(graph: Graph) -> None:
    """Erases the sizes, the constants and the pure operators that nothing reads."""
    for node in reversed(list(graph.nodes)):
        if not node.users and (is_size_node(node) or node.op == "get_attr" or is_pure(node)):
            graph.erase_node(node)


def updates_statistics(node: Node) -> bool:
    """Whether the operator writes its running statistics, which these operators' schemas do not say."""
    if node.target not in (torch.ops.aten.batch_norm.default, torch.ops.aten.instance_norm.default):
        return False
    given = named_arguments(node)
    return bool(given.get("training", given.get("use_input_stats"))) and given.get("running_mean") is not None


def is_compute(node: Node) -> bool:
    """A node that runs in some block: everything but inputs, constants, sizes, picking results and the final copies."""
    return (
        node.op in ("call_function", "call_module", "call_method")
        and not is_getitem(node)
        and not is_size_node(node)
        and not is_mutation(node)
    )


_CHECKING_INDICES = re.compile(
    r"aten::(embedding|gather|index|index_(add|copy|fill|put|reduce|select)|put|scatter|scatter_(add|reduce)|take)"
)
_CHECKING_SIZES = re.compile(
    r"aten::(a?max|a?min|aminmax|arg(max|min)|kthvalue|median|mode|nanmedian|topk|_?upsample_\w+|grid_sampler\w*"
    r"|(_?adaptive_|fractional_)?(avg|max)_pool\w*|conv\w*|conv_transpose\w*|im2col|unfold_copy|reflection_pad\w*"
    r"|replication_pad\w*|(as_strided|diagonal|select|slice)_scatter|glu|native_(batch|group)_norm|pixel_(un)?shuffle)"
)


def is_checked_by_eager(node: Node) -> bool:
    """Whether the operator looks at indices, or at sizes that are not the same in each call, and raises where they are
    not as it needs them. Inductor takes negative indices everywhere, and knows sizes by the capture only: its
    code of a diagonal that is written ends the process where the diagonal is empty."""
    if not isinstance(node.target, torch._ops.OpOverload) or is_mutation(node):
        return False
    name = node.target._schema.name
    if _CHECKING_INDICES.fullmatch(name):
        return True
    if not _CHECKING_SIZES.fullmatch(name):
        return False
    tensors = [value_of(item) for item in node.all_input_nodes if is_tensor(item)]
    return any(isinstance(size, torch.SymInt) for tensor in tensors for size in tensor.shape)


_RESAMPLING = re.compile(r"aten::(_?upsample_\w+|grid_sampler\w*)")


def resamples(node: Node) -> bool:
    """Whether the operator resizes, or samples at places that a tensor names. Eager's kernels leave out elements that
    count for nothing (beside one whose place it is, or outside), which Inductor's code multiplies with 0: NaN where
    they are infinite. Of a factor (1.1) it makes other places."""
    return isinstance(node.target, torch._ops.OpOverload) and bool(_RESAMPLING.fullmatch(node.target._schema.name))


def producer(node: Node) -> Node:
    """The node that computes this value: `node`, or the operator whose result it picks."""
    while is_getitem(node):
        node = node.args[0]  # type: ignore[assignment]
    return node


def results(node: Node) -> list[tuple[str, torch.Tensor | None]]:
    """Name and fake tensor of each result of a compute node; the names are those of the nodes that pick them."""
    value = value_of(node)
    if isinstance(value, torch.Tensor):
        return [(node.name, value)]
    if isinstance(value, (tuple, list)):
        names = {user.args[1]: user.name for user in node.users if is_getitem(user)}
        return [
            (names.get(index, f"{node.name}__{index}"), item if isinstance(item, torch.Tensor) else None)
            for index, item in enumerate(value)
        ]
    return []


def attribute(module: GraphModule, target: str) -> Any:
    """The attribute that a get_attr node names."""
    found: Any = module
    for part in target.split("."):
        found = getattr(found, part)
    return found


def attribute_names(targets: Iterable[str]) -> dict[str, str]:
    """A name for each attribute of a module in a module without submodules, which are identifiers, in TorchScript too:
    `0.weight` is `_0_weight`."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for target in dict.fromkeys(targets):
        name = re.sub(r"\W", "_", target)
        name = f"_{name}" if name[0].isdigit() else name
        while name in taken:
            name += "_"
        taken.add(name)
        found[target] = name
    return found


def aliased_argument(node: Node) -> Node | None:
    """The argument whose memory a view's result shares; None for operators that return fresh memory."""
    if is_getitem(node):
        return aliased_argument(producer(node))
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target._schema.is_mutable:
        return None
    if not any(result.alias_info is not None for result in target._schema.returns):
        return None
    for index, argument in enumerate(target._schema.arguments):
        if argument.alias_info is not None and index < len(node.args):
            found = node.args[index]
            return found if isinstance(found, Node) else None
    return None


def named_arguments(node: Node) -> dict[str, Any]:
    """What an operator's call gives for its parameters, by their names."""
    parameters = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    return {**dict(zip(parameters, node.args, strict=False)), **node.kwargs}


def view_chain(node: Node) -> list[Node]:
    """The node and its aliases up to the value that owns the memory (the last of the list)."""
    chain = [node]
    while (base := aliased_argument(chain[-1])) is not None:
        chain.append(base)
    return chain


_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>\S+)')


def source_line(node: Node) -> str:
    """ "model.py:31 in forward: x = self.fc(x)", the innermost line that is not PyTorch's own; may be empty."""
    lines = (node.meta.get("stack_trace") or "").splitlines()
    best = ""
    for index, line in enumerate(lines):
        frame = _FRAME.search(line)
        if frame is None:
            continue
        code = lines[index + 1].strip() if index + 1 < len(lines) else ""
        if best and "/torch/" in frame["file"]:
            continue
        file = frame["file"].rsplit("/", 1)[-1]
        best = f"{file}:{frame['line']} in {frame['function']}" + (f": {code}" if code else "")
    return best


def graph_outputs(module: GraphModule) -> Any:
    """The output node's (possibly nested) argument."""
    output = next(iter(reversed(module.graph.nodes)))
    return output.args[0]


def copied(graph: Graph) -> tuple[Graph, dict[Node, Node]]:
    """A copy of a captured graph, and the copies of its nodes."""
    copy = Graph()
    copies: dict[Node, Node] = {}
    copy.output(copy.graph_copy(graph, copies))
    copy.output_node().meta = dict(graph.output_node().meta)
    for node, own in copies.items():
        own.name = node.name  # as the program's signature has it, also where fx would take another (`input`)
    return copy, copies


def leaf_nodes(argument: Any) -> Iterator[Node]:
    """Every node within a nested argument."""
    if isinstance(argument, Node):
        yield argument
    elif isinstance(argument, dict):
        for item in argument.values():
            yield from leaf_nodes(item)
    elif isinstance(argument, (list, tuple)):
        for item in argument:
            yield from leaf_nodes(item)
    elif isinstance(argument, slice):
        yield from leaf_nodes((argument.start, argument.stop, argument.step))
