# SPDX-License-Identifier: Apache-2.0
"""What OpenVINO refuses while it compiles is found when the model is compiled, and one operator is to blame."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from .harness import compile_function, on_the_cpu_only

pytestmark = on_the_cpu_only


class _Resized(nn.Module):
    """A learned table, resized to the input, as of position embeddings."""

    def __init__(self, mode: str, *shape: int) -> None:
        super().__init__()
        self.mode = mode
        self.table = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        return (x.sin() + F.interpolate(self.table, size=tuple(size), mode=self.mode, align_corners=False)).cos()


@pytest.mark.parametrize(
    ("mode", "shape"), [("linear", (1, 4, 6)), ("bilinear", (1, 4, 6, 5)), ("bicubic", (1, 4, 6, 5))], ids=str
)
def test_resized_parameters(mode: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, *[2 * size for size in shape[2:]])
    outcome = compile_function(_Resized(mode, *shape), x)
    outcome.check(x)
    # Nothing but the resizing may be left to PyTorch.
    assert all(name.startswith("upsample") for name in outcome.refusals)
    assert outcome.engines >= 1


@pytest.mark.parametrize("kind", [F.max_pool2d, F.avg_pool2d], ids=["max", "average"])
@pytest.mark.parametrize("size", [(9, 9), (10, 7), (2, 2)], ids=str)
@pytest.mark.parametrize("padding", [0, 1])
def test_ceil_mode(kind: object, size: tuple[int, int], padding: int) -> None:
    """One pooling, and a network around it that stays in engines."""
    x = torch.randn(1, 4, *size)
    outcome = compile_function(
        lambda x: kind(x.sin(), 3, stride=2, padding=padding, ceil_mode=True).cos(),  # type: ignore[operator]
        x,
    )
    outcome.check(x)
    assert all("pool" in name for name in outcome.refusals)
    assert outcome.engines >= 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sizes_without_a_maximum(count: int) -> None:
    """Bounds of some 2^31 in several dimensions, whose product overflows."""
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[count - 1](3, 4, 3, padding=1)
    network = nn.Sequential(conv, nn.ReLU()).eval()
    dims = {i + 2: Dim(f"d{i}", min=2) for i in range(count)}
    outcome = compile_function(network, torch.randn(2, 3, *[8] * count), dynamic=({0: Dim("n"), **dims},))
    assert outcome.engines == 1
    for size in (8, 5):
        outcome.check(torch.randn(3, 3, *[size] * count))
