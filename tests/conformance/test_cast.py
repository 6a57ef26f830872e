# SPDX-License-Identifier: Apache-2.0
"""Every dtype to every dtype, as far as PyTorch defines the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn import functional as F

from .harness import BFLOAT16_IN_HARDWARE, ON_GPU, check, check_refused, compile_function, there

NAN, INF = float("nan"), float("inf")
FLOATING = (torch.float32, torch.float16, torch.bfloat16)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
DTYPES = (*FLOATING, torch.float64, *WHOLE, torch.bool)


def ordinary(source: torch.dtype, target: torch.dtype) -> Tensor:
    """Values of `source` whose cast to `target` PyTorch defines: in range, whether or not they need rounding."""
    if source == torch.bool:
        return torch.tensor([[True, False], [False, True]])
    if source.is_floating_point:
        numbers = [0.0, -0.0, 0.5, 1.0, 1.5, 2.5, 2.999, 63.7, 100.3, 126.9, 0.1, 1 / 3, 3e-5]
        if target != torch.uint8:
            numbers += [-number for number in numbers]
        x = torch.tensor(numbers, dtype=torch.float64).to(source)
    elif target.is_floating_point or target == torch.bool:
        limits = torch.iinfo(source if source != torch.int64 else torch.int32)
        edges = [limits.min, limits.min + 1, limits.max - 1, limits.max]
        odd = [number for number in (257, 2049, 2051, 4097, 65519, 2**24 + 1, 2**24 + 3) if number <= limits.max]
        x = torch.tensor([0, 1, 2, 100, *edges, *odd], dtype=source)
    else:  # Integers wrap around in PyTorch.
        limits = torch.iinfo(source if source != torch.int64 else torch.int32)
        middle = [number for number in (128, 200, 255, 256, 300, 32768, 65535, 70000) if number <= limits.max]
        x = torch.tensor([0, 1, 127, limits.min, limits.max, *middle], dtype=source)
    return x


@pytest.mark.parametrize("target", DTYPES, ids=str)
@pytest.mark.parametrize("source", DTYPES, ids=str)
def test_cast(source: torch.dtype, target: torch.dtype) -> None:
    x = ordinary(source, target)
    outcome = compile_function(lambda x, y: (x.to(target), y + 1), x, torch.ones(2))
    outcome.check(x, torch.ones(2))
    # The same in the middle of a graph, where engines may fuse or drop the cast.
    outcome = compile_function(lambda x: x.flip(0).to(target).view(-1, 1), x)
    outcome.check(x)


@pytest.mark.parametrize("middle", DTYPES, ids=str)
@pytest.mark.parametrize("outer", [torch.float32, torch.float16, torch.int32, torch.uint8], ids=str)
def test_there_and_back(outer: torch.dtype, middle: torch.dtype) -> None:
    """The narrower dtype's rounding, wrapping and cutting remain visible."""
    x = ordinary(outer, middle)
    if middle.is_floating_point and outer == torch.int32:  # Back from beyond int32, or from infinity, is not defined.
        bound = 60000 if middle == torch.float16 else 2**30 + 65
        x = x.clamp(-bound, bound)
    compile_function(lambda x: x.flip(0).to(middle).to(outer), x).check(x)
    if outer.is_floating_point or middle.is_floating_point:
        return  # Engines may compute halves in float32, so their sums there are more precise than PyTorch's.
    x = x.clamp(max=torch.iinfo(outer).max - 1)  # An int64 that an engine takes has to fit 32 bits.
    compile_function(lambda x: (x.flip(0).to(middle) + 1).to(outer), x).check(x)


@pytest.mark.parametrize("source", FLOATING, ids=str)
def test_special_values_to_floating(source: torch.dtype) -> None:
    x = torch.tensor([NAN, INF, -INF, -0.0, 65504.0, 65519.0, 65520.0, -70000.0, 3.4e38, 3.39e38, 1e-45, 6e-8, 2e-8])
    x = x.to(source)
    for target in FLOATING:
        outcome = compile_function(lambda x, to=target: x.flip(0).to(to), x)
        outcome.check(x)
        signs = torch.signbit(outcome.reference(x)) & ~outcome.reference(x).isnan()
        assert torch.equal(torch.signbit(outcome.answer(x)) & ~outcome.reference(x).isnan(), signs)


@pytest.mark.parametrize("source", FLOATING, ids=str)
def test_ties_round_to_even(source: torch.dtype) -> None:
    ties = torch.arange(0, 64) * 2.0**-11 + 1  # halfway between float16's neighbours, every other one
    ties = torch.cat((ties, torch.arange(0, 64) * 2.0**-8 + 1, torch.arange(2048, 2080).float()))
    x = torch.cat((ties, -ties)).to(source)
    for target in FLOATING:
        for dynamic in (None, ({0: Dim("n", min=1, max=999)},)):
            outcome = compile_function(lambda x, to=target: x.flip(0).to(to), x, dynamic=dynamic)
            assert torch.equal(outcome.answer(x), outcome.reference(x))
            assert outcome.answer(x).dtype == target


