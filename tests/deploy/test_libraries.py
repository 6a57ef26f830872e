# SPDX-License-Identifier: Apache-2.0
"""What the installed libraries export and need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from .conftest import ROOT, install_tree

FORBIDDEN = ("python", "openvino", "tbb", "cuda", "nvinfer", "tensorrt_rtx", "libtorchtrt.so", "builder", "executor")


def linked_libraries(library: Path) -> set[str]:
    """Names of all libraries that the loader brings with this one."""
    output = subprocess.run(["ldd", str(library)], check=True, capture_output=True, text=True).stdout
    return {Path(line.split()[0]).name for line in output.splitlines() if line.strip()}


def test_exports_and_needs() -> None:
    script = ROOT / "scripts" / "check_exports.py"
    done = subprocess.run(
        [sys.executable, str(script), str(install_tree() / "lib")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_runtime_brings_nothing_but_libtorch() -> None:
    runtime = linked_libraries(install_tree() / "lib" / "libtorchtrt_runtime.so")
    # A CUDA build of libtorch brings CUDA libraries of its own; those are not the runtime's.
    torch_lib = Path(torch.__file__).parent / "lib"
    of_torch = linked_libraries(torch_lib / "libtorch_cpu.so") | {"libtorch.so", "libtorch_cpu.so", "libc10.so"}
    own = runtime - of_torch
    assert not [name for name in own if any(word in name.lower() for word in FORBIDDEN)], own


def test_opening_the_runtime_opens_no_backend() -> None:
    program = (
        "import sys, torch; torch.ops.load_library(sys.argv[1]); "
        "maps = open('/proc/self/maps').read(); "
        "sys.exit(any(word in maps for word in ('libopenvino', 'libtbb', '_executor.so', '_builder.so', 'nvinfer')))"
    )
    runtime = install_tree() / "lib" / "libtorchtrt_runtime.so"
    subprocess.run([sys.executable, "-I", "-c", program, str(runtime)], check=True)


def test_the_tree_names_no_place_of_the_build() -> None:
    for library in (install_tree() / "lib").glob("*.so"):
        output = subprocess.run(["readelf", "-d", str(library)], check=True, capture_output=True, text=True).stdout
        paths = [line for line in output.splitlines() if "RPATH" in line or "RUNPATH" in line]
        assert not [line for line in paths if str(ROOT) in line], f"{library.name}: {paths}"
