# SPDX-License-Identifier: Apache-2.0
"""Modules of a compiled program: engines, PyTorch blocks, and the root that holds them."""

from __future__ import annotations

import copy
import inspect
import operator
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx
from torch.nn.modules.module import _has_any_global_hook
from torch.utils import _pytree as pytree

from .._engine import parse_metadata
from .._library import load_binding
from ._inspection import EngineProfiler, write_profile
from ._runtime_settings import RuntimeSettings, apply_settings, settings_of
from ._torchscript import script_block


def _rebuild_engine_module(name: str, metadata: str, payload: torch.Tensor, single_output: bool) -> EngineModule:
    return EngineModule(name, metadata, payload, single_output=single_output)


class EngineModule(torch.nn.Module):
    """One engine. Takes and returns tensors; a single output comes without a tuple around it.

    Calls with plain tensors go straight to the C++ runtime. Everything that looks at operators instead of running them
    (torch.export, torch.jit.trace, dispatch modes, tensor subclasses) sees ``tensorrt::execute_engine``.
    """

    def __init__(self, name: str, metadata: str, payload: torch.Tensor, *, single_output: bool) -> None:
        super().__init__()
        self.name = name
        self.single_output = single_output
        self.profile: EngineProfiler | None = None
        self._is_profiling = False
        self._profile_file: tuple[Path, str] | None = None
        self._bind(torch.classes.tensorrt.Engine(metadata, payload))

    def _bind(self, engine: Any) -> None:
        self.engine = engine
        self._call = load_binding().EngineCall(engine, self.single_output, self._dispatch)

    def forward(self, *inputs: torch.Tensor) -> Any:
        if torch.compiler.is_compiling():
            if torch.compiler.is_dynamo_compiling() and not torch.compiler.is_exporting():
                return _run_outside(self, *inputs)
            return self._dispatch(*inputs)
        return self._call(*inputs)

    def _dispatch(self, *inputs: torch.Tensor) -> Any:
        outputs = torch.ops.tensorrt.execute_engine(list(inputs), self.engine)
        return outputs[0] if self.single_output else tuple(outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_engine_module, (self.name, self.engine.metadata(), self.engine.payload(), self.single_output))

    def __deepcopy__(self, memo: dict[int, Any]) -> EngineModule:
        # The payload is immutable and shared by copies.
        return _rebuild_engine_module(self.name, self.engine.metadata(), self.engine.payload(), self.single_output)

    def get_layer_info(self) -> str:
        """What the backend made of the engine, as JSON (see ``torch_tensorrt.runtime.inspect``)."""
        return str(self.engine.get_engine_layer_info())

    def dump_layer_info(self) -> None:
        """Prints ``get_layer_info()``."""
        print(self.get_layer_info())

    def enable_profiling(
        self, profiling_results_dir: str | os.PathLike[str] | None = None, profile_format: str = "perfetto"
    ) -> None:
        """Measures the engine's layers until ``disable_profiling``; ``profile`` has the result.

        Args:
            profiling_results_dir: folder for the result as a file ``<name>_engine_execution_profile.trace``, written by
                ``disable_profiling``. None: no file.
            profile_format: of that file: "perfetto" (a trace of one average call, for ui.perfetto.dev) or "trex".
        """
        if profile_format not in ("perfetto", "trex"):
            raise ValueError(f"profile_format: expected 'perfetto' or 'trex', got {profile_format!r}")
        self.disable_profiling()
        self.profile = EngineProfiler([self.engine])
        self._profile_file = (
            (Path(profiling_results_dir) / f"{self.name}_engine_execution_profile.trace", profile_format)
            if profiling_results_dir is not None
            else None
        )
        self._is_profiling = True

    def disable_profiling(self) -> None:
        """Ends what ``enable_profiling`` began; nothing if it is not on."""
        if not self._is_profiling:
            return
        assert self.profile is not None
        self._is_profiling = False
        self.profile.stop()
        if self._profile_file is not None:
            path, profile_format = self._profile_file
            write_profile(path, next(iter(self.profile.engines.values())), profile_format)

    @property
    def runtime_settings(self) -> RuntimeSettings:
        """Settings of TensorRT-RTX; may be assigned."""
        return settings_of(self.engine)

    @runtime_settings.setter
    def runtime_settings(self, settings: RuntimeSettings) -> None:
        apply_settings(self.engine, settings)

    def kinds(self) -> set[tuple[torch.dtype, torch.device]]:
        """Dtype and device of its inputs and outputs."""
        metadata = parse_metadata(self.engine.metadata())
        device = torch.device(metadata.get("device", "cpu"))
        return {(getattr(torch, spec["dtype"]), device) for spec in (*metadata["inputs"], *metadata["outputs"])}

    def extra_repr(self) -> str:
        return f"{self.name}, {len(self.engine.payload()) / 2**20:.1f} MiB"


