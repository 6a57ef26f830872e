# SPDX-License-Identifier: Apache-2.0
"""Half precision: casts that lose numbers, and statistics that PyTorch computes in float32."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional as F

from .harness import BFLOAT16_IN_HARDWARE, compile_function, on_the_cpu_only, skip_bfloat16_in_hardware, there

HALVES = (torch.bfloat16, torch.float16)
CASTS = (torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("given", CASTS, ids=str)
def test_chains_of_casts(given: torch.dtype, dynamic: bool) -> None:
    """Of numbers that the one type holds and the other does not: bfloat16 and float16 are of one size."""
    # All of them bfloat16's: how the plugin rounds to bfloat16 depends on the machine.
    x = torch.tensor([3e38, -3e38, 7e4, 65280.0, 1e-30, 6e-8, 1.0078125, 0.1]).bfloat16().to(given)
    chains = [chain for chain in itertools.product(CASTS, repeat=3) if chain[0] != given]

    def function(x: Tensor) -> list[Tensor]:
        results = []
        for chain in chains:
            y = x
            for dtype in chain:
                y = y.to(dtype)
            results.append(y)
            results.append(y.reshape(2, -1).t().float())
        return results

    shapes = ({0: Dim("n", min=1, max=8) * 2},) if dynamic else None
    outcome = compile_function(function, x, dynamic=shapes)
    for actual, expected in zip(outcome.answer(x), outcome.reference(x), strict=True):
        assert torch.equal(actual, expected)


STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "var": lambda x: x.var(1),
    "std": lambda x: x.std(1),
    "var_biased": lambda x: x.var(1, correction=0),
    "var_of_all": lambda x: x.var(),
    "var_mean": lambda x: torch.stack(torch.var_mean(x, 1)),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "group_norm": lambda x: F.group_norm(x[:, :, None], 4),
    "instance_norm": lambda x: F.instance_norm(x[None]),
    "rms_norm": lambda x: F.rms_norm(x, x.shape[1:]),
    "normalize": lambda x: F.normalize(x, dim=1),
    "softmax": lambda x: x.softmax(1),
    "norm": lambda x: (x / 64).norm(dim=1),
}


@pytest.mark.parametrize("rows", [2, 4, 16])
@pytest.mark.parametrize("mean", [0.0, 100.0, 300.0])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_statistics(dtype: torch.dtype, mean: float, rows: int) -> None:
    """Means far from zero, and squares beyond float16."""
    torch.manual_seed(0)
    x = there((torch.randn(rows, 64) + mean).to(dtype))
    names = [name for name in STATISTICS if name != "instance_norm"]
    outcome = compile_function(lambda x: [STATISTICS[name](x) for name in names], x)
    exact = {name: STATISTICS[name](x.double()) for name in names}
    for name, actual, eager in zip(names, outcome.answer(x), outcome.reference(x), strict=True):
        # As near to the truth as eager is, or within two roundings of it.
        largest = exact[name].abs().max().item()
        allowed = (eager.double() - exact[name]).abs().max().item() + 2 * largest * torch.finfo(dtype).eps
        assert (actual.double() - exact[name]).abs().max().item() <= allowed, name


NUMBERS = (1.0117, 1 / 3, -0.01, 3, 10, 257, 70000, 1e-5)
"""Neither half holds most of them."""

WITH_A_NUMBER: dict[str, Callable[[Tensor, float], Tensor]] = {
    "mul": lambda x, n: x * n,
    "rmul": lambda x, n: n * x,
    "div": lambda x, n: x / n,
    "add": lambda x, n: x + n,
    "sub": lambda x, n: x - n,
    "rsub": lambda x, n: n - x,
    "add_alpha": lambda x, n: torch.add(x, x.flip(0), alpha=n),
    "sub_alpha": lambda x, n: torch.sub(x, x.flip(0), alpha=n),
    "rsub_alpha": lambda x, n: torch.rsub(x, x.flip(0), alpha=n),
    "mul_0d": lambda x, n: x * torch.tensor(n),
    "rmul_0d": lambda x, n: torch.tensor(n) * x,
    "div_0d": lambda x, n: x / torch.tensor(n),
    "rdiv_0d": lambda x, n: torch.tensor(n) / x,
    "add_0d": lambda x, n: x + torch.tensor(n),
    "div_size": lambda x, n: x / (x.shape[0] + 257),
    "mul_size": lambda x, n: x * (x.shape[0] + 257),
    "pow": lambda x, n: x.abs().pow(min(n, 1.3)),
    "rpow": lambda x, n: torch.pow(abs(n), x),
    "gt": lambda x, n: x > n,
    "ge": lambda x, n: x >= n,
    "eq": lambda x, n: x == n,
    "clamp": lambda x, n: x.clamp(-abs(n), abs(n)),
    "clamp_min": lambda x, n: x.clamp_min(n),
    "maximum": lambda x, n: torch.maximum(x, torch.tensor(n).to(x.dtype)),
    "where": lambda x, n: torch.where(x > 0, x, n),
    "masked_fill": lambda x, n: x.masked_fill(x > 0, n),
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "hardtanh": lambda x, n: F.hardtanh(x, -abs(n), abs(n)),
    "hardsigmoid": lambda x, n: F.hardsigmoid(x),
    "threshold": lambda x, n: F.threshold(x, 0.1, n),
    "hardshrink": F.hardshrink,
    "addcmul": lambda x, n: torch.addcmul(x, x.flip(0), x, value=n),
    "addcdiv": lambda x, n: torch.addcdiv(x, x.flip(0), x, value=n),
    "lerp": lambda x, n: torch.lerp(x, x.flip(0), n),
    "xlogy": lambda x, n: torch.xlogy(x * 2, abs(n)),
    "rxlogy": lambda x, n: torch.xlogy(n, x.abs() * 2),
    "xlog1py": lambda x, n: torch.special.xlog1py(x * 2, abs(n)),
    "rxlog1py": lambda x, n: torch.special.xlog1py(n, x.abs() * 2),
}


@on_the_cpu_only
@pytest.mark.parametrize(
    ("name", "dynamic"),
    [(name, False) for name in WITH_A_NUMBER]
    + [(name, True) for name in ("mul", "div", "mul_size", "div_size", "add_alpha", "leaky_relu")],
)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_numbers_that_the_dtype_does_not_hold(dtype: torch.dtype, name: str, dynamic: bool) -> None:
    """Some of PyTorch's kernels round a number beside half precision to its dtype first, some keep it in float32: bit
    by bit, since what is rounded wrongly is a bias."""
    torch.manual_seed(0)
    # Of whole vectors, behind which eager's kernels round once more.
    x = torch.cat([torch.randn(256 - len(NUMBERS)) * 3, torch.tensor(NUMBERS).float()]).to(dtype)
    function = WITH_A_NUMBER[name]
    shapes = ({0: Dim("n", min=1, max=1024)},) if dynamic else None
    numbers = [number for number in NUMBERS if _takes(function, x, number)]
    outcome = compile_function(lambda x: [function(x, number) for number in numbers], x, dynamic=shapes)
    assert outcome.engines, outcome.refusals
    for given in (x, x[:128]) if dynamic else (x,):
        for number, ours, expected in zip(numbers, outcome.answer(given), outcome.reference(given), strict=True):
            actual, eager = ours, expected
            if expected.dtype is torch.bfloat16 and BFLOAT16_IN_HARDWARE:  # it makes zeros of subnormal results
                is_zero = expected.abs() < torch.finfo(dtype).tiny
                actual, eager = ours.masked_fill(is_zero, 0), expected.masked_fill(is_zero, 0)
            if name == "lerp":  # in several steps of float32, which may meet a tie
                assert (actual != eager).sum() <= 1, number
            else:
                torch.testing.assert_close(actual, eager, rtol=0, atol=0, equal_nan=True, msg=f"{name} {number}")


def _takes(function: Callable[[Tensor, float], Tensor], x: Tensor, number: float) -> bool:
    """Whether eager does: some kernels refuse numbers beyond the dtype's largest."""
    try:
        function(x, number)
    except RuntimeError:
        return False
    return True


