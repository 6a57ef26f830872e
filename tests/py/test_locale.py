# SPDX-License-Identifier: Apache-2.0
"""Engines built and loaded by a process whose numbers have decimal commas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import locale, sys
import torch
import torch_tensorrt

F = torch.nn.functional
MODELS = {
    "elu": lambda x: F.elu(x, 0.75),
    "layer_norm": lambda x: F.layer_norm(x, (8,), eps=0.5),
    "group_norm": lambda x: F.group_norm(x, 2, eps=0.5),
    "clamp": lambda x: x.clamp(-0.25, 0.75),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2.0, mode="bicubic"),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, scale=0.3),
    "wide": lambda x: F.pad(x, (0, 2000)) * 1.5,
}

class Model(torch.nn.Module):
    def __init__(self, name):
        super().__init__()
        self.body = MODELS[name]
    def forward(self, x):
        return self.body(x)

locale.setlocale(locale.LC_ALL, "decimal_comma")
assert locale.localeconv()["decimal_point"] == ","
x = torch.randn(2, 4, 8, 8)
for name in MODELS:
    model = Model(name).eval()
    module = torch_tensorrt.compile(model, inputs=[x], min_block_size=1)
    torch.testing.assert_close(module(x), model(x), msg=lambda text: f"{name}: {text}")
assert locale.localeconv()["decimal_point"] == ","
"""


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locale decimal_comma."""
    folder = tmp_path_factory.mktemp("locale")
    subprocess.run([Path(__file__).parents[1] / "locale" / "make.sh", folder], check=True)
    return folder


def test_decimal_commas(locales: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "LOCPATH": str(locales)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


SAVING = """
import ctypes, sys
import torch
import torch_tensorrt

class Model(torch.nn.Module):
    def forward(self, x):
        return torch.cummax(x * 0.35355339059327379, 0).values * 12345.75 + 1e-7

model, x = Model().eval(), torch.randn(2, 4)
compiled = torch_tensorrt.compile(model, inputs=[x], min_block_size=1)
uncompiled = torch_tensorrt.compile(model, inputs=[x], min_block_size=100)
library = ctypes.CDLL("libstdc++.so.6")  # std::locale::global, which Python's setlocale leaves alone
chosen, before = ctypes.c_void_p(), ctypes.c_void_p()
library._ZNSt6localeC1EPKc(ctypes.byref(chosen), b"decimal_comma")
library._ZNSt6locale6globalERKS_.restype = None
library._ZNSt6locale6globalERKS_(ctypes.byref(before), ctypes.byref(chosen))
for module in (compiled, uncompiled):
    for output_format in ("torchscript", "exported_program"):
        torch_tensorrt.save(module, sys.argv[1], output_format=output_format)
        loaded = torch_tensorrt.load(sys.argv[1])
        run = loaded.module() if output_format == "exported_program" else loaded
        torch.testing.assert_close(run(x), model(x))
"""


def test_files_written_with_decimal_commas(locales: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAVING, str(tmp_path / "model")],
        env={**os.environ, "LOCPATH": str(locales)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
