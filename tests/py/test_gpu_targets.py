# SPDX-License-Identifier: Apache-2.0
"""Which of TensorRT's targets `make gpu-test` takes (tools/gpu/targets.py), for GPUs that are not here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

import torch_tensorrt

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "gpu" / "targets.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_targets_under_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


targets = load()


@pytest.mark.parametrize(
    ("capability", "taken"),
    [
        ((7, 5), False),
        ((8, 0), True),
        ((8, 6), True),
        ((8, 7), False),
        ((8, 9), True),
        ((9, 0), False),
        ((10, 0), False),
        ((11, 0), False),
        ((12, 0), True),
        ((12, 1), True),
        ((13, 0), True),
    ],
)
def test_what_rtx_takes(capability: tuple[int, int], taken: bool) -> None:
    assert targets.rtx_takes(capability) == taken


def fits(target: str, capability: tuple[int, int] | None, built: bool = True, problem: str | None = None) -> str | None:
    tried = []

    def trial(name: str) -> str | None:
        tried.append(name)
        return problem

    found = targets.fit(target, built, capability, trial)
    assert found.target == target
    assert tried == ([target] if found.reason == problem else []), "tried although it cannot fit, or the other way"
    return None if found.reason is None else str(found.reason)


def test_choices() -> None:
    assert fits("tensorrt", (9, 0)) is None
    assert fits("tensorrt_rtx", (12, 0)) is None
    assert "is 9.0" in str(fits("tensorrt_rtx", (9, 0)))
    assert fits("tensorrt", (9, 0), problem="no library") == "no library"
    for target in targets.TARGETS:
        assert fits(target, None) == "no GPU that this PyTorch can use"
        assert "no modules" in str(fits(target, (8, 6), built=False))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(Path(torch_tensorrt.__file__).parent.parent), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (0, "")
    for target in targets.TARGETS:
        assert f"gpu-test: target {target}: no GPU that this PyTorch can use\n" in done.stderr
    trial = run("--try", "tensorrt")
    assert trial.returncode == 1
    assert "RuntimeError" in trial.stdout or "AssertionError" in trial.stdout
    assert "exit status 1" in str(targets.try_in_child("tensorrt"))


def test_usage() -> None:
    done = run("--try", "openvino")
    assert done.returncode == 2
    assert "--try {tensorrt,tensorrt_rtx}" in done.stderr
