# SPDX-License-Identifier: Apache-2.0
"""NaN and infinities go through networks as through eager's: alone, after layers that fuse, and made on the way."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.conformance.harness import ON_GPU, compile_function

pytestmark = pytest.mark.skipif(ON_GPU, reason="TensorRT does not promise to pass on NaN and infinities (docs/gpu.md)")

NAN, INF = float("nan"), float("inf")
SPECIAL = (NAN, INF, -INF)

LAYERS: dict[str, nn.Module | None] = {
    "alone": None,
    "conv": nn.Conv2d(4, 8, 3, padding=1),
    "pointwise": nn.Conv2d(4, 8, 1),
    "linear": nn.Linear(8, 8),
    "norm": nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8)),
}
ACTIVATIONS: dict[str, nn.Module] = {
    "relu": nn.ReLU(),
    "relu6": nn.ReLU6(),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardtanh": nn.Hardtanh(),
    "silu": nn.SiLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU("tanh"),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "elu": nn.ELU(),
    "leaky_relu": nn.LeakyReLU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "softmax": nn.Softmax(-1),
    "layer_norm": nn.LayerNorm(8),
    "max_pool": nn.MaxPool2d(2),
    "avg_pool": nn.AvgPool2d(2),
    "mean": nn.AdaptiveAvgPool2d(1),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("layer", "activation"), list(itertools.product(LAYERS, ACTIVATIONS)))
def test_special_inputs(layer: str, activation: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    first = LAYERS[layer]
    parts = [ACTIVATIONS[activation]] if first is None else [first, ACTIVATIONS[activation]]
    network = nn.Sequential(*parts).eval().to(dtype)
    x = torch.randn(1, 4, 8, 8).to(dtype)
    outcome = compile_function(network, x)
    outcome.check(x, roundings=len(parts))
    for value in SPECIAL:
        special = x.clone()
        special[0, 1, 2, 3] = value
        outcome.check(special, roundings=len(parts))
    outcome.check(x, roundings=len(parts))  # and back to the usual form


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mask", ["none", "causal", "bool", "float"])
def test_attention(mask: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 5, 16).to(dtype) for _ in range(3))
    masks = {"bool": [torch.rand(5, 5) > 0.3], "float": [torch.randn(5, 5).to(dtype)]}.get(mask, [])
    function: Callable[..., Tensor] = lambda q, k, v, *m: F.scaled_dot_product_attention(  # noqa: E731
        q, k, v, m[0] if m else None, is_causal=mask == "causal"
    )
    outcome = compile_function(function, q, k, v, *masks)
    outcome.check(q, k, v, *masks)
    for i, value in itertools.product(range(3), (NAN, INF)):
        tensors = [q.clone(), k.clone(), v.clone()]
        tensors[i][0, 1, 2, 3] = value
        # The definition: the fused kernel of PyTorch gives zeros for a row of NaN scores if there is no mask.
        with sdpa_kernel(SDPBackend.MATH):
            outcome.check(*tensors, *masks)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.log(x).relu(),
        lambda x: torch.sqrt(x).relu() + 1,
        lambda x: (1 / x - 1 / x).relu(),
        lambda x: torch.softmax(x / x, -1),
        lambda x: F.hardsigmoid(torch.acos(x)),
        lambda x: torch.softmax(torch.exp(x * 1000), -1),
        lambda x: (x.pow(0.5) * 2).relu(),
        lambda x: F.max_pool2d(torch.log(x)[None], 2),
    ],
)
def test_made_on_the_way(function: Callable[[Tensor], Tensor]) -> None:
    """From finite inputs."""
    compile_function(function, torch.tensor([[[-2.0, 0.0, 0.5, 4.0], [1.0, -3.0, 0.0, 2.0]]])).check(
        torch.tensor([[[-2.0, 0.0, 0.5, 4.0], [1.0, -3.0, 0.0, 2.0]]])
    )


@pytest.mark.parametrize("value", SPECIAL)
def test_weights(value: float) -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU()).eval()
    with torch.no_grad():
        network[0].weight[0, 0, 0, 0] = value
    x = torch.randn(1, 4, 8, 8)
    compile_function(network, x).check(x)


def test_masked_scores() -> None:
    """A mask of -inf before softmax, and a row that it leaves nothing."""
    scores = torch.randn(2, 4, 4)
    mask = torch.ones(4, 4).triu(1).bool()
    outcome = compile_function(lambda s, m: s.masked_fill(m, -INF).softmax(-1), scores, mask)
    outcome.check(scores, mask)
    mask[2] = True
    outcome.check(scores, mask)


def test_dynamic_shapes() -> None:
    network = nn.Sequential(nn.Linear(16, 16), nn.ReLU()).eval()
    outcome = compile_function(network, torch.randn(4, 16), dynamic=({0: Dim("n", min=1, max=2000)},))
    for rows in (3, 2000, 1, 3):
        x = torch.randn(rows, 16)
        outcome.check(x)
        x[-1, 5] = NAN
        outcome.check(x)
