# SPDX-License-Identifier: Apache-2.0
"""Saved models run by processes without Python and without torch_tensorrt, with the runtime brought in in every way."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .conftest import BATCHES, Deployment, build_programs

UNKNOWN_CLASS = "__torch__.torch.classes.tensorrt.Engine"
CONTAINERS = ["jit", "aoti"]


def run(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command with nothing but these variables in its environment."""
    return subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def check_output(done: subprocess.CompletedProcess[str], expected: dict[int, torch.Tensor]) -> list[str]:
    """The program printed what eager PyTorch computes and had no Python; returns the files mapped into it."""
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    outputs = {int(line[1]): torch.tensor([float(item) for item in line[2:]]) for line in lines if line[0] == "output"}
    assert set(outputs) == set(BATCHES)
    for batch, output in outputs.items():
        torch.testing.assert_close(output, expected[batch].flatten())
    mapped = [line[1] for line in lines if line[0] == "mapped"]
    assert not [path for path in mapped if "libpython" in path or "libtorch_python" in path]
    return mapped


def runtime_of(tree: Path) -> Path:
    return tree / "lib" / "libtorchtrt_runtime.so"


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("library", ["runtime", "torchtrt"])
def test_linked_only(deployment: Deployment, container: str, library: str) -> None:
    done = run([deployment.programs / f"{container}_{library}", deployment.model(container)])
    mapped = check_output(done, deployment.expected)
    assert str(runtime_of(deployment.tree).resolve()) in mapped
    if library == "runtime":
        assert not [path for path in mapped if path.endswith(("libtorchtrt.so", "_builder.so"))]


@pytest.mark.parametrize("container", CONTAINERS)
def test_dlopened_only(deployment: Deployment, container: str) -> None:
    program = deployment.programs / f"{container}_torch"
    done = run([program, deployment.model(container), runtime_of(deployment.tree)])
    check_output(done, deployment.expected)


@pytest.mark.parametrize("container", CONTAINERS)
def test_preloaded_only(deployment: Deployment, container: str) -> None:
    program = deployment.programs / f"{container}_torch"
    done = run([program, deployment.model(container)], LD_PRELOAD=str(runtime_of(deployment.tree)))
    check_output(done, deployment.expected)


@pytest.mark.parametrize("container", CONTAINERS)
def test_without_the_runtime_the_error_is_pytorchs(deployment: Deployment, container: str) -> None:
    done = run([deployment.programs / f"{container}_torch", deployment.model(container)])
    assert done.returncode == 1
    assert UNKNOWN_CLASS in done.stderr


PYTHON_PROGRAM = """
import sys, torch
torch.ops.load_library(sys.argv[1]) if sys.argv[1] else None
model = torch.jit.load(sys.argv[2]) if sys.argv[2].endswith(".ts") else torch._inductor.aoti_load_package(sys.argv[2])
for batch in (2, 5):
    x = (torch.arange(batch * 10, dtype=torch.float32).reshape(batch, 10) / 10).sin()
    print("output", batch, *(f"{item:.9g}" for item in model(x).flatten().tolist()))
assert not [name for name in sys.modules if name.startswith("torch_tensorrt")]
"""


@pytest.mark.parametrize("container", CONTAINERS)
def test_python_with_load_library_only(deployment: Deployment, container: str) -> None:
    command = [sys.executable, "-I", "-c", PYTHON_PROGRAM, runtime_of(deployment.tree), deployment.model(container)]
    done = run(command, PATH="/usr/bin:/bin")
    check_output(done, deployment.expected)


@pytest.mark.parametrize("container", CONTAINERS)
def test_python_without_the_runtime_the_error_is_pytorchs(deployment: Deployment, container: str) -> None:
    done = run([sys.executable, "-I", "-c", PYTHON_PROGRAM, "", deployment.model(container)], PATH="/usr/bin:/bin")
    assert done.returncode != 0
    assert UNKNOWN_CLASS in done.stderr


