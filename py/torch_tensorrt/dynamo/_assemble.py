# SPDX-License-Identifier: Apache-2.0
"""From blocks to a callable module: PyTorch blocks as graph modules, engines as engine modules, one root over them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import fx
from torch.fx import Node
from torch.utils import _pytree as pytree

from ..runtime._module import CompiledModule, TorchBlock, apply_calling_convention, check_constant, check_given
from ._graph import Program, describe_expected, is_checkable
from ._nodes import (
    ITEM_OP,
    attribute,
    attribute_names,
    graph_outputs,
    is_compute,
    is_mutation,
    is_size_node,
    is_tensor,
    leaf_nodes,
    named_arguments,
    producer,
    value_of,
)
from ._partition import Block, Partition, SizeSources, block_inputs
from ._symbols import NotRepresentableError, emit_expr, size_expr

# A view of an engine's result must not rely on strides that eager's result would have had.
_LAYOUT_FREE = {
    torch.ops.aten.view.default: torch.ops.aten.reshape.default,
    torch.ops.aten._unsafe_view.default: torch.ops.aten.reshape.default,
}


class _SizeWriter:
    """Writes sizes into a graph, from the tensors that this graph has."""

    def __init__(
        self,
        graph: fx.Graph,
        sources: SizeSources,
        tensor: Callable[[Node], Node],
        at_root: bool,
        is_ready: Callable[[Node], bool],
    ) -> None:
        """`is_ready`: whether a tensor exists where the sizes are written."""
        self._graph = graph
        self._is_ready = is_ready
        self._sources = sources
        self._tensor = tensor
        self._at_root = at_root
        self._symbols: dict[str, Node] = {}
        self._done: dict[Node, Any] = {}

    def _symbol(self, symbol: sympy.Symbol) -> Node:
        if symbol.name not in self._symbols:
            source = self._sources.tensor(symbol)
            if source is not None and self._is_ready(source[0]):
                tensor, axis = self._tensor(source[0]), source[1]
                if self._at_root:  # a method call stays a computation under torch.jit.trace
                    self._symbols[symbol.name] = self._graph.call_method("size", (tensor, axis))
                else:
                    self._symbols[symbol.name] = self._graph.call_function(torch.ops.aten.sym_size.int, (tensor, axis))
            else:
                item = self._sources.item(symbol)
                if item is None:
                    raise NotRepresentableError(f"no tensor gives the size {symbol}")
                self._symbols[symbol.name] = self._tensor(item) if item.op == "placeholder" else self.number(item)
        return self._symbols[symbol.name]

    def number(self, node: Node) -> Any:
        """A number of the captured graph (a size, arithmetic on sizes, an element read from a tensor) in this graph."""
        if node in self._done:
            return self._done[node]
        value = value_of(node)
        result: Any
        if node.op == "placeholder":
            result = self._tensor(node)
        elif not isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
            result = value
        elif isinstance(value, torch.SymInt) and node.target is not ITEM_OP:
            try:
                result = emit_expr(self._graph, size_expr(value), self._symbol)
            except NotRepresentableError:
                result = self._copy(node)
        else:
            result = self._copy(node)
        self._done[node] = result
        return result

    def _copy(self, node: Node) -> Node:
        args = fx.node.map_arg(node.args, self.map)
        kwargs = fx.node.map_arg(node.kwargs, self.map)
        result = self._graph.create_node(node.op, node.target, args, kwargs, name=node.name)
        if node.target is ITEM_OP:
            value = value_of(node)
            result.meta["script_type"] = (
                "float" if isinstance(value, (float, torch.SymFloat)) else
                "bool" if isinstance(value, (bool, torch.SymBool)) else "int"
            )  # fmt: skip
        return result

    def map(self, node: Node) -> Any:
        """Any operand: a tensor of this graph, or a number written into it."""
        if is_size_node(node) or node.target is ITEM_OP:
            return self.number(node)
        return self._tensor(node)


def _dtype_unlike_script(node: Node) -> str:
    """The name of the result's dtype where TorchScript may compute another; "" otherwise. TorchScript has no bool where
    an operator takes any number: it makes True a 1, and the result an integer. And it takes `x + 0` and `x * 1` for x,
    be x of bools."""
    if not isinstance(node.target, torch._ops.OpOverload) or node.target._schema.is_mutable:
        return ""
    value = value_of(node)
    if not isinstance(value, torch.Tensor):
        return ""
    kinds = {argument.name: str(argument.type) for argument in node.target._schema.arguments}
    numbers = [
        item
        for name, item in named_arguments(node).items()
        if isinstance(item, (bool, int, float)) and kinds[name] in ("number", "Optional[number]", "Tensor")
    ]
    of_bools = any(is_tensor(item) and value_of(item).dtype is torch.bool for item in node.all_input_nodes)
    if value.dtype is torch.bool:
        differs = any(isinstance(number, bool) for number in numbers)
    else:
        differs = of_bools and bool(numbers)
    return str(value.dtype).removeprefix("torch.") if differs else ""


class _TorchBlockBuilder:
    """Copies a block's nodes into a graph of their own; what they need from outside becomes an input."""

    def __init__(self, program: Program, block: Block, sources: SizeSources, earlier: Collection[Node]) -> None:
        """`earlier`: the nodes of the blocks before this one."""
        self._program = program
        self._earlier = earlier
        self.inputs: dict[Node, Node] = {}
        self._graph = fx.Graph()
        self._attributes: dict[str, Any] = {}
        self._own: dict[Node, Any] = {}
        self._placeholders_end = self._graph.call_function(len)  # inputs are inserted before it; removed at the end
        self._sizes = _SizeWriter(self._graph, sources, self._operand, at_root=False, is_ready=self._is_ready)
        for node in block.nodes:
            self._copy(node)

    def _copy(self, node: Node) -> None:
        if node.target is ITEM_OP:
            self._sizes.number(node)
            return
        args = fx.node.map_arg(node.args, self._sizes.map)
        kwargs = fx.node.map_arg(node.kwargs, self._sizes.map)
        target = _LAYOUT_FREE.get(node.target, node.target)  # type: ignore[call-overload]
        self._own[node] = self._graph.create_node(node.op, target, args, kwargs, name=node.name)
        if dtype := _dtype_unlike_script(node):
            self._own[node].meta["script_type"] = dtype
        for user in node.users:
            if user.op == "call_function" and user.target is operator.getitem:
                self._own[user] = self._graph.call_function(operator.getitem, (self._own[node], user.args[1]))

    def _is_ready(self, node: Node) -> bool:
        return node in self._own or not is_compute(producer(node)) or producer(node) in self._earlier

    def _operand(self, node: Node) -> Node:
        if node in self._own:
            return self._own[node]  # type: ignore[no-any-return]
        if node.op == "get_attr" and not is_tensor(node):
            self._attributes[str(node.target)] = attribute(self._program.module, str(node.target))
            self._own[node] = self._graph.get_attr(str(node.target))
            return self._own[node]  # type: ignore[no-any-return]
        if node not in self.inputs:
            with self._graph.inserting_before(self._placeholders_end):
                placeholder = self._graph.placeholder(node.name)
            placeholder.target = placeholder.name  # another one if a node of this graph has that name
            if isinstance(value_of(node), torch.SymInt):
                placeholder.meta["script_type"] = "int"
            self.inputs[node] = placeholder
        return self.inputs[node]

    def finish(self, outputs: Sequence[Node]) -> TorchBlock:
        self._graph.erase_node(self._placeholders_end)
        values = [self._own[node] for node in outputs]
        self._graph.output(values[0] if len(values) == 1 else tuple(values))
        self._graph.lint()
        return TorchBlock(fx.GraphModule(self._attributes, self._graph))


