# SPDX-License-Identifier: Apache-2.0
"""One memory in several layouts: weights that are read in more than one way, views beside transposes, fused attention.

Each is wrong, or ends the process, in OpenVINO 2026.4.1 by itself; the backend's README says what goes around it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from .harness import FLOATS, ON_GPU, check, compile_function


class _Weights(nn.Module):
    """function(x, w), where `w` is a buffer."""

    def __init__(self, function: Callable[[Tensor, Tensor], Any], w: Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("w", w)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.w)


# Ways to read a square matrix, each from [.., n] to [.., n].
READS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": F.linear,
    "product": lambda x, w: x @ w,
    "transposed": lambda x, w: x @ w.t(),
    "addmm": lambda x, w: torch.addmm(x, x, w),
    "batched": lambda x, w: torch.bmm(x[None], w[None].transpose(1, 2))[0],
    "left": lambda x, w: (w @ x.t()).t(),
    "copy": lambda x, w: x @ (w.t() + 0),
    "pointwise": lambda x, w: F.conv1d(x[:, :, None], w[:, :, None])[:, :, 0],
    "deconvolution": lambda x, w: F.conv_transpose1d(x[:, :, None], w[:, :, None])[:, :, 0],
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("between", [lambda x: x, torch.sin, torch.relu], ids=["nothing", "sin", "relu"])
def test_a_matrix_read_in_two_ways(between: Callable[[Tensor], Tensor], dtype: torch.dtype, dynamic: bool) -> None:
    """Every pair of ways at once: one engine, one memory."""
    torch.manual_seed(0)
    w = torch.randn(4, 4).to(dtype)
    pairs = list(itertools.permutations(READS, 2))

    def function(x: Tensor, w: Tensor) -> Tensor:
        return torch.stack([READS[second](between(READS[first](x, w)), w) for first, second in pairs])

    x = torch.randn(6, 4).to(dtype)
    shapes = ({0: Dim("n", min=2, max=64)},) if dynamic else None
    outcome = compile_function(_Weights(function, w), x, dynamic=shapes)
    assert outcome.engines == 1 or ON_GPU  # TensorRT 10.6 fails to build some of them, which then stay in PyTorch
    outcome.check(x, roundings=8)


@pytest.mark.parametrize(
    ("first", "second"),
    [("linear", "product"), ("product", "transposed"), ("product", "copy"), ("pointwise", "deconvolution")],
)
def test_a_pair_alone(first: str, second: str) -> None:
    torch.manual_seed(0)
    check(_Weights(lambda x, w: READS[second](READS[first](x, w), w), torch.randn(16, 16)), torch.randn(2, 16))


def test_two_tensors_of_equal_numbers() -> None:
    """They become one when the engine is written."""
    torch.manual_seed(0)
    w = torch.randn(8, 8)
    network = _Weights(lambda x, w: (x @ w) @ network.other.t(), w)
    network.register_buffer("other", w.clone())
    check(network, torch.randn(2, 8))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_vector_shaped_into_matrices(dtype: torch.dtype) -> None:
    """Matrices of equal shape that are read from one memory in different orders."""
    torch.manual_seed(0)
    shapes: list[Callable[[Tensor], Tensor]] = [
        lambda w: w.view(4, 4),
        lambda w: w.view(4, 4).t(),
        lambda w: w.view(2, 2, 4).transpose(0, 1).reshape(4, 4),
        lambda w: w.view(8, 2).t().reshape(4, 4),
    ]
    function = lambda x, w: [x @ shape(w) for shape in shapes]  # noqa: E731
    check(_Weights(function, torch.randn(16).to(dtype)), torch.randn(3, 4).to(dtype))
    function = lambda x, w: (x @ w.view(2, 8), x @ w.view(8, 2).t())  # noqa: E731
    check(_Weights(function, torch.randn(16).to(dtype)), torch.randn(3, 2).to(dtype))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_convolution_and_its_transpose(spatial: int, groups: int) -> None:
    torch.manual_seed(0)
    conv = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
    back = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[spatial - 1]
    w = torch.randn(8, 8 // groups, *[3] * spatial) / 8
    both = lambda x, w: back(conv(x, w, padding=1, groups=groups), w, padding=1, groups=groups)  # noqa: E731
    check(_Weights(both, w), torch.randn(1, 8, *[6] * spatial))


def test_tied_weights() -> None:
    """An autoencoder, and a language model's embedding and head: the usual reasons."""
    torch.manual_seed(0)
    encoder = nn.Linear(12, 12)
    check(
        _Weights(lambda x, w: F.linear(F.linear(x, w).relu(), w.t()).sigmoid(), encoder.weight.detach()),
        torch.randn(3, 12),
    )
    table = torch.randn(32, 32) / 6  # sums of 32 products stay near 1
    check(_Weights(lambda i, w: F.linear(F.embedding(i, w) @ w, w), table), torch.tensor([[1, 5, 31]]))


