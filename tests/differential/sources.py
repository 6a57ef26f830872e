# SPDX-License-Identifier: Apache-2.0
"""Where programs come from, by name."""

from __future__ import annotations

from .generate import draw
from .program import Program

NAMES = ("draw",)


def program(source: str, seed: int, index: int) -> Program | None:
    """Program number `index` of the source; None where it has none there."""
    assert source == "draw", source
    return draw(seed, index)
