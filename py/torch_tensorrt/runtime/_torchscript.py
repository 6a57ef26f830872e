# SPDX-License-Identifier: Apache-2.0
"""A PyTorch block as TorchScript.

The block's nodes are ATen overloads with plain arguments and sizes, which TorchScript's own language can say: one
assignment per node. Overloads are picked by the arguments' types, as in Python.
"""

from __future__ import annotations

import itertools
import linecache
import math
import operator
from collections.abc import Callable
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
_INFIX: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.truediv: "/",
    operator.pow: "**",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}
_CALLS: dict[Any, str] = {
    torch.sym_max: "max",
    torch.sym_min: "min",
    torch.sym_float: "float",
    torch.sym_int: "int",
    math.ceil: "math.ceil",
    math.floor: "math.floor",
    math.trunc: "int",
    operator.neg: "-",
}
# Assertions on sizes: the engines' own checks and eager's errors remain.
_SKIPPED = frozenset(
    {
        torch.ops.aten._assert_scalar.default,
        torch.ops.aten._assert_tensor_metadata.default,
        torch.ops.aten.sym_constrain_range_for_size.default,
        torch.ops.aten.sym_constrain_range.default,
    }
)


_BLOCK_NUMBERS = itertools.count()


class NotScriptableError(RuntimeError):
    """The block has something that TorchScript cannot say."""


def _literal(value: Any, type_text: str = "") -> str:
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
        text = "[" + ", ".join(_literal(item) for item in value) + "]"
        element = _list_type(type_text)
        return f"torch.jit.annotate(List[{element}], {text})" if element else text
    raise NotScriptableError(f"an argument of type {type(value).__name__}")


def _list_type(schema_type: str) -> str:
    """ "int" for "List[int]" or "Optional[List[int]]"."""
    text = schema_type
    if text.startswith("Optional[List["):
        text = text[len("Optional[") : -1]
    return text[len("List[") : -1] if text.startswith("List[") else ""


def _call(node: fx.Node) -> str:
    target = node.target
    if target is torch.ops.aten.sym_size.int:
        return f"{_literal(node.args[0])}.size({node.args[1]})"
    if target is torch.ops.aten.sym_numel.default:
        return f"{_literal(node.args[0])}.numel()"
    if target is torch.ops.aten._local_scalar_dense.default:
        return f"{node.meta.get('script_type', 'int')}({_literal(node.args[0])}.item())"
    if target is operator.getitem:
        return f"{_literal(node.args[0])}[{node.args[1]}]"
    if target in _INFIX:
        return f"{_literal(node.args[0])} {_INFIX[target]} {_literal(node.args[1])}"
    if target in _CALLS:
        return f"{_CALLS[target]}({', '.join(_literal(arg) for arg in node.args)})"
    if isinstance(target, torch._ops.OpOverload):
        arguments = target._schema.arguments
        parts = [_literal(arg, str(arguments[index].type)) for index, arg in enumerate(node.args)]
        types = {argument.name: str(argument.type) for argument in arguments}
        parts += [f"{name}={_literal(arg, types[name])}" for name, arg in node.kwargs.items()]
        namespace = target.namespace
        return f"torch.ops.{namespace}.{target._schema.name.split('::')[1]}({', '.join(parts)})"
    raise NotScriptableError(f"{node.op} {target}")


def block_source(module: fx.GraphModule) -> str:
    """The block as the source of a TorchScript function ``block``."""
    lines: list[str] = []
    inputs: list[str] = []
    for node in module.graph.nodes:
        if node.op == "placeholder":
            kind = node.meta.get("script_type", "Tensor")
            inputs.append(f"{node.name}: {kind}")
        elif node.op == "output":
            value = node.args[0]
            if isinstance(value, (list, tuple)):
                text = ", ".join(_literal(item) for item in value)
                lines.append(f"return ({text}{',' if len(value) == 1 else ''})")
            else:
                lines.append(f"return {_literal(value)}")
        elif node.op == "call_function":
            if node.target not in _SKIPPED:
                lines.append(f"{node.name} = {_call(node)}")
        else:
            raise NotScriptableError(f"{node.op} {node.target}")
    return f"def block({', '.join(inputs)}):\n" + "".join(f"    {line}\n" for line in lines)


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
        scripted: Callable[..., Any] = script(scope["block"])
    except RuntimeError as error:
        raise NotScriptableError(f"a PyTorch block cannot be written as TorchScript: {error}\n{source}") from error
    return scripted
