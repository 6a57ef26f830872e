# SPDX-License-Identifier: Apache-2.0
"""A compiled program as TorchScript.

The program is written, not traced: nothing runs, so that no state moves on, no random number is drawn, no example input
is needed, and sizes stay computations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.utils import _pytree as pytree

from ._module import CompiledModule, EngineModule, TorchBlock, check_constant, check_given
from ._torchscript import GraphWriter, NotScriptableError, scalar_type


class ScriptedEngine(torch.nn.Module):
    """Holds an engine in a TorchScript program."""

    def __init__(self, engine: Any) -> None:
        super().__init__()
        self.engine = engine


class ScriptedProgram(torch.nn.Module):
    """Holds what a TorchScript program consists of; its forward is written by ``script_program``."""


class _ProgramWriter(GraphWriter):
    """Writes the root of a compiled program."""

    def __init__(self, module: CompiledModule) -> None:
        super().__init__({}, {})
        self.scope: dict[str, Any] = {"math": math, "torch": torch}
        self._module = module
        self._constants: dict[fx.Node, Any] = {}

    def literal(self, value: Any, type_text: str = "") -> str:
        if isinstance(value, fx.Node) and value in self._constants:
            value = self._constants[value]
        return super().literal(value, type_text)

    def type_of(self, value: Any) -> str:
        if isinstance(value, fx.Node) and value in self._constants:
            value = self._constants[value]
        return super().type_of(value)

    def write(self, node: fx.Node) -> None:
        if node.target in (check_constant, check_given):
            return  # the value is compiled in, and its argument dropped; the others have types and no default
        if node.op == "get_attr":
            self.lines.append(f"{node.name} = self.{node.target}")
        elif node.op == "call_method" and node.target == "size":
            self.declare(node, "int")
            self.lines.append(f"{node.name} = {self.literal(node.args[0])}.size({node.args[1]})")
        elif node.op == "call_module":
            self._write_block(node)
        else:
            super().write(node)

    def _write_block(self, node: fx.Node) -> None:
        name = str(node.target)
        block = self._module.get_submodule(name)
        arguments = ", ".join(self.literal(item) for item in node.args)
        if isinstance(block, EngineModule):
            picked = "[0]" if block.single_output else ""
            call = f"torch.ops.tensorrt.execute_engine([{arguments}], self.{name}.engine){picked}"
        elif isinstance(block, TorchBlock):
            self.scope[name] = block.scripted()
            call = f"{name}({arguments})"
        else:
            raise NotScriptableError(f"a submodule of type {type(block).__name__}")
        self.lines.append(f"{node.name} = {call}")

    def parameters(self, graph: fx.Graph) -> list[str]:
        """The parameters of forward; writes how its inputs are found in them."""
        for node in graph.nodes:
            if node.target is check_constant:
                self._constants[node.args[0]] = node.args[1]
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        for node in inputs:
            self.declare(node, node.meta.get("script_type", "Tensor"))
        codegen = graph._codegen
        if isinstance(codegen, fx.graph._PyTreeCodeGen):
            info = codegen.pytree_info
            assert info.in_spec is not None
            args, kwargs = pytree.tree_unflatten(inputs, info.in_spec)
            named = [*zip(info.orig_args, args, strict=False), *kwargs.items()]
        else:
            named = [(str(node.target), node) for node in inputs]
        found, compiled_in = [], []
        for name, value in named:
            if all(leaf in self._constants for leaf in pytree.tree_leaves(value)):
                if isinstance(value, fx.Node) and name.isidentifier():
                    compiled_in += self._constant_parameter(value, name)
                continue
            if not name.isidentifier():
                raise NotScriptableError(f"the input {name!r}, which is no name for a parameter")
            found.append(f"{name}: {self._input_type(value, name)}")
            self._unpack(value, name)
        return [*found, *compiled_in]

    def _constant_parameter(self, node: fx.Node, name: str) -> list[str]:
        """The parameter of a value that is compiled in, as far as TorchScript has a type for it. Such parameters have
        defaults, and are the last ones: callers that have tensors only leave them out."""
        value = self._constants[node]
        if not (value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and value == value)):
            return []
        self._unpack(node, name)
        kind = "Optional[Tensor]" if value is None else scalar_type(value)
        return [f"{name}: {kind} = {super().literal(value)}"]

    def _input_type(self, value: Any, name: str) -> str:
        if isinstance(value, fx.Node):
            return self.type_of(value)
        inner = [self._input_type(item, name) for item in (value.values() if isinstance(value, dict) else value)]
        if isinstance(value, tuple) and inner:
            return f"Tuple[{', '.join(inner)}]"
        if isinstance(value, (list, dict)) and len(set(inner)) == 1:
            if isinstance(value, list):
                return f"List[{inner[0]}]"
            return f"Dict[{self._key_type(value)}, {inner[0]}]"
        raise NotScriptableError(
            f"the input {name!r}: a {type(value).__name__} that is empty or whose elements have different types"
        )

    def _unpack(self, value: Any, path: str) -> None:
        if isinstance(value, fx.Node):
            if value in self._constants:
                expected = self._constants[value]
                test = f"{path} is None" if expected is None else f"{path} == {self.literal(expected)}"
                self.lines.append(f"assert {test}, 'the program was compiled for another value of {value.name}'")
            elif value.name != path:
                self.lines.append(f"{value.name} = {path}")
        elif isinstance(value, dict):
            for key, item in value.items():
                self._unpack(item, f"{path}[{key!r}]")
        else:
            if isinstance(value, list):
                self.lines.append(f"assert len({path}) == {len(value)}, 'expected {len(value)} elements in {path}'")
            for index, item in enumerate(value):
                self._unpack(item, f"{path}[{index}]")

    @staticmethod
    def _key_type(value: dict[Any, Any]) -> str:
        kinds = {scalar_type(key) for key in value}
        if len(kinds) != 1:
            raise NotScriptableError("a dict whose keys have different types")
        return kinds.pop()

    def results(self, graph: fx.Graph) -> Any:
        """What the program returns, in its structure."""
        value = graph.output_node().args[0]
        codegen = graph._codegen
        if isinstance(codegen, fx.graph._PyTreeCodeGen) and codegen.pytree_info.out_spec is not None:
            return pytree.tree_unflatten(pytree.tree_leaves(value), codegen.pytree_info.out_spec)
        return value

    def packed(self, value: Any) -> tuple[str, str]:
        """A result as source, and its type. Lists and dicts of different things are lists and dicts of Any."""
        if value is None or (isinstance(value, fx.Node) and self._constants.get(value, value) is None):
            return "None", "NoneType"
        if isinstance(value, tuple):
            items = [self.packed(item) for item in value]
            if not items:
                raise NotScriptableError("an empty tuple as a result")
            comma = "," if len(items) == 1 else ""
            text = ", ".join(text for text, _ in items)
            return f"({text}{comma})", f"Tuple[{', '.join(kind for _, kind in items)}]"
        if isinstance(value, list):
            items = [self.packed(item) for item in value]
            kind = f"List[{_one(kind for _, kind in items)}]"
            return f"torch.jit.annotate({kind}, [{', '.join(text for text, _ in items)}])", kind
        if isinstance(value, dict):
            packed = {key: self.packed(item) for key, item in value.items()}
            kind = f"Dict[{self._key_type(value)}, {_one(kind for _, kind in packed.values())}]"
            pairs = ", ".join(f"{key!r}: {text}" for key, (text, _) in packed.items())
            return f"torch.jit.annotate({kind}, {{{pairs}}})", kind
        if isinstance(value, (fx.Node, bool, int, float, str)):
            return self.literal(value), self.type_of(value)
        raise NotScriptableError(f"a result of type {type(value).__name__}; return tensors, tuples, lists or dicts")


def _one(kinds: Any) -> str:
    """The elements' common type."""
    found = set(kinds)
    if not found:
        return "Tensor"
    return found.pop() if len(found) == 1 else "Any"


