# SPDX-License-Identifier: Apache-2.0
"""Compile settings: one documented dataclass, and what becomes of every other keyword that scripts pass."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import logging
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ._device import Device
from ._enums import DeviceType, EngineCapability
from ._library import load_binding

_LOGGER = logging.getLogger("torch_tensorrt")

TARGETS = ("openvino", "tensorrt", "tensorrt_rtx", "aten")
_GPU_TARGETS = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class CompilationSettings:
    """Everything that steers a compilation. Unknown names are errors; see also ``ACCEPTED`` and ``REFUSED`` below."""

    targets: tuple[str, ...] | None = None
    """Backends to build engines for: "openvino", "tensorrt", "tensorrt_rtx", "aten". None: what the device calls for.
    With several targets every engine carries one build for each, and the runtime picks at load; those that this machine
    cannot build are left out with a warning, as long as there is one that it can. "aten" is PyTorch's own operators on
    the CPU. Engines for the CPU have it anyway, for calls that another target cannot answer; alone it makes engines of
    any operators, which need no vendor's library."""
    min_block_size: int = 5
    """Blocks of fewer supported operators than this stay in PyTorch."""
    torch_executed_ops: frozenset[str] = frozenset()
    """Operators that stay in PyTorch: overloads, packets or their names ("aten.add.Tensor", "aten.add")."""
    require_full_compilation: bool = False
    """AssertionError unless the whole model becomes one engine."""
    pass_through_build_failures: bool = False
    """Raise when the backend fails to build a block, instead of leaving that block in PyTorch."""
    fallback_data_dependent_ops: bool = False
    """Leave operators whose result's shape depends on data in PyTorch."""
    dryrun: bool | str = False
    """True: report the partitioning and build nothing. A path: the same, and the report as JSON in that file."""
    workspace_size: int = 0
    """TensorRT: bytes of scratch memory; 0 is the library's default."""
    optimization_level: int | None = None
    """TensorRT: 0 to 5; None is the library's default."""
    use_fp32_acc: bool = True
    """TensorRT: add up matrix products of float16 in float32, as PyTorch does. False leaves it to the library, which
    may choose kernels that add up in float16: 1.7 to 3 times the error of eager float16 on transformers."""
    compute_capabilities: tuple[int, ...] = ()
    """TensorRT-RTX: GPU generations to build for (86, 89, 120); empty is the library's default set."""
    hardware_compatible: bool = False
    """TensorRT: build for every GPU of compute capability 8.0 or more, not for this machine's only."""
    version_compatible: bool = False
    """TensorRT: build for newer releases of the same major version as well. Such engines carry the code that runs them,
    which is allowed to run when they are loaded."""
    timing_cache_path: str | None = None
    """TensorRT: a file of kernel timings, read before each build and added to after it, which makes builds of similar
    models shorter; or a folder, with a file for each GPU and release of TensorRT. None: ``timing`` in the folder that
    the variable TORCHTRT_CACHE_DIR names, or in ``torchtrt`` of the user's cache folder. Empty: no timings are kept."""
    enable_weight_streaming: bool = False
    """TensorRT, TensorRT-RTX: weights may stay in host memory and be streamed, as many as the library thinks right for
    the GPU's free memory when the engine is loaded."""
    inference_precision: str = "auto"
    """OpenVINO: "auto" computes float32 as float32, and a model that is bfloat16 throughout in bfloat16; "float32" or
    "bfloat16" force it."""
    use_plugins: bool = False
    """Let engines hold operators that no layer expresses (antialiased and unusual resizing, scatter-reduce, grid
    sampling) as plugins, which call PyTorch's own operator from inside the engine: fewer, larger engines. Such programs
    need ``libtorchtrt_plugins.so`` loaded where they run."""
    decompose_attention: bool = False
    """Take scaled_dot_product_attention apart instead of giving it to the engine whole."""
    device: Device | None = None
    """Where the model runs; None: where its parameters are."""
    engine_capability: EngineCapability = EngineCapability.STANDARD
    """STANDARD is the only one that can be built."""
    rebuildable: bool = False
    """Pack the network as well, so that engines can be built again where they do not fit, without the model
    (``runtime.set_rebuild_engines``, ``python -m torch_tensorrt rebuild``). The weights are in the file once more, and
    int64 inputs have to hold 32-bit values whatever the targets."""
    immutable_weights: bool = True
    """False: the module can be given other weights with ``dynamo.refit_module_weights``. TensorRT's engines are built
    so that their weights can be replaced, and are slower for it, many times so where convolutions take the time; those
    of other targets are as always, and built again then. The module knows its program's structure (kilobytes)."""
    strip_engine_weights: bool = False
    """TensorRT, TensorRT-RTX: engines without their weights, which do not run before ``dynamo.refit_module_weights``
    gives them some: those of the same program, or with ``immutable_weights=False`` any."""
    refit_identical_engine_weights: bool = False
    """TensorRT, with ``immutable_weights=False``: engines take the weights only that they were built with, for which
    TensorRT may fold them. Given other weights they are built again."""
    accepted: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Keywords that were given and have no effect here (``ACCEPTED``), kept for reports."""

    def __post_init__(self) -> None:
        if self.require_full_compilation and self.fallback_data_dependent_ops:
            raise ValueError(
                "require_full_compilation and fallback_data_dependent_ops exclude each other: "
                "one forbids what the other asks for"
            )
        if self.engine_capability is not EngineCapability.STANDARD:
            raise ValueError(f"engine_capability={self.engine_capability} cannot be built; only STANDARD can")
        if not isinstance(self.min_block_size, int) or self.min_block_size < 1:
            raise ValueError(f"min_block_size must be a positive integer, got {self.min_block_size!r}")
        if self.inference_precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(
                f'inference_precision must be "auto", "float32" or "bfloat16", got {self.inference_precision!r}'
            )
        if self.optimization_level is not None and self.optimization_level not in range(6):
            raise ValueError(f"optimization_level must be 0 to 5, got {self.optimization_level!r}")
        if self.refit_identical_engine_weights and self.immutable_weights:
            raise ValueError(
                "refit_identical_engine_weights says how weights are replaced, and immutable_weights=True that they "
                "are not: pass immutable_weights=False"
            )
        for name in (
            "hardware_compatible",
            "version_compatible",
            "enable_weight_streaming",
            "immutable_weights",
            "strip_engine_weights",
            "refit_identical_engine_weights",
        ):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.workspace_size < 0:
            raise ValueError(f"workspace_size must not be negative, got {self.workspace_size!r}")
        for target in self.targets or ():
            if target not in TARGETS:
                raise ValueError(f"targets: unknown target {target!r}; known are {', '.join(TARGETS)}")
        if self.targets == ():
            raise ValueError("targets: give at least one target, or None to choose by device")

    @property
    def knows_structure(self) -> bool:
        """Whether the module remembers of its program what ``refit_module_weights`` compares."""
        return self.strip_engine_weights or not self.immutable_weights

    @property
    def refit(self) -> str:
        """How engines are built for it: "none", "identical" or "any"."""
        if not self.knows_structure:
            return "none"
        return "identical" if self.immutable_weights or self.refit_identical_engine_weights else "any"

    def resolve_targets(self, device: torch.device) -> tuple[str, ...]:
        """The targets to build for a model on `device`."""
        if self.targets is not None:
            return self.targets
        if device.type == "cpu":
            return ("openvino",)
        # Where neither is installed, the error of the second says what to install.
        return ("tensorrt",) if _has_library("tensorrt") else ("tensorrt_rtx",)


def timing_cache_folder() -> str:
    """The default of `timing_cache_path`; empty where the user has no home."""
    if folder := os.environ.get("TORCHTRT_CACHE_DIR"):
        return str(Path(folder) / "timing") + "/"
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return ""
    return str(cache / "torchtrt" / "timing") + "/"


def default_device(targets: Sequence[str] | None) -> torch.device:
    """Where a model goes that does not say it, having no parameters and inputs described by shapes alone: a GPU if
    PyTorch has one and one of `targets` (None: any whose library is installed) is for GPUs, otherwise the CPU."""
    on_gpu = torch.cuda.is_available() and any(
        _has_library(target) if targets is None else target in targets for target in _GPU_TARGETS
    )
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    _LOGGER.info("the model has no parameters and its inputs no device: it is compiled for %s", device)
    return device


def _has_library(target: str) -> bool:
    """Whether the library that builds for a target is installed."""
    try:
        version = load_binding().builder_version(target)
    except (OSError, RuntimeError) as error:
        _LOGGER.debug("no library for target %s: %s", target, error)
        return False
    _LOGGER.info("target %s, version %s", target, version)
    return True


# Settings that say nothing to some targets, and why. A setting that is not here means something to every target.
NO_EFFECT: dict[str, dict[str, str]] = {
    "workspace_size": {"openvino": "OpenVINO allocates what it needs"},
    "optimization_level": {"openvino": "OpenVINO has no such levels"},
    "use_fp32_acc": {
        "openvino": "its engines accumulate in float32",
        "tensorrt_rtx": "TensorRT-RTX chooses what it accumulates in",
    },
    "compute_capabilities": {"openvino": "its engines run on CPUs"},
    "hardware_compatible": {
        "openvino": "its engines run on every CPU",
        "tensorrt_rtx": "its engines are for the GPUs of compute_capabilities",
    },
    "version_compatible": {"openvino": "its engines are compiled where they run"},
    "timing_cache_path": {
        "openvino": "OpenVINO times no kernels",
        "tensorrt_rtx": "TensorRT-RTX chooses kernels where the engine runs",
    },
    "enable_weight_streaming": {"openvino": "its engines run in host memory"},
    "strip_engine_weights": {"openvino": "its engines keep their weights"},
    "refit_identical_engine_weights": {
        "openvino": "its engines are built again for other weights",
        "tensorrt_rtx": "its engines are built again for other weights, unless they are stripped",
    },
    "inference_precision": {
        "tensorrt": "its engines compute in the model's own dtypes",
        "tensorrt_rtx": "its engines compute in the model's own dtypes",
    },
}

# Keywords of Torch-TensorRT that cannot change a result here; they are accepted, and this table says why.
ACCEPTED: dict[str, str] = {
    "max_aux_streams": "TensorRT's builder chooses",
    "num_avg_timing_iters": "TensorRT's builder chooses",
    "tiling_optimization_level": "TensorRT's builder chooses",
    "l2_limit_for_tiling": "TensorRT's builder chooses",
    "sparse_weights": "an optimization that is not used",
    "disable_tf32": "TF32 is not used",
    "dla_sram_size": "there is no DLA target",
    "dla_local_dram_size": "there is no DLA target",
    "dla_global_dram_size": "there is no DLA target",
    "lazy_engine_init": "vendor engines are always created at first use",
    "cache_built_engines": "no engine cache is kept",
    "reuse_cached_engines": "no engine cache is kept",
    "engine_cache_dir": "no engine cache is kept",
    "engine_cache_size": "no engine cache is kept",
    "use_fast_partitioner": "there is one partitioner",
    "assume_dynamic_shape_support": "every converter's support for dynamic shapes is known",
    "enable_experimental_decompositions": "operators are taken apart where no converter takes them whole",
    "use_complex_decomposition": "complex numbers stay in PyTorch",
    "truncate_double": "float64 is not truncated: operators on it stay in PyTorch, with the exact result",
    "offload_module_to_cpu": "weights are shared, not copied, while an engine is built",
    "disabled_constant_fold_exclusions": "backends fold constants",
    "attn_bias_is_causal": "attention is converted exactly, with the mask that it is given",
    "dynamically_allocate_resources": "the CPU engine holds no device memory between calls",
    "autocast_low_precision_type": "only used with enable_autocast",
    "autocast_excluded_nodes": "only used with enable_autocast",
    "autocast_excluded_ops": "only used with enable_autocast",
    "autocast_max_output_threshold": "only used with enable_autocast",
    "autocast_max_depth_of_reduction": "only used with enable_autocast",
    "autocast_calibration_dataloader": "only used with enable_autocast",
    "cpu_memory_budget": "only used with enable_resource_partitioning",
}

# Keywords whose default is harmless and whose other values ask for what does not exist (yet): an error says so.
REFUSED: dict[str, tuple[Any, str]] = {
    "enable_autocast": (False, "convert the model with model.half() or model.bfloat16() instead"),
    "enable_cross_compile_for_windows": (False, "engines are built for the machine's own platform"),
    "use_distributed_mode_trace": (False, "distributed tensors are not supported"),
    "enable_resource_partitioning": (False, "partitioning does not look at memory"),
    "custom_engine_cache": (None, "no engine cache is kept"),
    "torch_executed_modules": (None, "name operators in torch_executed_ops"),
}

# Deprecated keywords: a DeprecationWarning with this text.
DEPRECATED: dict[str, str] = {
    "use_python_runtime": "there is one runtime, in C++",
    "debug": "use torch_tensorrt.logging",
    "enabled_precisions": "engines compute in the model's own dtypes; convert the model (model.half()) to change them",
    "use_explicit_typing": "engines always compute in the model's own dtypes",
    "truncate_long_and_double": "64-bit integers and floats keep their values",
    "refit": "use immutable_weights=False",
    "make_refittable": "use immutable_weights=False",
}


def _op_name(op: Any) -> str:
    if isinstance(op, str):
        name = op.removeprefix("torch.ops.")
        return name.replace("::", ".")
    if isinstance(op, torch._ops.OpOverload):
        return str(op)
    if isinstance(op, torch._ops.OpOverloadPacket):
        return str(op)
    module = getattr(op, "__module__", "").lstrip("_")
    function = getattr(op, "__qualname__", None)
    if function is None:
        raise TypeError(f"torch_executed_ops: expected operators or their names, got {op!r}")
    return f"{module}.{function}"


def _normalize(name: str, value: Any) -> Any:
    if name == "targets":
        if value is None:
            return None
        return (value,) if isinstance(value, str) else tuple(value)
    if name == "torch_executed_ops":
        if isinstance(value, str) or not isinstance(value, Collection):
            raise TypeError("torch_executed_ops must be a set of operators or names")
        return frozenset(_op_name(op) for op in value)
    if name == "device":
        return None if value is None else Device._from(value)
    if name == "compute_capabilities":
        return tuple(value)
    if name == "timing_cache_path":
        return None if value is None else os.fspath(value)
    if name == "dryrun" and not isinstance(value, (bool, str)):
        return os.fspath(value)
    return value


def known_keywords() -> list[str]:
    own = [item.name for item in dataclasses.fields(CompilationSettings) if item.name != "accepted"]
    return [*own, *ACCEPTED, *REFUSED, *DEPRECATED]


def make_settings(
    keywords: Mapping[str, Any], *, context: str = "compile", also_known: Sequence[str] = ()
) -> CompilationSettings:
    """The settings from keywords as users pass them.

    TypeError for a name that nobody knows (with the names that look like it), ValueError for a value that cannot be
    honoured, DeprecationWarning for names of the past.
    """
    return CompilationSettings(**_sorted_keywords(keywords, context, also_known))


def _sorted_keywords(keywords: Mapping[str, Any], context: str, also_known: Sequence[str] = ()) -> dict[str, Any]:
    """The fields' values, with all that has no effect under "accepted"."""
    own: dict[str, Any] = {}
    accepted: dict[str, Any] = dict(keywords.get("accepted", {}))
    known = known_keywords()
    for name, value in keywords.items():
        if name in DEPRECATED:
            warnings.warn(
                f"torch_tensorrt: {name!r} is deprecated: {DEPRECATED[name]}", DeprecationWarning, stacklevel=4
            )
            if name in ("refit", "make_refittable"):
                own.setdefault("immutable_weights", not value)
        elif name in ACCEPTED:
            accepted[name] = value
            _LOGGER.debug("%s=%r has no effect: %s", name, value, ACCEPTED[name])
        elif name in REFUSED:
            default, reason = REFUSED[name]
            if value != default and value not in (None, False) and value != set():
                raise ValueError(f"torch_tensorrt.{context}: {name}={value!r} is not available: {reason}")
        elif name in known:
            own[name] = _normalize(name, value)
        elif name != "accepted":
            near = difflib.get_close_matches(name, [*known, *also_known], n=3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise TypeError(f"torch_tensorrt.{context}() got an unexpected keyword argument {name!r}{hint}")
    return {**own, "accepted": accepted}


def _takes_every_keyword(initialize: Any) -> Any:
    """Scripts make the settings themselves, too, with every keyword that ``compile`` takes."""

    @functools.wraps(initialize)
    def initialize_sorted(self: CompilationSettings, *values: Any, **keywords: Any) -> None:
        initialize(self, *values, **_sorted_keywords(keywords, "dynamo.CompilationSettings"))

    return initialize_sorted


CompilationSettings.__init__ = _takes_every_keyword(CompilationSettings.__init__)  # type: ignore[method-assign]


def log_unused(settings: CompilationSettings, targets: Sequence[str]) -> None:
    """Says of each setting that was changed where it has no effect."""
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if value == item.default:
            continue
        for target, reason in NO_EFFECT.get(item.name, {}).items():
            if target in targets:
                _LOGGER.info("%s=%r has no effect on target %s: %s", item.name, value, target, reason)


def is_cuda_target(settings: CompilationSettings) -> bool:
    return settings.device is not None and settings.device.device_type is not DeviceType.CPU
