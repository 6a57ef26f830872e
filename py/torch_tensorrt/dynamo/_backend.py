# SPDX-License-Identifier: Apache-2.0
"""``torch.compile(model, backend="torch_tensorrt")``.

Each graph that torch.compile captures is exported and compiled like a model of its own. Its parameters and buffers
become constants of the engines; every call checks that they are still the same tensors, in the same memory, unwritten
since, and compiles again if they are not. What is written around PyTorch's count of changes (in place through ``.data``
or through numpy) is noticed where it changes one of eight elements of each weight; a change of a few elements once
``torch.autograd.graph.increment_version(model.parameters())`` has counted it. The results take no gradients.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import fx
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from .._compiled_graphs import announce, being_called
from .._library import load_binding
from .._settings import CompilationSettings, make_settings
from ._compiler import compile_program
from ._symbols import finite, sizes
from ._trace import unify, user_input_names

_LOGGER = logging.getLogger("torch_tensorrt")
NAMES = ("torch_tensorrt", "tensorrt", "aot_torch_tensorrt_aten")


def torch_tensorrt_backend(
    gm: fx.GraphModule, sample_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None, **kwargs: Any
) -> Callable[..., Any]:
    """Compiles one graph of torch.compile; `options` are the settings of ``torch_tensorrt.compile``.

    Unknown options are TypeErrors. A graph that cannot be compiled runs in PyTorch, with a warning;
    ``pass_through_build_failures=True`` raises instead.
    """
    settings = make_settings({**(options or {}), **kwargs}, context="compile")
    if torch.is_grad_enabled() and any(_takes_gradient(value) for value in sample_inputs):
        _LOGGER.warning("the graph stays in PyTorch: an input requires a gradient, which engines do not compute")
        return gm.forward
    try:
        return _CompiledGraph(gm, sample_inputs, settings)
    except (AssertionError, RuntimeError, TypeError, torch._dynamo.exc.UserError) as error:
        if settings.pass_through_build_failures or settings.require_full_compilation:
            raise
        _LOGGER.warning("the graph stays in PyTorch: %s", error, exc_info=_LOGGER.isEnabledFor(logging.DEBUG))
        return gm.forward


def _is_weight(value: Any) -> bool:
    """Parameters, and buffers (which torch.compile marks as tensors that stay where they are)."""
    return isinstance(value, torch.nn.Parameter) or (
        isinstance(value, torch.Tensor) and getattr(value, "_dynamo_static_input_type", None) is not None
    )


def _takes_gradient(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad and not _is_weight(value)


class _CompiledGraph:
    """A graph with its weights compiled in, and the check that they still hold."""

    def __init__(self, gm: fx.GraphModule, inputs: Sequence[Any], settings: CompilationSettings) -> None:
        self._gm, self._settings, self._inputs = gm, settings, list(inputs)
        self._weights = [index for index, value in enumerate(inputs) if _is_weight(value)]
        self._placeholders = [node for node in gm.graph.nodes if node.op == "placeholder"]
        self._numbers = {
            index: _specialized(node) for index, node in enumerate(self._placeholders) if _is_number_of_module(node)
        }
        self._modules = being_called()
        try:
            self._compile(inputs)
        except (torch._dynamo.exc.UserError, GuardOnDataDependentSymNode):
            # Some operators take no number that is known only when they run.
            others = [i for i, node in enumerate(self._placeholders) if _is_number(node) and i not in self._numbers]
            if not others:
                raise
            self._numbers.update((index, _specialized(self._placeholders[index])) for index in others)
            self._compile(inputs)

    def _compile(self, args: Sequence[Any]) -> None:
        compiled_in = {*self._weights, *self._numbers}
        self._open = [index for index in range(len(args)) if index not in compiled_in]
        module = _bind(self._gm, {index: args[index] for index in self._weights}, self._numbers)
        placeholders = self._placeholders
        examples = tuple(_example(self._inputs[index]) for index in self._open)
        shapes = tuple(_dynamic_dims(placeholders[index], self._inputs[index]) for index in self._open)
        with torch._guards.tracing(None), torch.no_grad():
            program = torch.export.export(
                module, examples, dynamic_shapes=shapes if any(shapes) else None, strict=False
            )
            unify(program, _equal_dims([placeholders[index] for index in self._open]))
            self.program = compile_program(program, self._settings)
        _guard(program, [placeholders[index] for index in self._open])
        known = self.program.meta.get("torch_tensorrt")
        # What the graph itself writes is no constant of it.
        constant = set() if known is None else {i for i in self._weights if _weight_name(i) not in known["mutated"]}
        self._compiled_in = load_binding().WeightsWatch(args, self._weights, constant)
        announce(self, self._modules)

    def __call__(self, *args: Any) -> Any:
        if not self._compiled_in.hold(*args):
            _LOGGER.info("weights changed since they were compiled in: compiling again")
            self._compile(args)
        return self.program(*[args[index] for index in self._open])


def _weight_name(index: int) -> str:
    return f"_weight_{index}"


def _is_number(placeholder: fx.Node) -> bool:
    """A float that torch.compile has not compiled in, which comes as a tensor, of which the graph reads the item."""
    comes_as_tensor = getattr(placeholder.meta.get("grapharg"), "pass_arg_as_tensor", False)
    read = [isinstance(user.meta.get("example_value"), torch.SymFloat) for user in placeholder.users]
    return bool(comes_as_tensor and read and all(read))


def _is_number_of_module(placeholder: fx.Node) -> bool:
    """Such as the epsilon of a normalization, which with dynamic=True is open like an argument."""
    return _is_number(placeholder) and placeholder.meta["grapharg"].source.guard_source.is_unspecialized_nn_module()


def _specialized(placeholder: fx.Node) -> float:
    """The number's value; torch.compile compiles again when it has another."""
    value: Any = next(user.meta["example_value"] for user in placeholder.users)
    return float(value)


