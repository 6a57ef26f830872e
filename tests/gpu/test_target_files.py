# SPDX-License-Identifier: Apache-2.0
"""TensorRT engines in files of each format, loaded again in Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import torch_tensorrt
from torch_tensorrt._library import library_directory

from .compiled import Compiled, Mixed, assert_same, batch, compile_for


@pytest.fixture(scope="module")
def mixed(target: str) -> Compiled:
    return compile_for(target, Mixed())


@pytest.mark.parametrize("location", ["cuda", "cpu", None], ids=str)
def test_torchscript(mixed: Compiled, tmp_path: Path, location: str | None) -> None:
    path = str(tmp_path / "model.ts")
    torch_tensorrt.save(mixed.module, path, output_format="torchscript", arg_inputs=[batch(4)])
    loaded = torch.jit.load(path, map_location=location).cuda()
    for count in (1, 8, 32):
        mixed.check(batch(count), module=loaded)


RUN_PACKAGE = """
import sys
import torch
torch.ops.load_library(sys.argv[1])
model = torch._inductor.aoti_load_package(sys.argv[2])
torch.save([model(x).cpu() for x in torch.load(sys.argv[3])], sys.argv[4])
"""


def test_aot_inductor(mixed: Compiled, tmp_path: Path) -> None:
    """In a process of its own: a package is compiled code, whose crash should not be the other tests' end."""
    package, inputs, outputs = (str(tmp_path / name) for name in ("model.pt2", "inputs.pt", "outputs.pt"))
    torch_tensorrt.save(mixed.module, package, output_format="aot_inductor", arg_inputs=[batch(4)])
    batches = [batch(count) for count in (1, 8, 32)]
    torch.save(batches, inputs)
    runtime = str(library_directory() / "libtorchtrt_runtime.so")
    command = [sys.executable, "-c", RUN_PACKAGE, runtime, package, inputs, outputs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr}"
    with torch.no_grad():
        for result, x in zip(torch.load(outputs), batches, strict=True):
            assert_same(result, mixed.eager(x).cpu())


def test_exported_programs(mixed: Compiled, tmp_path: Path) -> None:
    path = str(tmp_path / "model.ep")
    torch_tensorrt.save(mixed.module, path, output_format="exported_program", arg_inputs=[batch(4)])
    loaded = torch_tensorrt.load(path).module()
    with torch.no_grad():
        for count in (1, 8, 32):
            x = batch(count)
            assert_same(loaded(x), mixed.eager(x))
