# SPDX-License-Identifier: Apache-2.0
"""Compilation of exported programs; ``torch_tensorrt.compile`` is the usual way in."""

from torch.export import export

from .._settings import CompilationSettings
from ._compiler import compile, convert_exported_program_to_serialized_trt_engine
from ._refit import refit_module_weights
from ._report import Report
from ._trace import trace

__all__ = [
    "CompilationSettings",
    "Report",
    "compile",
    "convert_exported_program_to_serialized_trt_engine",
    "export",
    "refit_module_weights",
    "trace",
]
