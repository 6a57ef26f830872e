# SPDX-License-Identifier: Apache-2.0
"""PyTorch operators of your own inside engines.

    torch_tensorrt.dynamo.conversion.plugins.custom_op("my_lib::my_op", supports_dynamic_shapes=True)

An engine with such an operator calls its PyTorch kernel while it runs (docs/plugins.md). The operator needs a fake
kernel (torch.export asks for that, too), must not write to its arguments, and its results' shapes must follow from its
arguments'.
"""

from __future__ import annotations

import torch

from ..._library import load_binding
from ._registry import ConverterPriority, ConverterRegistration, Validator, _registered, _validating

__all__ = ["custom_op", "generate_plugin", "generate_plugin_converter"]

_KERNELS = ("CPU", "CUDA", "CompositeExplicitAutograd", "CompositeImplicitAutograd", "Autograd")


def _overload(op_name: str) -> torch._ops.OpOverload:
    """The operator of "my_lib::my_op" or "my_lib::my_op.overload"."""
    namespace, separator, rest = op_name.partition("::")
    name, _, overload = rest.partition(".")
    if not separator or not namespace or not name:
        raise ValueError(f'expected an operator\'s name such as "my_lib::my_op", got {op_name!r}')
    packet = getattr(getattr(torch.ops, namespace), name, None)
    found = None if packet is None else getattr(packet, overload or "default", None)
    if not isinstance(found, torch._ops.OpOverload):
        raise ValueError(
            f"PyTorch has no operator {op_name}: import the module, or torch.ops.load_library the library, that has it"
        )
    return found


def generate_plugin(op_name: str) -> None:
    """Checks that engines can call the operator: ValueError if it writes to its arguments or has no kernel."""
    operator = _overload(op_name)
    if operator._schema.is_mutable:
        raise ValueError(f"{op_name} writes to its arguments; an engine's plugin must not: {operator._schema}")
    name = operator.name()  # type: ignore[no-untyped-call]
    if not any(torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in _KERNELS):
        raise ValueError(f"{op_name} has no kernel for CPU or CUDA: register one before it goes to engines")


def generate_plugin_converter(
    op_name: str,
    capability_validator: Validator | None = None,
    priority: ConverterPriority = ConverterPriority.STANDARD,
    supports_dynamic_shapes: bool = False,
    requires_output_allocator: bool = False,
    use_aot_if_available: bool = True,
    *,
    library: str = "",
) -> ConverterRegistration:
    """Sends the operator to engines from now on, as a plugin; ``remove()`` of the result takes that back.

    Args:
        op_name: "my_lib::my_op" or "my_lib::my_op.overload".
        capability_validator: ``(node)`` or ``(node, settings)`` -> whether the engine takes this node.
        priority: among registered converters of the operator; torchtrt's own, if it has one, comes after them.
        supports_dynamic_shapes: otherwise nodes with symbolic shapes stay in PyTorch.
        requires_output_allocator: engines with such a node allocate their outputs while they run.
        use_aot_if_available: accepted for scripts that pass it; there is one kind of plugin.
        library: the shared library that registers the operator, named in the error where a program without it runs.
    """
    operator = _overload(op_name)
    registration = load_binding().register_converter(
        str(operator),
        load_binding().PluginConverter(library),
        None if capability_validator is None else _validating(capability_validator),
        high_priority=priority is ConverterPriority.HIGH,
        supports_dynamic_shapes=supports_dynamic_shapes,
        requires_output_allocator=requires_output_allocator,
        name=f"the plugin of {op_name}",
    )
    handle = ConverterRegistration(registration)
    _registered.append(handle)
    return handle


def custom_op(
    op_name: str,
    capability_validator: Validator | None = None,
    priority: ConverterPriority = ConverterPriority.STANDARD,
    supports_dynamic_shapes: bool = False,
    requires_output_allocator: bool = False,
    use_aot_if_available: bool = True,
    *,
    library: str = "",
) -> ConverterRegistration:
    """``generate_plugin`` and ``generate_plugin_converter`` in one."""
    generate_plugin(op_name)
    return generate_plugin_converter(
        op_name,
        capability_validator,
        priority,
        supports_dynamic_shapes,
        requires_output_allocator,
        use_aot_if_available,
        library=library,
    )
