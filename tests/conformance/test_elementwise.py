# SPDX-License-Identifier: Apache-2.0
"""Operators that work element by element: arithmetic, comparison, logic, functions, activations, casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.export import Dim

from .harness import FLOATS, INTEGERS, ON_GPU, check, check_refused, compile_function, on_the_cpu_only, there

NAN, INF = math.nan, math.inf
# What rounding, signs and special values can do to an operator.
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, -3.7, 1e-3, -1e-3, 20.5, -20.5, 88.0, -88.0, 3e4, -3e4]
NOT_FINITE = [NAN, INF, -INF]


def special(dtype: torch.dtype, *, finite: bool = False) -> Tensor:
    return torch.tensor(SPECIAL + ([] if finite else NOT_FINITE), dtype=dtype)


def pairs(dtype: torch.dtype, *, finite: bool = False) -> tuple[Tensor, Tensor]:
    """Every special value with every other."""
    values = special(dtype, finite=finite)
    return values.repeat_interleave(len(values)), values.repeat(len(values))


BINARY: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "add_alpha": lambda a, b: torch.add(a, b, alpha=2),
    "sub": torch.sub,
    "rsub": torch.rsub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary_on_floats(name: str, dtype: torch.dtype) -> None:
    check(BINARY[name], *pairs(dtype))


@pytest.mark.parametrize("name", [name for name in BINARY if name != "div"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_binary_on_integers(name: str, dtype: torch.dtype) -> None:
    a, b = torch.randint(-50, 50, (2, 40), dtype=dtype)
    outcome = compile_function(BINARY[name], a, b)
    outcome.check(a, b)
    if dtype == torch.int32:
        # Results that leave 32 bits wrap around.
        low, high = torch.iinfo(dtype).min, torch.iinfo(dtype).max
        outcome.check(torch.full((40,), high, dtype=dtype), torch.full((40,), 7, dtype=dtype))
        outcome.check(torch.full((40,), low, dtype=dtype), torch.full((40,), high, dtype=dtype))


def test_sums_of_64_bits_are_exact() -> None:
    """OpenVINO computes in 32 bits: 2**31 - 1 + 1 must not come out negative. The exact form answers such calls."""
    a = torch.full((8,), 2**31 - 1)
    check(torch.add, a, torch.ones_like(a))
    check(lambda x: x * 2 + 1, torch.tensor([2**40 + 3]))


def test_products_of_64_bits_stay_in_pytorch() -> None:
    """Two factors of 20 bits, which is what engines assume of int64, already leave 32 bits."""
    a = torch.full((8,), 2**31 - 1)
    check_refused(torch.mul, a, a, reason="DATA_TYPE")


def test_bounded_64_bit_arithmetic_goes_to_the_engine() -> None:
    check(lambda x: torch.arange(x.shape[0]) * 3 + 1 + x, torch.randn(5), dynamic=({0: Dim("n", min=1, max=100)},))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16], ids=str)
@pytest.mark.parametrize("name", ["add", "sub", "mul"])
def test_narrow_integers_wrap_around(name: str, dtype: torch.dtype) -> None:
    values = torch.tensor([0, 1, 100, 127, -1 if dtype.is_signed else 255], dtype=dtype)
    compile_function(BINARY[name], values, values.flip(0)).check(values, values.flip(0))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float16),
        (torch.int32, torch.float32),
        (torch.bool, torch.float32),
        (torch.bool, torch.int32),
        (torch.int32, torch.int64),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["add", "mul", "lt", "eq", "maximum"])
def test_dtypes_are_promoted(name: str, left: torch.dtype, right: torch.dtype) -> None:
    a = torch.tensor([[1], [0], [3]]).to(left)
    b = torch.tensor([0, 1, 2, 3]).to(right)
    compile_function(BINARY[name], a, b).check(a, b)


@pytest.mark.parametrize("name", ["add", "mul", "div", "lt", "ge", "maximum"])
def test_tensors_without_dimensions_do_not_decide_the_dtype(name: str) -> None:
    a = torch.randn(4).half()
    check(BINARY[name], a, torch.tensor(1.1)) if name != "maximum" else check(BINARY[name], a, torch.tensor(1.1).half())


@pytest.mark.parametrize("number", [2, -3, 0.1, True, NAN, INF], ids=str)
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS], ids=str)
@pytest.mark.parametrize("name", ["add", "mul", "div", "rsub", "lt", "ge", "eq"])
def test_numbers(name: str, dtype: torch.dtype, number: Any) -> None:
    if name == "rsub" and number is True:
        pytest.skip("PyTorch does not subtract from a bool")
    x = torch.tensor([-3, -1, 0, 1, 2, 5]).to(dtype)
    compile_function(lambda x: BINARY[name](x, number), x).check(x)


@pytest.mark.parametrize("shapes", [((2, 1, 4), (3, 1)), ((), (2, 3)), ((1,), (4,)), ((0, 3), (1, 3))], ids=str)
def test_broadcasting(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    inputs = [torch.randn(shape) for shape in shapes]
    outcome = compile_function(torch.sub, *inputs)
    assert ON_GPU or not outcome.refusals or 0 in shapes[0]  # nothing to compute stays in PyTorch
    outcome.check(*inputs)


@pytest.mark.parametrize("mode", ["floor", "trunc"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32], ids=str)
def test_rounded_division(mode: str, dtype: torch.dtype) -> None:
    a, b = torch.tensor([7, -7, 7, -7, 16777217]).to(dtype), torch.tensor([2, 2, -2, -2, 1]).to(dtype)
    compile_function(lambda a, b: torch.div(a, b, rounding_mode=mode), a, b).check(a, b)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.5, -1, -0.5, 2.5, -2])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_powers(exponent: float, dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, 0.5, 1.0, 2.0, 7.5, -1.5, NAN, INF], dtype=dtype)
    compile_function(lambda x: x**exponent, x).check(x)


def test_powers_of_tensors() -> None:
    a, b = torch.tensor([0.0, 0.5, 2.0, 3.0, 9.0]), torch.tensor([2.0, -0.5, 3.0, 0.0, 0.5])
    compile_function(torch.pow, a, b).check(a, b)
    compile_function(lambda b: torch.pow(2.0, b), b).check(b)


LOGIC: dict[str, Callable[..., Tensor]] = {
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "bitwise_and": torch.bitwise_and,
    "bitwise_or": torch.bitwise_or,
    "bitwise_xor": torch.bitwise_xor,
}


@pytest.mark.parametrize("name", LOGIC)
def test_logic_on_bools(name: str) -> None:
    check(LOGIC[name], torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False]))


@pytest.mark.parametrize("name", LOGIC)
def test_logic_on_integers(name: str) -> None:
    a, b = torch.tensor([6, 0, 3, -1], dtype=torch.int32), torch.tensor([3, 5, 0, 2], dtype=torch.int32)
    compile_function(LOGIC[name], a, b).check(a, b)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_logic_on_floats_takes_nan_for_true(dtype: torch.dtype) -> None:
    check(torch.logical_and, *pairs(dtype))
    check(torch.logical_not, special(dtype))


UNARY = (
    "abs neg exp log sqrt rsqrt reciprocal sin cos tan sinh cosh asin acos atan asinh acosh atanh erf floor ceil "
    "round isnan isinf sign log1p expm1 log2 log10 trunc frac exp2 square sigmoid tanh relu"
)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {name: getattr(torch, name) for name in UNARY.split()}
FUNCTIONS |= {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "elu": lambda x: F.elu(x, 0.7),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "mish": F.mish,
    "softplus": F.softplus,
    "selu": F.selu,
    "celu": F.celu,
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "clamp": lambda x: x.clamp(-1.5, 2.0),
    "clamp_min": lambda x: x.clamp(min=0.25),
    "clamp_max": lambda x: x.clamp(max=0.25),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, dtype: torch.dtype) -> None:
    x = special(dtype)
    if name == "gelu":  # of infinity PyTorch gives infinity or NaN, by dtype and processor
        x = x[~x.isinf()]
    compile_function(FUNCTIONS[name], x).check(x)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_on_a_grid(name: str, dtype: torch.dtype) -> None:
    x = torch.linspace(-6, 6, 977).to(dtype)
    compile_function(FUNCTIONS[name], x).check(x)


# The operators of networks people have: these must not fall back.
EVERYDAY = (
    "abs neg exp log sqrt rsqrt reciprocal sin cos erf floor sigmoid tanh relu silu gelu gelu_tanh elu leaky_relu "
    "hardsigmoid hardswish hardtanh relu6 mish softplus clamp clamp_min clamp_max"
)


@pytest.mark.parametrize("name", EVERYDAY.split())
def test_functions_that_must_not_be_refused(name: str) -> None:
    check(FUNCTIONS[name], torch.rand(3, 7) + 0.1)


@pytest.mark.parametrize("name", ["abs", "neg", "sign", "relu", "square", "clamp_int"])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_functions_of_integers(name: str, dtype: torch.dtype) -> None:
    function = FUNCTIONS.get(name, lambda x: x.clamp(-2, 3))
    x = torch.tensor([-5, -1, 0, 1, 4], dtype=dtype)
    compile_function(function, x).check(x)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.bool], ids=str)
def test_where_and_masked_fill(dtype: torch.dtype) -> None:
    condition = torch.tensor([[True], [False]])
    a, b = torch.tensor([1, 0, 3]).to(dtype), torch.tensor([[0, 1, 0]]).to(dtype)
    check(torch.where, condition, a, b)
    check(lambda c, a: torch.where(c, a, 1), condition, a)
    check(lambda x, mask: x.masked_fill(mask, 1), a.expand(2, 3).contiguous(), condition.expand(2, 3).contiguous())


def test_masked_fill_with_infinity() -> None:
    check(lambda x, m: x.masked_fill(m, -INF), torch.randn(2, 3), torch.rand(2, 3) > 0.5)


@pytest.mark.parametrize("target", [*FLOATS, *INTEGERS, torch.bool, torch.uint8, torch.int8], ids=str)
@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, torch.bool, torch.uint8, torch.int8], ids=str)
def test_casts(source: torch.dtype, target: torch.dtype) -> None:
    values = [0, 1, 2, 100, 127] + ([-1, -100] if source.is_signed and target not in (torch.uint8,) else [])
    x = torch.tensor(values).to(source)
    if source.is_floating_point:
        x = torch.cat([x, torch.tensor([0.3, 1.7, 2.5]).to(source)])
    compile_function(lambda x: x.to(target), x).check(x)


@pytest.mark.parametrize("source", [torch.float32, torch.int32, torch.int64], ids=str)
def test_casts_that_narrow(source: torch.dtype) -> None:
    """What does not fit wraps around in PyTorch."""
    x = torch.tensor([300, 128, 255, 256]).to(source)
    compile_function(lambda x: x.to(torch.uint8), x).check(x)
    if not source.is_floating_point:
        compile_function(lambda x: x.to(torch.int8), x).check(x)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_floats_become_bool_where_they_are_not_zero(dtype: torch.dtype) -> None:
    check(lambda x: x.bool(), special(dtype))


@on_the_cpu_only
def test_large_64_bit_inputs_are_right() -> None:
    """A value that 32 bits do not hold is one for the exact form, never another value."""
    check(lambda x: x.float() * 2, torch.arange(4), more=[(torch.tensor([0, 1, 2, 2**32]),)])


def test_half_precision_is_no_less_precise_than_eager() -> None:
    """Between operators the engine may keep more bits than the dtype has, as torch.compile does; where the model itself
    rounds, it rounds."""
    x = torch.full((4,), 2048.0, dtype=torch.float16)
    outcome = compile_function(lambda x: (x + 1) - 2048, x)
    assert all(value in (0, 1) for value in outcome.answer(x).tolist())  # eager's 0 or the exact 1
    values = torch.tensor([1.0009765, 3.14159265, 1e-8, 70000.0])
    check(lambda x: x.to(torch.float16).to(torch.float32) * 2, values)
    check(lambda x: x.to(torch.bfloat16).to(torch.float32) * 2, values)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("number", [INF, -INF], ids=str)
def test_infinite_numbers(dtype: torch.dtype, number: float) -> None:
    """OpenVINO makes the largest number of an infinite bfloat16 constant."""
    x = torch.tensor([0.0, -2.0, INF, -INF, torch.finfo(dtype).max, torch.finfo(dtype).min]).to(dtype)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        compared = x == number, x != number, x < number, x >= number, torch.isinf(x), torch.isfinite(x)
        computed = x * number, x / number, x - number, torch.maximum(x, torch.full_like(x, number)), x.clamp(max=number)
        return *compared, *computed

    compile_function(function, x).check(x)


def test_empty_tensors() -> None:
    x = torch.randn(0, 3)
    compile_function(lambda x: (x * 2).relu(), x).check(x)  # stays in PyTorch: there is nothing to compute
    check(
        lambda x: (x * 2).relu(), torch.randn(4, 3), dynamic=({0: Dim("n", min=0, max=8)},), more=[(torch.randn(0, 3),)]
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("exponent", [0.5, -0.5, -1, 2, 3, 2.5])
@pytest.mark.parametrize("shape", [None, (), (1,), (8,)], ids=["number", "0-d", "one", "vector"])
def test_powers_of_special_values(shape: tuple[int, ...] | None, exponent: float, dtype: torch.dtype) -> None:
    """PyTorch takes roots for pow, but not of float16, nor where the exponent is a tensor."""
    x = there(torch.tensor([-INF, INF, NAN, 0.0, -0.0, -2.0, 4.0, 1.0]).to(dtype))
    by = exponent if shape is None else there(torch.full(shape, exponent, dtype=dtype))
    outcome = check(lambda x: torch.pow(x, by), x)
    expected = torch.pow(x, by)
    assert torch.equal(torch.signbit(outcome.answer(x).nan_to_num(1)), torch.signbit(expected.nan_to_num(1)))
