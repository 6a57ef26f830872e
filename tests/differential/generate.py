# SPDX-License-Identifier: Apache-2.0
"""Draws a program from a seed and an index.

Every step runs eagerly while it is drawn, once for each set of sizes that the dynamic dimensions will have. So a
value's shape is known as the sizes it has in each of the runs, without any algebra: two dimensions fit where their
sizes agree in all runs. A program that can do everything a little finds little, so each program has a mood: some
families of operators, some dtypes, some kinds of values, and is drawn from those.
"""

from __future__ import annotations

import functools
import random
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from . import operators
from .operators import FAMILIES, FLOATS, INTEGERS
from .program import (
    Constant,
    Dim,
    Fill,
    Input,
    Program,
    Step,
    _namespace,
    _rendered,
    clean,
    fill_tensor,
    lay_out,
    torch_dtype,
)

MOST_ELEMENTS = 20_000


class Value:
    """A tensor of the program, with what it holds in each run."""

    def __init__(self, name: str, tensors: list[torch.Tensor], terminal: bool = False) -> None:
        self.name = name
        self.tensors = tensors
        self.terminal = terminal
        self.dtype = str(tensors[0].dtype).removeprefix("torch.")
        self.rank = tensors[0].dim()
        self.sizes: list[tuple[int, ...]] = list(zip(*[tuple(tensor.shape) for tensor in tensors], strict=True))


