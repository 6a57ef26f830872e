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
