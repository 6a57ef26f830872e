# SPDX-License-Identifier: Apache-2.0
"""The ways to run a program. Each gives a callable that keeps the program's state from call to call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

import torch_tensorrt

from . import program as plain
from .program import Program

FORMATS = {"exported_program": ".ep", "torchscript": ".ts", "aot_inductor": ".pt2"}
BUILT_ONLY = ("tensorrt_rtx",)
"""Targets whose engines are built and not run."""


def keep_operator_lists() -> None:
    """Lets torch.export list PyTorch's operators once a process instead of twice a program, a third of the time. For
    processes that only test: an operator registered later would not be seen."""
    from torch._export import utils
    from torch.export import decomp_utils, exported_program

    if not hasattr(utils, "_collect_all_valid_cia_ops"):  # PyTorch's own, and not the same in every release
        return
    listed = functools.cache(utils._collect_all_valid_cia_ops)
    for module in (decomp_utils, exported_program):
        module._collect_all_valid_cia_ops = lambda: set(listed())  # type: ignore[attr-defined]


def warm_up(target: str) -> None:
    """Has this process import, without running an engine, what compiling imports: forks of it need not, which takes two
    seconds of each. A machine for `target` may have no other vendor's library, and nothing of a GPU survives a fork."""
    module = plain.make_module(
        Program([plain.Input("x0", "float32", [2])], [], [plain.Step(["v0"], "-{0}", ["x0"])], ["v0"])
    )
    with torch.no_grad():
        exported = torch.export.export(module, (torch.zeros(2),), strict=False)
        settings: dict[str, Any] = {"targets": ["aten"]} if target else {}
        torch_tensorrt.dynamo.compile(exported, min_block_size=1, dryrun=True, **settings)


class NotExportableError(Exception):
    """torch.export itself refuses the program: nothing of ours is asked."""


def capture(program: Program, module: nn.Module, inputs: Sequence[torch.Tensor]) -> ExportedProgram:
    """The exported program. Dynamic dimensions keep the program's ranges; where torch.export cannot keep them, it says
    itself what they are."""

    def named(name: str, dim: plain.Dim) -> Any:
        return Dim(name, min=dim.low, max=dim.high)

    def automatic(_: str, dim: plain.Dim) -> Any:
        return Dim.AUTO(min=dim.low, max=dim.high)

    failure: Exception | None = None
    for how in (named, automatic) if program.dims else (named,):
        try:
            with torch.no_grad():
                shapes = plain.dynamic_shapes(program, how)
                return torch.export.export(module, tuple(inputs), dynamic_shapes=shapes, strict=False)
        except Exception as error:
            failure = error
    raise NotExportableError(str(failure)) from failure


def compile_program(exported: ExportedProgram, target: str = "") -> nn.Module:
    """As a user does; where building is all that happens, what cannot be built is an error and no fallback."""
    settings: dict[str, Any] = {"pass_through_build_failures": target in BUILT_ONLY}
    if target:
        settings["targets"] = [target]
    with torch.no_grad():
        return torch_tensorrt.dynamo.compile(exported, min_block_size=1, **settings)


def save_program(module: nn.Module, way: str, folder: Path) -> Path:
    path = folder / f"program{FORMATS[way]}"
    with torch.no_grad():
        torch_tensorrt.save(module, path, output_format=way)
    return path


def is_readable(exported: ExportedProgram, folder: Path) -> bool:
    """Whether PyTorch reads what it writes of the program itself."""
    path = folder / "exported.pt2"
    try:
        torch.export.save(exported, path)
        torch.export.load(path)
    except Exception:
        return False
    return True


def load_program(path: Path, way: str) -> Callable[..., Any]:
    loaded = torch_tensorrt.load(path)
    run = loaded.module() if way == "exported_program" else loaded
    assert callable(run)
    return run
