# SPDX-License-Identifier: Apache-2.0
"""Our engines and the package `openvino` in one process, whichever comes first."""

from __future__ import annotations

import subprocess
import sys

import pytest

OURS = """
import torch, torch_tensorrt
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval()
x = torch.randn(2, 4)
compiled = torch_tensorrt.compile(model, ir="dynamo", arg_inputs=[x], min_block_size=1)
torch.testing.assert_close(compiled(x), model(x))
"""
THEIRS = """
import numpy, openvino
from openvino import opset14
data = opset14.parameter([2, 4], numpy.float32)
twice = openvino.compile_model(openvino.Model([opset14.add(data, data)], [data]))  # on AUTO
assert (twice(numpy.ones((2, 4), numpy.float32))[0] == 2).all()
"""
CONVERTED = """
float32 = {"INFERENCE_PRECISION_HINT": "f32"}  # not what the processor prefers
direct = openvino.compile_model(openvino.convert_model(model, example_input=x), "CPU", float32)
torch.testing.assert_close(torch.from_numpy(direct(x.numpy())[0]), model(x))
torch.testing.assert_close(compiled(x), model(x))
"""


@pytest.mark.parametrize("parts", [(OURS, THEIRS, CONVERTED), (THEIRS, OURS, CONVERTED)], ids=["ours", "theirs"])
def test_both_work(parts: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", "".join(parts)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
