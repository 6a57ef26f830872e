# SPDX-License-Identifier: Apache-2.0
"""C++ with CUDA: whole programs in one recording, and plugins on a GPU's streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils import cpp_extension

from torch_tensorrt._library import library_directory

from .conftest import BIAS, make_engine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Any:
    libraries = library_directory()
    return cpp_extension.load(
        "torchtrt_gpu_tests",
        [str(Path(__file__).parent / "extension.cpp")],
        extra_include_paths=[str(ROOT / "include")],
        extra_cflags=["-std=c++20", "-w"],
        extra_ldflags=[f"-L{libraries}", "-ltorchtrt_runtime", f"-Wl,-rpath,{libraries}"],
        build_directory=str(tmp_path_factory.mktemp("extension")),
        with_cuda=True,
    )


def test_whole_graph(extension: Any) -> None:
    engine = make_engine("whole")
    calls = []

    def program(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        calls.append(inputs[0].shape)
        return [torch.relu(engine(inputs[0] * 2)), inputs[0] + 1]

    whole = extension.WholeGraph(program)
    kept = []
    for rows in (2, 5, 2, 5, 2):
        x = torch.randn(rows, 3, device="cuda")
        kept.append((x, whole([x])))
    recorded = len(calls)
    for rows in (2, 5):
        x = torch.randn(rows, 3, device="cuda")
        kept.append((x, whole([x])))
    assert len(calls) == recorded, "known shapes replay"
    for x, (first, second) in kept:
        torch.testing.assert_close(first, torch.relu(x * 2 + BIAS))
        torch.testing.assert_close(second, x + 1)


def test_whole_graph_on_streams(extension: Any) -> None:
    engine = make_engine("streams")
    whole = extension.WholeGraph(lambda inputs: [engine(torch.tanh(inputs[0]))])
    streams = [torch.cuda.Stream() for _ in range(3)]
    kept = []
    for index in range(30):
        with torch.cuda.stream(streams[index % 3]):
            x = torch.randn(8, 3, device="cuda")
            kept.append((x, whole([x])[0]))
    torch.cuda.synchronize()
    for x, y in kept:
        torch.testing.assert_close(y, torch.tanh(x) + BIAS)


def test_whole_graph_that_cannot_be_recorded(extension: Any) -> None:
    def program(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        return [inputs[0] * inputs[0].sum().item()]  # waits for the device

    whole = extension.WholeGraph(program)
    for _ in range(3):
        x = torch.rand(2, 3, device="cuda")
        torch.testing.assert_close(whole([x])[0], x * x.sum())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # the failure leaves nothing behind: the next recording is one
        y = x + torch.rand_like(x)
    graph.replay()
    assert ((y - x >= -1e-5) & (y - x < 1.00001)).all()


def test_plugin(extension: Any) -> None:
    attributes = json.dumps(
        {
            "operator": "aten::scatter_reduce.two",
            "arguments": [{"tensor": 0}, 1, {"tensor": 1}, {"tensor": 2}, "amax"],
            "keywords": {"include_self": False},
            "inputs": ["float16", "int64", "float16"],
            "results": ["float16"],
        }
    )
    for _ in range(5):
        x = torch.randn(64, 128, device="cuda").half()
        index = torch.randint(0, 128, (64, 80), device="cuda")
        source = torch.randn(64, 80, device="cuda").half()
        result = torch.empty_like(x)
        extension.run_plugin(attributes, [x, index, source], result)
        expected = torch.scatter_reduce(x, 1, index, source, "amax", include_self=False)
        torch.testing.assert_close(result, expected, rtol=0, atol=0)
