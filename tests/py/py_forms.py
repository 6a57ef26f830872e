# SPDX-License-Identifier: Apache-2.0
"""The forms in which a compiled module can be had: itself, and what the file of each format gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import torch_tensorrt

SUFFIX = {"exported_program": "ep.pt2", "torchscript": "ts", "aot_inductor": "pt2"}


def in_form(module: Any, form: str, folder: Path) -> Any:
    """The module itself (`form` is "module"), or it saved in the format `form`, and loaded."""
    if form == "module":
        return module
    path = folder / f"model.{SUFFIX[form]}"
    torch_tensorrt.save(module, path, output_format=form)
    return callable_of(torch_tensorrt.load(path))


def callable_of(loaded: Any) -> Any:
    """What `torch_tensorrt.load` gives, to be called: an exported program's module."""
    return loaded.module() if isinstance(loaded, torch.export.ExportedProgram) else loaded