REFUSALS = {
    "dtype": r'input "x": expected dtype float32, but got float64',
    "rank": r'input "x": expected 2 dimensions \[s\d+, 10\], but got 3: \[1, 3, 10\]',
    "size": r'input "x", dimension 1: expected 10, but got 11',
    "range": r'input "x", dimension 0: 65 is outside the range \[1, 64\]',
    "empty": r'input "x", dimension 0: 0 is outside the range \[1, 64\]',
    "device": r"input 0 is a tensor without data, on device meta",
    "layout": r"input 0 is a Sparse tensor; convert it with \.to_dense\(\)",
    "undefined": r"input 0 is not a tensor \(undefined\)|Expected a value of type .Tensor. .*None|NoneType",
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_bad_inputs_are_exceptions_and_the_program_goes_on(deployment: Deployment, container: str) -> None:
    done = run([deployment.programs / f"{container}_runtime", deployment.model(container)], BAD_INPUTS="1")
    check_output(done, deployment.expected)
    said = dict(line.split(" ", 2)[1:] for line in done.stdout.splitlines() if line.startswith("refused "))
    assert said.keys() == REFUSALS.keys()
    for name, message in REFUSALS.items():
        assert re.search(message, said[name]), f"{name}: {said[name]}"


def damaged_files(good: Path, folder: Path) -> dict[str, Path]:
    """A model file damaged in several ways."""
    whole = good.read_bytes()
    flipped = bytearray(whole)
    at = whole.index(b"<?xml")  # of the engine: OpenVINO's model
    flipped[at + 100] ^= 4
    contents = {
        "empty": b"",
        "foreign": b"\x7fELF" + bytes(1000),
        "head": whole[: len(whole) // 2],
        "tail": whole[len(whole) // 2 :],
        "flipped": bytes(flipped),
    }
    files = {name: folder / f"{name}{good.suffix}" for name in contents}
    for name, path in files.items():
        path.write_bytes(contents[name])
    return files | {"missing": folder / "missing.pt2", "folder": folder}


@pytest.mark.parametrize("container", CONTAINERS)
def test_damaged_files_are_exceptions(deployment: Deployment, container: str, tmp_path: Path) -> None:
    for name, path in damaged_files(deployment.model(container), tmp_path).items():
        done = run([deployment.programs / f"{container}_runtime", path])
        assert done.returncode == 1, (name, done.returncode, done.stderr)  # an exception, not a crash
        assert done.stderr.strip()
        assert name != "flipped" or "checksum" in done.stderr


@pytest.fixture
def moved_tree(deployment: Deployment, tmp_path: Path) -> Path:
    """A copy of the install tree at another place."""
    return Path(shutil.copytree(deployment.tree, tmp_path / "moved" / "torchtrt"))


def test_moved_tree_runs_and_uses_only_its_own_libraries(deployment: Deployment, moved_tree: Path) -> None:
    done = run([deployment.programs / "jit_torch", deployment.script, runtime_of(moved_tree)])
    mapped = check_output(done, deployment.expected)
    ours = [path for path in mapped if "torchtrt" in Path(path).name or "openvino" in path or "libtbb" in path]
    assert len(ours) >= 4
    assert [path for path in ours if not path.startswith(f"{moved_tree}/")] == []


def test_moved_tree_serves_find_package(deployment: Deployment, moved_tree: Path, tmp_path: Path) -> None:
    build_programs(moved_tree, tmp_path / "build", "jit_runtime")
    done = run([tmp_path / "build" / "jit_runtime", deployment.script])
    assert str(runtime_of(moved_tree)) in check_output(done, deployment.expected)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("libtorchtrt_openvino_executor.so", "the module libtorchtrt_openvino_executor.so is not in"),
        ("openvino/libopenvino.so.*", "libopenvino.so"),
        ("openvino/libopenvino_intel_cpu_plugin.so", "libopenvino_intel_cpu_plugin.so is missing in"),
        ("openvino/libopenvino_ir_frontend.so.*", "libopenvino_ir_frontend.so.* is missing in"),
        ("openvino/libtbb.so.*", "libtbb.so"),
    ],
)
def test_without_a_vendor_library_the_exact_form_runs(
    deployment: Deployment, moved_tree: Path, missing: str, message: str
) -> None:
    for path in list((moved_tree / "lib").glob(missing)):
        path.unlink()
    done = run([deployment.programs / "jit_torch", deployment.script, runtime_of(moved_tree)])
    check_output(done, deployment.expected)
    assert "runs its exact form" in done.stderr
    assert message in done.stderr
    assert "Compile the model again" not in done.stderr  # what is missing can be installed
