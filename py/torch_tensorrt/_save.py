# SPDX-License-Identifier: Apache-2.0
"""Saving compiled programs in PyTorch's three formats, and loading them.

The ranges of dynamic dimensions are kept: a compiled module knows them, so they need not be given again. Files are
written beside their destination and renamed into place, so that a failure leaves no partial file.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.utils import _pytree as pytree

from ._engine import PACKAGE_ENGINES, _compile_expr
from ._input import Input
from ._library import load_binding
from .dynamo._counts import selections_may_be_empty
from .dynamo._trace import by_parameter_name, collect_inputs
from .dynamo._trace import trace as _trace
from .runtime import CudaGraphsTorchTensorRTModule

_LOGGER = logging.getLogger("torch_tensorrt")
_FORMATS = ("exported_program", "torchscript", "aot_inductor")


@contextlib.contextmanager
def _written_beside(path: str, suffix: str) -> Iterator[str]:
    """A temporary name in the destination's folder; on success it is flushed to disk and takes the final name."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"save: the folder {folder} does not exist")
    if os.path.isdir(path):
        raise IsADirectoryError(f"save: {path!r} is a folder; give the name of a file in it")
    try:
        directory = tempfile.TemporaryDirectory(prefix=".torchtrt-", dir=folder)
    except OSError as error:
        raise type(error)(f"save: cannot write {path!r}: {error.strerror}; save where you may write") from error
    with directory as scratch:
        temporary = os.path.join(scratch, "model" + suffix)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)


# --- what a compiled module knows about its inputs ---


def _evaluate(size: int | str, symbols: Mapping[str, int]) -> int:
    return size if isinstance(size, int) else int(_compile_expr(size)(dict(symbols)))


def _example_leaf(described: dict[str, Any], sizes: Mapping[str, int]) -> Any:
    if "dtype" not in described:
        return described["value"]
    shape = [_evaluate(size, sizes) for size in described["shape"]]
    # Zeros are valid everywhere: as indices, as masks, as probabilities.
    return torch.zeros(shape, dtype=described["dtype"], device=described["device"])


def _leaf_dims(described: dict[str, Any], dims: Mapping[str, Any]) -> dict[int, Any] | None:
    if "dtype" not in described:
        return None
    found: dict[int, Any] = {}
    for axis, size in enumerate(described["shape"]):
        if isinstance(size, str):
            if size.isidentifier():
                found[axis] = dims[size]
            elif re.fullmatch(r"[\w\s()*+-]+", size):
                found[axis] = _compile_expr(size)(dict(dims))  # Dim knows sums and products with numbers
            else:
                found[axis] = Dim.DYNAMIC
    return found or None


def _example_sizes(ranges: Mapping[str, tuple[int, int, int | None]]) -> dict[str, int]:
    """A size for every symbol: the optimal one, never 0 or 1 (export specializes those), all different if possible."""
    sizes: dict[str, int] = {}
    for name, (low, opt, high) in ranges.items():
        size = max(opt, low, 2)
        while size in sizes.values() and (high is None or size < high):
            size += 1
        sizes[name] = size if high is None else min(size, high)
    return sizes


def _known_inputs(module: torch.fx.GraphModule) -> tuple[tuple[Any, ...], dict[str, Any], Any] | None:
    """Example args and kwargs and dynamic shapes from a compiled module's description; None if it has none."""
    known = module.meta.get("torch_tensorrt")
    if not known or known.get("in_spec") is None or any(d.get("shape", 0) is None for d in known["inputs"]):
        return None
    ranges = {name: bounds for name, bounds in known["ranges"].items() if not name.startswith("u")}
    sizes = _example_sizes(ranges)
    used = {s for d in known["inputs"] for size in d.get("shape", ()) if isinstance(size, str) for s in [size]}
    dims = {
        name: Dim(name, min=low, max=high)
        for name, (low, _, high) in ranges.items()
        if any(re.search(rf"\b{name}\b", size) for size in used)
    }
    args, kwargs = pytree.tree_unflatten([_example_leaf(d, sizes) for d in known["inputs"]], known["in_spec"])
    if not dims:
        return args, kwargs, None
    arg_dims, kwarg_dims = pytree.tree_unflatten([_leaf_dims(d, dims) for d in known["inputs"]], known["in_spec"])
    return args, kwargs, by_parameter_name(module, arg_dims, kwarg_dims)