class Assembly:
    """The wiring of a partition: what each block takes and must return."""

    def __init__(self, program: Program, partition: Partition, sources: SizeSources) -> None:
        self.program = program
        self.blocks = partition.blocks
        self._sources = sources
        self._builders: dict[int, _TorchBlockBuilder] = {}
        self.inputs: list[list[Node]] = []
        self.outputs: list[list[Node]] = []
        earlier: set[Node] = set()
        for index, block in enumerate(self.blocks):
            if block.engine:
                self.inputs.append(block_inputs(program, block))
            else:
                builder = _TorchBlockBuilder(program, block, sources, earlier)
                self._builders[index] = builder
                self.inputs.append(list(builder.inputs))
            earlier.update(block.nodes)
        self.outputs = self._find_outputs()
        self._drop_dead_blocks()

    def _drop_dead_blocks(self) -> None:
        live = [
            index
            for index, block in enumerate(self.blocks)
            if self.outputs[index] or any(_has_effect(node) for node in block.nodes)
        ]
        self.blocks = [self.blocks[index] for index in live]
        self.inputs = [self.inputs[index] for index in live]
        self.outputs = [self.outputs[index] for index in live]
        self._builders = {new: self._builders[old] for new, old in enumerate(live) if old in self._builders}

    def _find_outputs(self) -> list[list[Node]]:
        needed: dict[Node, None] = {}
        for inputs in self.inputs:
            needed.update(dict.fromkeys(inputs))
        for node in leaf_nodes(graph_outputs(self.program.module)):
            if is_tensor(node):
                needed[node] = None
            elif isinstance(value_of(node), torch.SymInt):
                for symbol in size_expr(value_of(node)).free_symbols:
                    if (source := self._sources.tensor(symbol)) is not None:
                        needed[source[0]] = None
        for node in self.program.module.graph.nodes:
            if is_mutation(node):
                needed.update(dict.fromkeys(item for item in node.all_input_nodes if is_tensor(item)))
        found = []
        for block in self.blocks:
            inside = set(block.nodes)
            found.append(
                [
                    node
                    for node in needed
                    if node in inside or (node.target is operator.getitem and node.args[0] in inside)
                ]
            )
        return found

    def build(self, engines: Mapping[int, torch.nn.Module], convention: CallingConvention) -> CompiledModule:
        """The root module; `engines` holds the engine module of each engine block, by the block's index."""
        root = _RootBuilder(self.program, self._sources)
        torch_inputs = [node for index in self._builders for node in self.inputs[index]]
        # What a model writes, PyTorch copies into place.
        torch_inputs += [
            item for node in self.program.module.graph.nodes if is_mutation(node) for item in node.all_input_nodes
        ]
        # Where sizes were not captured as they are, the check says what code that believes the capture may take.
        program = self.program
        reads_inputs = program.has_unread_inputs or any(node.op == "placeholder" for node in torch_inputs)
        if program.unreliable or program.guards or reads_inputs:
            root.check_inputs()
        numbers = {True: 0, False: 0}
        for index, block in enumerate(self.blocks):
            prefix = "_run_on_acc_" if block.engine else "_run_on_gpu_"
            name = f"{prefix}{numbers[block.engine]}"
            numbers[block.engine] += 1
            module = engines[index] if block.engine else self._builders[index].finish(self.outputs[index])
            root.call(name, module, self.inputs[index], self.outputs[index])
        return root.finish(convention)


