# SPDX-License-Identifier: Apache-2.0
"""What torch.export and torch.compile see of an engine's call: tensors without elements."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from torch_tensorrt._engine import fake_execute_engine

SIZE = {"name": "s0", "dtype": "int64", "shape": [], "shape_symbol": "s0"}
X = {"name": "x", "dtype": "float32", "shape": [4]}


class Engine:
    """An engine for a GPU, as far as its metadata goes."""

    def __init__(self, inputs: list[dict[str, Any]]) -> None:
        outputs = [{"name": "y", "dtype": "float32", "shape": [2, 3]}]
        self._metadata = {"name": "engine", "device": "cuda", "inputs": inputs, "outputs": outputs}

    def metadata(self) -> str:
        return json.dumps(self._metadata)


@pytest.mark.parametrize("inputs", [[], [SIZE], [SIZE, X], [X, SIZE]])
def test_results_are_where_the_engine_runs(inputs: list[dict[str, Any]]) -> None:
    """Sizes that an engine takes as data are on the CPU, wherever it runs."""
    with FakeTensorMode():
        tensors = [
            torch.empty(spec["shape"], dtype=getattr(torch, spec["dtype"]), device="cpu" if spec is SIZE else "cuda")
            for spec in inputs
        ]
        (result,) = fake_execute_engine(tensors, Engine(inputs))
    assert result.device.type == "cuda"
    assert result.shape == (2, 3)