@pytest.mark.parametrize("source", [*FLOATING, *WHOLE], ids=str)
def test_to_bool(source: torch.dtype) -> None:
    """Everything but zero is true: fractions, denormals, NaN, multiples of 256."""
    values = [0.0, -0.0, 0.25, -0.25, 0.999, 6e-8, NAN, INF, -INF, 256.0] if source.is_floating_point else [0, 1, -1, 2]
    if source in (torch.int64, torch.int32, torch.int16):
        values += [256, 512, -256]
    if source == torch.uint8:
        values = [0, 1, 255]
    if source == torch.float32:
        values += [1e-45, 1e-39]
    x = torch.tensor(values).to(source)
    compile_function(lambda x: x.flip(0).to(torch.bool), x).check(x)
    compile_function(lambda x: torch.where(x.bool(), 1.0, 2.0), x).check(x)


# What shows that a cast rounded, or overflowed: behind each the answer is another one otherwise.
READERS: dict[str, Callable[[Tensor], Any]] = {
    "alone": lambda h: h,
    "float": lambda h: h.float(),
    "log_softmax": lambda h: h.log_softmax(-1),
    "softmax": lambda h: h.softmax(-1),
    "sort": lambda h: h.sort(dim=-1, stable=True),
    "argmax": lambda h: h.argmax(-1),
    "equal": lambda h: h == h.flip(-1),
    "logical_and": lambda h: torch.logical_and(h, h.flip(-1)),
    "isinf": torch.isinf,
    "relu": torch.relu,
    "clamp": lambda h: h.clamp(max=100),
    "difference": lambda h: h - h,
    "product": lambda h: h * 0,
    "amax": lambda h: h.amax(-1),
    "where": lambda h: torch.where(h > 1000, 1, 2),
    "layer_norm": lambda h: F.layer_norm(h, (4,)),
    "attention": lambda h: F.scaled_dot_product_attention(h[None, None], h[None, None], h[None, None]),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("path", ["float32 to half", "bfloat16 to half", "half by bfloat16", "integers to half"])
def test_what_a_cast_to_half_rounds(path: str, reader: str) -> None:
    numbers = [[1.73e19, 65519.0, -65520.0, 1.0], [1e-9, 6e-8, -2e-8, 0.1], [1 + 2.0**-11, 1 + 3 * 2.0**-11, 3e4, 1.0]]
    x = torch.tensor(numbers)
    cast: Callable[[Tensor], Tensor] = torch.Tensor.half
    if path == "bfloat16 to half":
        x = x.bfloat16()
    elif path == "half by bfloat16":
        cast = lambda x: x.bfloat16().half()  # noqa: E731
    elif path == "integers to half":
        x = torch.tensor([[2049, 2051, 65519, 65520], [-(2**31), 2**31 - 1, 4097, 4099], [0, 1, 2, 70000]]).int()
    outcome = compile_function(lambda x: READERS[reader](cast(x)), x)
    outcome.check(x, roundings=2)
    usual = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.5, 0.1, -0.3, 7.0], [1.0, 1.0, 1.0, 2.0]]).to(x.dtype)
    outcome.check(usual, roundings=2)
    outcome.check(x, roundings=2)


