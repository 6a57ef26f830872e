# SPDX-License-Identifier: Apache-2.0
"""Saved models run by processes without Python and without torch_tensorrt, with the runtime brought in in every way."""

from __future__ import annotations

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
    "missing",
    ["libtorchtrt_openvino_executor.so", "openvino/libopenvino.so.*", "openvino/libopenvino_intel_cpu_plugin.so"],
)
def test_missing_vendor_library_is_a_clear_error(deployment: Deployment, moved_tree: Path, missing: str) -> None:
    for path in list((moved_tree / "lib").glob(missing)):
        path.unlink()
    done = run([deployment.programs / "jit_torch", deployment.script, runtime_of(moved_tree)])
    assert done.returncode == 1  # an exception, not a crash
    assert "openvino" in done.stderr.lower()
