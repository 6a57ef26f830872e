# SPDX-License-Identifier: Apache-2.0
"""Checks what no formatter checks: licence lines, include guards, unfinished places, paths of somebody's machine.

    python scripts/check_conventions.py [root]

Looks at the files that git tracks. Exit status 1 and one line per finding if there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LICENSE_LINE = "SPDX-License-Identifier: Apache-2.0"
LICENSED = {".h", ".cpp", ".py", ".sh"}
TEXT = LICENSED | {".md", ".cmake", ".txt", ".toml", ".json", ".yml", ".yaml", ""}
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")
MACHINE_PATH = re.compile(r"(?<![\w.])/(root|home|work|Users)/[\w.-]")


def check_file(name: str, text: str) -> list[str]:
    """Findings in one file as "line: sentence"."""
    suffix = Path(name).suffix
    lines = text.splitlines()
    errors = []
    head = "\n".join(lines[:3])
    if suffix in LICENSED and lines and LICENSE_LINE not in head:
        errors.append(f"1: the first lines lack '{LICENSE_LINE}'")
    if suffix == ".h" and "#pragma once" not in text:
        errors.append("1: a header without #pragma once")
    for number, line in enumerate(lines, 1):
        if found := UNFINISHED.search(line):
            errors.append(f"{number}: '{found.group()}': finish it, or describe the limit")
        if MACHINE_PATH.search(line):
            errors.append(f"{number}: a path of one machine")
        if suffix == ".h" and re.match(r"\s*using namespace ", line):
            errors.append(f"{number}: using namespace in a header")
    return errors


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    errors = []
    for name in filter(None, listed.split("\0")):
        path = root / name
        if path.suffix in TEXT and path.is_file() and path.name != "LICENSE":
            errors += [f"{name}:{error}" for error in check_file(name, path.read_text())]
    print("\n".join(errors) or "conventions: nothing to mend")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
