# SPDX-License-Identifier: Apache-2.0
"""Registration of converters, and the call of one."""

from __future__ import annotations

import contextlib
import contextvars
import enum
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node

from ..._library import load_binding
from ..._settings import CompilationSettings
from ._network import Network, Tensor


class ConverterPriority(enum.Enum):
    """Order among converters that were registered for one operator. All of them come before torchtrt's own, which is
    used where they refuse the node."""

    STANDARD = enum.auto()
    """After those of high priority."""
    HIGH = enum.auto()
    """First."""


@dataclass
class ConversionContext:
    """What a converter gets as ``ctx``."""

    net: Network
    compilation_settings: CompilationSettings
    requires_output_allocator: bool = False
    current_node: Node | None = None
    cpu_weights_reference_holder: list[torch.Tensor] = field(default_factory=list)

    def record_weight(self, name: str, weight: torch.Tensor) -> None:
        """Keeps a weight alive as long as the engine is built."""
        self.cpu_weights_reference_holder.append(weight)


ConverterFunction = Callable[[ConversionContext, Any, tuple[Any, ...], dict[str, Any], str], Any]
Validator = Callable[..., bool]


@dataclass(frozen=True)
class _Scope:
    """What is being compiled: converters are called from C++ and know nodes by name only."""

    nodes: Mapping[str, Node]
    settings: CompilationSettings


_scope: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar("torch_tensorrt_conversion", default=None)


@contextlib.contextmanager
def conversion_scope(nodes: Sequence[Node], settings: CompilationSettings) -> Iterator[None]:
    """Within the block, converters find these nodes."""
    token = _scope.set(_Scope({node.name: node for node in nodes}, settings))
    try:
        yield
    finally:
        _scope.reset(token)


def _current() -> _Scope:
    scope = _scope.get()
    assert scope is not None, "converters run only while a model is compiled"
    return scope


class ConverterRegistration:
    """A converter in the registry; ``remove()`` takes it back."""

    def __init__(self, registration: Any) -> None:
        self._registration = registration

    def remove(self) -> None:
        self._registration = None


_registered: list[ConverterRegistration] = []


def dynamo_tensorrt_converter(
    key: Any,
    *,
    enabled: bool = True,
    capability_validator: Validator | None = None,
    priority: ConverterPriority = ConverterPriority.STANDARD,
    supports_dynamic_shapes: bool = False,
    requires_output_allocator: bool = False,
) -> Callable[[ConverterFunction], ConverterFunction]:
    """Registers the decorated function as the converter of an operator.

    Args:
        key: an operator's overload, ``torch.ops.aten.nonzero.default``.
        enabled: False: nothing is registered.
        capability_validator: ``(node)`` or ``(node, settings)`` -> whether the converter is for this node.
        priority: among registered converters of the operator; torchtrt's own comes after them.
        supports_dynamic_shapes: otherwise nodes with symbolic shapes stay in PyTorch.
        requires_output_allocator: engines with such a node allocate their outputs while they run.

    The function is called as ``function(ctx, target, args, kwargs, name)``, also by the dry run that decides what goes
    to engines; tensors among the arguments are tensors of ``ctx.net``. It returns one, or a sequence of them. It may
    raise NotImplementedError to leave the node to PyTorch; any other exception ends the compilation.
    """
    if not isinstance(key, torch._ops.OpOverload):
        raise TypeError(f"expected an operator's overload such as torch.ops.aten.nonzero.default, got {key!r}")

    def register(function: ConverterFunction) -> ConverterFunction:
        if enabled:
            label = _label(function)
            registration = load_binding().register_converter(
                str(key),
                _caller(key, function, label, requires_output_allocator),
                None if capability_validator is None else _validating(capability_validator),
                high_priority=priority is ConverterPriority.HIGH,
                supports_dynamic_shapes=supports_dynamic_shapes,
                requires_output_allocator=requires_output_allocator,
                name=label,
            )
            handle = ConverterRegistration(registration)
            _registered.append(handle)
            with contextlib.suppress(AttributeError, TypeError):
                function.registration = handle  # type: ignore[attr-defined]
        return function

    return register


def _label(function: ConverterFunction) -> str:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    return f"{name} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})" if code is not None else name


def _validating(validator: Validator) -> Callable[[str], bool]:
    takes_settings = len(inspect.signature(validator).parameters) > 1

    def validate(node_name: str) -> bool:
        scope = _current()
        node = scope.nodes[node_name]
        return bool(validator(node, scope.settings) if takes_settings else validator(node))

    return validate


def _caller(
    key: Any, function: ConverterFunction, label: str, requires_output_allocator: bool
) -> Callable[[Any, str, list[Any], dict[str, Any]], list[int]]:
    def call(context: Any, node_name: str, args: list[Any], kwargs: dict[str, Any]) -> list[int]:
        scope = _current()
        node = scope.nodes.get(node_name)
        net = Network(context)
        ctx = ConversionContext(net, scope.settings, requires_output_allocator, node)
        try:
            result = function(
                ctx,
                key,
                tuple(_argument(net, item) for item in args),
                {name: _argument(net, item) for name, item in kwargs.items()},
                node_name,
            )
            results = list(result) if isinstance(result, (list, tuple)) else [result]
            return [net._tensor(item).index for item in results]
        except NotImplementedError:
            raise
        except Exception as error:
            raise RuntimeError(_failure(label, key, node_name, node, error)) from error

    return call


def _failure(label: str, key: Any, node_name: str, node: Node | None, error: Exception) -> str:
    from .._nodes import source_line

    source = source_line(node) if node is not None else ""
    return (
        f"the converter {label} failed on node {node_name!r} ({key})"
        f"{'; from ' + source if source else ''}: {type(error).__name__}: {error}"
    )


def _argument(net: Network, value: Any) -> Any:
    c = load_binding()
    if isinstance(value, c.ValueNumber):
        return Tensor(net, value.index)
    if isinstance(value, c.SizeText):
        return value.text
    if isinstance(value, list):
        return [_argument(net, item) for item in value]
    return value
