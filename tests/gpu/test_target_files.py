# SPDX-License-Identifier: Apache-2.0
"""TensorRT engines in files of each format, loaded again in Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import torch_tensorrt

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


def test_aot_inductor(mixed: Compiled, tmp_path: Path) -> None:
    path = str(tmp_path / "model.pt2")
    torch_tensorrt.save(mixed.module, path, output_format="aot_inductor", arg_inputs=[batch(4)])
    loaded = torch._inductor.aoti_load_package(path)
    for count in (1, 8, 32):
        mixed.check(batch(count), module=loaded)


def test_exported_programs(mixed: Compiled, tmp_path: Path) -> None:
    path = str(tmp_path / "model.ep")
    torch_tensorrt.save(mixed.module, path, output_format="exported_program", arg_inputs=[batch(4)])
    loaded = torch_tensorrt.load(path).module()
    with torch.no_grad():
        for count in (1, 8, 32):
            x = batch(count)
            assert_same(loaded(x), mixed.eager(x))