def _run_engine(engine: EngineModule, *inputs: torch.Tensor) -> Any:
    return engine._call(*inputs)


_disable: Any = torch.compiler.disable
_run_outside: Callable[..., Any] = _disable(
    _run_engine, reason="engines of torch_tensorrt run as they are, outside the graphs of torch.compile"
)


class TorchBlock(torch.nn.Module):
    """Nodes that stay in PyTorch. Takes and returns tensors only; sizes are read from its own inputs.

    Under torch.jit.trace the block is inserted as a scripted function, so that sizes and the arithmetic on them stay
    computations: tracing would write the example's numbers into the program.
    """

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__()
        self.graph_module = graph_module
        self._scripted: Callable[..., Any] | None = None

    def forward(self, *inputs: torch.Tensor) -> Any:
        if torch._C._get_tracing_state() is not None:
            return self.scripted()(*inputs)
        return self.graph_module(*inputs)

    def scripted(self) -> Callable[..., Any]:
        """The block as a ScriptFunction; NotScriptableError where TorchScript cannot say it."""
        if self._scripted is None:
            self._scripted = script_block(self.graph_module)
        return self._scripted

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild_torch_block, (_dump_graph(self.graph_module.graph), dict(self.graph_module.named_children())))

    def __deepcopy__(self, memo: dict[int, Any]) -> TorchBlock:
        children = copy.deepcopy(dict(self.graph_module.named_children()), memo)
        return _rebuild_torch_block(_dump_graph(self.graph_module.graph), children)


def _rebuild_torch_block(steps: list[Any], children: dict[str, Any]) -> TorchBlock:
    return TorchBlock(fx.GraphModule(children, _load_graph(steps)))


def not_a_tensor(name: str, value: Any) -> str:
    """The message for an input that is no tensor."""
    kind = type(value)
    text = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"input {name!r}: expected a tensor, got {text}; torch.as_tensor() makes tensors of arrays and lists"


def check_constant(value: Any, expected: Any, name: str) -> None:
    """ValueError unless a Python value is the one that the program was compiled for."""
    if value is not expected and (type(value) is not type(expected) or value != expected):
        raise ValueError(
            f"input {name!r}: the program was compiled for the value {expected!r}, got {value!r}; "
            "compile again for other values"
        )


def check_given(value: Any, name: str) -> None:
    """TypeError for an argument that was left out although it has no default: Python wants one behind others."""
    if value is None:
        raise TypeError(f"forward() missing 1 required argument: {name!r}")


# --- the root ---


class _NodeRef:
    """A node by name, in the plain-data form of a graph."""

    def __init__(self, name: str) -> None:
        self.name = name


class _OverloadRef:
    """An operator overload, pickled by name."""

    def __init__(self, overload: torch._ops.OpOverload) -> None:
        self.overload = overload

    def __reduce__(self) -> tuple[Any, ...]:
        namespace, name = self.overload._schema.name.split("::")
        return (_find_overload, (namespace, name, self.overload._overloadname))

    def __deepcopy__(self, memo: dict[int, Any]) -> _OverloadRef:
        return self


def _find_overload(namespace: str, name: str, overload: str) -> _OverloadRef:
    return _OverloadRef(getattr(getattr(getattr(torch.ops, namespace), name), overload))


_Step = tuple[str, str, Any, Any, Any, Any]


def _dump_graph(graph: fx.Graph) -> list[_Step]:
    """The graph as plain data that pickle and deepcopy know: op, name, target, args, kwargs, TorchScript type."""

    def plain(item: Any) -> Any:
        if isinstance(item, fx.Node):
            return _NodeRef(item.name)
        if isinstance(item, dict):
            return {key: plain(value) for key, value in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(value) for value in item] if isinstance(item, list) else tuple(plain(value) for value in item)
        return _OverloadRef(item) if isinstance(item, torch._ops.OpOverload) else item

    return [
        (node.op, node.name, plain(node.target), plain(node.args), plain(node.kwargs), node.meta.get("script_type"))
        for node in graph.nodes
    ]


