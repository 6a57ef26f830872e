# SPDX-License-Identifier: Apache-2.0
"""``torch.compile(model, backend="torch_tensorrt")``.

AOTAutograd hands over a functional ATen graph and takes care of mutations and aliases around it. Parameters and buffers
become the engines' constants; every call checks that they are still the same tensors with the same contents, and compiles
again if they are not.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy
import torch
from torch import fx
from torch._dynamo.backends.common import aot_autograd
from torch.utils._sympy.numbers import int_oo

from .._device import Device
from .._settings import CompilationSettings, make_settings
from ._assemble import CallingConvention
from ._compiler import compile_lowered
from ._decompositions import decomposition_table
from ._graph import Program
from ._lowering import clean
from ._nodes import value_of
from ._symbols import size_expr

_LOGGER = logging.getLogger("torch_tensorrt")
NAMES = ("torch_tensorrt", "tensorrt", "aot_torch_tensorrt_aten")


def torch_tensorrt_backend(
    gm: fx.GraphModule, sample_inputs: Sequence[Any], *, options: Mapping[str, Any] | None = None, **kwargs: Any
) -> Callable[..., Any]:
    """Compiles one graph of torch.compile. Unknown options are TypeErrors.

    A graph that cannot be compiled runs in PyTorch, with a warning; pass_through_build_failures=True raises instead.
    """
    settings = make_settings({**(options or {}), **kwargs}, context='compile(ir="torch_compile")')
    frozen = [index for index, value in enumerate(sample_inputs) if _is_weight(value)]
    try:
        return _Frozen(gm, sample_inputs, frozen, settings)
    except (AssertionError, RuntimeError, TypeError) as error:
        if settings.pass_through_build_failures or settings.require_full_compilation:
            raise
        _LOGGER.warning("the graph stays in PyTorch: %s", error, exc_info=_LOGGER.isEnabledFor(logging.DEBUG))
        return gm.forward  # type: ignore[no-any-return]


def _is_weight(value: Any) -> bool:
    """Parameters, and buffers (which torch.compile marks as tensors that stay where they are)."""
    return isinstance(value, torch.nn.Parameter) or (
        isinstance(value, torch.Tensor) and getattr(value, "_dynamo_static_input_type", None) is not None
    )


class _Frozen:
    """A graph with its weights compiled in, and the check that they still hold."""

    def __init__(
        self, gm: fx.GraphModule, inputs: Sequence[Any], frozen: Sequence[int], settings: CompilationSettings
    ) -> None:
        self._gm, self._settings = gm, settings
        self._frozen = list(frozen)
        self._open = [index for index in range(len(inputs)) if index not in set(frozen)]
        self._inputs = inputs
        self._compile([inputs[index] for index in frozen])

    def _compile(self, weights: list[torch.Tensor]) -> None:
        self._weights = weights
        self._versions = [_version(tensor) for tensor in weights]
        module = _bind_weights(self._gm, self._frozen, weights)
        open_inputs = [self._inputs[index] for index in self._open]
        compiler = _GraphCompiler(self._settings)
        table = decomposition_table(self._settings.decompose_attention)
        table = {op: function for op, function in table.items() if not _is_composite(op)} | {}
        self._call = aot_autograd(
            fw_compiler=compiler, bw_compiler=_no_backward, inference_compiler=compiler, decompositions=table
        )(module, open_inputs)

    def __call__(self, *args: Any) -> Any:
        for index, weight, version in zip(self._frozen, self._weights, self._versions, strict=True):
            if args[index] is not weight or _version(weight) != version:
                _LOGGER.info("weights changed since compilation: compiling again")
                self._compile([args[i] for i in self._frozen])
                break
        return self._call(*[args[index] for index in self._open])


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _is_composite(op: Any) -> bool:
    return False


def _no_backward(gm: fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
    return gm.forward  # type: ignore[no-any-return]


def _bind_weights(gm: fx.GraphModule, frozen: Sequence[int], weights: Sequence[torch.Tensor]) -> fx.GraphModule:
    """The graph with some inputs replaced by attributes; they take no gradients."""
    graph = fx.Graph()
    copied = fx.GraphModule(gm, gm.graph).graph
    del graph
    module = fx.GraphModule(gm, copied)
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    for index, weight in zip(frozen, weights, strict=True):
        node = placeholders[index]
        name = f"_frozen_{index}"
        module.register_buffer(name, weight.detach())
        with module.graph.inserting_before(node):
            attribute = module.graph.get_attr(name)
        attribute.meta = dict(node.meta)
        node.replace_all_uses_with(attribute)
        module.graph.erase_node(node)
    module.recompile()
    return module


class _GraphCompiler:
    """AOTAutograd's compiler of one functional ATen graph. Its first inputs are the module's buffers: the weights."""

    def __init__(self, settings: CompilationSettings) -> None:
        self._settings = settings

    def __call__(self, gm: fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        context = torch._guards.TracingContext.try_get()
        weights = list(context.params_flat or []) if context is not None else []
        module = _bind_weights_by_position(gm, weights)
        ranges = _ranges(module)
        clean(module, ranges)
        device = self._settings.device or _device_of(module)
        settings = dataclasses.replace(self._settings, device=device)
        compiled = compile_lowered(Program(module, ranges), CallingConvention(None, None, None), settings)
        run = compiled if compiled is not None else gm
        count = len(weights)
        if compiled is None:
            return gm.forward  # type: ignore[no-any-return]

        def call(*args: Any) -> Any:
            return run(*args[count:])

        return call


def _bind_weights_by_position(gm: fx.GraphModule, weights: Sequence[torch.Tensor]) -> fx.GraphModule:
    module = fx.GraphModule(gm, fx.Graph())
    module.graph.graph_copy(gm.graph, val_map := {})
    output = next(iter(reversed(gm.graph.nodes)))
    module.graph.output(fx.node.map_arg(output.args[0], lambda node: val_map[node]))
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    for index, weight in enumerate(weights):
        node = placeholders[index]
        name = f"_weight_{index}"
        module.register_buffer(name, weight.detach())
        with module.graph.inserting_before(node):
            attribute = module.graph.get_attr(name)
        attribute.meta = dict(node.meta)
        node.replace_all_uses_with(attribute)
        module.graph.erase_node(node)
    module.recompile()
    return module


def _device_of(module: fx.GraphModule) -> Device:
    for node in module.graph.nodes:
        value = value_of(node)
        if isinstance(value, torch.Tensor):
            return Device(value.device)
    return Device("cpu")


def _ranges(module: fx.GraphModule) -> dict[str, tuple[int, int, int | None]]:
    """Ranges of the symbols in the graph's shapes, from the shape environment that torch.compile keeps."""
    found: dict[str, tuple[int, int, int | None]] = {}
    for node in module.graph.nodes:
        value = value_of(node)
        sizes = value.shape if isinstance(value, torch.Tensor) else [value]
        for size in sizes:
            if not isinstance(size, torch.SymInt):
                continue
            environment = size.node.shape_env
            for symbol in size_expr(size).free_symbols:
                if not isinstance(symbol, sympy.Symbol) or symbol.name in found:
                    continue
                bounds = environment.var_to_range.get(symbol)
                low = max(0, int(bounds.lower)) if bounds is not None and bounds.lower.is_finite else 0
                high = None if bounds is None or bounds.upper is int_oo else int(bounds.upper)
                hint = environment.var_to_val.get(symbol) if hasattr(environment, "var_to_val") else None
                opt = int(hint) if hint is not None else max(low, 1)
                found[symbol.name] = (low, opt, None if high is not None and high >= 2**62 else high)
    return found


def register() -> None:
    """Makes the backend known to torch.compile under all its names."""
    for name in NAMES:
        if name not in torch._dynamo.backends.registry._BACKENDS:
            torch._dynamo.register_backend(name=name)(torch_tensorrt_backend)
