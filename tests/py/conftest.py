# SPDX-License-Identifier: Apache-2.0
"""Shared by the Python tests: seeds, and comparison with eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def assert_same(actual: Any, expected: Any) -> None:
    """Same structure, same types, values within the dtype's tolerance."""
    assert pytree.tree_structure(actual) == pytree.tree_structure(expected)
    for ours, theirs in zip(pytree.tree_leaves(actual), pytree.tree_leaves(expected), strict=True):
        if isinstance(theirs, torch.Tensor):
            torch.testing.assert_close(ours, theirs)
        else:
            assert ours == theirs


@pytest.fixture
def same() -> Callable[[Any, Any], None]:
    return assert_same