def script_program(module: CompiledModule) -> torch.jit.ScriptModule:
    """The program as a ScriptModule that shares the module's tensors and engines. Nothing runs.

    Its forward has the module's inputs, those that are compiled in as constants at the end and with defaults, and
    returns the same nested tuples, lists and dicts.

    Raises:
        NotScriptableError: an input, a result or a node that TorchScript's types or operators cannot say.
    """
    writer = _ProgramWriter(module)
    parameters = writer.parameters(module.graph)
    for node in module.graph.nodes:
        if node.op not in ("placeholder", "output"):
            writer.write(node)
    result, _ = writer.packed(writer.results(module.graph))
    lines = [*writer.lines, f"return {result}"]
    source = f"def forward({', '.join(['self', *parameters])}):\n" + "".join(f"    {line}\n" for line in lines)
    scripted: Any = _script(_holder(module))
    define: Callable[..., None] = scripted._c._define
    try:
        define(scripted._concrete_type, source, writer.scope.get)
    except RuntimeError as error:
        raise NotScriptableError(f"{error}\n{source}") from error
    assert isinstance(scripted, torch.jit.ScriptModule)
    return scripted


def _holder(module: CompiledModule) -> torch.nn.Module:
    holder = ScriptedProgram()
    for name, child in module.named_children():
        if isinstance(child, EngineModule):
            holder.add_module(name, ScriptedEngine(child.engine))
    for name, parameter in module.named_parameters(recurse=False):
        holder.register_parameter(name, parameter)
    for name, buffer in module.named_buffers(recurse=False):
        holder.register_buffer(name, buffer)
    return holder.train(module.training)


def _script(module: torch.nn.Module) -> Any:
    # torch.jit.script gives modules of equal attributes one type, which has one forward.
    recursive: Any = torch.jit._recursive
    return recursive.create_script_module(module, recursive.infer_methods_to_compile, share_types=False)
