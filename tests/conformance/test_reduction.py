# SPDX-License-Identifier: Apache-2.0
"""Sums, means, extremes, logical and cumulative reductions, softmax."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim

from tests.conformance.harness import FLOATS, INTEGERS, check, check_refused, compile_function, on_the_cpu_only
from torch_tensorrt._engine import engines_of

NAN, INF = float("nan"), float("inf")

# name: (function of (x, dim, keepdim), function of x alone or None)
FUNCTIONS: dict[str, tuple[Callable[..., Tensor], Callable[[Tensor], Tensor] | None]] = {
    "sum": (torch.sum, torch.sum),
    "mean": (torch.mean, torch.mean),
    "amax": (torch.amax, torch.amax),
    "amin": (torch.amin, torch.amin),
    "any": (torch.any, torch.any),
    "all": (torch.all, torch.all),
    "prod": (torch.prod, torch.prod),
    "var": (lambda x, dim, keepdim: torch.var(x, dim, keepdim=keepdim), torch.var),
    "var_biased": (lambda x, dim, keepdim: torch.var(x, dim, correction=0, keepdim=keepdim), None),
    "std": (lambda x, dim, keepdim: torch.std(x, dim, keepdim=keepdim), torch.std),
    "logsumexp": (torch.logsumexp, None),
    "norm": (lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim), torch.linalg.vector_norm),
}
ANY_DTYPE = ("sum", "amax", "amin", "any", "all", "prod")
SEVERAL_DIMS = ("sum", "mean", "amax", "amin", "var", "std", "norm", "logsumexp", "any", "all")
CASES = [(name, dtype) for name in FUNCTIONS for dtype in (*FLOATS, *(INTEGERS if name in ANY_DTYPE else ()))]


def values(dtype: torch.dtype, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    return torch.randint(-3, 4, shape, generator=generator).to(dtype)


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", [0, -1, 1])
@pytest.mark.parametrize(("name", "dtype"), CASES, ids=str)
def test_one_dimension(name: str, dtype: torch.dtype, dim: int, keepdim: bool) -> None:
    x = values(dtype, 3, 4, 5)
    compile_function(lambda x: FUNCTIONS[name][0](x, dim, keepdim), x).check(x)


@pytest.mark.parametrize("name", SEVERAL_DIMS)
@pytest.mark.parametrize("dims", [(0, 2), (-1, -2), (0, 1, 2)], ids=str)
def test_several_dimensions(name: str, dims: tuple[int, ...]) -> None:
    x = values(torch.float32, 3, 4, 5)
    compile_function(lambda x: FUNCTIONS[name][0](x, dims, False), x).check(x)


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=str)
def test_all_elements(name: str, dtype: torch.dtype) -> None:
    function = FUNCTIONS[name][1]
    if function is None:
        pytest.skip("takes dimensions only")
    x = values(dtype, 3, 4)
    compile_function(function, x).check(x)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin"])
def test_goes_to_the_engine(name: str) -> None:
    check(lambda x: FUNCTIONS[name][0](x, -1, True), values(torch.float32, 3, 4))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("special", [NAN, INF, -INF, -0.0], ids=str)
def test_special_values(name: str, special: float) -> None:
    x = values(torch.float32, 3, 4)
    outcome = compile_function(lambda x: FUNCTIONS[name][0](x, 1, False), x)
    outcome.check(x)
    x[1, 2] = special
    outcome.check(x)
    x[2] = special
    outcome.check(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dynamic_shapes(name: str) -> None:
    rows, columns = Dim("rows", min=1, max=50), Dim("columns", min=2, max=50)
    x = values(torch.float32, 3, 4)
    outcome = compile_function(lambda x: FUNCTIONS[name][0](x, 0, True), x, dynamic=({0: rows, 1: columns},))
    for shape in ((3, 4), (1, 50), (50, 2)):
        outcome.check(values(torch.float32, *shape))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("amax", "amin")])
def test_nothing_to_reduce(name: str) -> None:
    x = torch.empty(3, 0)
    compile_function(lambda x: FUNCTIONS[name][0](x, 1, False), x).check(x)
    compile_function(lambda x: FUNCTIONS[name][0](x, 0, False), x).check(x)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16], ids=str)
@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin", "any", "all"])
def test_small_types_widen_as_in_pytorch(name: str, dtype: torch.dtype) -> None:
    """sum and prod of integers and bools are int64."""
    x = torch.tensor([[0, 1, 1, 100], [1, 1, 1, 127]]).to(dtype)
    compile_function(lambda x: FUNCTIONS[name][0](x, 1, False), x).check(x)


def test_sums_that_float32_would_round() -> None:
    """Four usual integers stay within 2**24; those that do not are the exact form's, and so are all sums of many."""
    check(lambda x: x.sum(0), torch.tensor([2**24, 1, 1, 1], dtype=torch.int32))
    check(lambda x: x.sum(0), torch.tensor([2**40, 1]))
    check_refused(lambda x: x.sum(0), torch.full((64,), 2**24, dtype=torch.int32), reason="DATA_TYPE")


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=str)
@pytest.mark.parametrize("target", [torch.float32, torch.float64, torch.int64], ids=str)
def test_given_dtype(dtype: torch.dtype, target: torch.dtype) -> None:
    x = values(dtype, 3, 4)
    compile_function(lambda x: x.sum(1, dtype=target), x).check(x)
    if target.is_floating_point:
        compile_function(lambda x: x.mean(1, dtype=target), x).check(x)
        compile_function(lambda x: x.softmax(1, dtype=target), x).check(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("dims", [0, (0, 1), (1, 2)], ids=str)
def test_variances_of_large_numbers(dims: int | tuple[int, ...], correction: int, dtype: torch.dtype) -> None:
    """PyTorch adds squares up in double: the deviation of 1e34 is 1e34, and a variance of 2e38 is no infinity."""

    def function(x: Tensor) -> tuple[Tensor, ...]:
        keywords: dict[str, Any] = {"dim": dims, "correction": correction}
        return torch.std(x, **keywords), torch.var(x, **keywords)

    x = values(torch.float32, 3, 4, 5).to(dtype)
    outcome = check(function, x)
    assert not sum(sum(engine.exact_calls()) for engine in engines_of(outcome.module))
    for scale in (1e18, 1.3e19, 1e25, 1e34, 1e38):
        outcome.check((x.float() * scale).clamp(-3e38, 3e38).to(dtype))
    for special in (INF, NAN, -INF):
        y = x.clone()
        y[1, 1, 1] = special
        outcome.check(y)


def test_half_precision_sums_are_accumulated_wide() -> None:
    """4096 ones are 4096, although float16 and bfloat16 stop counting before."""
    for dtype in FLOATS:
        check(lambda x: x.sum(-1), torch.ones(2, 4096, dtype=dtype))
        check(lambda x: x.mean(-1), torch.ones(2, 4096, dtype=dtype))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str, dim: int, dtype: torch.dtype) -> None:
    function = getattr(torch, name)
    x = (values(torch.float32, 3, 4, 5) * 10).to(dtype)
    outcome = check(lambda x: function(x, dim), x)
    outcome.check((x.float() * 1000).clamp(-6e4, 6e4).to(dtype))
    x[0, 0, 0], x[1, 1, 1], x[2, 2] = NAN, INF, -INF
    outcome.check(x)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.bool], ids=str)