class Draw:
    """One program in the making. `rng` decides everything."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.program = Program([], [], [], [])
        self.values: list[Value] = []
        self.kept: list[str] = []
        self.used: set[str] = set()
        self.finished = False
        self._counts = {"x": 0, "w": 0, "v": 0}
        self._draw_mood()
        self._draw_dims()
        self.environments: list[dict[str, Any]] = [_namespace() for _ in range(self.runs)]

    # --- the mood ---

    def _draw_mood(self) -> None:
        rng = self.rng
        names = list(FAMILIES)
        self.families = rng.sample(names, rng.randint(2, 5))
        self.main_dtypes: list[str] = rng.choices(
            [
                ["float32"],
                ["float32"],
                ["float16"],
                ["bfloat16"],
                ["float64", "float32"],
                ["int64", "int32"],
                list(INTEGERS),
                ["bfloat16", "float16", "float32"],
            ],
            [10, 10, 3, 3, 1, 4, 2, 2],
        )[0]
        self.float_kinds: list[str] = rng.choices(
            [
                ["normal"],
                ["grid"],
                ["normal", "grid", "positive"],
                ["huge"],
                ["tiny"],
                ["shifted"],
                ["huge", "normal", "tiny"],
            ],
            [8, 3, 4, 2, 1, 1, 1],
        )[0]
        self.specials = rng.choices([0, 1, 3], [7, 2, 1])[0]
        self.integer_ends = rng.random() < 0.25
        self.layouts = rng.random() < 0.35
        self.small = rng.random() < 0.7
        self.sharing = rng.random() < 0.5

    def _draw_dims(self) -> None:
        rng = self.rng
        self.runs = 2
        for index in range(rng.choices([0, 1, 2], [5, 4, 1])[0]):
            low = rng.choices([0, 1, 2], [3, 4, 2])[0]
            high = rng.choices([8, 16, None], [6, 3, 1])[0]
            first, second = rng.randint(max(low, 3), 6), rng.choice([low, low, rng.randint(low, 8)])
            if second == first:
                second = first + 1
            self.program.dims[f"s{index}"] = Dim(low, high, [first, second])

    def size(self) -> int:
        if self.rng.random() < 0.03:
            return 0
        sizes = [1, 2, 3, 4, 4, 5, 8] if self.small else [1, 2, 3, 4, 8, 16, 17, 32]
        return self.rng.choice(sizes)

    def shape(self, low: int, high: int) -> list[int | str]:
        rank = self.rng.randint(low, high)
        made: list[int | str] = [self.size() for _ in range(rank)]
        dims = list(self.program.dims)
        if dims and rank and self.rng.random() < 0.7:
            made[self.rng.choice([0, 0, rank - 1, self.rng.randrange(rank)])] = self.rng.choice(dims)
        return made

    def dtype(self, among: Sequence[str]) -> str:
        wanted = [dtype for dtype in self.main_dtypes if dtype in among]
        return self.rng.choice(wanted if wanted and self.rng.random() < 0.9 else list(among))

    def _fill(self, dtype: str, integers: tuple[int, int] | None, kind: str | None = None) -> Fill:
        rng = self.rng
        made = Fill(kind or "normal", rng.randrange(1 << 20))
        if integers is not None:
            made.kind, made.low, made.high = "indices", *integers
            made.specials = int(rng.random() < 0.2)
        elif dtype in FLOATS:
            made.kind = kind or rng.choice(self.float_kinds)
            made.specials = self.specials if kind is None and rng.random() < 0.7 else 0
        elif kind == "ends" or (self.integer_ends and rng.random() < 0.6):
            made.kind = "ends"
        else:
            made.kind = "integers"
        return made

    # --- leaves ---

    def leaf(
        self,
        dtypes: Sequence[str],
        shape: Sequence[int | str],
        integers: tuple[int, int] | None = None,
        constant: bool | None = None,
        kind: str | None = None,
    ) -> Value:
        """A new input, or a constant where the shape is static (`constant`: which)."""
        dtype = self.dtype(dtypes)
        static = all(isinstance(size, int) for size in shape)
        if static and constant is not False and (constant or self.rng.random() < 0.25) and self.program.inputs:
            return self.constant(dtype, [int(size) for size in shape], integers=integers, kind=kind)
        item = Input(f"x{self._next('x')}", dtype, list(shape), fill=self._fill(dtype, integers, kind))
        if self.layouts:
            item.layout = self.rng.choice(
                ["contiguous", "transposed", "strided", "offset", "expanded", "channels_last"]
            )
        self.program.inputs.append(item)
        made = []
        for number, environment in enumerate(self.environments):
            sizes = [self.program.dims[size].sizes[number] if isinstance(size, str) else size for size in shape]
            tensor = lay_out(fill_tensor(item.fill, sizes, torch_dtype(dtype), number), item.layout)
            environment[item.name] = tensor
            made.append(tensor)
        return self._add(Value(item.name, made))

    def constant(
        self,
        dtype: str,
        shape: list[int],
        *,
        kind: str | None = None,
        integers: tuple[int, int] | None = None,
        parameter: bool | None = None,
        writable: bool = False,
    ) -> Value:
        if parameter is None:
            parameter = dtype in FLOATS and self.rng.random() < 0.5
        item = Constant(f"w{self._next('w')}", dtype, shape, self._fill(dtype, integers, kind), parameter)
        if dtype in FLOATS and kind is None and not self.specials:
            item.fill.kind = self.rng.choice(["normal", "grid"])
        self.program.constants.append(item)
        made = [fill_tensor(item.fill, shape, torch_dtype(dtype), 0) for _ in self.environments]
        for tensor, environment in zip(made, self.environments, strict=True):
            environment[item.name] = tensor
        value = Value(item.name, made)
        return self._add(value) if not writable else value

    def view_of(self, value: Value, view: str) -> Value:
        """A constant that shares another's memory."""
        base = next(item for item in self.program.constants if item.name == value.name)
        item = Constant(
            f"w{self._next('w')}", value.dtype, list(base.shape), of=base.name, view=view, parameter=base.parameter
        )
        made = []
        for environment in self.environments:
            tensor = eval(view.format("given"), {"given": environment[base.name]})
            environment[item.name] = tensor
            made.append(tensor)
        item.shape = list(made[0].shape)
        self.program.constants.append(item)
        return self._add(Value(item.name, made))

    def _constants(self, dtype: str, rank: int) -> list[Value]:
        names = {item.name for item in self.program.constants}
        return [value for value in self.values if value.name in names and value.dtype == dtype and value.rank == rank]

    def weight(self, dtype: str, width: int, square: bool = False) -> Value:
        """A matrix with `width` columns; often one that is there already, or one over the same memory."""
        known = [value for value in self._constants(dtype, 2) if width in (value.sizes[1][0], value.sizes[0][0])]
        if known and self.sharing and self.rng.random() < 0.7:
            value = self.rng.choice(known)
            rows, columns = value.sizes[0][0], value.sizes[1][0]
            is_base = any(item.name == value.name and item.of is None for item in self.program.constants)
            if is_base and (columns != width or self.rng.random() < 0.3):
                if rows == width:
                    return self.view_of(value, "{0}.t()")
                if rows > 1:
                    return self.view_of(value, "{0}[1:]")
            if columns == width:
                return value
        rows = width if square or self.rng.random() < 0.5 else self.rng.choice([1, 2, 3, 4, 8])
        return self.constant(dtype, [rows, width])

    def kernel(self, dtype: str, shape: list[int]) -> Value:
        known = [value for value in self._constants(dtype, len(shape)) if [size[0] for size in value.sizes] == shape]
        return (
            self.rng.choice(known)
            if known and self.sharing and self.rng.random() < 0.7
            else self.constant(dtype, shape)
        )

    def _next(self, letter: str) -> int:
        self._counts[letter] += 1
        return self._counts[letter] - 1

    def _add(self, value: Value) -> Value:
        self.values.append(value)
        return value

    # --- operands ---

    def static(self, value: Value, axis: int) -> int | None:
        """The size, where it is the same in all runs and follows from no dynamic one."""
        sizes = value.sizes[axis]
        return sizes[0] if len(set(sizes)) == 1 else None

    def spec(self, value: Value) -> list[int | str] | None:
        """The value's shape as a new input's; None where a size follows from a dynamic one."""
        by_sizes = {tuple(dim.sizes): name for name, dim in self.program.dims.items()}
        made: list[int | str] = []
        for sizes in value.sizes:
            if len(set(sizes)) == 1:
                made.append(sizes[0])
            elif sizes in by_sizes:
                made.append(by_sizes[sizes])
            else:
                return None
        return made

    def pick(self, dtypes: Sequence[str], rank: tuple[int, int] = (0, 4), image: bool = False) -> Value:
        """A value of the program, preferably a late one, or a new input."""
        fits = [
            value
            for value in self.values
            if value.dtype in dtypes and rank[0] <= value.rank <= rank[1] and not value.terminal
        ]
        if fits and self.rng.random() < 0.85:
            latest = fits[-3:]
            return self.rng.choice(latest if self.rng.random() < 0.7 else fits)
        low, high = rank
        shape = self.shape(low if low else self.rng.choice([0, 1, 1, 2, 2]), max(low, min(high, 4)))
        if image:
            batch: int | str = self.rng.choice([1, 2, *self.program.dims])
            spatial = [
                self.rng.choice([4, 5, 6, 8, 1] if self.rng.random() < 0.2 else [4, 5, 6, 8]) for _ in range(low - 2)
            ]
            sizes: list[int | str] = [batch, self.rng.choice([1, 2, 4, 8, 3]), *spatial]
            if self.program.dims and self.rng.random() < 0.2:
                sizes[-1] = self.rng.choice(list(self.program.dims))
            shape = sizes
        return self.leaf(dtypes, shape)

    def _fits(self, one: Value, other: Value, narrower: bool) -> bool:
        if other.rank > one.rank and narrower:
            return False
        for a, b in zip(reversed(one.sizes), reversed(other.sizes), strict=False):
            if a != b and set(b) != {1} and (narrower or set(a) != {1}):
                return False
        return True

    def partner(self, value: Value, dtypes: Sequence[str], narrower: bool = False) -> Value:
        """A value that broadcasts with `value`."""
        fits = [
            other
            for other in self.values
            if other.dtype in dtypes and not other.terminal and self._fits(value, other, narrower)
        ]
        if fits and self.rng.random() < 0.6:
            return self.rng.choice(fits)
        shape = self.spec(value)
        if shape is None:
            return self.leaf(dtypes, [])
        if shape and self.rng.random() < 0.3:
            shape[self.rng.randrange(len(shape))] = 1
        if self.rng.random() < 0.15:
            shape = shape[self.rng.randint(0, len(shape)) :]
        return self.leaf(dtypes, shape)

    def same_shape(self, value: Value, dtypes: Sequence[str]) -> Value:
        fits = [
            other
            for other in self.values
            if other.dtype in dtypes and other.sizes == value.sizes and not other.terminal
        ]
        if fits and self.rng.random() < 0.5:
            return self.rng.choice(fits)
        shape = self.spec(value)
        if shape is not None:
            return self.leaf(dtypes, shape)
        if value.dtype in dtypes:
            return value
        made = self.emit("{0} > 0" if "bool" in dtypes else f"{{0}}.to(torch.{dtypes[0]})", value)
        return made or value

    def alike(self, value: Value) -> Value:
        return self.same_shape(value, (value.dtype,))

    # --- steps ---

    def emit(
        self,
        code: str,
        *args: Value,
        results: int = 1,
        noise: float = 0.0,
        unspecified: bool = False,
        terminal: bool = False,
    ) -> Any:
        """Adds a step; returns its value, or a tuple of `results` values, or None where eager PyTorch refuses it."""
        if self.finished:
            return None
        used = [index for index in range(len(args)) if f"{{{index}}}" in code]
        step = Step([], code, [value.name for value in args], noise, unspecified)
        if used != list(range(len(args))):  # an operand that this form does not take
            for new, old in enumerate(used):
                step.code = step.code.replace(f"{{{old}}}", f"{{{new}}}")
            step.args = [args[index].name for index in used]
        step.out = [f"v{self._counts['v'] + index}" for index in range(results)]
        made = self._run(step)
        if made is None:
            return None
        self._counts["v"] += results
        self.program.steps.append(step)
        self.used.update(step.args)
        values = [Value(name, [run[index] for run in made], terminal) for index, name in enumerate(step.out)]
        for value in values:
            self._add(value)
            if terminal:
                self.keep(value)
        return values[0] if results == 1 else tuple(values)

    def write(self, code: str, *args: Value) -> None:
        """Adds a step that writes its first operand."""
        step = Step([], code, [value.name for value in args])
        if self._run(step) is not None:
            self.program.steps.append(step)
            self.used.update(step.args)

    def keep(self, value: Value) -> None:
        """Makes the value one of the program's results."""
        if value.name not in self.kept:
            self.kept.append(value.name)

    def _run(self, step: Step) -> list[list[torch.Tensor]] | None:
        text = _rendered(step, lambda name: name)
        made: list[list[torch.Tensor]] = []
        for number, environment in enumerate(self.environments):
            if _ends_the_process(step, environment):
                return None
            try:
                exec(text, environment)
                results = [environment[name] for name in step.out]
                assert all(isinstance(item, torch.Tensor) for item in results), text
            except (RuntimeError, IndexError, ValueError, TypeError, NotImplementedError, ZeroDivisionError) as error:
                if number == 0 or self.rng.random() < 0.2 or not step.out:
                    self.refused = f"{text}: {error}"
                    return None
                self.finished = True  # it fails in eager PyTorch too, at some sizes or values: the last step
                results = [made[0][index].clone() for index in range(len(step.out))]
                environment.update(zip(step.out, results, strict=True))
            if any(item.numel() > MOST_ELEMENTS for item in results):
                return None
            if any(item.dtype not in _KNOWN for item in results):
                return None
            made.append(results)
        if made and any(len({run[index].dim() for run in made}) != 1 for index in range(len(step.out))):
            if self.program.dims and not self.finished and "squeeze" not in text:
                return None
            self.finished = True  # a rank that depends on a size: nothing fits it
            made = [made[0]] * len(made)
        return made