def _reexport(module: torch.fx.GraphModule, arg_inputs: Any, kwarg_inputs: Any, dynamic_shapes: Any) -> ExportedProgram:
    known = _known_inputs(module)
    if known is not None and dynamic_shapes is None:
        args, kwargs, shapes = known
        with torch.no_grad(), selections_may_be_empty():
            return torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)
    original = module.meta.get("torch_tensorrt_program")
    if isinstance(original, ExportedProgram) and dynamic_shapes is None:
        return original
    if arg_inputs is None and kwarg_inputs is None:
        raise ValueError("save: the module does not know its inputs; pass arg_inputs (and dynamic_shapes for ranges)")
    return _trace(module, arg_inputs=arg_inputs, kwarg_inputs=kwarg_inputs, dynamic_shapes=dynamic_shapes)


def _jit_trace(module: torch.fx.GraphModule, arg_inputs: Any, kwarg_inputs: Any) -> torch.jit.ScriptModule:
    known = _known_inputs(module)
    if known is not None:
        args, kwargs = known[0], known[1]
    elif arg_inputs is not None or kwarg_inputs is not None:
        specs = collect_inputs(None, arg_inputs, kwarg_inputs)
        is_input = lambda leaf: isinstance(leaf, Input)  # noqa: E731
        example = lambda leaf: leaf._example(leaf.opt_shape) if isinstance(leaf, Input) else leaf  # noqa: E731
        args = pytree.tree_map(example, specs.args, is_leaf=is_input)
        kwargs = pytree.tree_map(example, specs.kwargs, is_leaf=is_input)
    else:
        raise ValueError("save: the module does not know its inputs; pass arg_inputs")
    bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    named = {name: value for name, value in bound.items() if not isinstance(value, (int, float, str, type(None)))}
    with torch.no_grad():
        trace: Any = torch.jit.trace
        try:
            if len(named) == len(bound):
                scripted = trace(module, tuple(bound.values()), strict=False, check_trace=False)
            else:
                scripted = trace(module, example_kwarg_inputs=named, strict=False, check_trace=False)
        except RuntimeError as error:
            raise ValueError(f"save: the module cannot be said in TorchScript: {str(error)[:1000]}") from error
    assert isinstance(scripted, torch.jit.ScriptModule)
    return scripted


@contextlib.contextmanager
def _contiguous_inputs_required(program: ExportedProgram) -> Iterator[None]:
    """The kernels of an AOTInductor package read memory with the exported strides, whatever comes."""
    checks = [node for node in program.graph.nodes if node.target is torch.ops.tensorrt.check_inputs.default]
    before = [node.args for node in checks]
    for node in checks:
        node.args = (*node.args[:2], True)
    try:
        yield
    finally:
        for node, args in zip(checks, before, strict=True):
            node.args = args


class _LoadedProgram(ExportedProgram):
    """An ExportedProgram whose modules name the value that is out of range, too."""

    def module(self, check_guards: bool = False) -> torch.fx.GraphModule:
        # PyTorch has two checks of the same ranges; the one that is left names input, dimension, range and value.
        return super().module(check_guards=check_guards)


# --- save and load ---