def _bind(gm: fx.GraphModule, weights: Mapping[int, torch.Tensor], numbers: Mapping[int, float]) -> fx.GraphModule:
    """A copy of the graph with some inputs replaced by buffers and by numbers."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(gm.graph, copies))
    module = fx.GraphModule(gm, graph)
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for index, weight in weights.items():
        node = placeholders[index]
        module.register_buffer(_weight_name(index), weight.detach())
        with graph.inserting_before(node):
            attribute = graph.get_attr(_weight_name(index))
        node.replace_all_uses_with(attribute)
        graph.erase_node(node)
    for index, number in numbers.items():
        for item in list(placeholders[index].users):
            item.replace_all_uses_with(number)
            graph.erase_node(item)
        graph.erase_node(placeholders[index])
    module.recompile()
    return module


def _example(value: Any) -> Any:
    if isinstance(value, torch.SymInt):
        hint: Any = value.node.hint
        return int(hint)
    return value.detach() if isinstance(value, torch.Tensor) else value


def _dynamic_dims(placeholder: fx.Node, value: Any) -> Any:
    """Which dimensions torch.compile left open, with the ranges it knows."""
    captured = placeholder.meta.get("example_value", placeholder.meta.get("val"))
    if isinstance(captured, torch.SymInt) and isinstance(value, (int, torch.SymInt)):
        # The export has no negative sizes: such a number is compiled in.
        return _dynamic(captured) if not captured.node.expr.is_number and _example(value) >= 0 else None
    if not isinstance(captured, torch.Tensor):
        return None
    dims: dict[int, Any] = {}
    for axis, size in enumerate(sizes(captured)):
        if isinstance(size, torch.SymInt) and not size.node.expr.is_number:
            dims[axis] = _dynamic(size)
    return dims or None


def _dynamic(size: torch.SymInt) -> Any:
    environment: Any = size.node.shape_env
    bounds = environment.bound_sympy(size.node.expr)
    return Dim.DYNAMIC(min=max(finite(bounds.lower) or 0, 0), max=finite(bounds.upper))


def _guard(program: ExportedProgram, placeholders: Sequence[fx.Node]) -> None:
    """Makes torch.compile check what the export assumed of sizes and numbers, and compile again where it is not so."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    known: dict[sympy.Symbol, sympy.Expr] = {}  # the export's symbols in torch.compile's
    exporting: Any = None
    compiling: Any = None
    conditions: list[Any] = []
    for name, placeholder in zip(user_input_names(program), placeholders, strict=True):
        ours, theirs = values.get(name), placeholder.meta.get("example_value", placeholder.meta.get("val"))
        pairs: Any = [(ours, theirs)]
        if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
            pairs = zip(sizes(ours), sizes(theirs), strict=True)
        for exported, captured in pairs:
            if not isinstance(captured, torch.SymInt):
                continue
            compiling = captured.node.shape_env
            if isinstance(exported, torch.SymInt):
                exporting = exported.node.shape_env
                for expr in (exported.node._expr, exported.node.expr):
                    if isinstance(expr, sympy.Symbol):
                        known.setdefault(expr, captured.node.expr)
            else:
                conditions.append(sympy.Eq(captured.node.expr, _example(captured)))
    for symbol, expr in known.items():
        bounds = exporting.var_to_range.get(symbol)
        if bounds is not None:
            conditions += [expr >= bounds.lower] if finite(bounds.lower) is not None else []
            conditions += [expr <= bounds.upper] if finite(bounds.upper) is not None else []
    conditions += [guard.expr.xreplace(known) for guard in exporting.guards] if exporting is not None else []
    for condition in conditions:
        if condition.free_symbols <= compiling.var_to_range.keys():
            compiling.evaluate_expr(condition)


def _equal_dims(placeholders: Sequence[fx.Node]) -> list[list[tuple[int, int | None]]]:
    """Groups of (input, axis), or (input, None) for a number, that torch.compile gave one symbol, and checks to be
    equal before each call."""
    groups: dict[Any, list[tuple[int, int | None]]] = {}
    for index, placeholder in enumerate(placeholders):
        captured = placeholder.meta.get("example_value", placeholder.meta.get("val"))
        found: list[tuple[int | None, Any]] = [(None, captured)]
        if isinstance(captured, torch.Tensor):
            found = list(enumerate(sizes(captured)))
        for axis, size in found:
            if isinstance(size, torch.SymInt) and not size.node.expr.is_number:
                groups.setdefault(size.node.expr, []).append((index, axis))
    return [group for group in groups.values() if len(group) > 1]


def register() -> None:
    """Makes the backend known to torch.compile under all its names."""
    for name in NAMES:
        if name not in torch._dynamo.backends.registry._BACKENDS:
            torch._dynamo.register_backend(name=name)(torch_tensorrt_backend)
