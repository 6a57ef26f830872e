# SPDX-License-Identifier: Apache-2.0
"""TensorRT-RTX engines, built on a machine without a GPU: the whole network lowers and builds; nothing runs."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import torch_tensorrt
from torch_tensorrt import Input

transformers = pytest.importorskip("transformers")
torchvision = pytest.importorskip("torchvision")
pytestmark = pytest.mark.skipif(
    not torch_tensorrt.ENABLED_FEATURES.tensorrt_rtx, reason="the TensorRT-RTX backend is not built"
)

LIBRARY = "TORCHTRT_TENSORRT_RTX_LIBRARY"
FLOATS = [torch.float32, torch.float16, torch.bfloat16]


def build(model: nn.Module, *inputs: Any, **settings: Any) -> bytes:
    return torch_tensorrt.convert_method_to_trt_engine(
        model.eval(),
        ir="dynamo",
        arg_inputs=list(inputs),
        **{"targets": ["tensorrt_rtx"], "min_block_size": 1, **settings},
    )


def read(package: bytes) -> tuple[dict[str, Any], bytes]:
    """Metadata and the one plan of a package (src/format/README.md)."""
    start, size, payload, payload_size = struct.unpack_from("<4Q", package, 24)
    assert payload + payload_size == len(package)
    metadata = json.loads(package[start : start + size])
    (target,) = metadata["targets"]
    (plan,) = target["sections"]
    assert plan["name"] == "plan"
    begin = payload + plan["offset"]
    return metadata, package[begin : begin + plan["size"]]


def check(package: bytes, dtype: torch.dtype, dynamic: bool, least_bytes: int = 0) -> dict[str, Any]:
    """The plan is whole and was built for this target; the metadata describes the engine."""
    metadata, plan = read(package)
    (target,) = metadata["targets"]
    assert target["backend"] == "tensorrt_rtx"
    assert target["producer"] == f"TensorRT-RTX {target['properties']['version']}"
    assert {output["dtype"] for output in metadata["outputs"]} == {str(dtype).removeprefix("torch.")}
    assert bool(metadata["symbols"]) == dynamic
    # Of NVIDIA's 64-byte header: the plan's length, which the library compares with what it is given, and its version.
    assert struct.unpack_from("<Q", plan, 16) == (len(plan),)
    assert list(plan[24:27]) == [int(part) for part in target["properties"]["version"].split(".")]
    assert len(plan) > least_bytes
    return metadata


def weight_bytes(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def bert() -> nn.Module:
    config = transformers.BertConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=4, intermediate_size=64, vocab_size=100
    )
    return transformers.BertModel(config)  # type: ignore[no-any-return]


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(
        n_layer=2, n_embd=32, n_head=4, vocab_size=100, use_cache=False, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)  # type: ignore[no-any-return]


def vit() -> nn.Module:
    return torchvision.models.VisionTransformer(  # type: ignore[no-any-return]
        image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64, num_classes=10
    )


def resnet() -> nn.Module:
    """ResNet-50's blocks, one a stage."""
    return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])  # type: ignore[no-any-return]


def tokens(dynamic: bool) -> Input:
    if not dynamic:
        return Input(shape=(2, 16), dtype=torch.int64)
    return Input(min_shape=(1, 8), opt_shape=(4, 16), max_shape=(8, 32), dtype=torch.int64)


def image(size: int, dtype: torch.dtype, dynamic: bool) -> Input:
    if not dynamic:
        return Input(shape=(2, 3, size, size), dtype=dtype)
    least, usual, most = ((batch, 3, size, size) for batch in (1, 2, 4))
    return Input(min_shape=least, opt_shape=usual, max_shape=most, dtype=dtype)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("model", "count"), [(bert, 2), (gpt2, 1)], ids=["bert", "gpt2"])
def test_language_models(model: Callable[[], nn.Module], count: int, dtype: torch.dtype, dynamic: bool) -> None:
    module = model().to(dtype)
    metadata = check(build(module, *[tokens(dynamic)] * count), dtype, dynamic, weight_bytes(module))
    if dynamic:
        ranges = {(symbol["min"], symbol["opt"], symbol["max"]) for symbol in metadata["symbols"].values()}
        assert ranges == {(1, 4, 8), (8, 16, 32)}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    ("model", "size"), [(vit, 32), (torchvision.models.mobilenet_v3_small, 64), (resnet, 64)], ids=["vit", "mn3", "rn"]
)
def test_vision_models(model: Callable[[], nn.Module], size: int, dtype: torch.dtype, dynamic: bool) -> None:
    module = model().to(dtype)
    metadata = check(build(module, image(size, dtype, dynamic)), dtype, dynamic, weight_bytes(module) // 2)
    if dynamic:
        assert [symbol["max"] for symbol in metadata["symbols"].values()] == [4]


def test_resnet50_at_full_size() -> None:
    module = torchvision.models.resnet50().half()
    check(build(module, image(224, torch.float16, dynamic=True)), torch.float16, True, weight_bytes(module))


def test_compute_capabilities() -> None:
    package = build(nn.Linear(4, 4), torch.rand(2, 4), compute_capabilities=[86, 89])
    metadata, plan = read(package)
    assert metadata["targets"][0]["properties"]["compute_capabilities"] == "86,89"
    assert plan[32] == 4 | 8  # NVIDIA's header has a bit for each (seen, not documented)
    with pytest.raises(Exception, match="does not build for compute capability 70"):
        build(nn.Linear(4, 4), torch.rand(2, 4), compute_capabilities=[70])


class Sorts(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.topk(torch.relu(x), 2).values


class Sums(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).double().sum(dim=1)


@pytest.mark.parametrize(
    ("model", "reason"), [(Sorts(), r"topk.*BACKEND"), (Sums(), r"DATA_?TYPE")], ids=["order", "float64"]
)
def test_refusals_have_codes(model: nn.Module, reason: str) -> None:
    with pytest.raises(AssertionError, match=rf"(?s){reason}"):
        build(model, torch.rand(3, 5))


@pytest.mark.parametrize(
    ("library", "error", "text"),
    [
        ("/nonexistent/libtensorrt_rtx.so.1", "FileNotFoundError", "no such file"),
        (__file__, "FileNotFoundError", "Tried:"),
        ("libm.so.6", "VersionMismatchError", "is no TensorRT-RTX library"),
    ],
    ids=["missing", "no library", "another library"],
)
def test_without_the_vendors_library(library: str, error: str, text: str) -> None:
    """A process of its own, since a library is opened once. It must live on: OpenVINO still compiles in it."""
    program = """
import torch, torch_tensorrt
model, x = torch.nn.Linear(4, 4).eval(), torch.rand(2, 4)
try:
    torch_tensorrt.convert_method_to_trt_engine(
        model, ir="dynamo", arg_inputs=[x], targets=["tensorrt_rtx"], min_block_size=1)
except Exception as exception:
    print(type(exception).__name__, exception)
torch.testing.assert_close(torch_tensorrt.compile(model, arg_inputs=[x], min_block_size=1)(x), model(x))
print("alive")
"""
    paths = os.pathsep.join([str(Path(torch_tensorrt.__file__).parent.parent), *filter(None, sys.path)])
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, LIBRARY: library, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{error} ")
    for part in (text, "install the Python package tensorrt-rtx-cu13-libs", LIBRARY, "alive"):
        assert part in result.stdout