def _load_graph(steps: list[_Step]) -> fx.Graph:
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {}

    def resolve(item: Any) -> Any:
        if isinstance(item, _NodeRef):
            return nodes[item.name]
        if isinstance(item, _OverloadRef):
            return item.overload
        if isinstance(item, dict):
            return {key: resolve(value) for key, value in item.items()}
        if isinstance(item, (list, tuple)):
            return type(item)(resolve(value) for value in item)
        return item

    for op, name, target, args, kwargs, script_type in steps:
        node = graph.create_node(op, resolve(target), resolve(args), resolve(kwargs), name=name)
        if script_type is not None:
            node.meta["script_type"] = script_type
        nodes[name] = node
    return graph


def _rebuild_compiled(
    steps: list[Any], attributes: dict[str, Any], meta: dict[str, Any], specs: tuple[Any, Any, Any]
) -> CompiledModule:
    graph = _load_graph(steps)
    apply_calling_convention(graph, *specs)
    module = CompiledModule(attributes, graph)
    module.meta.update(meta)
    module.calling_convention = specs
    return module


def name_inputs_apart(graph: fx.Graph) -> bool:
    """Renames inputs that would overwrite each other; whether there were any.

    An input whose parameter's name fx does not take (`input`, a builtin) is a node `input_1`, and forward begins with
    `input_1 = input`: wrong where `input_1` is another parameter, which is read after that.
    """
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    parameters = {str(node.target) for node in inputs}
    renamed = False
    for node in inputs:
        name = node.name
        while name != node.target and name in parameters:
            name += "_"
        if name != node.name:
            node._rename(name)
            renamed = True
    return renamed


def apply_calling_convention(graph: fx.Graph, orig_args: list[str] | None, in_spec: Any, out_spec: Any) -> None:
    """Lets forward take and return the original module's nested structures; None: flat tensors as they are."""
    name_inputs_apart(graph)
    if orig_args is not None:
        info = fx.graph._PyTreeInfo(orig_args, in_spec, out_spec)
        graph.set_codegen(fx.graph._PyTreeCodeGen(info))