def _ends_the_process(step: Step, environment: dict[str, Any]) -> bool:
    """The least integer divided by -1 and truncated: eager PyTorch's own process ends there by SIGFPE."""
    operands = [environment[name] for name in step.args]
    if "rounding_mode='trunc'" not in step.code or any(item.is_floating_point() for item in operands):
        return False
    least = any(bool((item == torch.iinfo(item.dtype).min).any()) for item in operands if item.dtype != torch.bool)
    return least and (", -1," in step.code or any(bool((item == -1).any()) for item in operands))


_KNOWN = {torch_dtype(name) for name in operators.ALL}


def draw(seed: int, index: int) -> Program:
    """The program number `index` of `seed`. The same on every machine with the same torch."""
    return _draw(random.Random(f"{seed}/{index}"), ())


def draw_with(pattern: str, seed: int, index: int) -> Program | None:
    """A program with a step that the pattern matches, likewise; None where a thousand draws have none."""
    rows = _rows_with(pattern)
    for attempt in range(1000 if rows else 0):
        program = _draw(random.Random(f"{seed}/{index}/{attempt}"), rows)
        if any(re.search(pattern, code) for code in program.operators()):
            return program
    return None


@functools.cache
def _rows_with(pattern: str) -> tuple[operators.Row, ...]:
    """Rows of the table that have drawn a step of the pattern in some tries of each by itself."""
    found = []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for family, rows in FAMILIES.items():
            for number, row in enumerate(dict.fromkeys(rows)):
                for attempt in range(8):
                    g = Draw(random.Random(f"{family}/{number}/{attempt}"))
                    row(g)
                    if any(re.search(pattern, code) for code in g.program.operators()):
                        found.append(row)
                        break
    return tuple(found)


