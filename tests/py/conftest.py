# SPDX-License-Identifier: Apache-2.0
"""Shared by the Python tests: seeds."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
