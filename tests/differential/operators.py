# SPDX-License-Identifier: Apache-2.0
"""The table of operators that programs are drawn from.

A row is a function over a `Draw`: it asks for operands that the operator takes (a value of the program, or a new input
or constant of a shape that fits), solves the operator's constraints for the arguments that are not tensors, and emits
the step. So a step is valid when it is drawn; nothing is drawn and thrown away. Rows are in families, because a program
is drawn from some families only: operators that meet often find more than operators that meet once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .generate import Draw, Value

Row = Callable[["Draw"], None]
FAMILIES: dict[str, list[Row]] = {}

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
NUMBERS = FLOATS + INTEGERS
ALL = (*NUMBERS, "bool")


def row(family: str, weight: int = 1) -> Callable[[Row], Row]:
    def add(function: Row) -> Row:
        FAMILIES.setdefault(family, []).extend([function] * weight)
        return function

    return add


def _simple(family: str, code: str, dtypes: tuple[str, ...], noise: float = 0.0) -> None:
    def draw(g: Draw) -> None:
        g.emit(code, g.pick(dtypes), noise=noise)

    FAMILIES.setdefault(family, []).append(draw)


# --- one operand ------------------------------------------------------------------------------------------------------

for _name in ("abs", "neg", "sign", "square", "relu", "sgn", "positive"):
    _simple("unary", f"torch.{_name}({{0}})", NUMBERS)
for _name in ("ceil", "floor", "round", "trunc"):
    _simple("unary", f"torch.{_name}({{0}})", NUMBERS)
for _name in ("reciprocal", "rsqrt", "sqrt", "exp", "frac", "log", "sin", "cos", "tanh", "sigmoid", "erf"):
    _simple("unary", f"torch.{_name}({{0}})", NUMBERS, 2.0 if _name not in ("reciprocal", "sqrt", "frac") else 0.0)
for _name in (
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cosh",
    "sinh",
    "tan",
    "expm1",
    "exp2",
    "log1p",
    "log2",
    "log10",
    "erfc",
):
    _simple("unary", f"torch.{_name}({{0}})", FLOATS, 4.0)
for _name in ("isnan", "isinf", "isfinite", "logical_not", "signbit"):
    _simple("unary", f"torch.{_name}({{0}})", ALL)
_simple("unary", "torch.bitwise_not({0})", (*INTEGERS, "bool"))
_simple("unary", "torch.nan_to_num({0})", FLOATS)
_simple("unary", "torch.deg2rad({0})", FLOATS)
_simple("unary", "{0}.clone()", ALL)
_simple("unary", "-{0}", NUMBERS)

for _code in (
    "F.relu({0})",
    "F.relu6({0})",
    "F.hardtanh({0}, -0.5, 0.75)",
    "F.leaky_relu({0}, 0.1)",
    "F.threshold({0}, 0.1, 2.0)",
):
    _simple("activation", _code, FLOATS)
for _code in (
    "F.gelu({0})",
    "F.gelu({0}, approximate='tanh')",
    "F.silu({0})",
    "F.mish({0})",
    "F.elu({0})",
    "F.elu({0}, 0.5)",
    "F.celu({0}, 0.7)",
    "F.selu({0})",
    "F.hardswish({0})",
    "F.hardsigmoid({0})",
    "F.softplus({0})",
    "F.softplus({0}, 2.0, 5.0)",
    "F.softsign({0})",
    "F.tanhshrink({0})",
    "F.softshrink({0}, 0.3)",
    "F.hardshrink({0}, 0.3)",
    "F.logsigmoid({0})",
    "torch.sigmoid({0})",
    "torch.tanh({0})",
):
    _simple("activation", _code, FLOATS, 4.0)


@row("activation")
def _prelu(g: Draw) -> None:
    x = g.pick(FLOATS[:3], rank=(2, 4))
    channels = g.static(x, 1)
    if channels is None or channels == 0:
        return
    g.emit("F.prelu({0}, {1})", x, g.constant(x.dtype, [channels]))


@row("activation")
def _glu(g: Draw) -> None:
    x = g.pick(FLOATS[:3], rank=(1, 4))
    axes = [axis for axis in range(x.rank) if (g.static(x, axis) or 1) % 2 == 0]
    if axes:
        g.emit(f"F.glu({{0}}, {g.rng.choice(axes)})", x, noise=2.0)


# --- two and three operands -------------------------------------------------------------------------------------------


def _scalar(g: Draw, dtype: str) -> str:
    if dtype in FLOATS:
        return g.rng.choice(["0", "1", "2", "-1", "0.5", "3", "1e-3", "-2.5", "10.0", "1e30", "3.0", "1.0117"])
    if dtype == "bool":
        return g.rng.choice(["True", "False", "1"])
    return g.rng.choice(["0", "1", "2", "-1", "3", "7", "16777217", "2147483647", "100", "-100"])


def _pair(g: Draw, dtypes: tuple[str, ...]) -> tuple[Value, Value]:
    x = g.pick(dtypes)
    y = g.partner(x, dtypes)
    return (x, y) if g.rng.random() < 0.5 else (y, x)


def _binary(family: str, code: str, dtypes: tuple[str, ...], noise: float = 0.0, scalar: bool = True) -> None:
    def draw(g: Draw) -> None:
        if scalar and g.rng.random() < 0.35:
            x = g.pick(dtypes)
            g.emit(code.replace("{1}", _scalar(g, x.dtype)), x, noise=noise)
        else:
            x, y = _pair(g, dtypes)
            g.emit(code, x, y, noise=noise)

    FAMILIES.setdefault(family, []).append(draw)


for _code in ("{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "{1} - {0}", "{1} * {0}"):
    _binary("binary", _code, NUMBERS)
    _binary("binary", _code, NUMBERS)
_binary("binary", "torch.add({0}, {1}, alpha=2)", NUMBERS)
_binary("binary", "torch.sub({0}, {1}, alpha=3)", NUMBERS)
_binary("binary", "torch.div({0}, {1}, rounding_mode='trunc')", NUMBERS)
_binary("binary", "torch.div({0}, {1}, rounding_mode='floor')", NUMBERS)
_binary("binary", "{0} // {1}", NUMBERS)
_binary("binary", "{0} % {1}", NUMBERS)
_binary("binary", "torch.fmod({0}, {1})", NUMBERS)
_binary("binary", "torch.pow({0}, {1})", FLOATS, 8.0)
_binary("binary", "torch.atan2({0}, {1})", FLOATS, 4.0, scalar=False)
_binary("binary", "torch.hypot({0}, {1})", FLOATS[:1], 2.0, scalar=False)
_binary("binary", "torch.copysign({0}, {1})", FLOATS, scalar=False)
_binary("binary", "torch.xlogy({0}, {1})", FLOATS[:1], 4.0, scalar=False)
_binary("binary", "torch.logaddexp({0}, {1})", FLOATS[:1], 4.0, scalar=False)
_binary("binary", "torch.rsub({0}, {1})", NUMBERS)
_binary("binary", "torch.ldexp({0}, {1})", FLOATS[:1], scalar=False)


@row("binary", 2)
def _power(g: Draw) -> None:
    x = g.pick(NUMBERS)
    exponents = ["2", "3", "0.5", "-1", "-0.5", "0", "1", "4", "2.5"] if x.dtype in FLOATS else ["2", "3", "0", "1"]
    g.emit(f"torch.pow({{0}}, {g.rng.choice(exponents)})", x, noise=8.0)


@row("binary")
def _power_of_scalar(g: Draw) -> None:
    g.emit(f"torch.pow({g.rng.choice(['2', '0.5', '10.0', '0', '1'])}, {{0}})", g.pick(FLOATS), noise=8.0)


for _name in ("maximum", "minimum", "fmax", "fmin"):
    _binary("select", f"torch.{_name}({{0}}, {{1}})", NUMBERS, scalar=False)
    _binary("select", f"torch.{_name}({{0}}, {{1}})", NUMBERS, scalar=False)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _binary("compare", f"torch.{_name}({{0}}, {{1}})", ALL)
for _name in ("and", "or", "xor"):
    _binary("compare", f"torch.logical_{_name}({{0}}, {{1}})", ALL, scalar=False)
    _binary("compare", f"torch.bitwise_{_name}({{0}}, {{1}})", (*INTEGERS, "bool"), scalar=False)


@row("compare")
def _shift(g: Draw) -> None:
    x = g.pick(("int64", "int32"))
    g.emit(f"{{0}} {g.rng.choice(['<<', '>>'])} {g.rng.choice([0, 1, 3, 8])}", x)


@row("compare")
def _isclose(g: Draw) -> None:
    x, y = _pair(g, FLOATS[:1])
    g.emit("torch.isclose({0}, {1})", x, y)


@row("select", 4)
def _where(g: Draw) -> None:
    x = g.pick(ALL)
    choice = g.rng.random()
    if choice < 0.4:
        mask = g.partner(x, ("bool",))
        y = g.partner(x, (x.dtype,) if g.rng.random() < 0.7 else NUMBERS)
        g.emit("torch.where({0}, {1}, {2})", mask, x, y)
    elif choice < 0.8:
        compare = g.rng.choice(["> 0", "!= 5", "== -100", ">= 2", "< 1"])
        if g.rng.random() < 0.5:
            g.emit(f"torch.where({{0}} {compare}, {{0}}, {_scalar(g, x.dtype)})", x)
        else:
            y = g.partner(x, (x.dtype,))
            g.emit(f"torch.where({{0}} {g.rng.choice(['>', '<', '==', '>='])} {{1}}, {{0}}, {{1}})", x, y)
    else:
        f = g.partner(x, FLOATS)
        g.emit("torch.where({1}.isnan(), 0, {0})", x, f)


@row("select", 2)
def _masked_fill(g: Draw) -> None:
    x = g.pick(ALL)
    value = _scalar(g, x.dtype)
    if g.rng.random() < 0.5:
        g.emit(f"{{0}}.masked_fill({{0}} {g.rng.choice(['== 0', '> 1', '<= 0', '== -100'])}, {value})", x)
    else:
        g.emit(f"{{0}}.masked_fill({{1}}, {value})", x, g.partner(x, ("bool",), narrower=True))


@row("select", 2)
def _wide_integers(g: Draw) -> None:
    """Integers that float32 does not hold, chosen and compared."""
    x = g.leaf(("int32", "int64"), g.shape(1, 3), kind="ends")
    shape = g.spec(x)
    y = g.leaf((x.dtype,), shape, kind="ends") if shape is not None else x
    codes = [
        "torch.where({0} > {1}, {0}, {1})",
        "torch.where({0} == {1}, {0}, 0)",
        "torch.where({1} > 0, {0}, 16777217)",
        "torch.maximum({0}, {1})",
        "torch.minimum({0}, {1})",
        "torch.clamp({0}, -16777217, 16777219)",
        "torch.clamp({0}, {1})",
        "{0}.masked_fill({0} == {1}, 16777217)",
        "{0}.clamp(min=-16777217)",
        "{0} >= {1}",
        "{0} != {1}",
        "torch.amax({0}, -1)",
        "torch.amin({0}, 0)",
        "torch.sum({0}, -1)",
        "F.pad({0}, (1, 1), value=16777217)",
        "{0} - {1}",
        "torch.abs({0})",
        "torch.cat([{0}, {1}], -1)",
    ]
    g.emit(g.rng.choice(codes), x, y)


@row("select", 3)
def _clamp(g: Draw) -> None:
    x = g.pick(NUMBERS)
    low, high = (
        ("-0.5", "1.25") if x.dtype in FLOATS else g.rng.choice([("0", "5"), ("-3", "100"), ("-100", "2147483647")])
    )
    kind = g.rng.random()
    if kind < 0.25:
        g.emit(f"torch.clamp({{0}}, {low}, {high})", x)
    elif kind < 0.5:
        g.emit(f"{{0}}.clamp({g.rng.choice(['min', 'max'])}={g.rng.choice([low, high])})", x)
    elif kind < 0.75:
        g.emit("torch.clamp({0}, {1}, {2})", x, g.partner(x, (x.dtype,)), g.partner(x, (x.dtype,)))
    else:
        g.emit(f"torch.clamp({{0}}, {g.rng.choice(['min', 'max'])}={{1}})", x, g.partner(x, (x.dtype,)))


@row("binary")
def _ternary(g: Draw) -> None:
    x = g.pick(FLOATS)
    y, z = g.partner(x, (x.dtype,)), g.partner(x, (x.dtype,))
    code = g.rng.choice(
        [
            "torch.lerp({0}, {1}, 0.3)",
            "torch.lerp({0}, {1}, {2})",
            "torch.addcmul({0}, {1}, {2}, value=0.5)",
            "torch.addcdiv({0}, {1}, {2})",
        ]
    )
    g.emit(code, *([x, y, z] if "{2}" in code else [x, y]), noise=1.0)


@row("binary", 2)
def _born_nonfinite(g: Draw) -> None:
    """Finite numbers that become infinite, and their differences NaN."""
    x = g.pick(FLOATS[:1])
    factor = g.rng.choice(["1e30 * 1e30", "1e38 * 10", "-1e20 * 1e25"])
    y = g.emit(f"{{0}} * {factor}", x)
    if y is not None and g.rng.random() < 0.6:
        g.emit(g.rng.choice(["{0} - {0}", "{0} * 0", "{0} / {0}", "{0} + (-{0})"]), y)


# --- casts ------------------------------------------------------------------------------------------------------------


@row("cast", 4)
def _cast(g: Draw) -> None:
    x = g.pick(ALL)
    target = g.rng.choice([dtype for dtype in ALL if dtype != x.dtype])
    spelled = g.rng.choice([f"{{0}}.to(torch.{target})", f"{{0}}.type(torch.{target})"])
    g.emit(spelled, x, unspecified=x.dtype in FLOATS and target in INTEGERS)


@row("cast", 2)
def _half_and_back(g: Draw) -> None:
    x = g.pick(FLOATS)
    g.emit(
        g.rng.choice(
            ["{0}.half().float()", "{0}.bfloat16().float()", "{0}.bfloat16().half()", "{0}.half().bfloat16().float()"]
        ),
        x,
    )


@row("cast")
def _type_as(g: Draw) -> None:
    x, y = g.pick(ALL), g.pick(ALL)
    g.emit("{0}.type_as({1})", x, y, unspecified=x.dtype in FLOATS and y.dtype in INTEGERS)


# --- reductions -------------------------------------------------------------------------------------------------------


def _axis(g: Draw, x: Value) -> int:
    axis = g.rng.randrange(x.rank)
    return axis if g.rng.random() < 0.6 else axis - x.rank


def _axes(g: Draw, x: Value) -> str:
    axes = sorted(g.rng.sample(range(x.rank), g.rng.randint(1, min(2, x.rank))))
    return str(axes[0]) if len(axes) == 1 and g.rng.random() < 0.7 else str(tuple(axes))


def _keep(g: Draw) -> str:
    return g.rng.choice(["", ", keepdim=True"])


for _name, _dtypes, _noise in (
    ("sum", ALL, 2.0),
    ("mean", FLOATS, 2.0),
    ("amax", NUMBERS, 0.0),
    ("amin", NUMBERS, 0.0),
    ("std", FLOATS, 8.0),
    ("var", FLOATS, 8.0),
    ("nansum", FLOATS, 2.0),
    ("logsumexp", FLOATS, 4.0),
    ("all", ALL, 0.0),
    ("any", ALL, 0.0),
    ("count_nonzero", ALL, 0.0),
):

    def _reduce(g: Draw, name: str = _name, dtypes: tuple[str, ...] = _dtypes, noise: float = _noise) -> None:
        x = g.pick(dtypes, rank=(1, 4))
        if name != "logsumexp" and g.rng.random() < 0.2:
            g.emit(f"{{0}}.{name}()", x, noise=noise)
            return
        keep = "" if name == "count_nonzero" else _keep(g)
        extra = ", correction=0" if name in ("std", "var") and g.rng.random() < 0.4 else ""
        g.emit(f"torch.{name}({{0}}, dim={_axes(g, x)}{extra}{keep})", x, noise=noise)

    FAMILIES.setdefault("reduction", []).append(_reduce)


@row("reduction", 2)
def _max_min(g: Draw) -> None:
    x = g.pick(NUMBERS, rank=(1, 4))
    name = g.rng.choice(["max", "min"])
    if g.rng.random() < 0.25:
        g.emit(f"{{0}}.{name}()", x)
    else:
        g.emit(f"{{0}}.{name}({_axis(g, x)}{_keep(g)})", x, results=2)


@row("reduction", 2)
def _arg(g: Draw) -> None:
    x = g.pick(NUMBERS, rank=(1, 4))
    name = g.rng.choice(["argmax", "argmin"])
    g.emit(f"{{0}}.{name}({_axis(g, x)}{_keep(g)})" if g.rng.random() < 0.8 else f"{{0}}.{name}()", x)


@row("reduction")
def _prod(g: Draw) -> None:
    x = g.pick(NUMBERS, rank=(1, 4))
    g.emit(f"{{0}}.prod({_axis(g, x)}{_keep(g)})" if g.rng.random() < 0.7 else "{0}.prod()", x, noise=4.0)


@row("reduction")
def _cumulative(g: Draw) -> None:
    x = g.pick(NUMBERS, rank=(1, 4))
    name = g.rng.choice(["cumsum", "cumsum", "cumprod", "cummax"])
    if name == "cummax":
        g.emit(f"torch.cummax({{0}}, {_axis(g, x)})", x, results=2)
    else:
        g.emit(f"torch.{name}({{0}}, {_axis(g, x)})", x, noise=4.0)


@row("reduction")
def _norm(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(1, 4))
    order = g.rng.choice(["2", "1", "float('inf')", "0"])
    g.emit(f"torch.linalg.vector_norm({{0}}, {order}, dim={_axis(g, x)}{_keep(g)})", x, noise=4.0)


@row("reduction")
def _var_mean(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(1, 4))
    g.emit(f"torch.var_mean({{0}}, dim={_axes(g, x)})", x, results=2, noise=8.0)


@row("reduction", 2)
def _softmax(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(1, 4))
    g.emit(
        f"F.{g.rng.choice(['softmax', 'softmax', 'log_softmax', 'softmin'])}({{0}}, dim={_axis(g, x)})", x, noise=4.0
    )


# --- ordering ---------------------------------------------------------------------------------------------------------


@row("ordering", 3)
def _sort(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    down = g.rng.choice(["", ", descending=True"])
    stable = g.rng.choice([", stable=True", ""])
    g.emit(f"torch.sort({{0}}, dim={_axis(g, x)}{down}{stable})", x, results=2)


@row("ordering", 3)
def _topk(g: Draw) -> None:
    x = g.pick(NUMBERS, rank=(1, 4))
    axis = g.rng.randrange(x.rank)
    k = g.rng.randint(1, min(3, max(1, x.sizes[axis][0])))
    g.emit(f"torch.topk({{0}}, {k}, dim={axis}{g.rng.choice(['', ', largest=False'])})", x, results=2)


@row("ordering")
def _argsort(g: Draw) -> None:
    x = g.pick(NUMBERS, rank=(1, 4))
    g.emit(f"torch.argsort({{0}}, dim={_axis(g, x)}, stable=True)", x)


@row("ordering")
def _kth(g: Draw) -> None:
    x = g.pick(NUMBERS, rank=(1, 3))
    g.emit(g.rng.choice(["torch.kthvalue({0}, 1)", "torch.median({0}, -1)"]) + "[0]", x)


@row("ordering")
def _unique(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 2))
    if g.rng.random() < 0.5:
        g.emit("torch.unique({0}, return_inverse=True, return_counts=True)", x, results=3, terminal=True)
    else:
        g.emit("torch.unique_consecutive({0})", x, terminal=True)


# --- shapes -----------------------------------------------------------------------------------------------------------


@row("shape", 2)
def _permute(g: Draw) -> None:
    x = g.pick(ALL, rank=(2, 5))
    order = list(range(x.rank))
    g.rng.shuffle(order)
    g.emit(f"{{0}}.permute({', '.join(map(str, order))})", x)


@row("shape", 2)
def _transpose(g: Draw) -> None:
    x = g.pick(ALL, rank=(2, 5))
    a, b = g.rng.sample(range(x.rank), 2)
    g.emit(
        g.rng.choice([f"{{0}}.transpose({a}, {b})", f"{{0}}.movedim({a}, {b})", "{0}.mT", f"{{0}}.swapaxes({a}, {b})"]),
        x,
    )


@row("shape", 3)
def _reshape(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 5))
    kind = g.rng.random()
    if kind < 0.25:
        a = g.rng.randrange(x.rank)
        g.emit(f"{{0}}.flatten({a}, {g.rng.randrange(a, x.rank)})", x)
        return
    if kind < 0.4:
        g.emit(g.rng.choice(["{0}.flatten()", "{0}.reshape(-1)", "{0}.reshape(1, -1)"]), x)
        return
    if kind < 0.6 and x.rank >= 2 and g.static(x, 1) is not None:
        rest = "-1" if g.static(x, 1) else "0"
        g.emit(f"{{0}}.reshape({{0}}.shape[0], {rest})" if all(x.sizes[0]) else "{0}.flatten(1)", x)
        return
    axes = [axis for axis in range(x.rank) if (size := g.static(x, axis)) and size > 1]
    if not axes:
        g.emit("{0}.unsqueeze(-1)", x)
        return
    axis = g.rng.choice(axes)
    size = g.static(x, axis) or 1
    divisors = [number for number in range(1, size + 1) if size % number == 0]
    inner = g.rng.choice(divisors)
    g.emit(
        g.rng.choice(
            [f"{{0}}.unflatten({axis}, ({size // inner}, {inner}))", f"{{0}}.unflatten({axis}, (-1, {inner}))"]
        ),
        x,
    )


@row("shape", 2)
def _squeeze(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 5))
    if g.rng.random() < 0.4:
        g.emit("{0}.squeeze()", x)
    else:
        ones = [axis for axis in range(x.rank) if 1 in x.sizes[axis]] or [0]
        g.emit(f"{{0}}.squeeze({g.rng.choice(ones)})", x)


@row("shape")
def _unsqueeze(g: Draw) -> None:
    x = g.pick(ALL, rank=(0, 4))
    g.emit(f"{{0}}.unsqueeze({g.rng.randint(-x.rank - 1, x.rank)})", x)


@row("shape")
def _axis_of_0d(g: Draw) -> None:
    """PyTorch lets a tensor without axes name axis 0 and -1."""
    x = g.leaf(ALL, [])
    axis = g.rng.choice([0, -1])
    two = [f"{{0}}.{name}({axis})" for name in ("sort", "max", "min")]
    codes = [
        f"{{0}}.flip({axis})",
        f"{{0}}.transpose({axis}, 0)",
        f"{{0}}.sum({axis}, keepdim=True)",
        f"{{0}}.argmax({axis})",
        f"{{0}}.any({axis})",
        f"{{0}}.amin({axis})",
        f"torch.cumsum({{0}}, {axis})",
        f"torch.roll({{0}}, 1, {axis})",
    ]
    if g.rng.random() < 0.25:
        g.emit(g.rng.choice(two), x, results=2)
    else:
        g.emit(g.rng.choice(codes), x)


@row("shape", 2)
def _expand(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    sizes = ["-1"] * x.rank
    for axis in range(x.rank):
        if g.static(x, axis) == 1 and g.rng.random() < 0.7:
            sizes[axis] = str(g.rng.choice([1, 2, 3]))
    lead = g.rng.choice(["", "", "2, ", "1, "])
    code = f"{{0}}.expand({lead}{', '.join(sizes)})"
    if not lead and set(sizes) == {"-1"}:
        code = g.rng.choice([code, "{0}.expand({0}.shape)", "{0}.expand_as({0})"])
    g.emit(code, x)


@row("shape")
def _repeat(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 3))
    counts = [str(g.rng.choice([1, 1, 2, 3, 0] if g.rng.random() < 0.1 else [1, 1, 2])) for _ in range(x.rank)]
    code = g.rng.choice(["{0}.repeat(%s)", "torch.tile({0}, (%s,))", "{0}.repeat(2, %s)"])
    g.emit(code % ", ".join(counts), x)


@row("shape")
def _repeat_interleave(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 3))
    axis = g.rng.randrange(x.rank)
    size = g.static(x, axis)
    if size is not None and g.rng.random() < 0.4:
        counts = g.leaf(("int64",), [size], integers=(0, 3))
        g.emit(f"torch.repeat_interleave({{0}}, {{1}}, dim={axis})", x, counts, terminal=True)
    else:
        g.emit(f"torch.repeat_interleave({{0}}, {g.rng.choice([1, 2, 3])}, dim={axis})", x)


@row("shape", 3)
def _cat(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    axis = _axis(g, x)
    others = [g.alike(x) for _ in range(g.rng.randint(1, 2))]
    if g.rng.random() < 0.3:
        g.emit(f"torch.stack([{', '.join(f'{{{i}}}' for i in range(1 + len(others)))}], {axis})", x, *others)
    else:
        g.emit(f"torch.cat([{', '.join(f'{{{i}}}' for i in range(1 + len(others)))}], {axis})", x, *others)


@row("shape", 4)
def _slice(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    axis = g.rng.randrange(x.rank)
    text = g.rng.choice(["-2:", ":2", "1:", ":-1", "::2", "1::2", "-3:-1", "2:5", ":1", "-1:", "0:0", "3:"])
    g.emit(f"{{0}}[{':, ' * axis}{text}]", x)


@row("shape", 2)
def _select(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    axis = g.rng.randrange(x.rank)
    g.emit(
        g.rng.choice(
            [
                f"{{0}}.select({axis}, {g.rng.choice([0, -1, 1])})",
                f"{{0}}.narrow({axis}, 0, 1)",
                "{0}[0]",
                "{0}[-1]",
                "{0}[..., 0]",
            ]
        ),
        x,
    )


@row("shape")
def _split(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    axes = [axis for axis in range(x.rank) if (size := g.static(x, axis)) and size >= 2]
    if not axes:
        return
    axis = g.rng.choice(axes)
    size = g.static(x, axis) or 2
    kind = g.rng.random()
    if kind < 0.4:
        g.emit(f"{{0}}.chunk(2, {axis})", x, results=len(x.tensors[0].chunk(2, axis)))
    elif kind < 0.7:
        first = g.rng.randint(1, size - 1)
        g.emit(f"torch.split({{0}}, [{first}, {size - first}], {axis})", x, results=2)
    elif size <= 5:
        g.emit(f"{{0}}.unbind({axis})", x, results=size)


@row("shape")
def _rearranged(g: Draw) -> None:
    x = g.pick(ALL, rank=(2, 4))
    axis = g.rng.randrange(x.rank)
    g.emit(
        g.rng.choice(
            [
                f"{{0}}.flip({axis})",
                f"torch.roll({{0}}, {g.rng.choice([1, -1, 2])}, {axis})",
                f"{{0}}.tril({g.rng.choice([0, -1, 1])})",
                f"{{0}}.triu({g.rng.choice([0, -1, 1])})",
                "torch.rot90({0})",
                "{0}.diagonal(0, -2, -1)",
                "{0}.contiguous()",
                "{0}.T" if x.rank == 2 else "{0}.mT",
            ]
        ),
        x,
    )


@row("shape", 2)
def _pad(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    amounts = [str(g.rng.choice([0, 1, 2, -1] if g.rng.random() < 0.2 else [0, 1, 2])) for _ in range(2)]
    if x.dtype in FLOATS and x.rank in (2, 3) and g.rng.random() < 0.4:
        mode = g.rng.choice(["reflect", "replicate", "circular"])
        if mode == "circular":  # PyTorch pads by what it is writing where more is asked for than a cut leaves
            amounts = [amount.replace("-1", "0") for amount in amounts]
        g.emit(f"F.pad({{0}}, ({', '.join(amounts)}), mode='{mode}')", x)
    else:
        g.emit(f"F.pad({{0}}, ({', '.join(amounts)}), value={_scalar(g, x.dtype)})", x)


@row("shape")
def _pixel_shuffle(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(4, 4))
    if (g.static(x, 1) or 1) % 4 == 0:
        g.emit("F.pixel_shuffle({0}, 2)", x)


@row("shape")
def _creation(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 4))
    value = _scalar(g, x.dtype)
    g.emit(
        g.rng.choice(
            [
                "torch.zeros_like({0})",
                "torch.ones_like({0})",
                f"torch.full_like({{0}}, {value})",
                "torch.arange({0}.shape[0])",
                "torch.arange(0, {0}.shape[-1], dtype=torch.float32)",
                "{0}.new_zeros({0}.shape[0], 3)",
                f"torch.full(({{0}}.shape[0],), {value})",
                "torch.ones({0}.shape[0], 2, dtype={0}.dtype)",
                "torch.eye(3)",
                "torch.linspace(0, 1, 5)",
                "{0}.new_full((2, 2), 1)",
            ]
        ),
        x,
    )


# --- indices ----------------------------------------------------------------------------------------------------------


def _indices(g: Draw, shape: list[int | str], size: int, negative: bool = True) -> Value:
    """Indices into a dimension of `size`, in the second data at times with one that is outside."""
    low = -size if negative and g.rng.random() < 0.2 else 0
    return g.leaf(("int64",) if g.rng.random() < 0.8 else ("int32",), shape, integers=(low, size - 1))


def _table(g: Draw, dtypes: tuple[str, ...] = ALL, rank: tuple[int, int] = (1, 4)) -> tuple[Value, int, int]:
    x = g.pick(dtypes, rank=rank)
    axis = g.rng.randrange(x.rank)
    return x, axis, max(1, min(x.sizes[axis]))


@row("index", 3)
def _index(g: Draw) -> None:
    x, axis, size = _table(g)
    index = _indices(g, [g.rng.choice([1, 2, 3])], size)
    g.emit(g.rng.choice([f"{{0}}[{':, ' * axis}{{1}}]", f"torch.index_select({{0}}, {axis}, {{1}})"]), x, index)


@row("index", 2)
def _index_two(g: Draw) -> None:
    x = g.pick(ALL, rank=(2, 4))
    a = _indices(g, [3], max(1, min(x.sizes[0])))
    b = _indices(g, [3], max(1, min(x.sizes[1])))
    g.emit(g.rng.choice(["{0}[{1}, {2}]", "{0}[{1}[:, None], {2}]"]), x, a, b)


@row("index", 2)
def _gather(g: Draw) -> None:
    x, axis, size = _table(g)
    shape = g.spec(x)
    if shape is None:
        return
    shape[axis] = g.rng.choice([1, 2, 3])
    g.emit(
        f"torch.gather({{0}}, {axis}, {{1}})",
        x,
        g.leaf(("int64",), shape, integers=(0, size - 1)),
    )


@row("index", 4)
def _scatter(g: Draw) -> None:
    x, axis, size = _table(g, NUMBERS)
    shape = g.spec(x)
    if shape is None:
        return
    shape[axis] = g.rng.choice([1, 2])
    index = g.leaf(("int64",), shape, integers=(0, size - 1))
    source = g.leaf((x.dtype,), shape)
    g.emit(
        g.rng.choice(
            [
                f"torch.scatter({{0}}, {axis}, {{1}}, {{2}})",
                f"torch.scatter({{0}}, {axis}, {{1}}, 1)",
                f"torch.scatter_add({{0}}, {axis}, {{1}}, {{2}})",
                f"torch.scatter_reduce({{0}}, {axis}, {{1}}, {{2}}, 'amax')",
                f"torch.scatter_reduce({{0}}, {axis}, {{1}}, {{2}}, 'sum')",
            ]
        ),
        x,
        index,
        source,
        noise=2.0,
    )


@row("index", 4)
def _index_writes(g: Draw) -> None:
    x, axis, size = _table(g, NUMBERS, rank=(1, 3))
    shape = g.spec(x)
    if shape is None:
        return
    count = g.rng.choice([1, 2])
    index = g.leaf(("int64",), [count], integers=(0, size - 1))
    shape[axis] = count
    source = g.leaf((x.dtype,), shape)
    if axis == 0 and g.rng.random() < 0.4:
        g.emit(
            f"torch.index_put({{0}}, ({{1}},), {{2}}{g.rng.choice(['', ', accumulate=True'])})",
            x,
            index,
            source,
            noise=2.0,
        )
    else:
        g.emit(
            f"torch.{g.rng.choice(['index_copy', 'index_add'])}({{0}}, {axis}, {{1}}, {{2}})",
            x,
            index,
            source,
            noise=2.0,
        )


@row("index")
def _index_fill(g: Draw) -> None:
    x, axis, size = _table(g, NUMBERS)
    g.emit(f"torch.index_fill({{0}}, {axis}, {{1}}, {_scalar(g, x.dtype)})", x, _indices(g, [2], size))


@row("index", 2)
def _embedding(g: Draw) -> None:
    rows, width = g.rng.choice([2, 5, 8]), g.rng.choice([1, 3, 8])
    table = g.constant(g.dtype(FLOATS[:3]), [rows, width])
    padding = g.rng.choice(["", "", ", padding_idx=0"])
    g.emit(f"F.embedding({{0}}, {{1}}{padding})", _indices(g, g.shape(1, 2), rows), table)


@row("index")
def _masked_select(g: Draw) -> None:
    x = g.pick(ALL, rank=(1, 3))
    code = g.rng.choice(["torch.masked_select({0}, {1})", "{0}[{1}]"])
    g.emit(code, x, g.same_shape(x, ("bool",)), terminal=True)


@row("index")
def _nonzero(g: Draw) -> None:
    g.emit("torch.nonzero({0})", g.pick(ALL, rank=(1, 3)), terminal=True)


@row("index")
def _one_hot(g: Draw) -> None:
    g.emit("F.one_hot({0}, 5)", g.leaf(("int64",), g.shape(1, 2), integers=(0, 4)))


@row("index")
def _take(g: Draw) -> None:
    x, _, _ = _table(g)
    least = min(tensor.numel() for tensor in x.tensors)
    g.emit("torch.take({0}, {1})", x, _indices(g, [3], max(1, least)))


# --- products ---------------------------------------------------------------------------------------------------------


@row("matmul", 4)
def _linear(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(1, 4))
    width = g.static(x, x.rank - 1)
    if width is None or width == 0:
        return
    weight = g.weight(x.dtype, width)
    bias = g.rng.random() < 0.4 and g.static(weight, 0)
    if bias and g.static(weight, 1) == width:
        g.emit("F.linear({0}, {1}, {2})", x, weight, g.constant(x.dtype, [g.static(weight, 0) or 1]), noise=2.0)
    elif g.static(weight, 1) == width:
        g.emit("F.linear({0}, {1})", x, weight, noise=2.0)


@row("matmul", 4)
def _matmul_constant(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(2, 4))
    width = g.static(x, x.rank - 1)
    if width is None or width == 0:
        return
    weight = g.weight(x.dtype, width)
    if g.static(weight, 0) == width and g.rng.random() < 0.6:
        g.emit("{0} @ {1}", x, weight, noise=2.0)
    elif g.static(weight, 1) == width:
        g.emit(
            g.rng.choice(["{0} @ {1}.t()", "{0} @ {1}.mT", "torch.matmul({0}, {1}.transpose(0, 1))"]),
            x,
            weight,
            noise=2.0,
        )


@row("matmul", 2)
def _tied(g: Draw) -> None:
    """One square weight, read in two layouts."""
    x = g.pick(FLOATS[:1], rank=(2, 4))
    width = g.static(x, x.rank - 1)
    if not width or width == 1:
        return
    weight = g.constant(x.dtype, [width, width])
    y = g.emit(g.rng.choice(["{0} @ {1}", "F.linear({0}, {1})"]), x, weight, noise=2.0)
    if y is not None:
        g.emit(g.rng.choice(["F.linear({0}, {1})", "{0} @ {1}", "{0} @ {1}.t()"]), y, weight, noise=2.0)


@row("matmul", 2)
def _matmul(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(2, 4))
    kind = g.rng.random()
    if kind < 0.4:
        g.emit(g.rng.choice(["{0} @ {0}.mT", "{0}.mT @ {0}", "torch.matmul({0}, {0}.transpose(-1, -2))"]), x, noise=2.0)
        return
    y = g.same_shape(x, (x.dtype,))
    code = {2: "torch.mm({0}, {1}.t())", 3: "torch.bmm({0}, {1}.transpose(1, 2))"}.get(x.rank, "{0} @ {1}.mT")
    g.emit(code, x, y, noise=2.0)


@row("matmul")
def _added_product(g: Draw) -> None:
    x = g.pick(FLOATS[:3], rank=(2, 2))
    y = g.same_shape(x, (x.dtype,))
    z = g.emit("{0} @ {1}.t()", x, y, noise=2.0)
    if z is not None:
        g.emit(
            f"torch.addmm({{0}}, {{1}}, {{2}}.t(), beta={g.rng.choice([1, 0.5, 0])}, alpha={g.rng.choice([1, 2])})",
            z,
            x,
            y,
            noise=2.0,
        )


@row("matmul")
def _vectors(g: Draw) -> None:
    x = g.pick(FLOATS[:3], rank=(1, 2))
    if x.rank == 1:
        g.emit(
            g.rng.choice(["torch.dot({0}, {1})", "torch.outer({0}, {1})", "torch.einsum('i,i->', {0}, {1})"]),
            x,
            g.same_shape(x, (x.dtype,)),
            noise=2.0,
        )
    else:
        width = g.spec(x)
        if width is not None:
            g.emit("torch.mv({0}, {1})", x, g.leaf((x.dtype,), [width[1]]), noise=2.0)


@row("matmul")
def _einsum(g: Draw) -> None:
    x = g.pick(FLOATS[:3], rank=(3, 3))
    y = g.same_shape(x, (x.dtype,))
    g.emit(
        f"torch.einsum('{g.rng.choice(['bij,bkj->bik', 'bij,bij->bi', 'bij,bkj->ki'])}', {{0}}, {{1}})", x, y, noise=2.0
    )


@row("matmul")
def _attention(g: Draw) -> None:
    x = g.pick(FLOATS[:3], rank=(3, 4))
    y, z = g.same_shape(x, (x.dtype,)), g.same_shape(x, (x.dtype,))
    extra = g.rng.choice(["", "", ", is_causal=True", ", scale=0.5"])
    g.emit(f"F.scaled_dot_product_attention({{0}}, {{1}}, {{2}}{extra})", x, y, z, noise=4.0)


@row("matmul")
def _heads(g: Draw) -> None:
    """Attention from one projection or three, where tokens and heads are equally many as often as not."""
    heads, width = g.rng.choice([2, 4]), g.rng.choice([2, 4])
    tokens = heads if g.rng.random() < 0.5 else g.rng.choice([2, 4])
    if g.rng.random() < 0.5:
        x = g.leaf(("float32",), [2, tokens, 3 * heads * width])
        split = f"{{0}}.reshape(2, {tokens}, 3, {heads}, {width}).permute(2, 0, 3, 1, 4).unbind(0)"
        parts = g.emit(split, x, results=3)
    else:
        x = g.leaf(("float32",), [2, tokens, heads * width])
        weights = [g.weight(x.dtype, heads * width, square=True) for _ in range(3)]
        split = f"F.linear({{0}}, {{1}}).reshape(2, {tokens}, {heads}, {width}).transpose(1, 2)"
        parts = [g.emit(split, x, weight, noise=2.0) for weight in weights]
    if parts is None or None in parts:
        return
    y = g.emit("F.scaled_dot_product_attention({0}, {1}, {2})", *parts, noise=4.0)
    if y is not None and g.rng.random() < 0.5:
        g.emit("{0}.transpose(1, 2).flatten(2)", y)


# --- images -----------------------------------------------------------------------------------------------------------


def _image(g: Draw, dims: int, dtypes: tuple[str, ...] = FLOATS[:3]) -> tuple[Value, int] | None:
    """A value (N, C, ...) with `dims` spatial dimensions, and C."""
    x = g.pick(dtypes, rank=(dims + 2, dims + 2), image=True)
    channels = g.static(x, 1)
    return (x, channels) if channels else None


@row("convolution", 4)
def _convolution(g: Draw) -> None:
    dims = g.rng.choice([1, 2, 2, 2, 3])
    found = _image(g, dims)
    if found is None:
        return
    x, channels = found
    groups = g.rng.choice([1, 1, 1, channels, 2 if channels % 2 == 0 else 1])
    size = g.rng.choice([1, 3, 2])
    out = groups * g.rng.choice([1, 2]) if groups > 1 else g.rng.choice([channels, channels, 1, 4])
    weight = g.kernel(x.dtype, [out, channels // groups, *[size] * dims])
    bias = g.rng.random() < 0.5
    padding = g.rng.choice(["0", "1", "'same'" if size % 2 else "1"])
    stride = "1" if padding == "'same'" else g.rng.choice(["1", "1", "2"])
    dilation = g.rng.choice(["1", "1", "1", "2"])
    args = [x, weight, *([g.constant(x.dtype, [out])] if bias else [])]
    g.emit(
        f"F.conv{dims}d({{0}}, {{1}}, {'{2}' if bias else 'None'}, {stride}, {padding}, {dilation}, {groups})",
        *args,
        noise=2.0,
    )


@row("convolution", 2)
def _transposed_convolution(g: Draw) -> None:
    dims = g.rng.choice([1, 2, 2])
    found = _image(g, dims)
    if found is None:
        return
    x, channels = found
    size = g.rng.choice([2, 3, 3])
    out = g.rng.choice([channels, channels, 2])
    weight = g.kernel(x.dtype, [channels, out, *[size] * dims])
    stride = g.rng.choice([1, 2])
    g.emit(
        f"F.conv_transpose{dims}d({{0}}, {{1}}, stride={stride}, padding={g.rng.choice([0, 1])})", x, weight, noise=2.0
    )


@row("convolution")
def _convolution_of_tokens(g: Draw) -> None:
    """linear over channels-last, then a convolution of the permuted tokens; a result too are they, or a view."""
    x = g.pick(FLOATS[:1], rank=(4, 4), image=True)
    width = g.static(x, 3)
    if not width:
        return
    tokens = g.emit("F.linear({0}, {1})", x, g.weight(x.dtype, width, square=True), noise=2.0)
    if tokens is None:
        return
    image = g.emit("{0}.permute(0, 3, 1, 2)", tokens)
    if image is None:
        return
    g.emit("F.conv2d({0}, {1}, None, 1, 1)", image, g.kernel(x.dtype, [width, width, 3, 3]), noise=2.0)
    flat = g.emit("{0}.flatten(1, 2)", tokens) if g.rng.random() < 0.6 else None
    if flat is not None:
        g.keep(flat)
    if flat is None or g.rng.random() < 0.3:
        g.keep(tokens)


@row("pooling", 3)
def _max_pool(g: Draw) -> None:
    dims = g.rng.choice([1, 2, 2, 3])
    found = _image(g, dims)
    if found is None:
        return
    x = found[0]
    options = [", padding=1", "", "", ", stride=1", ", ceil_mode=True", ", stride=2, padding=1, ceil_mode=True"]
    if g.rng.random() < 0.2:
        g.emit(f"F.max_pool{dims}d({{0}}, 2, return_indices=True)", x, results=2)
    else:
        g.emit(f"F.max_pool{dims}d({{0}}, {g.rng.choice([2, 3])}{g.rng.choice(options)})", x)


@row("pooling", 3)
def _average_pool(g: Draw) -> None:
    dims = g.rng.choice([1, 2, 2, 3])
    found = _image(g, dims)
    if found is None:
        return
    options = [
        "",
        ", stride=1",
        ", padding=1",
        ", padding=1, count_include_pad=False",
        ", ceil_mode=True",
        ", stride=2, padding=1, ceil_mode=True",
    ]
    g.emit(f"F.avg_pool{dims}d({{0}}, {g.rng.choice([2, 3])}{g.rng.choice(options)})", found[0], noise=2.0)


@row("pooling")
def _adaptive_pool(g: Draw) -> None:
    dims = g.rng.choice([1, 2, 2])
    found = _image(g, dims)
    if found is not None:
        g.emit(
            f"F.adaptive_{g.rng.choice(['avg', 'max'])}_pool{dims}d({{0}}, {g.rng.choice([1, 2, 3])})",
            found[0],
            noise=2.0,
        )


@row("resize", 3)
def _interpolate(g: Draw) -> None:
    dims = g.rng.choice([1, 2, 2, 2])
    found = _image(g, dims)
    if found is None:
        return
    modes = (
        ["nearest", "linear"] if dims == 1 else ["nearest", "bilinear", "bilinear", "bicubic", "area", "nearest-exact"]
    )
    mode = g.rng.choice(modes)
    size = g.rng.choice(
        ["scale_factor=2", "scale_factor=0.5", f"size={g.rng.choice([3, 7])}", "scale_factor=1.5", "scale_factor=1.1"]
    )
    align = ", align_corners=True" if "linear" in mode or "cubic" in mode else ""
    g.emit(f"F.interpolate({{0}}, {size}, mode='{mode}'{g.rng.choice(['', align])})", found[0], noise=4.0)


@row("resize")
def _grid_sample(g: Draw) -> None:
    found = _image(g, 2, FLOATS[:1])
    if found is None:
        return
    x = found[0]
    shape = g.spec(x)
    if shape is None:
        return
    grid = g.leaf(("float32",), [shape[0], 3, 2, 2])
    mode, padding = g.rng.choice(["bilinear", "nearest"]), g.rng.choice(["zeros", "border", "reflection"])
    g.emit(
        f"F.grid_sample({{0}}, {{1}}, mode='{mode}', padding_mode='{padding}', align_corners={g.rng.random() < 0.5})",
        x,
        grid,
        noise=8.0,
    )


# --- normalization ----------------------------------------------------------------------------------------------------


@row("normalization", 3)
def _layer_norm(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(2, 4))
    width = g.static(x, x.rank - 1)
    if not width:
        return
    name = g.rng.choice(["layer_norm", "layer_norm", "rms_norm"])
    if g.rng.random() < 0.5:
        g.emit(f"F.{name}({{0}}, ({width},))", x, noise=8.0)
    else:
        weight = g.constant(x.dtype, [width])
        if name == "layer_norm":
            g.emit(f"F.layer_norm({{0}}, ({width},), {{1}}, {{2}})", x, weight, g.constant(x.dtype, [width]), noise=8.0)
        else:
            g.emit(f"F.rms_norm({{0}}, ({width},), {{1}})", x, weight, noise=8.0)


@row("normalization", 3)
def _group_norm(g: Draw) -> None:
    found = _image(g, g.rng.choice([1, 2, 2]))
    if found is None:
        return
    x, channels = found
    groups = g.rng.choice([number for number in range(1, channels + 1) if channels % number == 0])
    if g.rng.random() < 0.5:
        g.emit(
            f"F.group_norm({{0}}, {groups}, {{1}}, {{2}})",
            x,
            g.constant(x.dtype, [channels]),
            g.constant(x.dtype, [channels]),
            noise=8.0,
        )
    else:
        g.emit(g.rng.choice([f"F.group_norm({{0}}, {groups})", "F.instance_norm({0})"]), x, noise=8.0)


@row("normalization", 2)
def _batch_norm(g: Draw) -> None:
    found = _image(g, g.rng.choice([1, 2]))
    if found is None:
        return
    x, channels = found
    mean = g.constant(x.dtype, [channels], parameter=False)
    variance = g.constant(x.dtype, [channels], kind="positive", parameter=False)
    training = g.rng.random() < 0.35
    g.emit(f"F.batch_norm({{0}}, {{1}}, {{2}}, training={training})", x, mean, variance, noise=8.0)


@row("normalization", 2)
def _normalize(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(1, 4))
    g.emit(f"F.normalize({{0}}, dim={_axis(g, x)})", x, noise=8.0)


@row("normalization", 3)
def _wide_halves(g: Draw) -> None:
    """Half precision whose squares, sums or small differences it does not hold; eager computes in float32."""
    shape = g.shape(2, 4)
    shape[-1] = width = g.rng.choice([2, 4, 8, 32])
    kind = g.rng.choice(["huge", "huge", "tiny", "shifted"])
    x = g.leaf(("float16", "bfloat16"), shape, constant=False, kind=kind)
    codes = [
        f"F.layer_norm({{0}}, ({width},))",
        f"F.rms_norm({{0}}, ({width},))",
        "F.normalize({0}, dim=-1)",
        "F.normalize({0}, p=1.0, dim=-1)",
        "torch.var({0}, -1)",
        "torch.std({0}, -1, correction=0)",
        "torch.mean({0}, -1)",
        "torch.sum({0}, -1)",
        "torch.linalg.vector_norm({0}, dim=-1)",
        "torch.logsumexp({0}, -1)",
        "F.softmax({0}, -1)",
        "torch.cumsum({0}, -1)",
        *(["F.group_norm({0}, 1)", "F.instance_norm({0})"] if x.rank >= 3 else []),
    ]
    code = g.rng.choice(codes)
    g.emit(code, x, noise=2.0 if re.search(r"mean|\.sum|cumsum", code) else 8.0)


@row("normalization")
def _residual_norm(g: Draw) -> None:
    """x + norm(conv(x)) and again: a shape that vendors fuse."""
    found = _image(g, 2, FLOATS[:1])
    if found is None:
        return
    x, channels = found
    for _ in range(2):
        conv = g.emit("F.conv2d({0}, {1}, None, 1, 1)", x, g.kernel(x.dtype, [channels, channels, 3, 3]), noise=2.0)
        if conv is None:
            return
        norm = g.emit(
            g.rng.choice([f"F.group_norm({{0}}, {channels})", "F.group_norm({0}, 1)", "F.instance_norm({0})"]),
            conv,
            noise=8.0,
        )
        total = norm and g.emit("{0} + {1}", x, norm)
        if not total:
            return
        x = total


# --- writes -----------------------------------------------------------------------------------------------------------


@row("write", 4)
def _write_buffer(g: Draw) -> None:
    kind = g.rng.random()
    if kind < 0.5:
        counter = g.constant(g.dtype(("int64", "float32")), [], parameter=False, writable=True)
        g.write(g.rng.choice(["{0}.add_(1)", "{0} += 1", "{0}.mul_(2)"]), counter)
        x = g.pick(FLOATS)
        g.emit(g.rng.choice(["{0} * {1}", "{0} + {1}"]), x, counter)
    else:
        x = g.pick(FLOATS[:1], rank=(1, 3))
        shape = g.spec(x)
        if shape is None or any(isinstance(size, str) for size in shape):
            return
        state = g.constant(x.dtype, [int(size) for size in shape], parameter=False, writable=True)
        g.write(
            g.rng.choice(
                [
                    "{0}.copy_({1})",
                    "{0}.mul_(0.5).add_({1})",
                    "{0}[:1] = {1}[:1]",
                    "{0}.copy_(torch.where({1} > 0, {1}, {0}))",
                    "{0}.copy_(torch.roll({0}, 1, 0))",
                ]
            ),
            state,
            x,
        )
        g.emit(g.rng.choice(["{0} + {1}", "{0}.clone()", "{1} * {0}"]), state, x)


@row("write", 4)
def _write_input(g: Draw) -> None:
    x = g.leaf(g.rng.choice([("float32",), ("float32",), ("int64",), ("float16",)]), g.shape(1, 3), constant=False)
    code = g.rng.choice(
        [
            "{0}.add_(1)",
            "{0}.mul_({0})",
            "{0}.relu_()",
            "{0}.clamp_(0, 1)",
            "{0}[:1] = 7",
            "{0}.masked_fill_({0} > 0, 2)",
            "{0}.t().add_(1)",
            "{0}.copy_({0} * 2)",
            "{0}[..., -1:].mul_(3)",
            "{0}.zero_()",
        ]
    )
    if ".t()" in code and x.rank != 2:
        code = "{0}.sub_(2)"
    g.write(code, x)
    g.emit(g.rng.choice(["{0} * 2", "{0}.clone()", "{0} - 1"]), x)


@row("write", 2)
def _write_result(g: Draw) -> None:
    x = g.pick(FLOATS, rank=(1, 3))
    y = g.emit(g.rng.choice(["{0} * 2", "{0}.clone()", "{0} + 1"]), x)
    if y is not None:
        g.write(
            g.rng.choice(
                [
                    "{0}.add_(1)",
                    "{0}[:1] = 5",
                    "{0}.relu_()",
                    "{0}[-2:] = 7",
                    "{0}[..., 0] = 0",
                    "{0}.fill_(3)",
                    "{0}.t_()" if y.rank == 2 else "{0}.neg_()",
                    "{0}.unbind(-1)[0].mul_(2)" if g.static(y, -1) else "{0}.mul_(2)",
                ]
            ),
            y,
        )


@row("alias", 3)
def _alias(g: Draw) -> None:
    """What is the identity, or a view, of a value."""
    x = g.pick(ALL, rank=(1, 4))
    code = g.rng.choice(
        [
            "{0} * 1",
            "{0} + 0",
            "{0}.view_as({0})",
            "{0}[:]",
            "{0}.expand({0}.shape)",
            "{0}.sum(())",
            "{0}.reshape({0}.shape)",
            "{0}.contiguous()",
            "{0}.detach()",
            "F.dropout({0}, 0.5, False)",
            "{0}.to({0}.dtype)",
            "{0}.flip(())",
            "{0}.squeeze(()).clone()",
        ]
    )
    y = g.emit(code, x, noise=2.0 if "sum(())" in code else 0.0)
    if y is not None:
        g.keep(y)
        g.keep(x)
