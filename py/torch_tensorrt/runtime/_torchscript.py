# SPDX-License-Identifier: Apache-2.0
"""Graphs as TorchScript source.

The nodes are ATen overloads with plain arguments and sizes, which TorchScript's own language can say: one statement per
node. Overloads are picked by the arguments' names and types. Branches and loops (``torch.cond``, ``while_loop``)
become functions of their own, called from ``if`` and ``while``.
"""

from __future__ import annotations

import itertools
import keyword
import linecache
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import torch
from torch import fx

_SCALAR_TYPES = {
    torch.uint8: 0,
    torch.int8: 1,
    torch.int16: 2,
    torch.int32: 3,
    torch.int64: 4,
    torch.float16: 5,
    torch.float32: 6,
    torch.float64: 7,
    torch.complex64: 9,
    torch.complex128: 10,
    torch.bool: 11,
    torch.bfloat16: 15,
}
_MEMORY_FORMATS = {
    torch.contiguous_format: 0,
    torch.preserve_format: 1,
    torch.channels_last: 2,
    torch.channels_last_3d: 3,
}
_ARITHMETIC: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.truediv: "/",
    operator.pow: "**",
    operator.lshift: "<<",
    operator.rshift: ">>",
}
_COMPARISONS: dict[Any, str] = {
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}
_LOGIC: dict[Any, tuple[str, str]] = {operator.and_: ("and", "&"), operator.or_: ("or", "|")}  # of bools, of ints
# Function and type of the result; "": that of the operands.
_CALLS: dict[Any, tuple[str, str]] = {
    torch.sym_max: ("max", ""),
    torch.sym_min: ("min", ""),
    torch.sym_float: ("float", "float"),
    torch.sym_int: ("int", "int"),
    torch.sym_not: ("not ", "bool"),
    operator.not_: ("not ", "bool"),
    operator.neg: ("-", ""),
    operator.abs: ("abs", ""),
    abs: ("abs", ""),
    round: ("round", "int"),
    math.ceil: ("math.ceil", "int"),
    math.floor: ("math.floor", "int"),
    math.trunc: ("int", "int"),
    math.sqrt: ("math.sqrt", "float"),
    torch._sym_sqrt: ("math.sqrt", "float"),  # type: ignore[attr-defined]
}
_SIZE_METHODS: dict[Any, str] = {
    torch.ops.aten.sym_size.int: "size",
    torch.ops.aten.sym_stride.int: "stride",
    torch.ops.aten.sym_numel.default: "numel",
    torch.ops.aten.sym_storage_offset.default: "storage_offset",
}
# Without a result, or with one that nothing reads, TorchScript would drop the operators; its own statement stays.
_ASSERTIONS: dict[Any, str] = {
    torch.ops.aten._assert_scalar.default: "bool({})",
    torch.ops.aten._assert_async.default: "bool(torch.ops.aten.is_nonzero({}))",
    torch.ops.aten._assert_async.msg: "bool(torch.ops.aten.is_nonzero({}))",
    torch.ops.aten._functional_assert_scalar.default: "bool({})",
    torch.ops.aten._functional_assert_async.msg: "bool(torch.ops.aten.is_nonzero({}))",
}
# What only tracing needed.
_SKIPPED = frozenset(
    {
        torch.ops.aten._assert_tensor_metadata.default,
        torch.ops.aten.sym_constrain_range_for_size.default,
        torch.ops.aten.sym_constrain_range.default,
    }
)

# Overloads that TorchScript's compiler does not find under their own names.
_RENAMED: dict[Any, str] = {torch.ops.aten.view.dtype: "tensorrt.view_dtype"}

_BLOCK_NUMBERS = itertools.count()


class NotScriptableError(RuntimeError):
    """The graph has something that TorchScript cannot say."""


def _list_type(schema_type: str) -> str:
    """ "int" for "List[int]" or "Optional[List[int]]"."""
    text = schema_type
    if text.startswith("Optional[List["):
        text = text[len("Optional[") : -1]
    return text[len("List[") : -1] if text.startswith("List[") else ""


def scalar_type(value: Any) -> str:
    """The TorchScript type of a Python constant."""
    for kind in (bool, int, float, str):  # a bool is an int, too
        if isinstance(value, kind):
            return kind.__name__
    if value is None:
        return "Optional[Tensor]"
    raise NotScriptableError(f"a constant of type {type(value).__name__}")