def save(
    module: Any,
    file_path: str | os.PathLike[str] = "",
    *,
    extra_files: dict[str, Any] | None = None,
    output_format: str = "exported_program",
    inputs: Any = None,
    arg_inputs: Any = None,
    kwarg_inputs: Mapping[str, Any] | None = None,
    retrace: bool = True,
    use_legacy_exporter: bool | None = None,
    pickle_protocol: int = 2,
    dynamic_shapes: Any = None,
    **kwargs: Any,
) -> None:
    """Saves a compiled program.

    Args:
        module: what ``compile`` or ``load`` returned: a GraphModule, an ExportedProgram or a ScriptModule.
        file_path: where to. Written beside and renamed.
        extra_files: names and contents to store with it ("exported_program" and "torchscript").
        output_format: "exported_program" (for Python and re-export), "torchscript" (``torch.jit.load``) or
            "aot_inductor" (``AOTIModelPackageLoader``, ``torch._inductor.aoti_load_package``; the file must end in
            ".pt2").
        inputs: or `arg_inputs`, `kwarg_inputs`: needed only for modules that ``compile`` did not make. Compiled modules
            know their inputs and ranges.
        retrace: accepted; programs are always exported afresh.
        use_legacy_exporter: accepted, without effect.
        pickle_protocol: for "exported_program".
        dynamic_shapes: as in ``torch.export.export``, to replace the ranges that the module knows.
        inductor_configs: (aot_inductor) options of the Inductor.
    Raises:
        ValueError: a module or a combination that cannot be saved so.
        TypeError: unknown keyword.
    """
    del retrace, use_legacy_exporter
    inductor_configs = kwargs.pop("inductor_configs", None)
    if kwargs:
        raise TypeError(f"torch_tensorrt.save() got an unexpected keyword argument {next(iter(kwargs))!r}")
    if not file_path:
        raise ValueError("save: give the file's path")
    if inputs is not None and arg_inputs is not None:
        raise AssertionError("'arg_inputs' and 'inputs' should not be used at the same time.")
    if output_format not in _FORMATS:
        raise ValueError(f"save: unknown output_format {output_format!r}; known are {', '.join(_FORMATS)}")
    if inductor_configs is not None and output_format != "aot_inductor":
        raise ValueError('save: inductor_configs goes with output_format="aot_inductor"')
    path = os.fspath(file_path)
    if isinstance(module, CudaGraphsTorchTensorRTModule):
        module = module.compiled_module
    positional = arg_inputs if arg_inputs is not None else inputs
    if isinstance(module, torch.jit.ScriptModule):
        if output_format != "torchscript":
            raise ValueError('save: a ScriptModule can only be saved with output_format="torchscript"')
        scripted = module
    elif isinstance(module, ExportedProgram):
        if output_format == "torchscript":
            raise ValueError("save: an ExportedProgram cannot be saved as TorchScript; save the compiled module")
    elif not isinstance(module, torch.fx.GraphModule):
        raise ValueError(
            "save: expected a compiled GraphModule, an ExportedProgram or a ScriptModule, "
            f"got {type(module).__name__}; compile the model first"
        )
    if output_format == "torchscript":
        if not isinstance(module, torch.jit.ScriptModule):
            scripted = _jit_trace(module, positional, kwarg_inputs)
        with _written_beside(path, ".ts") as temporary:
            torch.jit.save(scripted, temporary, _extra_files=extra_files or {})
        return
    program = (
        module if isinstance(module, ExportedProgram) else _reexport(module, positional, kwarg_inputs, dynamic_shapes)
    )
    if output_format == "exported_program":
        with _written_beside(path, ".pt2") as temporary:
            torch.export.save(program, temporary, extra_files=extra_files, pickle_protocol=pickle_protocol)
        return
    if extra_files:
        raise ValueError("save: AOTInductor packages take no extra_files")
    if not path.endswith(".pt2"):
        raise ValueError(f'save: an AOTInductor package must end in ".pt2", got {path!r}')
    from torch._inductor import aoti_compile_and_package

    with _written_beside(path, ".pt2") as temporary, _contiguous_inputs_required(program), torch.no_grad():
        aoti_compile_and_package(program, package_path=temporary, inductor_configs=inductor_configs)


def _archive_kind(path: str) -> str:
    """What the file holds: "aot_inductor", "torchscript" or "exported_program".

    Compares all checksums first (0.3 s for a gigabyte): PyTorch's own readers compare none, and a weight with a
    wrong bit is a wrong answer.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"its part {damaged!r} does not have the bytes that were written")
    if any("/data/aotinductor/" in name for name in names):
        return "aot_inductor"
    if any(re.search(r"/code/.*\.py$", name) or name.endswith("/constants.pkl") for name in names):
        return "torchscript"
    return "exported_program"


def load(
    file_path: str | os.PathLike[str] = "",
    extra_files: dict[str, Any] | None = None,
    *,
    format: str | None = None,
    **kwargs: Any,
) -> Any:
    """Loads what ``save`` wrote.

    Args:
        file_path: the file.
        extra_files: names whose contents are filled in.
        format: "exported_program", "torchscript" or "aot_inductor"; None: found out from the file.
    Returns:
        An ExportedProgram (call ``.module()``), a ScriptModule, or a callable AOTInductor model.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is none of these, or is damaged.
    """
    if kwargs:
        raise TypeError(f"torch_tensorrt.load() got an unexpected keyword argument {next(iter(kwargs))!r}")
    if format is not None and format not in _FORMATS:
        raise ValueError(f"load: unknown format {format!r}; known are {', '.join(_FORMATS)}")
    path = os.fspath(file_path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"load: there is no file {path!r}")
    try:
        kind = _archive_kind(path)
        if format is not None and format != kind:
            raise ValueError(f"it holds a program of format {kind!r}, not {format!r}")
        if kind == "torchscript":
            return torch.jit.load(path, _extra_files=extra_files)  # type: ignore[no-untyped-call]
        if kind == "aot_inductor":
            from torch._inductor import aoti_load_package

            loaded = aoti_load_package(path)
            # The runtime modes' managers look for them here; they are the very engines of the package.
            setattr(loaded, PACKAGE_ENGINES, load_binding().package_engines(path))
            return loaded
        program = torch.export.load(path, extra_files=extra_files)
        program.__class__ = _LoadedProgram
        return program
    except Exception as error:
        raise ValueError(
            f"load: {path!r} is not a program that torch_tensorrt.save wrote, or it is damaged: {error}"
        ) from error
