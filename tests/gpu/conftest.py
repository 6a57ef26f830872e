# SPDX-License-Identifier: Apache-2.0
"""What the tests on a GPU share: engines that run on any NVIDIA GPU, those of the test backend
(src/torch/testing/gpu_executor.cpp), and the targets whose engines run on this one."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import fake_backend
import pytest
import torch

import torch_tensorrt
from torch_tensorrt.runtime._module import EngineModule

BIAS = 1.5


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    if not torch.cuda.is_available():
        for item in items:
            if str(item.path).startswith(here):
                item.add_marker(pytest.mark.skip(reason="no GPU that this PyTorch can use"))


@pytest.fixture(scope="session", autouse=True)
def _backend_path() -> Iterator[None]:
    former = os.environ.get("TORCHTRT_BACKEND_PATH")
    os.environ["TORCHTRT_BACKEND_PATH"] = fake_backend.BACKEND_PATH
    yield
    if former is None:
        del os.environ["TORCHTRT_BACKEND_PATH"]
    else:
        os.environ["TORCHTRT_BACKEND_PATH"] = former


def _load_targets() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "tools" / "gpu" / "targets.py"
    spec = importlib.util.spec_from_file_location("gpu_targets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


_targets = _load_targets()


@pytest.fixture(scope="session", params=_targets.TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Each target whose engines build and run on this machine; the others' tests are skipped with the reason."""
    found = _targets.fit_here(request.param)
    if found.reason is not None:
        pytest.skip(f"{found.target}: {found.reason}")
    return str(found.target)


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False  # engines are held to float32, and cuDNN's convolutions are not by default
    yield
    torch_tensorrt.runtime.set_cudagraphs_mode(False)
    torch_tensorrt.runtime.set_multi_device_safe_mode(False)


def make_engine(name: str, operation: str = "add", delay_us: int = 0) -> EngineModule:
    """An engine that adds BIAS to a float32 tensor of rows x 3, with 1 to 32 rows."""
    properties = {"operation": operation, "delay_us": str(delay_us)}
    return fake_backend.make_engine(name, "gpu_test", "cuda", BIAS, properties)