def _takes_number(target: torch._ops.OpOverload, name: str) -> bool:
    """Whether another overload of the operator takes a number for the tensor of this name."""
    packet = target.overloadpacket
    schemas = [getattr(packet, overload)._schema for overload in packet.overloads()]
    return any(
        argument.name == name and str(argument.type) in ("number", "Scalar")
        for schema in schemas
        for argument in schema.arguments
    )


class GraphWriter:
    """Writes the statements of a graph; knows the type of every value."""

    def __init__(self, functions: dict[str, str], attributes: Mapping[str, Any]) -> None:
        self.lines: list[str] = []
        self._functions = functions
        self._attributes = attributes
        self._types: dict[fx.Node, str] = {}
        self._result_types: dict[fx.Node, Sequence[str]] = {}
        self._returned_constants: set[fx.Node] = set()

    def expect(self, graph: fx.Graph) -> None:
        """Finds the tensors in a graph that are the same in every call and whose memory it returns."""
        from ..dynamo._nodes import leaf_nodes, view_chain  # which imports this package

        constants: set[fx.Node] = set()
        for node in graph.nodes:
            target = node.target
            known = target is operator.getitem or (
                isinstance(target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded not in target.tags
            )
            if known and constants.issuperset(node.all_input_nodes):
                constants.add(node)
        owners = {view_chain(leaf)[-1] for leaf in leaf_nodes(graph.output_node().args[0])}
        self._returned_constants = owners & constants

    def declare(self, node: fx.Node, kind: str) -> None:
        """Says the type of a value that comes from outside."""
        self._types[node] = kind

    def type_of(self, value: Any) -> str:
        if isinstance(value, fx.Node):
            return self._types.get(value, "Tensor")
        return scalar_type(value)

    def literal(self, value: Any, type_text: str = "") -> str:
        """A value as TorchScript source; `type_text`: the schema's type, which empty and mixed lists need."""
        if isinstance(value, fx.Node):
            return value.name
        if value is None or isinstance(value, (bool, int, str)):
            return repr(value)
        if isinstance(value, float):
            return f'float("{value}")' if math.isinf(value) or math.isnan(value) else repr(value)
        if isinstance(value, torch.dtype):
            if value not in _SCALAR_TYPES:
                raise NotScriptableError(f"dtype {value}")
            return str(_SCALAR_TYPES[value])
        if isinstance(value, torch.memory_format):
            return str(_MEMORY_FORMATS[value])
        if isinstance(value, torch.layout):
            if value is not torch.strided:
                raise NotScriptableError(f"layout {value}")
            return "0"
        if isinstance(value, torch.device):
            return f'torch.device("{value}")'
        if isinstance(value, (list, tuple)):
            text = "[" + ", ".join(self.literal(item) for item in value) + "]"
            element = _list_type(type_text)
            return f"torch.jit.annotate(List[{element}], {text})" if element else text
        raise NotScriptableError(f"an argument of type {type(value).__name__}")

    def write(self, node: fx.Node) -> None:
        """One node that is neither an input nor the output."""
        if node.op == "get_attr" and isinstance(self._attributes.get(str(node.target)), fx.GraphModule):
            return  # a branch: written where it is called
        if node.op != "call_function":
            raise NotScriptableError(f"{node.op} {node.target}")
        if node.target in _SKIPPED:
            return
        if node.target in _ASSERTIONS:
            condition = _ASSERTIONS[node.target].format(self.literal(node.args[0]))
            message = self.literal(node.args[1]) if len(node.args) > 1 else "'an assertion of the model does not hold'"
            self.lines.append(f"assert {condition}, {message}")
            if node.users:
                self.lines.append(f"{node.name} = {self.literal(node.args[2])}")
        elif node.target is torch.ops.higher_order.cond:
            self._write_branches(node)
        elif node.target is torch.ops.higher_order.while_loop:
            self._write_loop(node)
        else:
            self.lines.append(f"{node.name} = {self._call(node)}")
            if node in self._returned_constants and self.type_of(node) == "Tensor":
                # TorchScript computes what reads constants only once, and would return that one tensor from every call,
                # with what callers write into it; it leaves alone what is written.
                self.lines.append(f"{node.name} = torch.ops.aten.empty_like({node.name}).copy_({node.name})")

    def _function(self, node: Any, types: Sequence[str]) -> tuple[str, list[str]]:
        """Writes the function of a branch or a loop; its name, and the types of its results."""
        module = self._attributes.get(str(node.target)) if isinstance(node, fx.Node) else None
        if not isinstance(module, fx.GraphModule):
            raise NotScriptableError(f"a branch that is a {type(node).__name__}")
        name = f"{node.target}_{len(self._functions)}".replace(".", "_")
        return name, write_function(name, module, types, self._functions)

    def _write_branches(self, node: fx.Node) -> None:
        predicate, if_true, if_false = node.args[:3]
        operands: Any = node.args[3] if len(node.args) > 3 else ()
        types = [self.type_of(item) for item in operands]
        arguments = ", ".join(self.literal(item) for item in operands)
        first, results = self._function(if_true, types)
        second, _ = self._function(if_false, types)
        self.lines += [
            f"if bool({self.literal(predicate)}):",
            f"    {node.name} = {first}({arguments})",
            "else:",
            f"    {node.name} = {second}({arguments})",
        ]
        self._result_types[node] = results

    def _write_loop(self, node: fx.Node) -> None:
        condition, body, carried = node.args[:3]
        fixed: Any = node.args[3] if len(node.args) > 3 else ()
        assert isinstance(carried, (list, tuple))
        types = [self.type_of(item) for item in (*carried, *fixed)]
        names = [f"{node.name}_{index}" for index in range(len(carried))]
        arguments = ", ".join([*names, *(self.literal(item) for item in fixed)])
        proceed, _ = self._function(condition, types)
        step, _ = self._function(body, types)
        self.lines += [f"{name} = {self.literal(item)}" for name, item in zip(names, carried, strict=True)]
        self.lines += [f"while bool({proceed}({arguments})[0]):", f"    {node.name}_step = {step}({arguments})"]
        self.lines += [f"    {name} = {node.name}_step[{index}]" for index, name in enumerate(names)]
        self.lines += [f"{node.name} = ({', '.join(names)},)"]
        self._result_types[node] = types[: len(carried)]

    def _operand(self, value: Any) -> str:
        text = self.literal(value)
        return f"({text})" if text.startswith("-") else text

    def _joint_type(self, values: Sequence[Any]) -> str:
        types = {self.type_of(value) for value in values}
        return "float" if "float" in types else "int" if "int" in types else types.pop()

    def _arguments(self, node: fx.Node, target: torch._ops.OpOverload) -> str:
        """The arguments of an operator, by name from the second one on: an int is a dtype as well as a list of one
        size, so that positions alone may find another overload."""
        declared = {argument.name: str(argument.type) for argument in target._schema.arguments}
        given = dict(zip(declared, node.args, strict=False)) | node.kwargs
        by_position = any(keyword.iskeyword(name) for name in given)
        parts: list[str] = []
        for name, value in given.items():
            text = self.literal(value, declared[name])
            if declared[name] == "Tensor" and self.type_of(value) != "Tensor" and not _takes_number(target, name):
                text = self._tensor_of(text, node)
            parts.append(text if by_position or not parts else f"{name}={text}")
        return ", ".join(parts)

    def _tensor_of(self, number: str, node: fx.Node) -> str:
        """A number where no overload takes one: as a tensor that decides dtypes no more than the number does."""
        tensors = [item for item in node.all_input_nodes if self.type_of(item) == "Tensor"]
        if not tensors:
            raise NotScriptableError(f"{node.target} of numbers alone")
        dtype = f"torch.ops.aten.result_type({number}, {tensors[0].name})"
        return f"torch.ops.aten.scalar_tensor({number}, dtype={dtype})"

    def _call(self, node: fx.Node) -> str:
        target, args = node.target, node.args
        if target in _SIZE_METHODS:
            self._types[node] = "int"
            return f"{self.literal(args[0])}.{_SIZE_METHODS[target]}({', '.join(map(str, args[1:]))})"
        if target is torch.ops.aten._local_scalar_dense.default:
            self._types[node] = node.meta.get("script_type", "int")
            return f"{self._types[node]}({self.literal(args[0])}.item())"
        if target is operator.getitem:
            assert isinstance(args[0], fx.Node)
            if args[0] in self._result_types:
                self._types[node] = self._result_types[args[0]][int(args[1])]  # type: ignore[arg-type]
            return f"{self.literal(args[0])}[{args[1]}]"
        if target in _COMPARISONS:
            self._types[node] = "bool"
            return f"{self._operand(args[0])} {_COMPARISONS[target]} {self._operand(args[1])}"
        if target in _LOGIC:
            self._types[node] = "bool" if self.type_of(args[0]) == "bool" else "int"
            sign = _LOGIC[target][self._types[node] == "int"]
            return f"{self._operand(args[0])} {sign} {self._operand(args[1])}"
        if target in _ARITHMETIC:
            kind = "float" if target is operator.truediv else self._joint_type(args)
            self._types[node] = kind
            text = f"{self._operand(args[0])} {_ARITHMETIC[target]} {self._operand(args[1])}"
            return f"int({text})" if target is operator.pow and kind == "int" else text
        if target in _CALLS:
            name, kind = _CALLS[target]
            self._types[node] = kind or self._joint_type(args)
            return f"{name}({', '.join(self.literal(arg) for arg in args)})"
        if target is torch.sym_sum:
            assert isinstance(args[0], (list, tuple))
            self._types[node] = "int"
            return " + ".join(self._operand(item) for item in args[0])
        if target is torch.sym_ite:
            self._types[node] = self._joint_type(args[1:])
            return f"{self.literal(args[1])} if {self.literal(args[0])} else {self.literal(args[2])}"
        if isinstance(target, torch._ops.OpOverload):
            name = _RENAMED.get(target, target._schema.name.replace("::", "."))
            call = f"torch.ops.{name}({self._arguments(node, target)})"
            dtype = node.meta.get("script_type")  # where TorchScript may compute another
            return f"torch.ops.aten.to({call}, {_SCALAR_TYPES[getattr(torch, dtype)]})" if dtype else call
        raise NotScriptableError(f"{node.op} {target}")


def write_function(name: str, module: fx.GraphModule, types: Sequence[str], functions: dict[str, str]) -> list[str]:
    """Adds the graph to `functions`, and those that it calls; gives the types of its results."""
    functions[name] = ""  # the name is taken
    writer = GraphWriter(functions, dict(module.named_children()))
    writer.expect(module.graph)
    inputs: list[str] = []
    results: list[str] = []
    for node in module.graph.nodes:
        if node.op == "placeholder":
            kind = types[len(inputs)]
            writer.declare(node, kind)
            inputs.append(f"{node.name}: {kind}")
        elif node.op == "output":
            value = node.args[0]
            if isinstance(value, (list, tuple)):
                text = ", ".join(writer.literal(item) for item in value)
                results = [writer.type_of(item) for item in value]
                writer.lines.append(f"return ({text}{',' if len(value) == 1 else ''})")
            else:
                results = [writer.type_of(value)]
                # A condition of a loop gives one value: as a tuple here, so that all callers read results alike.
                text = writer.literal(value)
                writer.lines.append(f"return {text}" if name == BLOCK else f"return ({text},)")
        else:
            writer.write(node)
    functions[name] = f"def {name}({', '.join(inputs)}):\n" + "".join(f"    {line}\n" for line in writer.lines)
    return results


BLOCK = "block"


def block_source(module: fx.GraphModule) -> str:
    """The block as the source of a TorchScript function ``block``, and of those that it calls."""
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    functions: dict[str, str] = {}
    write_function(BLOCK, module, [node.meta.get("script_type", "Tensor") for node in placeholders], functions)
    return "".join(functions.values())


def script_block(module: fx.GraphModule) -> Callable[..., Any]:
    """The block as a ScriptFunction; NotScriptableError that names the node otherwise."""
    source = block_source(module)
    number = next(_BLOCK_NUMBERS)
    file = f"<torch_tensorrt block {number}>"
    # torch.jit.script reads a function's source through linecache. The function needs a module, since a saved program
    # names functions by module and name.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope: dict[str, Any] = {
        "__name__": f"{__name__}.block_{number}",
        "math": math,
        "torch": torch,
        "List": list,
        "Optional": Optional,
        "Tensor": torch.Tensor,
    }
    exec(compile(source, file, "exec"), scope)
    script: Any = torch.jit.script
    try:
        scripted: Callable[..., Any] = script(scope[BLOCK])
    except RuntimeError as error:
        raise NotScriptableError(f"a PyTorch block cannot be written as TorchScript: {error}\n{source}") from error
    return scripted
