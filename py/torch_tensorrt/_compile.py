# SPDX-License-Identifier: Apache-2.0
"""``torch_tensorrt.compile`` and ``torch_tensorrt.convert_method_to_trt_engine``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram

from . import dynamo
from ._settings import make_settings
from .dynamo._compiler import compile_program
from .dynamo._trace import collect_inputs

_LOGGER = logging.getLogger("torch_tensorrt")
_DYNAMO = ("default", "dynamo")
_TORCHSCRIPT = ("ts", "torchscript")
_KNOWN_IRS = (*_DYNAMO, "torch_compile", *_TORCHSCRIPT, "fx")
_TRACE_KEYWORDS = ("dynamic_shapes", "strict")


def compile(
    module: Any,
    ir: str = "default",
    inputs: Any = None,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    enabled_precisions: Any = None,
    **kwargs: Any,
) -> Any:
    """Compiles a model.

    Args:
        module: an ``nn.Module``, a GraphModule or an ExportedProgram, in evaluation mode.
        ir: "default" or "dynamo" export the model now; "torch_compile" returns ``torch.compile`` with this
            backend, which compiles at the first call.
        inputs: or `arg_inputs`: positional inputs, as tensors, ``torch_tensorrt.Input`` or nested structures of them.
            An Input with a range makes dimensions dynamic.
        kwarg_inputs: keyword inputs.
        enabled_precisions: deprecated; engines compute in the model's own dtypes.
        **kwargs: fields of ``torch_tensorrt.dynamo.CompilationSettings``, and `dynamic_shapes` and `strict` as in
            ``torch.export.export``.
    Returns:
        A ``torch.fx.GraphModule`` whose children are engines (``_run_on_acc_N``) and PyTorch blocks
        (``_run_on_gpu_N``); the model's own graph if fewer operators than `min_block_size` can be compiled.
    Raises:
        ValueError: unknown `ir`, or a setting that cannot be honoured.
        TypeError: unknown keyword (the message lists similar names).
        AssertionError: inputs given twice or not at all; `require_full_compilation` not possible.
    """
    if ir not in _KNOWN_IRS:
        raise ValueError(f"Unknown ir was requested: {ir!r}; known are {', '.join(_KNOWN_IRS)}")
    if enabled_precisions is not None:
        kwargs["enabled_precisions"] = enabled_precisions
    if ir in (*_TORCHSCRIPT, "fx") or (ir == "default" and isinstance(module, torch.jit.ScriptModule)):
        raise ValueError(
            f'ir="{ir}" is not available: TorchScript and legacy fx models cannot be compiled. Compile the original '
            'nn.Module with ir="dynamo" and save the result with output_format="torchscript" if you need TorchScript.'
        )
    trace_keywords = {name: kwargs.pop(name) for name in _TRACE_KEYWORDS if name in kwargs}
    settings = make_settings(kwargs, context="compile", also_known=_TRACE_KEYWORDS)
    if ir == "torch_compile":
        if trace_keywords:
            raise TypeError(f'compile(ir="torch_compile") takes no {", ".join(trace_keywords)}')
        return torch.compile(module, backend="torch_tensorrt", dynamic=False, options=kwargs)
    specs = collect_inputs(inputs, arg_inputs, kwarg_inputs)
    if isinstance(module, ExportedProgram):
        if trace_keywords:
            raise TypeError(f"an ExportedProgram is captured already: {', '.join(trace_keywords)} cannot be changed")
        return compile_program(module, settings, specs)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"compile: expected an nn.Module or an ExportedProgram, got {type(module).__name__}")
    if module.training:
        _LOGGER.warning("the module is in training mode; call module.eval() before compiling it for inference")
    program = dynamo.trace(
        module,
        arg_inputs=inputs if inputs is not None else arg_inputs,
        kwarg_inputs=kwarg_inputs,
        device=settings.device,
        targets=settings.targets,
        **trace_keywords,
    )
    return compile_program(program, settings, specs)


def convert_method_to_trt_engine(
    module: torch.nn.Module | ExportedProgram,
    method_name: str = "forward",
    inputs: Any = None,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    ir: str = "default",
    enabled_precisions: Any = None,
    **kwargs: Any,
) -> bytes:
    """Compiles the whole model into one engine and returns the engine package's bytes.

    Raises AssertionError, with the reasons, where parts of the model would have to stay in PyTorch.
    """
    if ir not in _DYNAMO:
        raise ValueError(f'convert_method_to_trt_engine: ir must be "default" or "dynamo", got {ir!r}')
    if method_name != "forward":
        raise ValueError(f"convert_method_to_trt_engine: only forward can be exported, got {method_name!r}")
    if enabled_precisions is not None:
        kwargs["enabled_precisions"] = enabled_precisions
    if not isinstance(module, ExportedProgram):
        trace_keywords = {name: kwargs.pop(name) for name in _TRACE_KEYWORDS if name in kwargs}
        program = dynamo.trace(
            module,
            arg_inputs=inputs if inputs is not None else arg_inputs,
            kwarg_inputs=kwarg_inputs,
            device=kwargs.get("device"),
            targets=kwargs.get("targets"),
            **trace_keywords,
        )
    else:
        program = module
    return dynamo.convert_exported_program_to_serialized_trt_engine(
        program, arg_inputs=inputs if inputs is not None else arg_inputs, kwarg_inputs=kwarg_inputs, **kwargs
    )
