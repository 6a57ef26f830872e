# SPDX-License-Identifier: Apache-2.0
"""A small compiled model in two containers, and the C++ programs that run it, built against the install tree."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
BATCHES = (2, 5)


def install_tree() -> Path:
    """The tree to test: TORCHTRT_INSTALL_DIR, or install/ of the checkout (`make install`)."""
    tree = Path(os.environ.get("TORCHTRT_INSTALL_DIR", ROOT / "install"))
    if not (tree / "lib" / "libtorchtrt_runtime.so").is_file():
        pytest.fail(f"{tree} holds no libtorchtrt_runtime.so: run `make install`, or set TORCHTRT_INSTALL_DIR")
    return tree


def build_programs(tree: Path, build: Path, *targets: str) -> None:
    """Builds programs/ with find_package(torchtrt) against an install tree."""
    source = Path(__file__).parent / "programs"
    configure = [
        f"-Dtorchtrt_DIR={tree}/lib/cmake/torchtrt",
        f"-DPython3_EXECUTABLE={sys.executable}",
        "-DCMAKE_BUILD_TYPE=Release",
    ]
    for command in (
        ["cmake", "-G", "Ninja", "-S", str(source), "-B", str(build), *configure],
        ["cmake", "--build", str(build), "-j2", "--target", *(targets or ["all"])],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


class Net(torch.nn.Module):
    """An engine needs min_block_size operators; this has just enough."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(10, 16), torch.nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.second(torch.relu(self.first(x)))) * 2 - 1


@dataclass
class Deployment:
    """Files of one compiled model, and what eager PyTorch answers."""

    tree: Path
    programs: Path
    script: Path  # TorchScript
    package: Path  # AOTInductor
    expected: dict[int, torch.Tensor]

    def model(self, container: str) -> Path:
        return {"jit": self.script, "aoti": self.package}[container]


def example_input(batch: int) -> torch.Tensor:
    """The input that programs/program.h makes."""
    return (torch.arange(batch * 10, dtype=torch.float32).reshape(batch, 10) / 10).sin()


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    import torch_tensorrt

    tree = install_tree()
    out = tmp_path_factory.mktemp("deploy")
    torch.manual_seed(0)
    net = Net().eval()
    dynamic = torch_tensorrt.Input(min_shape=(1, 10), opt_shape=(4, 10), max_shape=(64, 10), dtype=torch.float32)
    compiled = torch_tensorrt.compile(net, ir="dynamo", arg_inputs=[dynamic])
    assert torch_tensorrt.runtime.engine_modules(compiled), "the model must hold an engine, or these tests test nothing"
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(compiled, (example_input(3),)), str(out / "model.ts"))
        expected = {batch: net(example_input(batch)) for batch in BATCHES}
    torch_tensorrt.save(compiled, str(out / "model.pt2"), output_format="aot_inductor", arg_inputs=[example_input(3)])
    # In build/, so that the next run compiles nothing.
    programs = ROOT / "build" / "deploy-tests"
    build_programs(tree, programs)
    return Deployment(tree, programs, out / "model.ts", out / "model.pt2", expected)