# --- views ----------------------------------------------------------------------------------------------------------

VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "tokens": lambda h: h.flatten(1, 2),
    "flat": lambda h: h.flatten(),
    "unsqueezed": lambda h: h[None],
    "itself": lambda h: h,
    "part": lambda h: h[:, :3],
}
READERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "convolution": lambda h, k: F.conv2d(h.permute(0, 3, 1, 2), k, padding=1),
    "convolution_of_tokens": lambda h, k: F.conv2d(
        h.flatten(1, 2).transpose(1, 2).unflatten(2, h.shape[1:3]), k, padding=1
    ),
    "pool": lambda h, k: F.max_pool2d(h.permute(0, 3, 1, 2), 2),
    "transpose": lambda h, k: h.permute(0, 3, 1, 2) * 2,
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("view", "reader"), list(itertools.product(VIEWS, READERS)))
def test_a_view_as_a_result_beside_a_transpose(view: str, reader: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(8, 16)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = linear
            self.register_buffer("k", torch.randn(16, 16, 3, 3) / 8)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.linear(x)
            return READERS[reader](h, self.k), VIEWS[view](h)

    network = Network().to(dtype)
    outcome = compile_function(network, torch.randn(1, 6, 5, 8).to(dtype))
    for _ in range(2):
        outcome.check(torch.randn(1, 6, 5, 8).to(dtype), roundings=2)


# --- attention with as many tokens as heads -------------------------------------------------------------------------


def _fused(x: Tensor, w: Tensor, heads: int) -> tuple[Tensor, ...]:
    return F.linear(x, w).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


def _apart(x: Tensor, w: Tensor, heads: int) -> tuple[Tensor, ...]:
    return tuple(F.linear(x, part).unflatten(-1, (heads, -1)).transpose(1, 2) for part in w.chunk(3))


def _by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1) @ v


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("heads", [4, 2])
@pytest.mark.parametrize("projections", [_fused, _apart], ids=["fused", "apart"])
@pytest.mark.parametrize("attention", [F.scaled_dot_product_attention, _by_hand], ids=["operator", "by_hand"])
@pytest.mark.parametrize("merged", [False, True], ids=["heads", "merged"])
def test_attention(merged: bool, attention: Any, projections: Any, heads: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)

    def function(x: Tensor, w: Tensor) -> Tensor:
        y = attention(*projections(x, w, heads))
        return y.transpose(1, 2).flatten(2) if merged else y

    w = (torch.randn(48 * 3, 48) / 7).to(dtype)
    x = torch.randn(2, 4, 48).to(dtype)
    compile_function(_Weights(function, w), x).check(x, roundings=4)


# --- residual sums around normalization -----------------------------------------------------------------------------

NORMS: dict[str, Callable[[], nn.Module]] = {
    "group": lambda: nn.GroupNorm(2, 8),
    "instance": lambda: nn.InstanceNorm2d(8),
    "affine_instance": lambda: nn.InstanceNorm2d(8, affine=True),
    "one_group": lambda: nn.GroupNorm(1, 8, affine=False),
    "batch": lambda: nn.BatchNorm2d(8),
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_residual_sums(norm: str, dtype: torch.dtype, dynamic: bool) -> None:
    """x + norm(conv(x)), twice: OpenVINO's own GroupNormalization ends the process."""
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(8, 8, 3, padding=1), NORMS[norm]()

        def forward(self, x: Tensor) -> Tensor:
            return x + self.norm(self.conv(x))

    network = nn.Sequential(Block(), Block()).eval().to(dtype)
    x = torch.randn(2, 8, 6, 5).to(dtype)
    shapes = ({0: Dim("n", min=1, max=8), 2: Dim("h", min=3, max=32), 3: Dim("w", min=3, max=32)},) if dynamic else None
    compile_function(network, x, dynamic=shapes).check(x, roundings=6)


class _Mixed(nn.Module):
    """A network beside something of float32: both precisions in one engine."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(x), x.float().sin()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_beside_float32(norm: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(8, 8, 1), NORMS[norm]()).eval().to(dtype)
    x = torch.randn(2, 8, 6, 6).to(dtype)
    compile_function(_Mixed(network).eval(), x).check(x, roundings=3)
