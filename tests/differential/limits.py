# SPDX-License-Identifier: Apache-2.0
"""Known limits: differences from eager PyTorch that stay, each with its reason and where a user can read of it.

A limit names the finds that it covers by patterns, and carries a program that shows it. `test_a_limit_still_happens`
runs it: a limit that is gone fails the test, so that it is taken out here and in the documentation.
"""

from __future__ import annotations

import dataclasses
import re

from .program import Program


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
    shows: str = ""
    """A program, as JSON, that differs while the limit is there."""


LIMITS: tuple[Limit, ...] = ()


def covering(program: Program, kind: str, message: str) -> Limit | None:
    for limit in LIMITS:
        if (
            re.fullmatch(limit.kind, kind)
            and re.search(limit.message, message)
            and any(re.search(limit.code, code) for code in program.operators() or [""])
        ):
            return limit
    return None