def _only_engine(graph: fx.Graph) -> tuple[str | None, int]:
    """The engine's name and its number of inputs, if the graph hands its own inputs to one engine and returns what that
    returns; otherwise None."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    calls = [node for node in graph.nodes if node.op == "call_module"]
    results = [node for node in graph.nodes if node.target is operator.getitem]
    if type(graph._codegen) is not fx.graph.CodeGen or len(calls) != 1 or any(node.args for node in inputs):
        return None, 0
    call, output = calls[0], graph.output_node()
    expected: Any = call if not results else tuple(results)
    in_order = [node.args for node in results] == [(call, index) for index in range(len(results))]
    if len(graph.nodes) != len(inputs) + len(results) + 2 or call.args != tuple(inputs) or not in_order:
        return None, 0
    return (str(call.target), len(inputs)) if output.args[0] == expected else (None, 0)


def _is_customized(module: torch.nn.Module) -> bool:
    """Whether a call must do more than run forward, as nn.Module.__call__ asks (hooks, module.compile(), a forward of
    the instance's own)."""
    state = module.__dict__
    return bool(
        state["_forward_hooks"]
        or state["_forward_pre_hooks"]
        or state["_backward_hooks"]
        or state["_backward_pre_hooks"]
        or state.get("_compiled_call_impl")
        or "forward" in state
    )


class CompiledModule(fx.GraphModule):
    """A compiled program: engines (``_run_on_acc_N``) and PyTorch blocks (``_run_on_gpu_N``), called one by one.

    Can be called, traced, exported, copied and pickled. ``meta["torch_tensorrt"]`` describes inputs, ranges, blocks.
    """

    calling_convention: tuple[Any, Any, Any] = (None, None, None)
    _only: tuple[str | None, int] = (None, 0)

    def recompile(self) -> Any:
        code = super().recompile()
        self._only = _only_engine(self.graph)
        # fx wraps calls to print the generated code when one fails; that costs a microsecond, and it is ours to debug.
        type(self).__call__ = CompiledModule._call_engine  # type: ignore[method-assign]
        return code

    def _call_engine(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the engine without the two modules around it (3 of 7 microseconds) where nobody could tell."""
        name, count = self._only
        try:
            if name is not None and len(args) == count and not kwargs and not torch.compiler.is_compiling():
                engine = self.__dict__["_modules"].get(name)
                if (
                    type(engine) is EngineModule
                    and not _is_customized(self)
                    and not _is_customized(engine)
                    and not _has_any_global_hook()  # type: ignore[no-untyped-call]
                    and torch._C._get_tracing_state() is None
                ):
                    return engine.__dict__["_call"](*args)
            return torch.nn.Module.__call__(self, *args, **kwargs)
        except (AttributeError, RuntimeError, TypeError):
            self._check_kinds(args, kwargs)
            raise

    def _check_kinds(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """After a failed call: TypeError that names the first input which is no tensor but should be one."""
        constants = {node.args[0] for node in self.graph.nodes if node.target is check_constant}
        inputs = [node for node in self.graph.nodes if node.op == "placeholder"]
        codegen = self.graph._codegen
        if isinstance(codegen, fx.graph._PyTreeCodeGen):
            given, structure = pytree.tree_flatten((args, kwargs))
            if structure != codegen.pytree_info.in_spec:
                return
            values = zip(inputs, given, strict=True)
        else:
            try:
                bound = inspect.signature(self.forward).bind(*args, **kwargs).arguments
            except TypeError:
                return  # the call has said that, too
            found = [(node, bound[node.target]) for node in inputs if node.target in bound]
            values = iter(found)  # type: ignore[assignment]
        for node, value in values:
            is_tensor = node not in constants and "script_type" not in node.meta
            if is_tensor and not isinstance(value, torch.Tensor):
                raise TypeError(not_a_tensor(str(node.target), value)) from None

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script asks before it reads a module's source."""
        raise TypeError(
            "torch.jit.script cannot read a compiled module; write it with torch_tensorrt.save(module, path, "
            'output_format="torchscript"), or torch.jit.trace it'
        )

    # --- what would change the module's tensors ---

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> CompiledModule:
        """What ``.to()``, ``.half()``, ``.cuda()`` and their like call. RuntimeError where it would change anything,
        since the engines keep the dtypes and the device that they were compiled for."""
        kinds = {(tensor.dtype, tensor.device) for tensor in (*self.parameters(), *self.buffers())}
        for engine in engine_modules(self).values():
            kinds |= engine.kinds()
        for dtype, device in kinds:
            probe = torch.empty(0, dtype=dtype, device=device)
            changed = fn(probe)
            if (changed.dtype, changed.device) != (probe.dtype, probe.device):
                raise RuntimeError(
                    f"a compiled module keeps its dtypes and its device: {dtype} on {probe.device} cannot become "
                    f"{changed.dtype} on {changed.device}; convert or move the model, then compile it"
                )
        return super()._apply(fn, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        own = self.state_dict().keys()
        unknown = [key for key in state_dict if key.startswith(prefix) and key[len(prefix) :] not in own]
        if unknown:
            error_msgs.append(
                f"the weights of a compiled module are part of its engines, {unknown[0]!r} cannot be loaded into it: "
                "load them into the model and compile it again, or use torch_tensorrt.dynamo.refit_module_weights"
            )
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _state(self) -> tuple[list[Any], dict[str, Any]]:
        attributes: dict[str, Any] = dict(self.named_children())
        attributes.update(self.named_parameters(recurse=False))
        attributes.update(self.named_buffers(recurse=False))
        return _dump_graph(self.graph), attributes

    def __reduce__(self) -> Any:
        steps, attributes = self._state()
        return (_rebuild_compiled, (steps, attributes, dict(self.meta), self.calling_convention))

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledModule:
        steps, attributes = self._state()
        result = _rebuild_compiled(
            steps, copy.deepcopy(attributes, memo), copy.copy(self.meta), self.calling_convention
        )
        result.training = self.training
        return result


def engine_modules(module: torch.nn.Module) -> Mapping[str, EngineModule]:
    """All engine modules below a module, by qualified name."""
    return {name: child for name, child in module.named_modules() if isinstance(child, EngineModule)}