@pytest.mark.parametrize("target", [torch.uint8, torch.int8, torch.int16], ids=str)
@pytest.mark.parametrize("source", FLOATING, ids=str)
def test_floating_numbers_wrap_around(source: torch.dtype, target: torch.dtype) -> None:
    """In front of whatever the conversion becomes one kernel with."""

    def function(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return (
            x.to(target),
            x.to(target).float() + y,
            torch.fmax(x.to(target), y),
            (x * 1).to(target).int(),
            x.relu().to(target) * 2,
            x.to(target) / (y * 2),
            x.to(target) > y,
            -x.to(target),
            x.to(target).long().sum(),
        )

    numbers = [-5244.0, 16024.0, 17904.0, 852.0, 300.0, -1.0, -129.0, 127.5, 255.0, 256.0, 40000.0, -60000.0, 32768.0]
    if source != torch.float16:
        numbers += [65536.0, -70000.0, 1e6]
    x = torch.tensor(numbers).to(source)
    compile_function(function, x, torch.ones(len(x))).check(x, torch.ones(len(x)))


def test_fractions_are_cut_towards_zero() -> None:
    x = torch.tensor([-2.9, -1.5, -0.9, -0.1, 0.1, 0.9, 1.5, 2.9, 1e6 + 0.5, -(2.0**30)])
    for target in (torch.int32, torch.int64):
        outcome = compile_function(lambda x, to=target: x.flip(0).to(to), x)
        assert torch.equal(outcome.answer(x), outcome.reference(x))


def test_dynamic_sizes() -> None:
    sizes = ({0: Dim("n", min=1, max=40)},)
    more = [(torch.randn(40, 2) * 50,), (torch.randn(1, 2),)]
    check(lambda x: (x * 2).half().float(), torch.randn(3, 2).half(), dynamic=sizes).check(torch.randn(40, 2).half())
    check(lambda x: (x > 0).float(), torch.randn(3, 2), dynamic=sizes, more=more)
    compile_function(lambda x: (x * 2).half() + x.bfloat16(), torch.randn(3, 2), dynamic=sizes).check(*more[0])


def test_nothing_to_cast() -> None:
    x = torch.zeros(0, 3)
    for target in DTYPES:
        compile_function(lambda x, y, to=target: (x.to(to), y + 1), x, torch.ones(2)).check(x, torch.ones(2))


def test_forms_of_the_cast() -> None:
    x, like = torch.tensor([1.5, -2.5, 0.0]), torch.zeros(2, dtype=torch.float16)
    check(lambda x: (x.half(), x.bfloat16(), x.bool()), x)
    check(lambda x, y: (x.type_as(y), x.to(y)), x, like)
    check(lambda x: x.to(torch.float32, copy=True) + x.to("cpu"), x)
    check(lambda x: x.to(torch.float16, memory_format=torch.channels_last), torch.randn(1, 2, 3, 4))


def test_what_stays_in_pytorch() -> None:
    x = torch.tensor([1.0, 2.0**-30])
    check_refused(lambda x: x.double() + 1, x, reason="DATA_TYPE")
    # The CPU plugin keeps int16 in 32 bits, so nothing wraps around.
    wide, narrow = torch.tensor([70000, -(2**31)], dtype=torch.int32), torch.tensor([32767, -1], dtype=torch.int16)
    check_refused(lambda x: (x.flip(0).short().int(), x + x), wide, reason="DATA_TYPE")
    check_refused(lambda x: ((x + 1).int(), x.flip(0)), narrow, reason="DATA_TYPE")
    check(lambda x: (x > 3).short().int(), wide)


SPECIAL = [
    NAN,
    INF,
    -INF,
    3.4e38,
    3.395e38,
    -3.39e38,
    1e-39,
    -1e-45,
    0.0,
    -0.0,
    1.00390625,
    1.01171875,
    257.0,
    -65519.0,
]


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("source", [torch.float32, torch.float16, *WHOLE], ids=str)
def test_bfloat16_is_the_nearest(source: torch.dtype, dynamic: bool) -> None:
    """The vendor cuts bits off: of a cast, of a cast that is undone, of a result that was computed in float32."""
    torch.manual_seed(0)
    values = torch.cat((torch.tensor(SPECIAL), torch.randn(50) * 300))
    if not source.is_floating_point:
        values = torch.arange(-300, 300) if source.is_signed else torch.arange(0, 256)
        if source in (torch.int32, torch.int64):
            values = torch.cat((values, torch.tensor([2**24 + 1, 2**31 - 1, -(2**31), 65281, 16_842_753])))
    if BFLOAT16_IN_HARDWARE:  # it makes zeros of these
        values = values[(values == 0) | ~(values.abs() < torch.finfo(torch.bfloat16).tiny)]
    x = values.to(source)
    sizes = ({0: Dim("n", min=0, max=9999)},) if dynamic else None
    functions = [
        lambda x: x.flip(0).bfloat16(),
        lambda x: x.flip(0).bfloat16().float(),
        lambda x: x.bfloat16().view(-1, 1).half(),
        lambda x: x.flip(0).bfloat16() * 3,
    ]
    for function in functions:
        outcome = compile_function(function, x, dynamic=sizes)
        assert outcome.engines or ON_GPU
        outcome.check(x)
        assert torch.equal(outcome.answer(x).nan_to_num(7), outcome.reference(x).nan_to_num(7))
    if dynamic:
        outcome.check(x[:0])


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", ["add", "mul", "div", "neg", "mean", "sum", "linear", "three"])
def test_results_in_bfloat16_are_not_cut_off(name: str, dynamic: bool) -> None:
    """On average the rounding error is nothing; of what is cut off it is half a unit."""
    torch.manual_seed(0)
    x, y = there([(torch.rand(64, 256) + 0.5).bfloat16(), (torch.rand(64, 256) + 0.5).bfloat16()])
    functions = {
        "add": torch.add,
        "mul": torch.mul,
        "div": torch.div,
        "neg": lambda x, y: -(x + y),
        "mean": lambda x, y: (x + y).mean(0),
        "sum": lambda x, y: (x - y).sum(0),
        "linear": lambda x, y: x @ y.t(),
        "three": lambda x, y: x / 3 + y * 0,
    }
    rows = Dim("n", min=1, max=99)
    outcome = check(functions[name], x, y, dynamic=({0: rows}, {0: rows}) if dynamic else None)
    exact = functions[name](x.double(), y.double())
    error = ((outcome.answer(x, y).double() - exact) / exact.abs().clamp(min=1e-3)).mean().item()
    assert abs(error) < 2.0**-11
