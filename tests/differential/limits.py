# SPDX-License-Identifier: Apache-2.0
"""Known limits: differences from eager PyTorch that stay, each with its reason and where a user can read of it.

A limit names the finds that it covers by patterns, and carries a program that shows it. `test_a_limit_still_happens`
runs it: a limit that is gone fails the test, so that it is taken out here and in the documentation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from .oracle import Find
from .program import Dim, Fill, Input, Program, Step, constant_tensors, input_tensors, run_steps

_WRITES = r"^\{0\}(\[[^]]*\])?(\.\w+_\(|.* [-+*/]?= )"
"""A step that writes its first operand."""


def _shows(
    inputs: list[Input],
    steps: list[Step],
    outputs: list[str],
    calls: Sequence[int] = (0,),
    dims: dict[str, Dim] | None = None,
) -> str:
    """A program as JSON."""
    return Program(inputs, [], steps, outputs, dims or {}, list(calls)).to_json()


def _shows_tiny(code: str, values: list[float]) -> str:
    """The same, of one step on these numbers."""
    tiny = Input("x0", "float32", [1, len(values)], fill=Fill("values", values=values))
    return _shows([tiny], [Step(["v0"], code, ["x0"])], ["v0"])


@dataclasses.dataclass(frozen=True)
class Limit:
    name: str
    kind: str
    """Pattern of a find's kind."""
    code: str
    """Pattern that one of the program's steps, or of its inputs' and constants' dtypes, matches."""
    message: str
    """Pattern of the find's message."""
    reason: str
    documented: str
    """File and heading."""
    target: str = ""
    """The target that it is a limit of."""
    way: str = ""
    """The way to run that it is a limit of."""
    torch: str = ""
    """Pattern of the releases of PyTorch that it is a limit of."""
    processor: str = ""
    """The processor's ability, as Linux names it, that it is a limit of."""
    nonfinite: bool = False
    """Only in programs where a NaN or an infinity comes up."""
    shows: str = ""
    """A program, as JSON, that differs while the limit is there."""

    def is_here(self) -> bool:
        return re.match(self.torch, torch.__version__) is not None and {self.processor} <= {"", *_abilities()}