@pytest.mark.parametrize("dim", [0, -1])
def test_cumsum(dim: int, dtype: torch.dtype) -> None:
    x = values(torch.float32, 4, 6).to(dtype)
    compile_function(lambda x: x.cumsum(dim), x).check(x)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "amax", "all"])
def test_one_element(name: str, shape: tuple[int, ...]) -> None:
    x = torch.full(shape, 3.0)
    function: Any = FUNCTIONS[name][1]
    compile_function(function, x).check(x)
    compile_function(lambda x: FUNCTIONS[name][0](x, -1, False), x).check(x)


@pytest.mark.parametrize("dtype", [torch.bool, *INTEGERS])
@pytest.mark.parametrize("function", [torch.sum, torch.prod])
def test_sums_wrap_around(function: Callable[..., Tensor], dtype: torch.dtype) -> None:
    """Sums and products beyond the dtype that they are asked for."""
    x = (values(torch.int64, 3, 5) * 37 - 100).to(dtype)

    def all_dtypes(x: Tensor) -> list[Tensor]:
        into = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
        return [*(function(x, 1, dtype=item) for item in into), *(function(x, dtype=item) for item in into)]

    outcome = compile_function(all_dtypes, x)
    assert outcome.engines or function is torch.prod  # products of wide integers may leave 32 bits
    outcome.check(x)


@on_the_cpu_only
@pytest.mark.parametrize("dim", [None, 0, (0, 1)])
def test_deviations_beside_means_do_not_overflow(dim: Any) -> None:
    """Eager's kernels for the CPU add up squares in double precision."""
    x = torch.tensor([[0.5, 1.5, 3e38, -3e38], [1e25, -2e25, 3e25, 0.0]])
    check(lambda x: torch.std_mean(x, dim, correction=0, keepdim=True), x)
    check(lambda x: torch.std_mean(x, dim), values(torch.float32, 3, 4))
