# SPDX-License-Identifier: Apache-2.0
"""Known limits: differences from eager PyTorch that stay, each with its reason and where a user can read of it.

A limit names the finds that it covers by patterns, and carries a program that shows it. `test_a_limit_still_happens`
runs it: a limit that is gone fails the test, so that it is taken out here and in the documentation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import torch

from .program import Input, Program, Step, constant_tensors, input_tensors, run_steps

_WRITES = r"^\{0\}(\.\w+_\(|.* [-+*/]?= )"
"""A step that writes its first operand."""


def _shows(inputs: list[Input], steps: list[Step], outputs: list[str]) -> str:
    """A program as JSON."""
    return Program(inputs, [], steps, outputs, calls=[0]).to_json()


@dataclasses.dataclass(frozen=True)
class Limit:
    name: str
    kind: str
    """Pattern of a find's kind."""
    code: str
    """Pattern that one of the program's steps matches."""
    message: str
    """Pattern of the find's message."""
    reason: str
    documented: str
    """File and heading."""
    target: str = ""
    """The target that it is a limit of."""
    nonfinite: bool = False
    """Only in programs where a NaN or an infinity comes up."""
    shows: str = ""
    """A program, as JSON, that differs while the limit is there."""


LIMITS: tuple[Limit, ...] = (
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
        name="NaN and infinities on TensorRT",
        kind="value|input|state|alias",
        code=r"",
        message=r"",
        reason="Which of TensorRT's kernels run decides what becomes of a NaN.",
        documented='docs/semantics.md, "Not promised"; docs/gpu.md, "Known"',
        target="tensorrt",
        nonfinite=True,
    ),
)


def covering(program: Program, kind: str, message: str, target: str = "") -> Limit | None:
    for limit in LIMITS:
        if (
            limit.target == target
            and re.fullmatch(limit.kind, kind)
            and re.search(limit.message, message)
            and any(re.search(limit.code, code) for code in program.operators() or [""])
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
