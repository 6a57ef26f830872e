# SPDX-License-Identifier: Apache-2.0
"""Where programs come from, by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import generate, models, opinfo, oracle
from .journal import Options
from .program import Program, make_module

SOURCES: dict[str, Callable[[int, int], Program | None]] = {
    "draw": generate.draw,
    "opinfo": opinfo.program,
    "models": models.program,
}
NAMES = tuple(SOURCES)


def program(options: Options, index: int) -> Program | None:
    """Program number `index` of the options' source; None where it has none there."""
    if options.only and options.source == "draw":
        made: Program | None = generate.draw_with(options.only, options.seed, index)
    else:
        made = SOURCES[options.source](options.seed, index)
    if made is None or (options.only and not any(re.search(options.only, code) for code in made.operators())):
        return None
    if options.device != "cpu":
        _move(made, options.device)
    made.origin = f"python -m differential{_arguments(options)} --seed {options.seed} --index {index}"
    return made


_FACTORY = re.compile(r"torch\.(arange|eye|full|linspace|ones|zeros)\(.*\)")


def _move(program: Program, device: str) -> None:
    """The same program on a GPU, without the calls that eager refuses on the CPU: an index out of range there ends the
    process's use of the GPU."""
    calls = oracle.run_calls(make_module(program), program, program.calls)
    program.calls = [call.number for call in calls if call.error is None and call.number >= 0] or [0]
    program.device = device
    for step in program.steps:
        if _FACTORY.fullmatch(step.code):
            step.code = f"{step.code[:-1]}, device='{device}')"


def _arguments(options: Options) -> str:
    given = {"source": options.source, "targets": options.target, "only": options.only}
    return "".join(f" --{name} {_quoted(value)}" for name, value in given.items() if value not in ("", "draw"))


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.]+", text) else f"'{text}'"
