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


# Operations that lose NaN or infinities in some kernel, here or in PyTorch, and the shape of their operand.
LOSING: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, ...]]] = {
    "layer_norm": (
        lambda y: F.layer_norm(y, (4,), torch.ones(4, dtype=y.dtype), torch.ones(4, dtype=y.dtype)),
        (2, 3, 4),
    ),
    "layer_norm of two": (lambda y: F.layer_norm(y, (2,)), (5, 4, 2)),
    "group_norm": (lambda y: F.group_norm(y, 2), (2, 4, 3, 3)),
    "group_norm by channel": (lambda y: F.group_norm(y, 4), (2, 4, 2, 2)),
    "instance_norm": (F.instance_norm, (2, 4, 8)),
    "rms_norm": (lambda y: F.rms_norm(y, (4,)), (2, 3, 4)),
    "normalize": (lambda y: F.normalize(y, dim=1), (2, 3, 4)),
    "hardswish": (F.hardswish, (2, 3, 4)),
    "relu": (F.relu, (2, 3, 4)),
    "softmax": (lambda y: y.softmax(-1), (2, 3, 4)),
    "max_pool": (lambda y: F.max_pool2d(y, 2), (2, 2, 4, 4)),
    "avg_pool": (lambda y: F.avg_pool2d(y, 3, 2, 1), (2, 2, 4, 4)),
    "convolution": (lambda y: F.conv2d(y, torch.ones(3, 2, 3, 3, dtype=y.dtype), padding=1), (1, 2, 5, 5)),
    "filter": (lambda y: F.conv2d(torch.ones(1, 2, 5, 5, dtype=y.dtype), y, padding=1), (3, 2, 3, 3)),
    "dilated filter": (
        lambda y: F.conv3d(torch.ones(1, 2, 5, 5, 5, dtype=y.dtype), y, None, 2, 2, 2),
        (3, 2, 2, 2, 2),
    ),
    "transposed filter": (
        lambda y: F.conv_transpose2d(torch.ones(1, 3, 4, 4, dtype=y.dtype), y, stride=2, padding=1),
        (3, 2, 3, 3),
    ),
    "matmul": (lambda y: y @ y.mT, (2, 3, 4)),
    "query": (lambda y: F.scaled_dot_product_attention(y, torch.ones_like(y), torch.ones_like(y)), (1, 2, 5, 8)),
    "keys": (lambda y: F.scaled_dot_product_attention(torch.ones_like(y), y, torch.ones_like(y)), (1, 2, 5, 8)),
    "values": (lambda y: F.scaled_dot_product_attention(torch.ones_like(y), torch.ones_like(y), y), (1, 2, 5, 8)),
    "linear": (lambda y: F.interpolate(y, size=5, mode="linear", align_corners=True), (1, 2, 3)),
    "linear to fewer": (lambda y: F.interpolate(y, scale_factor=0.5, mode="linear", align_corners=True), (1, 2, 8)),
    "bilinear": (lambda y: F.interpolate(y, size=(5, 7), mode="bilinear", align_corners=True), (1, 2, 3, 4)),
    "bilinear by 2": (lambda y: F.interpolate(y, scale_factor=2, mode="bilinear"), (1, 2, 3, 4)),
    "bilinear to the same": (lambda y: F.interpolate(y, size=(3, 4), mode="bilinear"), (1, 2, 3, 4)),
    "bicubic": (lambda y: F.interpolate(y, size=(5, 7), mode="bicubic", align_corners=True), (1, 2, 3, 4)),
    "trilinear": (lambda y: F.interpolate(y, size=3, mode="trilinear", align_corners=True), (1, 2, 2, 2, 2)),
    "nearest": (lambda y: F.interpolate(y, scale_factor=2, mode="nearest"), (1, 2, 3, 4)),
}