@on_the_cpu_only
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_a_number_that_is_an_input(dtype: torch.dtype) -> None:
    """A 0-d float32 tensor beside half precision is kept in float32 as the second operand."""
    torch.manual_seed(0)
    x = torch.randn(256).to(dtype)
    numbers = [torch.tensor(number, dtype=torch.float32) for number in NUMBERS]
    outcome = compile_function(lambda x, n: (x * n, x / n), x, numbers[0])
    assert not outcome.refusals, outcome.refusals
    for number in numbers:
        for actual, eager in zip(outcome.answer(x, number), outcome.reference(x, number), strict=True):
            assert torch.equal(actual, eager), number


@on_the_cpu_only
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("name", ["addmm", "baddbmm", "addmv"])
def test_numbers_beside_products(dtype: torch.dtype, name: str) -> None:
    """Of numbers whose products are exact, so that little else rounds."""
    skip_bfloat16_in_hardware(dtype)
    torch.manual_seed(0)
    x = torch.randint(-8, 8, (2, 64, 80)).to(dtype)
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "addmm": lambda x: torch.addmm(x[0, :, :64], x[0], x[1].t(), beta=1.0117, alpha=1 / 3),
        "baddbmm": lambda x: torch.baddbmm(x[:, :, :64], x, x.transpose(1, 2), beta=1.0117, alpha=1 / 3),
        "addmv": lambda x: torch.addmv(x[1, :, 0], x[0], x[1, 0], beta=1.0117, alpha=1 / 3),
    }
    outcome = compile_function(functions[name], x)
    assert not outcome.refusals, outcome.refusals
    actual, eager = outcome.answer(x), outcome.reference(x)
    assert (actual != eager).double().mean() < (0.1 if name == "addmv" else 0.02)
    torch.testing.assert_close(actual, eager, rtol=2 * torch.finfo(dtype).eps, atol=0)


@on_the_cpu_only
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_the_scale_of_attention(dtype: torch.dtype) -> None:
    """Scores of 0 and -64, so that a scale off by one in 256 is seen."""
    skip_bfloat16_in_hardware(dtype)
    q = torch.full((1, 2, 3, 64), 1.0).to(dtype)
    k = torch.stack([torch.zeros(64), torch.full((64,), -1.0)]).expand(1, 2, 2, 64).to(dtype)
    v = torch.stack([torch.zeros(64), torch.ones(64)]).expand(1, 2, 2, 64).to(dtype)
    for scale in (0.1255, 0.1257, 0.1101):
        outcome = compile_function(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=scale), q, k, v)  # noqa: B023
        assert not outcome.refusals, outcome.refusals
        exact = torch.sigmoid(torch.tensor(-64 * scale, dtype=torch.float64)).item()
        error = (outcome.answer(q, k, v).double() / exact - 1).abs().max().item()
        assert error <= 2 * torch.finfo(dtype).eps, (scale, error)