def _draw(rng: random.Random, wanted: Sequence[operators.Row]) -> Program:
    """`wanted`: rows that half of the steps are drawn from."""
    g = Draw(rng)
    steps = rng.choice([1, 2, 3, 4, 5, 6, 8, 10])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        attempts = 0
        while ((len(g.program.steps) < steps and attempts < 4 * steps + 10) or not g.program.steps) and not g.finished:
            attempts += 1
            rows = wanted if wanted and rng.random() < 0.5 else FAMILIES[rng.choice(g.families)]
            rng.choice(rows)(g)
    return _finish(g)


def _finish(g: Draw) -> Program:
    """What nothing reads is left out: no compiler runs it, so that its errors are nobody's."""
    program = g.program
    results = [name for step in program.steps for name in step.out]
    ends = [name for name in results if name not in g.used]
    chosen = list(dict.fromkeys([*g.kept, *ends]))
    chosen += [name for name in results if name not in chosen and g.rng.random() < 0.15]
    if not chosen:
        chosen = results[-1:] or [program.inputs[0].name]
    program.outputs = chosen[:6]
    if not program.inputs:
        program.inputs.append(Input("x0", "float32", [2]))
    if g.finished:  # data 1 fails in eager: between two calls that do not
        program.calls = [0, 1, 0]
    elif g.rng.random() < 0.2:
        program.calls = [0, -1, 1, 0]
    return clean(program, keep_writes=True)