class _Losing(nn.Module):
    """The operation of a constant, of a constant that is computed, or of a quotient of two inputs."""

    def __init__(self, operation: Callable[[Tensor], Tensor], special: Tensor, of: str) -> None:
        super().__init__()
        self.operation, self.of = operation, of
        self.register_buffer("special", special)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        y = {"constant": self.special, "sum": self.special + a * 0, "quotient": a / b}[self.of]
        return self.operation(y), a + b


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("of", ["constant", "sum", "quotient"])
@pytest.mark.parametrize("operation", LOSING)
def test_what_holds_them_for_finite_inputs(operation: str, of: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    function, shape = LOSING[operation]
    special = torch.randn(shape)
    for i, value in enumerate(SPECIAL):
        special.view(-1)[i * special.numel() // 3] = value
    network = _Losing(function, special.to(dtype), of)
    divisor = torch.where(special.isfinite(), 1.0, 0.0).to(dtype)
    dividend = torch.where(special.isinf(), special.sign(), special).nan_to_num(0).to(dtype)
    outcome = compile_function(network, dividend, divisor)
    outcome.check(dividend, divisor, roundings=4)
    outcome.check(dividend, torch.ones_like(divisor), roundings=4)
    outcome.check(dividend, divisor, roundings=4)


# Sums of products x * y, one of which overflows where the sum would not, or meets its opposite.
SUMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "minus": lambda x, y, z: x * y - z,
    "plus": lambda x, y, z: x * y + z,
    "from": lambda x, y, z: z - x * y,
    "added to": lambda x, y, z: z + x * y,
    "products": lambda x, y, z: x * y - z * y,
    "squares": lambda x, y, z: x**2 - y**2 + z * z,
    "equal squares": lambda x, y, z: x.abs() * x - x * x.abs() * y.sign(),
    "times a constant": lambda x, y, z: x * 2 - z,
    "minus a constant": lambda x, y, z: x * y - 3e38,
    "from a constant": lambda x, y, z: 3e38 - x * 4,
    "both constants": lambda x, y, z: x * 2 - 3e38,
    "constants in a row": lambda x, y, z: x * 1e38 * 1e3 - x * 1e38 * 1e3,
    "with other readers": lambda x, y, z: (x * y - z) + (x * y).tanh(),
}
BEHIND: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda y: y,
    "clamp": lambda y: y.clamp(-1, 1),
    "relu": torch.relu,
    "sum": lambda y: y.sum(-1, keepdim=True) + y,
}


@pytest.mark.parametrize(("dtype", "dynamic"), [(torch.float32, False), (torch.float32, True), (torch.bfloat16, False)])
@pytest.mark.parametrize("behind", BEHIND)
def test_products_that_overflow_in_front_of_sums(behind: str, dtype: torch.dtype, dynamic: bool) -> None:
    """A multiplication and an addition in one operation does not round between them, and so does not overflow."""
    torch.manual_seed(0)
    usual = [torch.randn(3, 8).to(dtype) for _ in range(3)]
    x = torch.tensor([2e38, 1e20, 2e38, -2e38, 1.0, 1e20, -1e30, 3e38]).expand(3, 8).to(dtype)
    y = torch.tensor([2.0, 1e20, 3.0, 2.0, 1.0, 1e20, 1e30, -2.0]).expand(3, 8).to(dtype)
    z = torch.tensor([3e38, INF, -3e38, -3e38, 1.0, -INF, 1e38, 3e38]).expand(3, 8).to(dtype)
    batch = {0: Dim("batch", min=1, max=8)}
    for sum_ in SUMS.values():
        function = lambda *operands, sum_=sum_: BEHIND[behind](sum_(*operands))  # noqa: E731
        outcome = compile_function(function, *usual, dynamic=(batch,) * 3 if dynamic else None)
        outcome.check(*usual, roundings=4)
        outcome.check(x.contiguous(), y.contiguous(), z.contiguous(), roundings=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("of", ["constant", "sum"])
@pytest.mark.parametrize("operation", [name for name in LOSING if "_norm" in name or name in ("hardswish", "query")])
def test_constants_whose_squares_overflow(operation: str, of: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    function, shape = LOSING[operation]
    large = torch.randn(shape)
    large[..., :1, :] *= 6e34  # some rows
    network = _Losing(function, large.to(dtype), of)
    x = torch.ones(shape, dtype=dtype)
    outcome = compile_function(network, x, x)
    outcome.check(x, x, roundings=4)
    outcome.check(x, x, roundings=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("has_bias", [False, True], ids=["weight", "weight and bias"])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("value", SPECIAL)
def test_weights_of_group_norm(value: float, groups: int, has_bias: bool, dtype: torch.dtype) -> None:
    class Network(nn.Module):
        weight: Tensor
        bias: Tensor | None

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.tensor([0.5, value, -0.5, 1.0]).to(dtype))
            self.register_buffer("bias", torch.tensor([1.0, -1.0, value, 0.5]).to(dtype) if has_bias else None)

        def forward(self, x: Tensor) -> Tensor:
            return F.group_norm(x, groups, self.weight, self.bias)

    torch.manual_seed(0)
    x = torch.randn(2, 4, 3, 3).to(dtype)
    outcome = compile_function(Network(), x)
    for y in (x, x * 3 + 1, x.abs()):
        outcome.check(y, roundings=4)


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
