# SPDX-License-Identifier: Apache-2.0
"""What this installation can do."""

from __future__ import annotations

from typing import NamedTuple

from ._library import library_directory


class FeatureSet(NamedTuple):
    """Names that scripts ask for, then our backends."""

    torchscript_frontend: bool
    torch_tensorrt_runtime: bool
    dynamo_frontend: bool
    fx_frontend: bool
    refit: bool
    qdp_plugin: bool
    windows_cross_compile: bool
    tensorrt_rtx: bool
    trtllm_for_nccl: bool
    native_trt_collectives: bool
    complex_decomposition: bool
    openvino: bool
    tensorrt: bool


def _has(module: str) -> bool:
    return (library_directory() / f"libtorchtrt_{module}.so").is_file()


ENABLED_FEATURES = FeatureSet(
    torchscript_frontend=False,
    torch_tensorrt_runtime=True,
    dynamo_frontend=True,
    fx_frontend=False,
    refit=True,
    qdp_plugin=False,
    windows_cross_compile=False,
    tensorrt_rtx=_has("tensorrt_rtx_builder"),
    trtllm_for_nccl=False,
    native_trt_collectives=False,
    complex_decomposition=False,
    openvino=_has("openvino_builder"),
    tensorrt=_has("tensorrt11_builder") or _has("tensorrt10_builder"),
)
