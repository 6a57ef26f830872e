# SPDX-License-Identifier: Apache-2.0
"""TensorRT engines with shape inputs: sizes that no tensor carries, read on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import cpp_extension

from torch_tensorrt import runtime
from torch_tensorrt._engine import parse_metadata
from torch_tensorrt._library import library_directory
from torch_tensorrt.runtime._module import EngineModule

from .compiled import assert_same

ROOT = Path(__file__).resolve().parents[2]
GRAPH = """
graph "shape input"
symbol n = [1, 4, 8]
symbol m = [1, 3, 9]
input %x: float32[n, 1, 3]
input %count: int64[] = m
%expand: float32[n, m, 3] = aten.expand.default(%x, [-1, <m>, -1])
%scaled: float32[n, m, 3] = aten.mul.Tensor(%expand, 2.0)
%relu: float32[n, m, 3] = aten.relu.default(%scaled)
output %relu
"""


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Any:
    libraries = library_directory()
    return cpp_extension.load(
        "torchtrt_shape_inputs",
        [str(Path(__file__).parent / "shape_input.cpp")],
        extra_include_paths=[str(ROOT / "include"), str(ROOT / "src")],
        extra_cflags=["-std=c++20", "-w"],
        extra_ldflags=[f"-L{libraries}", "-ltorchtrt", "-ltorchtrt_runtime", f"-Wl,-rpath,{libraries}"],
        build_directory=str(tmp_path_factory.mktemp("extension")),
    )


def make_engine(extension: Any, target: str, device: str = "cuda") -> EngineModule:
    metadata, payload = extension.compile_text(GRAPH, target, device)
    engine = EngineModule(
        "shape input", metadata, torch.frombuffer(bytearray(payload), dtype=torch.uint8).clone(), single_output=True
    )
    assert [row.get("shape_symbol") for row in parse_metadata(metadata)["inputs"]] == [None, "m"]
    return engine


@pytest.fixture
def engine(extension: Any, target: str) -> EngineModule:
    return make_engine(extension, target)


def check(engine: EngineModule, rows: int, count: int) -> None:
    x = torch.randn(rows, 1, 3, device="cuda")
    assert_same(engine(x, torch.tensor(count)), torch.relu(x.expand(-1, count, -1) * 2))


SIZES = [(4, 3), (1, 1), (8, 9), (4, 9), (4, 3), (8, 9)]


def test_values_are_read_at_each_call(engine: EngineModule) -> None:
    for rows, count in SIZES:
        check(engine, rows, count)
    with pytest.raises(ValueError, match="10 is outside the range"):
        check(engine, 4, 10)
    check(engine, 4, 2)


def test_graphs_belong_to_a_value(engine: EngineModule) -> None:
    """A recording for one value is not replayed for another."""
    with runtime.enable_cudagraphs(engine):
        for rows, count in SIZES * 3:
            check(engine, rows, count)


def test_the_value_is_on_the_host(engine: EngineModule) -> None:
    with pytest.raises(ValueError, match="cpu"):
        engine(torch.randn(4, 1, 3, device="cuda"), torch.tensor(3, device="cuda"))
    check(engine, 4, 3)
