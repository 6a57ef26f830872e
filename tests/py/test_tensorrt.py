# SPDX-License-Identifier: Apache-2.0
"""Target "tensorrt" as far as it goes without a GPU: which module takes which library, and every way to fail.

The libraries are stand-ins that answer with a version and hand out what TensorRT hands out where there is no GPU: small
numbers instead of objects. Whoever calls one crashes.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import torch_tensorrt
from torch_tensorrt._library import library_directory

pytestmark = pytest.mark.skipif(
    not torch_tensorrt.ENABLED_FEATURES.tensorrt, reason="the TensorRT backend is not built"
)

LIBRARY = "TORCHTRT_TENSORRT_LIBRARY"
HAS_DRIVER = ctypes.util.find_library("cuda") is not None
SOURCE = """
int getInferLibVersion(void) { return VERSION; }
void* createInferBuilder_INTERNAL(void* logger, int version) { return (void*)0x228; }
void* createInferRuntime_INTERNAL(void* logger, int version) { return (void*)0x238; }
"""


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("tensorrt")
    libraries = {}
    for version in (90300, 100300, 100600, 100800, 101501, 110000, 110201):
        libraries[version] = folder / f"libnvinfer_{version}.so"
        command = [compiler, "-shared", "-fPIC", f"-DVERSION={version}", "-x", "c", "-", "-o", str(libraries[version])]
        subprocess.run(command, input=SOURCE, check=True, text=True)
    return libraries


def run(program: str, library: str) -> str:
    """A process of its own, since a library is opened once."""
    paths = os.pathsep.join([str(Path(torch_tensorrt.__file__).parent.parent), *filter(None, sys.path)])
    environment = {**os.environ, LIBRARY: library, "PYTHONPATH": paths}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


BUILD = """
import torch, torch_tensorrt
model, x = torch.nn.Linear(4, 4).eval(), torch.rand(2, 4)
try:
    torch_tensorrt.convert_method_to_trt_engine(
        model, ir="dynamo", arg_inputs=[x], targets=["tensorrt"], min_block_size=1)
except Exception as exception:
    print(type(exception).__name__, exception)
torch.testing.assert_close(torch_tensorrt.compile(model, arg_inputs=[x], min_block_size=1)(x), model(x))
print("alive")
"""
ASK = """
import torch_tensorrt
try:
    torch_tensorrt._C.builder_version("tensorrt")
except Exception as exception:
    print(type(exception).__name__, exception)
"""


@pytest.mark.parametrize(
    ("version", "error", "texts"),
    [
        (0, "FileNotFoundError", ["no TensorRT library", "no such file"]),
        (
            90300,
            "VersionMismatchError",
            ["is TensorRT 9.3.0, another major version", "11.2 or a newer", "10.9 or a newer"],
        ),
        (
            100300,
            "VersionMismatchError",
            ["is TensorRT 10.3.0, which this module cannot call", "needs 10.6, 10.7, 10.9 or a newer"],
        ),
        (100800, "VersionMismatchError", ["is TensorRT 10.8.0, which this module cannot call"]),
        (
            110000,
            "VersionMismatchError",
            ["is TensorRT 11.0.0, which this module cannot call", "needs 11.2 or a newer 11.x"],
        ),
    ],
)
def test_libraries_that_cannot_be_used(stand_in: dict[int, Path], version: int, error: str, texts: list[str]) -> None:
    output = run(ASK, str(stand_in.get(version, "/nonexistent/libnvinfer.so.11")))
    assert output.startswith(f'{error} building for target "tensorrt" needs TensorRT 10 or 11 from NVIDIA')
    for text in [*texts, LIBRARY]:
        assert text in output


def test_a_missing_library_ends_the_compilation_and_nothing_else() -> None:
    output = run(BUILD, "/nonexistent/libnvinfer.so.11")
    assert output.startswith('FileNotFoundError building for target "tensorrt" needs TensorRT 10 or 11 from NVIDIA')
    assert "alive" in output


@pytest.mark.skipif(HAS_DRIVER, reason="there is an NVIDIA driver")
@pytest.mark.parametrize("version", [101501, 110201])
def test_without_a_driver_nothing_of_the_library_is_touched(stand_in: dict[int, Path], version: int) -> None:
    output = run(BUILD, str(stand_in[version]))
    assert output.startswith("FileNotFoundError TensorRT needs an NVIDIA GPU, and there is no NVIDIA driver")
    assert "alive" in output


@pytest.mark.parametrize(("version", "text"), [(100600, "10.6.0"), (101501, "10.15.1"), (110201, "11.2.1")])
def test_the_module_follows_the_library(stand_in: dict[int, Path], version: int, text: str) -> None:
    program = "import torch_tensorrt as t; print(t._C.builder_version('tensorrt'))"
    assert run(program, str(stand_in[version])) == f"{text}\n"


def test_cuda_models_go_to_the_library_that_is_there(stand_in: dict[int, Path]) -> None:
    program = """
import torch
from torch_tensorrt._settings import CompilationSettings
print(*CompilationSettings().resolve_targets(torch.device("cuda")))
"""
    assert run(program, str(stand_in[110201])) == "tensorrt\n"
    assert run(program, "/nonexistent/libnvinfer.so.11") == "tensorrt_rtx\n"


def test_a_dry_run_needs_no_library() -> None:
    program = """
import torch, torch_tensorrt
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval()
torch_tensorrt.compile(model, arg_inputs=[torch.rand(2, 4)], targets=["tensorrt"], min_block_size=1, dryrun=True)
"""
    run(program, "/nonexistent/libnvinfer.so.11")


def test_both_majors_have_their_modules() -> None:
    names = {path.name for path in library_directory().glob("libtorchtrt_tensorrt1*")}
    for major in (10, 11):
        module = {f"libtorchtrt_tensorrt{major}_builder.so", f"libtorchtrt_tensorrt{major}_executor.so"}
        assert module <= names or not module & names, "a builder without its executor, or the other way round"
