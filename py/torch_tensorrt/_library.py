# SPDX-License-Identifier: Apache-2.0
"""Finds and opens the C++ libraries: the runtime (torch class and ops), the compiler and the binding `_C`.

They lie in ``torch_tensorrt/lib`` of an installed package, in the folder that ``TORCHTRT_LIBRARY_DIR`` names, or in
``build/lib`` of the checkout. Opening them starts no device and no vendor library.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import torch

_RUNTIME = "libtorchtrt_runtime.so"


def _candidates() -> list[Path]:
    package = Path(__file__).resolve().parent
    explicit = os.environ.get("TORCHTRT_LIBRARY_DIR")
    if explicit:
        return [Path(explicit)]
    return [package / "lib", package.parent.parent / "build" / "lib"]


def library_directory() -> Path:
    """The folder of the C++ libraries; ImportError that lists the places searched if there is none."""
    for folder in _candidates():
        if (folder / _RUNTIME).is_file():
            return folder
    searched = ", ".join(str(folder) for folder in _candidates())
    raise ImportError(
        f"torch_tensorrt: {_RUNTIME} was not found in {searched}. Build the libraries (`make build`) or set "
        "TORCHTRT_LIBRARY_DIR to the folder that holds them."
    )


def _hint_vendor_libraries() -> None:
    """Tells the TensorRT-RTX backend where its wheel keeps the library; C++ cannot look into site-packages."""
    variable = "TORCHTRT_TENSORRT_RTX_LIBRARY"
    if variable in os.environ:
        return
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for library in sorted(Path(folder).glob("libtensorrt_rtx.so*")):
            os.environ[variable] = str(library)
            return


def load_binding() -> ModuleType:
    """Opens the libraries and returns the binding module ``torch_tensorrt._C``."""
    name = "torch_tensorrt._C"
    if name in sys.modules:
        return sys.modules[name]
    folder = library_directory()
    _hint_vendor_libraries()
    torch.ops.load_library(str(folder / _RUNTIME))  # type: ignore[no-untyped-call]
    found = sorted(path for suffix in importlib.machinery.EXTENSION_SUFFIXES for path in folder.glob(f"_C{suffix}"))
    if not found:
        raise ImportError(f"torch_tensorrt: the binding _C was not found in {folder}; build it with `make build`.")
    spec = importlib.util.spec_from_file_location(name, found[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module
