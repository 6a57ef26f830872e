# SPDX-License-Identifier: Apache-2.0
"""Finds and opens the C++ libraries: the runtime (torch class and ops), the compiler and the binding `_C`.

They lie in ``torch_tensorrt/lib`` of an installed package, in the folder that ``TORCHTRT_LIBRARY_DIR`` names, or in
``build/lib`` of the checkout. Opening them starts no device.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import torch

_RUNTIME = "libtorchtrt_runtime.so"
_PLUGINS = "libtorchtrt_plugins.so"


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


# Variable that the backend reads, wheel's package, library, newest first.
_VENDOR_LIBRARIES = (
    ("TORCHTRT_TENSORRT_RTX_LIBRARY", "tensorrt_rtx_libs", "libtensorrt_rtx.so*"),
    ("TORCHTRT_TENSORRT_LIBRARY", "tensorrt_libs", "libnvinfer.so.1[01]"),
)


def _hint_vendor_libraries() -> None:
    """Tells the TensorRT backends where the wheels keep the libraries; C++ cannot look into site-packages."""
    root = os.environ.get("TensorRT_ROOT")  # noqa: SIM112  CMake's spelling, which TensorRT's users know
    for variable, package, pattern in _VENDOR_LIBRARIES:
        if variable in os.environ or (root and any(Path(root, "lib").glob(pattern))):
            continue  # the user chose
        spec = importlib.util.find_spec(package)
        folders = (spec.submodule_search_locations or []) if spec else []
        found = sorted((library for folder in folders for library in Path(folder).glob(pattern)), reverse=True)
        if found:
            os.environ[variable] = str(found[0])


def _share_openvino(ours: Path) -> None:
    """Opens the OpenVINO of the package `openvino`, where that is installed in the version that our backend links with.

    A process has one library of a name. Were it ours (`ours`: its folder), which has what engines need and no more,
    `import openvino` would find no frontend and no AUTO device. TBB stays ours: beside the package's lies a library
    that sets affinities, which costs microseconds a run.
    """
    spec = importlib.util.find_spec("openvino")
    for library in ours.glob("libopenvino.so.*"):
        for package in (spec.submodule_search_locations or []) if spec else []:
            theirs = Path(package, "libs", library.name)
            if theirs.is_file():
                for needed in (*ours.glob("libtbb.so.*"), theirs):
                    ctypes.CDLL(str(needed))


def load_binding() -> ModuleType:
    """Opens the libraries and returns the binding module ``torch_tensorrt._C``."""
    name = "torch_tensorrt._C"
    if name in sys.modules:
        return sys.modules[name]
    folder = library_directory()
    _hint_vendor_libraries()
    _share_openvino(folder / "openvino")
    torch.ops.load_library(str(folder / _RUNTIME))  # type: ignore[no-untyped-call]
    if (folder / _PLUGINS).is_file():
        ctypes.CDLL(str(folder / _PLUGINS))
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
