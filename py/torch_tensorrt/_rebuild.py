# SPDX-License-Identifier: Apache-2.0
"""Building the engines of a saved program again, from the networks that it carries; the model is not needed."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import torch
from torch.export import ExportedProgram

from ._engine import engines_of
from ._library import load_binding
from ._save import _archive_kind, load, save
from ._settings import TARGETS


def _rebuilt(engine: Any, targets: Sequence[str]) -> Any:
    built = load_binding().rebuild(engine.metadata(), engine.payload(), list(targets))
    return torch.classes.tensorrt.Engine(built.metadata, built.payload)


def _extra_files(path: str) -> dict[str, Any]:
    """The files that were saved with a TorchScript program, which must be named to be read."""
    with zipfile.ZipFile(path) as archive:
        found = (re.match(r"[^/]+/extra/(.+)", name) for name in archive.namelist())
        return {match[1]: "" for match in found if match}


def rebuild(source: str | os.PathLike[str], destination: str | os.PathLike[str], targets: Sequence[str] = ()) -> int:
    """Builds every engine of a saved program again and saves the program to another file, whole or not at all.

    Args:
        source: a TorchScript file or an exported program of a model that was compiled with ``rebuildable=True``.
        destination: the new file; it may be `source`. It can be rebuilt again.
        targets: for what to build; empty: for what each engine is built. Of several, those that this machine cannot
            build are left out with a warning.
    Returns:
        How many engines there are.
    Raises:
        FileNotFoundError: no such file, or a target's builder or library is missing.
        ValueError: an unknown target, a file of another kind, no engine or no packed network in it.
        RuntimeError: damage; a target refuses the network (the message names the layer).
    """
    for target in targets:
        if target not in TARGETS:
            raise ValueError(f"rebuild: unknown target {target!r}; known are {', '.join(TARGETS)}")
    path = os.fspath(source)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"rebuild: there is no file {path!r}")
    extra: dict[str, Any] = {}
    if zipfile.is_zipfile(path):
        kind = _archive_kind(path)
        if kind == "aot_inductor":
            raise ValueError(
                f"rebuild: {path!r} is a package of AOTInductor, which holds machine code beside its engines; rebuild "
                "the TorchScript file or the exported program of the same model, and save that as a package"
            )
        extra = _extra_files(path) if kind == "torchscript" else {}
    program = load(path, extra_files=extra)
    old = engines_of(program)
    if not old:
        raise ValueError(f"rebuild: {path!r} holds no engine")
    new = [_rebuilt(engine, targets) for engine in old]
    if isinstance(program, ExportedProgram):
        replacements = {id(before): after for before, after in zip(old, new, strict=True)}
        for name, value in program.constants.items():
            if id(value) in replacements:
                program.constants[name] = replacements[id(value)]
        save(program, destination)
    else:
        load_binding().replace_script_engines(program._c, old, new)
        save(program, destination, output_format="torchscript", extra_files=extra)
    return len(new)
