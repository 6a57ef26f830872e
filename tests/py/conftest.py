# SPDX-License-Identifier: Apache-2.0
"""Shared by the Python tests: a small model with what it compiles to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from py_models import Mlp

import torch_tensorrt


@pytest.fixture(scope="module")
def model() -> Mlp:
    torch.manual_seed(0)
    return Mlp().eval()


@pytest.fixture(scope="module")
def module(model: Mlp) -> Any:
    """The model as one engine, for 1 to 8 rows."""
    batch = torch_tensorrt.Input(min_shape=(1, 16), opt_shape=(4, 16), max_shape=(8, 16))
    return torch_tensorrt.compile(model, inputs=[batch])