LIMITS: tuple[Limit, ...] = (
    Limit(
        name="small sizes where no minimum was asked",
        kind="error",
        code=r"",
        message=r": [01] is outside the range \[2, ",
        reason="torch.export refuses the ranges that the program names and takes `Dim.AUTO` only, for which it writes "
        "a minimum of 2, whatever is asked, as it does where Python read whether the size is 1.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows(
            [Input("x0", "float32", ["s0", 3]), Input("x1", "float32", ["s1", 3])],
            [Step(["v0"], "torch.minimum({0}, {1})", ["x0", "x1"])],
            ["v0"],
            calls=[0, 1],
            dims={"s0": Dim(0, 8, [4, 0]), "s1": Dim(0, 8, [4, 0])},
        ),
    ),
    Limit(
        name="writes into expanded inputs",
        kind="error",
        code=r"",
        message=r"more than one element of the written-to tensor refers to a single memory location",
        reason="PyTorch writes all elements of such a view in an order that it does not promise, and deprecates it.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows([Input("x0", "float32", [2, 3], "expanded")], [Step([], "{0}.zero_()", ["x0"])], ["x0"]),
    ),
    Limit(
        name="views of what is written",
        kind="alias",
        code=_WRITES,
        message=r"a write does not change",
        reason="What a model writes is written after its blocks: a view of it is a result of its own.",
        documented='docs/semantics.md, "Not promised"; docs/architecture.md, "Decisions and why"',
        shows=_shows(
            [Input("x0", "float32", [2, 3])],
            [Step([], "{0}.mul_(2)", ["x0"]), Step(["v0"], "{0}.t()", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="strided inputs that AOTInductor packages write",
        kind="error",
        code=r"",
        message=r"expected a contiguous tensor",
        reason="Code that AOTInductor wrote reads memory as the example's lay; the package says what to call.",
        documented='docs/semantics.md, "Not promised"',
        way="aot_inductor",
        shows=_shows(
            [Input("x0", "float32", [2, 3], "transposed")],
            [Step(["v0"], "torch.igamma({0}, {0})", ["x0"]), Step([], "{0}.mul_(2)", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="batch norm in training over nothing",
        kind="error",
        code=r"batch_norm\(.*training=True",
        message=r"input tensor must have at least one element",
        reason="Taken apart, PyTorch's own operator refuses what the one that it was made of takes.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows(
            [Input("x0", "float32", ["s0", 3, 4])],
            [
                Step(["v0"], "F.batch_norm({0}, None, None, training=True)", ["x0"]),
                Step(["v1"], "{0} + 1", ["x0"]),
            ],
            ["v0", "v1"],
            calls=[0, 1],
            dims={"s0": Dim(0, 8, [4, 0])},
        ),
    ),
    Limit(
        name="deviations of tiny numbers",
        kind="value",
        code=r"torch\.(std|var)",
        message=r"-?0\.0 instead of \S+e-(19|[23]\d|4\d)$",
        reason="Squares of numbers below 1e-19 are none in float32; PyTorch adds them up in double precision.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows_tiny("torch.std({0}, dim=1)", [1e-30, -3e-30]),
    ),
    Limit(
        name="functions near 0",
        kind="value",
        code=r"F\.(elu|celu|selu)|torch\.erf",
        message=r"-?0\.0 instead of -?\S+e-(1\d|[23]\d|4\d)$",
        reason="exp(x) - 1 and the polynomial of erf have absolute errors below 1e-7, and none that is relative.",
        documented='docs/semantics.md, "Not promised"',
        shows=_shows_tiny("F.elu({0})", [-1e-20, -2e-20]),
    ),
    Limit(
        name="the sign of NaN",
        kind="value",
        code=r"torch\.(signbit|copysign)",
        message=r"(True|False) instead of (True|False)$",
        reason="What computes a NaN gives it a sign, and nothing says which.",
        documented='docs/semantics.md, "Not promised"',
        nonfinite=True,
        shows=_shows(
            [Input("x0", "float32", [4], fill=Fill("values", values=[-1.0, -2.0]))],
            [Step(["v0"], "torch.log({0})", ["x0"]), Step(["v1"], "torch.signbit({0})", ["v0"])],
            ["v1"],
        ),
    ),
    Limit(
        name="NaN and infinities on TensorRT",
        kind="value|input|state|alias",
        code=r"",
        message=r"",
        reason="Which of TensorRT's kernels run decides what becomes of a NaN.",
        documented='docs/semantics.md, "Not promised"; docs/gpu.md, "Known"',
        target="tensorrt",
        nonfinite=True,
    ),
    Limit(
        name="subnormal bfloat16 in hardware",
        kind="value|input|state|alias",
        code=r"bfloat16",
        message=r"at \[[\d, ]*\] -?0\.0 instead of -?(1\.[01]\d*e-38|[\d.]+e-(39|4\d))$",
        reason="The processor's own instruction makes zeros of subnormal float32 when it rounds to bfloat16.",
        documented='docs/semantics.md, "Not promised"',
        processor="avx512_bf16",
        shows=_shows(
            [Input("x0", "float32", [16], fill=Fill("values", values=[2.0**-128]))],
            [Step(["v0"], "{0}.to(torch.bfloat16)", ["x0"])],
            ["v0"],
        ),
    ),
    Limit(
        name="identities of PyTorch 2.11",
        kind="alias",
        code=r"F\.dropout|\.type_as",
        message=r"a write does not change|after writes",
        reason="Eager returns the argument itself; PyTorch 2.11 copies it when it takes the operator apart.",
        documented='docs/semantics.md, "Not promised"',
        torch=r"2\.11\.",
        shows=_shows([Input("x0", "float32", [2])], [Step(["v0"], "F.dropout({0}, 0.5, False)", ["x0"])], ["v0"]),
    ),
    Limit(
        name="one_hot in PyTorch 2.11",
        kind="no error",
        code=r"F\.one_hot",
        message=r"Class values must be",
        reason="PyTorch 2.11 exports one_hot without the check of its classes.",
        documented='docs/semantics.md, "Not promised"',
        torch=r"2\.11\.",
        shows=_shows(
            [Input("x0", "int64", [2], fill=Fill("indices", 1, 0, 4, specials=1))],
            [Step(["v0"], "F.one_hot({0}, 5)", ["x0"])],
            ["v0"],
            calls=[0, 1],
        ),
    ),
)


@functools.cache
def _abilities() -> tuple[str, ...]:
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return tuple(flags[1].split()) if flags else ()


def covering(program: Program, find: Find, target: str = "") -> Limit | None:
    about = [*program.operators(), *(leaf.dtype for leaf in (*program.inputs, *program.constants)), ""]
    for limit in LIMITS:
        if (
            limit.target == target
            and limit.is_here()
            and limit.way in ("", find.way)
            and re.fullmatch(limit.kind, find.kind)
            and re.search(limit.message, find.message)
            and any(re.search(limit.code, text) for text in about)
            and (not limit.nonfinite or has_nonfinite(program))
        ):
            return limit
    return None


def has_nonfinite(program: Program) -> bool:
    """Whether eager PyTorch meets a NaN or an infinity in one of the calls."""
    found = [False]

    def look(tensors: Iterable[Any]) -> None:
        found[0] |= any(
            isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and not bool(tensor.isfinite().all())
            for tensor in tensors
        )

    on_cpu = dataclasses.replace(program, device="cpu")
    look(constant_tensors(on_cpu).values())
    for number in {max(number, 0) for number in program.calls}:
        inputs = input_tensors(on_cpu, number)
        look(inputs)
        with contextlib.suppress(Exception), torch.no_grad():
            run_steps(on_cpu, inputs, lambda step, values: look(values[name] for name in step.out))
    return found[0]
