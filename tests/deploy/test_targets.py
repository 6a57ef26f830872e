# SPDX-License-Identifier: Apache-2.0
"""One file for several machines: run by programs without Python, as it is and rebuilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import torch_tensorrt
from torch_tensorrt.runtime import set_rebuild_engines

from .conftest import Deployment, Net, example_input
from .test_programs import check_output, run

pytestmark = pytest.mark.skipif(
    not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built"
)


def save(path: Path, *targets: str, rebuildable: bool = False) -> Path:
    torch.manual_seed(0)  # the fixture's model
    net = Net().eval()
    dynamic = torch_tensorrt.Input(min_shape=(1, 10), opt_shape=(4, 10), max_shape=(64, 10))
    compiled = torch_tensorrt.compile(net, arg_inputs=[dynamic], targets=list(targets), rebuildable=rebuildable)
    assert torch_tensorrt.runtime.engine_modules(compiled)
    with set_rebuild_engines(True), torch.no_grad():  # tracing runs the model, here
        torch.jit.save(torch.jit.trace(compiled, (example_input(3),)), str(path))
    return path


@pytest.fixture(scope="module")
def for_gpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No engine for the CPU, but the network."""
    return save(tmp_path_factory.mktemp("targets") / "gpu.ts", "tensorrt_rtx", rebuildable=True)


def test_one_file_runs_here_and_carries_an_engine_for_gpus(deployment: Deployment, tmp_path: Path) -> None:
    path = save(tmp_path / "both.ts", "openvino", "tensorrt_rtx")
    metadata = path.read_bytes()
    assert b'"backend":"tensorrt_rtx"' in metadata
    assert b'"name":"plan"' in metadata
    done = run([deployment.programs / "jit_runtime", path])
    mapped = check_output(done, deployment.expected)
    assert not [name for name in mapped if "tensorrt_rtx" in name or name.endswith(("libtorchtrt.so", "_builder.so"))]
    done = run([deployment.programs / "rebuild_program", path])
    mapped = check_output(done, deployment.expected)
    assert "target openvino" in done.stdout.splitlines()
    assert not [name for name in mapped if name.endswith(("libtorchtrt.so", "_builder.so"))]  # what fits is not rebuilt


def test_engines_are_rebuilt_without_python(deployment: Deployment, for_gpus: Path) -> None:
    done = run([deployment.programs / "rebuild_program", for_gpus])
    mapped = check_output(done, deployment.expected)
    assert "target openvino" in done.stdout.splitlines()
    names = {Path(name).name for name in mapped}
    assert {"libtorchtrt.so", "libtorchtrt_openvino_builder.so", "libtorchtrt_openvino_executor.so"} <= names


def test_nothing_is_rebuilt_unasked(deployment: Deployment, for_gpus: Path) -> None:
    done = run([deployment.programs / "jit_runtime", for_gpus])
    assert done.returncode == 1
    assert "python -m torch_tensorrt rebuild <file> <new file> --targets tensorrt_rtx,openvino" in done.stderr
    assert "torchtrt::runtime::set_rebuild_engines(true)" in done.stderr


@pytest.mark.parametrize("missing", ["libtorchtrt.so", "libtorchtrt_openvino_builder.so"])
def test_without_the_compiler_the_error_says_so(
    deployment: Deployment, for_gpus: Path, missing: str, tmp_path: Path
) -> None:
    tree = Path(shutil.copytree(deployment.tree, tmp_path / "torchtrt"))
    (tree / "lib" / missing).unlink()
    done = run([deployment.programs / "rebuild_program", for_gpus], LD_LIBRARY_PATH=str(tree / "lib"))
    assert done.returncode == 1
    assert f"the module {missing} is not in {tree}/lib" in done.stderr