def _has_effect(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and (
        node.target._schema.is_mutable or not node.target._schema.returns
    )


class CallingConvention:
    """How the original module takes its arguments and returns its results."""

    def __init__(self, orig_args: list[str] | None, in_spec: Any, out_spec: Any) -> None:
        self.orig_args, self.in_spec, self.out_spec = orig_args, in_spec, out_spec

    @classmethod
    def of(cls, graph: fx.Graph) -> CallingConvention:
        codegen = graph._codegen
        if isinstance(codegen, fx.graph._PyTreeCodeGen):
            info = codegen.pytree_info
            return cls(list(info.orig_args), info.in_spec, info.out_spec)
        return cls(None, None, None)

    def has_flat_inputs(self) -> bool:
        """Every argument is a tensor or a number by itself, so that forward can simply name them."""
        if self.in_spec is None:
            return True
        args, kwargs = self.in_spec.children()
        return (
            args.type is tuple
            and kwargs.type is dict
            and all(child.is_leaf() for child in (*args.children(), *kwargs.children()))
            and self.orig_args is not None
            and len(self.orig_args) == args.num_children + kwargs.num_children
            and all(name.isidentifier() for name in self.orig_args)
            and self.orig_args[args.num_children :] == list(kwargs.context)
        )

    def plain_output(self, leaves: Sequence[Any]) -> tuple[bool, Any]:
        """The results as nested tuples, lists and dicts, if they are no more than that."""
        if self.out_spec is None:
            return False, None

        def plain(spec: Any) -> bool:
            return spec.is_leaf() or (spec.type in (tuple, list, dict) and all(plain(c) for c in spec.children()))

        if not plain(self.out_spec):
            return False, None
        return True, pytree.tree_unflatten(list(leaves), self.out_spec)


class _RootBuilder:
    def __init__(self, program: Program, sources: SizeSources) -> None:
        self._program = program
        self._graph = fx.Graph()
        self._attributes: dict[str, Any] = {}
        self._names = attribute_names(str(n.target) for n in program.module.graph.nodes if n.op == "get_attr")
        self._values: dict[Node, Node] = {}
        self._sizes = _SizeWriter(self._graph, sources, self._value, at_root=True, is_ready=lambda node: True)
        self._convention = CallingConvention.of(program.module.graph)
        flat = self._convention.has_flat_inputs()
        names = self._convention.orig_args
        placeholders = [node for node in program.module.graph.nodes if node.op == "placeholder"]
        # Constants have defaults, and behind a default Python wants others: None, which is no tensor.
        named = flat and names is not None
        default = False
        checks: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        for index, node in enumerate(placeholders):
            name, value = names[index] if flat and names is not None else node.name, value_of(node)
            constant = not isinstance(value, (torch.Tensor, torch.SymInt, torch.SymFloat, torch.SymBool))
            default = named and (default or constant)
            if default:
                self._values[node] = self._graph.placeholder(name, default_value=value if constant else None)
            else:
                self._values[node] = self._graph.placeholder(name)
            if isinstance(value, torch.SymInt):
                self._values[node].meta["script_type"] = "int"
            if constant:
                checks.append((check_constant, (self._values[node], value, name)))
            elif default:
                checks.append((check_given, (self._values[node], name)))
        for check, args in checks:
            self._graph.call_function(check, args)

    def check_inputs(self) -> None:
        """A check of all inputs, for programs where PyTorch takes or writes some: engines check their own."""
        placeholders = {n: own for n, own in self._values.items() if n.op == "placeholder" and is_checkable(n)}
        if placeholders:
            names = [str(own.target) for own in placeholders.values()]
            expected = describe_expected(self._program, list(placeholders), names)
            self._graph.call_function(torch.ops.tensorrt.check_inputs.default, (list(placeholders.values()), expected))

    def _value(self, node: Node) -> Node:
        if node not in self._values:
            assert node.op == "get_attr", node
            name = self._names[str(node.target)]
            self._attributes[name] = attribute(self._program.module, str(node.target))
            self._values[node] = self._graph.get_attr(name)
        return self._values[node]

    def call(self, name: str, module: torch.nn.Module, inputs: Sequence[Node], outputs: Sequence[Node]) -> None:
        args = tuple(self._value(node) for node in inputs)
        self._attributes[name] = module
        result = self._graph.create_node("call_module", name, args, name=name)
        for index, node in enumerate(outputs):
            self._values[node] = (
                result if len(outputs) == 1 else self._graph.call_function(operator.getitem, (result, index))
            )

    def finish(self, convention: CallingConvention) -> CompiledModule:
        for node in self._program.module.graph.nodes:
            if is_mutation(node):
                args = fx.node.map_arg(node.args, self._sizes.map)
                kwargs = fx.node.map_arg(node.kwargs, self._sizes.map)
                # A model may return what it has written: copy_ gives the written tensor itself, as eager does.
                self._values[node] = self._graph.create_node(node.op, node.target, args, kwargs, name=node.name)
        leaves = fx.node.map_arg(graph_outputs(self._program.module), self._sizes.map)
        specs: tuple[Any, Any, Any] = (None, None, None)
        if convention.orig_args is not None:
            plain, nested = convention.plain_output(leaves)
            if plain and convention.has_flat_inputs():
                leaves = nested
            else:
                specs = (convention.orig_args, convention.in_spec, convention.out_spec)
        self._graph.output(leaves)
        apply_calling_convention(self._graph, *specs)
        module = CompiledModule(self._attributes, self._graph)
        module.calling_convention = specs
        return module
