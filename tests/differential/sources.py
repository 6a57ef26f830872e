# SPDX-License-Identifier: Apache-2.0
"""Where programs come from, by name."""

from __future__ import annotations

from collections.abc import Callable

from . import generate, models, opinfo
from .program import Program

SOURCES: dict[str, Callable[[int, int], Program | None]] = {
    "draw": generate.draw,
    "opinfo": opinfo.program,
    "models": models.program,
}
NAMES = tuple(SOURCES)


def program(source: str, seed: int, index: int) -> Program | None:
    """Program number `index` of the source; None where it has none there."""
    return SOURCES[source](seed, index)
