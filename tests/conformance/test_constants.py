# SPDX-License-Identifier: Apache-2.0
"""Constants behind each other, which a vendor would like to put together before it sees an input."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from .harness import FLOATS, check, compile_function, on_the_cpu_only, skip_bfloat16_in_hardware, there

NUMBERS = [0.0, -0.0, 1.0, -1.0, 1e-35, -3e-35, 1e-20, 49.0, 7.3, -1e8, 1e8 + 8, 3e-5, 2e30, 3e38, -3e38, 1e-40]
CHAINS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "overflow": lambda x: x * 1e30 * 1e30,
    "underflow": lambda x: x * 1e-30 * 1e-30,
    "infinite on the way": lambda x: x * 2 * 0.5,
    "zero on the way": lambda x: x * 1e-30 * 1e30,
    "three": lambda x: x * 1e20 * 1e20 * 1e-30,
    "divisions": lambda x: x / 1e30 / 1e30,
    "division and product": lambda x: x / 1e-30 * 1e-30,
    "cancelled": lambda x: (x + 1e8) - 1e8,
    "cancelled by a sum": lambda x: (x - 1e8) + 1e8,
    "rounded to whole numbers": lambda x: x + 2.0**23 - 2.0**23,
    "three terms": lambda x: x + 1e8 + 3.0 - 1e8,
    "near the constant": lambda x: (x - 49.0) * 3.3,
    "near the divided constant": lambda x: (x - 7.3) / 0.3,
    "standardized": lambda x: (x - 7.3) / 0.3 * 1e-3 + 0.1,
    "sum of large": lambda x: (x + 3e38) * 1e-10,
    "reversed": lambda x: 3.3 * (49.0 - x),
    "negated": lambda x: -(x * 1e30) * 1e30,
    "reshaped": lambda x: (x * 1e30).reshape(-1, 1) * 1e30,
    "expanded": lambda x: (x * 1e30).expand(3, -1) * 1e30,
    "a large divisor": lambda x: x / 3e38,
    "a tiny divisor": lambda x: x / 2e-38,
    "whole quotients": lambda x: torch.floor(torch.arange(0, x.shape[0]) * 49.0 * (x * 0 + 1).nan_to_num(1) / 49.0),
}


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_constants_are_taken_in_turn(chain: str, dynamic: bool) -> None:
    x = torch.tensor(NUMBERS)
    sizes = ({0: Dim("n", min=1, max=99)},) if dynamic else None
    check(CHAINS[chain], x, dynamic=sizes)


@pytest.mark.parametrize("chain", [name for name in CHAINS if name not in ("reshaped", "expanded", "whole quotients")])
def test_of_a_number(chain: str) -> None:
    outcome = compile_function(CHAINS[chain], torch.tensor(1.0))
    assert not outcome.refusals
    for value in NUMBERS:
        outcome.check(torch.tensor(value))


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_of_channels(chain: str) -> None:
    """The constants as buffers, one number a channel."""
    x = torch.tensor(NUMBERS).reshape(1, 4, 2, 2)

    def of_channels(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return CHAINS[chain]((x * scale).flatten())

    one = torch.tensor([1.0, 2.0, 0.5, 1e10]).reshape(4, 1, 1)
    check(lambda x: of_channels(x, one), x)


@pytest.mark.parametrize(("a", "b"), [(1e30, 1e30), (1e-30, 1e-30), (1e30, 1e-30), (1e-20, 1e-25)])
def test_around_weights(a: float, b: float) -> None:
    torch.manual_seed(0)
    x, w = torch.randn(2, 4, 5, 5) * 1e-5, torch.randn(3, 4, 2, 2)
    check(lambda x: F.conv2d(x * a, w * 1e-10) * b, x)
    check(lambda x: F.conv2d(x, w) * a * b, x)
    check(lambda x: F.conv2d(x, w) * a / b, x * 1e-30)
    check(lambda x: F.linear(x * a, w[0, 0].repeat(3, 2)[:, :1].expand(-1, 5) * 1e10) * b, x)
    check(lambda x: (F.conv2d(x, w, torch.ones(3)) + 1e8) - 1e8, x)


@on_the_cpu_only
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_quotients_are_rounded_once(dynamic: bool) -> None:
    """Divisors far from 1 too, where a reciprocal is infinite or subnormal."""
    torch.manual_seed(0)
    x = torch.randn(64) * 100
    y = torch.tensor([1e-40, -1e-40, 3e38, -2e38, 1e-38, 49.0, 3.0, 7.0]).repeat(8)
    x = torch.where(y.abs() < 1e-37, x * 1e-41, x)
    sizes = ({0: (n := Dim("n", min=1, max=99))}, {0: n}) if dynamic else None
    outcome = check(torch.div, x, y, dynamic=sizes)
    assert torch.equal(outcome.answer(x, y), x / y)
    whole = torch.arange(1, 65).float()
    for divisor in (3.0, 7.0, 10.0, 49.0, 255.0, 0.1):
        outcome = check(lambda x, d=divisor: torch.floor(x / d), whole * divisor, dynamic=sizes and sizes[:1])
        assert torch.equal(outcome.answer(whole * divisor), torch.floor(whole * divisor / divisor))


LAYERS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "avg_pool1d": lambda w: F.avg_pool1d(w[0], 2),
    "avg_pool2d": lambda w: F.avg_pool2d(w, 2),
    "avg_pool2d of a view": lambda w: F.avg_pool2d(w.permute(0, 1, 3, 2), 2, ceil_mode=True),
    "avg_pool2d of a product": lambda w: F.avg_pool2d(w * 2, 3, stride=2, padding=1, count_include_pad=False),
    "max_pool2d": lambda w: F.max_pool2d(w, 2, ceil_mode=True),
    "conv2d": lambda w: F.conv2d(w, w[:, :, :2, :2].contiguous()),
    "conv_transpose2d": lambda w: F.conv_transpose2d(w, w[0, :, :2, :2].unsqueeze(1)),
    "nearest": lambda w: F.interpolate(w, scale_factor=2.0),
    "bilinear": lambda w: F.interpolate(w, scale_factor=2.0, mode="bilinear"),
    "layer_norm": lambda w: F.layer_norm(w, (4,)),
    "group_norm": lambda w: F.group_norm(w, 2),
    "softmax": lambda w: w.softmax(-1),
    "attention": lambda w: F.scaled_dot_product_attention(w, w, w),
}


@pytest.mark.usefixtures("by_pytorch")
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_constants_alone(layer: str, dtype: torch.dtype) -> None:
    """Nothing to do in a run, and nothing that ends the process before the first."""
    torch.manual_seed(0)
    w = torch.randn(1, 8, 8, 4).to(dtype)
    compile_function(lambda x: (LAYERS[layer](w), x + 1), torch.ones(2)).check(torch.ones(2), roundings=2)


REDUCED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "sum": lambda x: x.sum(1, keepdim=True),
    "amax": lambda x: x.amax((1, 3), keepdim=True),
    "prod": lambda x: x.prod(3, keepdim=True),
    "pool": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "conv": lambda x: F.conv2d(x, torch.ones(4, 4, 1, 1)),
    "product": lambda x: x @ torch.ones(5, 5),
    "softmax": lambda x: x.softmax(-1),
    "root": lambda x: (x.mean((2, 3), keepdim=True) + 0.01).sqrt(),
    "rms": lambda x: (x.square().mean((1, 2, 3), keepdim=True) + 0.01).sqrt(),
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("reduced", REDUCED)
def test_constants_over_what_was_reduced(reduced: str, dynamic: bool) -> None:
    """The vendor makes a scale of what follows a reduction, and must not mistake c / y for y / c."""
    torch.manual_seed(0)
    x = torch.rand(2, 4, 5, 5) + 0.5
    reduce = REDUCED[reduced]

    def function(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = reduce(x)
        return 2.5 / y, x * (2.5 / y), x * (1 / y), x * y.reciprocal(), x / y, x * (y / 2.5), x - 2.5 / y, (2.5 - y) * x

    check(function, x, dynamic=({0: Dim("n", min=1, max=9)},) if dynamic else None)


@on_the_cpu_only
@pytest.mark.usefixtures("by_pytorch")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("number", [False, True], ids=["tensor", "number"])
def test_subnormal_constants(dtype: torch.dtype, number: bool) -> None:
    """The vendor makes zeros of the subnormal elements of a constant."""
    skip_bfloat16_in_hardware(dtype)
    c = torch.tensor([1e-40, -1e-39, 2.0, 1e-38, 3e38, 0.0]).to(dtype)
    c = c[0].clone() if number else c
    x = torch.tensor([0.0, 1.0, -1.0, 1e-39, 3e38, 5e-39]).to(dtype)
    functions = (
        lambda x: torch.maximum(x, c),
        lambda x: (x + c, x * 0 + 1),
        lambda x: (c + 0, c + c, c + 1e-39, x + 1),
        lambda x: x * c * 2.0**100,
        lambda x: x / c,
        lambda x: torch.where(x > 0, x, c),
        lambda x: (x == c, x < c),
        lambda x: torch.cat((x, c.reshape(-1))),
        lambda x: c.reshape(-1)[(x > 0).long() * 0],
    )
    for function in functions:
        outcome = compile_function(function, x)
        outcome.check(x)
        both = (pytree.tree_leaves(run(x)) for run in (outcome.answer, function))
        for pair in zip(*both, strict=True):
            small = [t[t.isfinite()].float() * 2.0**64 for t in pair]
            torch.testing.assert_close(*small, rtol=torch.finfo(dtype).eps, atol=2.0**-84)


OF_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "neg_abs": lambda v: (-v).abs(),
    "abs_of_a_view": lambda v: v.view(2, 3).t().abs(),
    "neg": torch.neg,
    "sign": torch.sign,
    "floor": torch.floor,
    "relu": torch.relu,
    "clamp": lambda v: v.clamp(-1, 1),
    "exp": torch.exp,
    "tanh": torch.tanh,
    "root_of_square": lambda v: (v * v).sqrt(),
    "logsigmoid": torch.nn.functional.logsigmoid,
    "softplus": torch.nn.functional.softplus,
    "l1_norm": lambda v: v.norm(1, dim=0),
    "amax": lambda v: v.amax(0),
    "argmax": lambda v: v.argmax(0),
    "positive": lambda v: v > 0,
    "cumsum": lambda v: v.cumsum(0),
}


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int32, torch.int64], ids=str
)
def test_functions_of_converted_constants(dtype: torch.dtype) -> None:
    """OpenVINO leaves out the absolute value of a constant behind a conversion, whatever its signs."""
    w = there(torch.tensor([0.0, 1.5, -1.5, 2.0, -100.0, -0.0]).to(dtype))
    x = there(torch.randn(6))

    def function(x: Tensor) -> list[Tensor]:
        alone = [f(w.float()) for f in OF_ONE.values()]
        joined = [f(torch.cat([w.float(), x])) for name, f in OF_ONE.items() if name != "abs_of_a_view"]
        return [*alone, *joined, x + 1]

    outcome = compile_function(function, x)
    for _ in range(2):
        outcome.check(x)
